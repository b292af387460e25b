"""The engine's grip on a batch: claim it, hold it through a checkpoint, let go of it. Only the database's clock counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from rowmill.contracts import Kind
from rowmill.doorbell import LANES
from rowmill.errors import LostLease
from rowmill.faults import fault_point
from rowmill.jobs.hold import read_shared_state
from rowmill.jobs.turns import jobs_in_turn, note_empty, note_served
from rowmill.models import Batch, BatchState, Job, JobState
from rowmill.registry import get_kind

BACKOFF_CAP_SECONDS = 60.0


def lease_length(kind: Kind) -> timedelta:
    """Give how long a claim holds without a sign of life."""
    return timedelta(seconds=settings.ROWMILL_LEASE_SECONDS or kind.lease_seconds)


def claim_batch(owner: str, lanes: str | Sequence[str] = LANES) -> Batch | None:
    """Take one due batch, with a lease and a new fencing number. Gives None where nothing is due.

    The lanes are looked through in the order given; within a lane it is the turn of whom `jobs_in_turn` names first.
    A job whose kind is not installed (any more) waits, and holds nobody up.
    Cost: a read, then one short transaction; no claim waits for another.
    """
    for lane in (lanes,) if isinstance(lanes, str) else lanes:
        batch = _claim_of_lane(lane, owner)
        if batch is not None:
            return batch
    return None


def _claim_of_lane(lane: str, owner: str) -> Batch | None:
    """Take a batch of the first job in turn that has one left; look twice, as others may have been faster."""
    for _ in range(2):
        jobs = jobs_in_turn(lane)
        for job_id in jobs:
            batch = _claim_of_job(job_id, owner)
            if batch is not None:
                note_served(lane, batch.org_id, job_id)
                return batch
            note_empty(lane, job_id)
        if not jobs:
            break
    return None


def _claim_of_job(job_id: int, owner: str) -> Batch | None:
    """Take the next due batch of a job, None where others were faster."""
    skip = connection.features.has_select_for_update_skip_locked
    with transaction.atomic():
        due = (
            Batch.objects.select_related("job__upload")
            .filter(job_id=job_id, state=BatchState.WAITING, available_at__lte=Now())
            .filter(job__state__in=[JobState.PENDING, JobState.PROCESSING])
            .order_by("available_at", "id")
        )
        batch = (due.select_for_update(skip_locked=True, of=("self",)) if skip else due).first()
        if batch is None:
            return None
        _take(batch, owner)
        fault_point("claiming")
        begun = batch.job.state != JobState.PENDING or _begin_job(job_id, skip=skip)
    fault_point("claimed")
    if not begun:
        _begin_job(job_id)
    batch.claims += 1
    batch.attempts += 1
    return batch


def _begin_job(job_id: int, *, skip: bool = False) -> bool:
    """Let a pending job be processing. `skip`: not now where somebody else holds it; gives False then."""
    pending = Job.objects.filter(pk=job_id, state=JobState.PENDING)
    if skip and not pending.order_by("pk").select_for_update(skip_locked=True, no_key=True).values_list(
        "pk", flat=True
    ):
        return False
    pending.update(state=JobState.PROCESSING, processing_started_at=Now())
    return True


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
    mine = Batch.objects.filter(pk=batch.pk, state=BatchState.RUNNING, claims=batch.claims)
    # Not in the table's usual order: that reads the job too, whose row would be locked as well, for this batch alone.
    if not mine.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True):
        raise LostLease


def job_state_held(batch: Batch) -> str:
    """Read the job's state such that no cancel commits before this transaction ends."""
    return read_shared_state(batch.job_id)


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
