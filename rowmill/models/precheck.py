"""The full diagnosis of an upload: how far it is, and what it has told so far."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils import timezone

from rowmill.models.intake import Upload
from rowmill.models.people import Org, User


class PrecheckStatus(models.TextChoices):
    """PENDING > RUNNING > COMPLETED | FAILED."""

    PENDING = "PENDING", "Waiting"
    RUNNING = "RUNNING", "Running"
    COMPLETED = "COMPLETED", "Completed"
    FAILED = "FAILED", "Failed"


class Precheck(models.Model):
    """One precheck of an upload: three stages, each written down as soon as it is known. Never holds a cell's value.

    `stage` is the one at work: "", "metadata", "integrity", "validation". `progress` is 0 to 100, over all stages.
    While PENDING or RUNNING, a lease and `claims` (the fence) say who runs it.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="prechecks")
    status = models.CharField(max_length=10, choices=PrecheckStatus, default=PrecheckStatus.PENDING)
    stage = models.CharField(max_length=12, blank=True)
    progress = models.PositiveSmallIntegerField(default=0)
    metadata = models.JSONField(default=dict)
    integrity = models.JSONField(default=dict)
    validation = models.JSONField(default=dict)
    findings = models.JSONField(default=list)
    error = models.TextField(blank=True)
    claims = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=["status", "lease_until"], name="precheck_due"),)
        constraints = (
            models.CheckConstraint(condition=models.Q(status__in=PrecheckStatus.values), name="precheck_status_known"),
        )

    def __str__(self) -> str:
        return f"precheck {self.public_id}"
