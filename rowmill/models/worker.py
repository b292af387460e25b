"""Who is at work: one row a process, for people and health checks. Nothing else depends on it, least of all a lease."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils import timezone


class WorkerRole(models.TextChoices):
    """What a process is there for: pages and API, batches, ringing, or all of it in one."""

    WEB = "web", "Web"
    WORKER = "worker", "Worker"
    BEAT = "beat", "Beat"
    EMBEDDED = "embedded", "Embedded"


class Worker(models.Model):
    """One process since its start. `uuid` is new with every boot; `doing` is in words, with ids and counts only.

    Monitoring only: a batch's lease stands on the batch's own row and knows nothing of this table.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    role = models.CharField(max_length=10, choices=WorkerRole)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=40)
    lanes = models.CharField(max_length=200, blank=True)
    concurrency = models.PositiveIntegerField(default=0)
    doing = models.CharField(max_length=300, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    beat_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("role", "started_at")
        constraints = (
            models.CheckConstraint(condition=models.Q(role__in=WorkerRole.values), name="worker_role_known"),
        )

    def __str__(self) -> str:
        return f"{self.role} {self.pk}"
