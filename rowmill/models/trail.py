"""Who did what to which: the append-only audit trail."""

from __future__ import annotations

from django.db import models

from rowmill.models.people import Org, User


class AuditEvent(models.Model):
    """Actor, verb, target. `mac` chains it to the event before it in the same org; `details` holds ids and counts only."""

    org = models.ForeignKey(Org, on_delete=models.PROTECT, related_name="audit_events")
    position = models.BigIntegerField()
    at = models.DateTimeField()
    actor = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True)
    actor_name = models.CharField(max_length=254)
    verb = models.CharField(max_length=60)
    target_type = models.CharField(max_length=40)
    target_id = models.CharField(max_length=64)
    details = models.JSONField(default=dict)
    mac = models.CharField(max_length=64)

    class Meta:
        ordering = ("org", "position")
        constraints = (models.UniqueConstraint(fields=["org", "position"], name="audit_event_once"),)
        indexes = (models.Index(fields=["org", "target_type", "target_id"], name="audit_of_target"),)

    def __str__(self) -> str:
        return f"{self.verb} {self.target_type} {self.target_id}"
