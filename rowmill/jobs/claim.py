"""The engine's grip on a batch: claim it, hold it through a checkpoint, let go of it. Only the database's clock counts."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from rowmill.contracts import Kind
from rowmill.errors import LostLease
from rowmill.faults import fault_point
from rowmill.models import Batch, BatchState, Job, JobState
from rowmill.registry import KINDS, get_kind

BACKOFF_CAP_SECONDS = 60.0


def lease_length(kind: Kind) -> timedelta:
    """Give how long a claim holds without a sign of life."""
    return timedelta(seconds=settings.ROWMILL_LEASE_SECONDS or kind.lease_seconds)


def claim_batch(owner: str, lane: str) -> Batch | None:
    """Take one due batch of a lane, with a lease and a new fencing number. Gives None where nothing is due.

    A job whose kind is not installed (any more) waits, and holds nobody up.
    Cost: one short transaction.
    """
    with transaction.atomic():
        due = (
            Batch.objects.select_related("job__upload")
            .filter(state=BatchState.WAITING, lane=lane, available_at__lte=Now())
            .filter(job__state__in=[JobState.PENDING, JobState.PROCESSING], job__kind__in=list(KINDS))
            .order_by("available_at", "id")
        )
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True, of=("self",))
        batch = due.first()
        if batch is None:
            return None
        _take(batch, owner)
        fault_point("claiming")
        Job.objects.filter(pk=batch.job_id, state=JobState.PENDING).update(
            state=JobState.PROCESSING, processing_started_at=Now()
        )
    fault_point("claimed")
    batch.claims += 1
    batch.attempts += 1
    return batch


def _take(batch: Batch, owner: str) -> None:
    """Set the lease by one conditional update."""
    Batch.objects.filter(pk=batch.pk, state=BatchState.WAITING, claims=batch.claims).update(
        state=BatchState.RUNNING,
        owner=owner,
        claims=F("claims") + 1,
        attempts=F("attempts") + 1,
        lease_until=Now() + lease_length(get_kind(batch.job.kind)),
        waiting_reason="",
    )


def hold_batch(batch: Batch) -> None:
    """Lock a batch that is still ours; call it first in every transaction that writes for it. Raises: LostLease."""
    held = (
        Batch.objects.select_for_update()
        .filter(pk=batch.pk, state=BatchState.RUNNING, claims=batch.claims)
        .values_list("pk", flat=True)
        .first()
    )
    if held is None:
        raise LostLease


def job_state_held(batch: Batch) -> str:
    """Read the job's state such that no cancel commits before this transaction ends."""
    return Job.objects.select_for_update().values_list("state", flat=True).get(pk=batch.job_id)


def renew_lease(batch: Batch, waiting_reason: str = "") -> bool:
    """Give a sign of life outside a checkpoint. Gives False where the batch is no longer ours or its job is cancelled."""
    kept = Batch.objects.filter(pk=batch.pk, state=BatchState.RUNNING, claims=batch.claims).update(
        lease_until=Now() + lease_length(get_kind(batch.job.kind))
    )
    return bool(kept) and not is_cancelling(batch)


def is_cancelling(batch: Batch) -> bool:
    """Tell whether the batch's job is being cancelled."""
    return Job.objects.filter(pk=batch.job_id, state=JobState.CANCELLING).exists()


def release_batch(batch: Batch, seconds: float = 0.0, reason: str = "") -> None:
    """Give a batch back without an attempt spent (snooze, graceful stop). Raises: LostLease."""
    with transaction.atomic():
        hold_batch(batch)
        cancelled = job_state_held(batch) == JobState.CANCELLING
        Batch.objects.filter(pk=batch.pk).update(
            state=BatchState.CANCELLED if cancelled else BatchState.WAITING,
            attempts=F("attempts") - 1,
            owner="",
            lease_until=None,
            available_at=Now() + timedelta(seconds=seconds),
            waiting_reason="" if cancelled else reason[:300],
        )
    fault_point("released")


def backoff_seconds(attempts: int) -> float:
    """Give the wait after a failed attempt: 0.5 s, 1 s, 2 s ... 60 s."""
    return min(BACKOFF_CAP_SECONDS, 0.5 * 2.0 ** max(0, attempts - 1))
