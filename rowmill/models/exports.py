"""Workbooks that are made in the background, to be taken home for a day."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils import timezone

from rowmill.models.people import Org, User
from rowmill.models.work import Job


class ExportState(models.TextChoices):
    """WAITING > RUNNING > DONE | FAILED; after a day, or when somebody deletes it: > GONE."""

    WAITING = "WAITING", "Waiting"
    RUNNING = "RUNNING", "Running"
    DONE = "DONE", "Done"
    FAILED = "FAILED", "Failed"
    GONE = "GONE", "Gone"


class Export(models.Model):
    """A workbook of the rows of a kind's table, or of the results of `job`: how far it is, and its bytes' name and hash.

    `asked` says which rows and columns, and may name a person, so it is sealed with the org's key; it goes with the bytes.
    Units: rows. `rows` are gathered so far, all of them once `rows_done`, those in the workbook, is not 0.
    While WAITING or RUNNING, a lease and `claims` (the fence) say who makes it; `attempts` counts beginnings.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=60)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, null=True, related_name="exports")
    asked = models.BinaryField(default=bytes)
    state = models.CharField(max_length=10, choices=ExportState, default=ExportState.WAITING)
    rows = models.BigIntegerField(default=0)
    rows_done = models.BigIntegerField(default=0)
    key = models.CharField(max_length=200, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    error = models.CharField(max_length=300, blank=True)
    claims = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    asked_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    asked_at = models.DateTimeField(default=timezone.now)
    begun_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(state__in=ExportState.values), name="export_state_known"),
        )
        indexes = (models.Index(fields=["state", "lease_until"], name="export_due"),)

    def __str__(self) -> str:
        return f"export {self.public_id}"
