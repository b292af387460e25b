"""What is counted so that it can be limited: wrong sign-ins at the API."""

from __future__ import annotations

from django.db import models


class AttemptCount(models.Model):
    """How often something was tried within a window. `key` is a hash: it names no person and no address."""

    key = models.CharField(max_length=64, unique=True)
    count = models.PositiveIntegerField(default=0)
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"attempt count {self.pk}"
