"""What is counted so that it can be limited: wrong sign-ins at the API, calls to a payer."""

from __future__ import annotations

from django.db import models

from rowmill.models.people import PayerAccount


class AttemptCount(models.Model):
    """How often something was tried within a window. `key` is a hash: it names no person and no address."""

    key = models.CharField(max_length=64, unique=True)
    count = models.PositiveIntegerField(default=0)
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"attempt count {self.pk}"


class PayerLimit(models.Model):
    """How the processes share what one payer account allows. Made at the first call, and of no use once all are at rest.

    `shares`: process -> its part of the calls in flight; `next_call_at`: when the next call may be given away.
    `quiet`: the pauses the payer asked for, the breaker, a refusal of the credentials; "{}" when nothing holds calls back.
    Units: seconds of the database's clock since 1970. Shape: claims/shares.py.
    """

    account = models.OneToOneField(PayerAccount, on_delete=models.CASCADE, primary_key=True, related_name="limit")
    next_call_at = models.FloatField(default=0.0)
    shares = models.JSONField(default=dict)
    quiet = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"limit of payer account {self.pk}"
