"""The sweeper, in every worker: takes back expired leases, closes what nobody closed, finishes dead uploads, purges."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.doorbell import INTERACTIVE, LANES, ring
from rowmill.faults import fault_point
from rowmill.jobs.arrive import continue_completing, judge_claimed, submit_intended
from rowmill.jobs.exports import due_exports, purge_due_exports, take_back_exports
from rowmill.jobs.settle import close_waiting, settle_job
from rowmill.merging.effects import due_effects, take_back_effects
from rowmill.merging.undo import drop_old_rows, due_undos, take_back_undos
from rowmill.models import (
    LIVE_STATES,
    Batch,
    BatchState,
    IdempotencyKey,
    Job,
    JobState,
    SessionState,
    Upload,
    UploadSession,
    UploadState,
)
from rowmill.monitor.heartbeat import prune_workers
from rowmill.storage import LocalStorage
from rowmill.uploads.inspect import claim_upload
from rowmill.uploads.places import get_storage
from rowmill.uploads.prechecks import due_prechecks, take_back_prechecks
from rowmill.uploads.purge import purge_due_uploads
from rowmill.uploads.receive import abandon_upload, inspect_lease
from rowmill.uploads.sessions import expire_sessions
from rowmill.uploads.tidy import clear_leavings, clear_scratch, tidy_bytes

log = structlog.get_logger("rowmill.sweep")
DEAD_RECEIVING = timedelta(hours=1)
UNANSWERED = timedelta(minutes=2)  # from the verdict to its job a request needs a moment
UNDER_WAY = (SessionState.OPEN, SessionState.COMPLETING)


def sweep(*, large_too: bool = True) -> None:
    """Do one round. Again: yes, and in any number of workers at once.

    Not `large_too`: other threads of this process inspect what came in by a resumable door.
    """
    take_back_leases()
    close_cancelled_batches()
    settle_jobs()
    expire_sessions()
    continue_completing()
    finish_dead_uploads(large_too=large_too)
    drop_dead_keys()
    purge_due_uploads()
    tidy_bytes()
    prune_workers()
    drop_old_rows()
    purge_due_exports()
    if any(due.exists() for due in (due_prechecks(), due_effects(), due_undos(), due_exports())):
        ring(INTERACTIVE)
    for lane in LANES:
        if Batch.objects.filter(state=BatchState.WAITING, lane=lane, available_at__lte=Now()).exists():
            ring(lane)


def take_back_leases(*, all_of_them: bool = False) -> int:
    """Put batches whose worker is gone back to waiting. `all_of_them`: at the start of the only process there is."""
    gone = Batch.objects.filter(state=BatchState.RUNNING)
    if not all_of_them:
        gone = gone.filter(lease_until__lt=Now())
    with transaction.atomic():
        found = list(gone.order_by("id").select_for_update(skip_locked=True).values_list("pk", flat=True))
        taken = Batch.objects.filter(pk__in=found)
        count = taken.update(state=BatchState.WAITING, owner="", lease_until=None, available_at=Now())
    if count:
        log.info("leases taken back", count=count)
    fault_point("leases_back")
    return count


def close_cancelled_batches() -> int:
    """Close waiting batches of jobs that are being cancelled. Gives how many."""
    jobs = Job.objects.filter(state=JobState.CANCELLING).values_list("pk", flat=True)
    return sum(close_waiting(job_id) for job_id in list(jobs))


def settle_jobs() -> None:
    """Close jobs whose last worker died before saying so."""
    for job_id in list(Job.objects.filter(state__in=LIVE_STATES).values_list("pk", flat=True)):
        settle_job(job_id)


def finish_dead_uploads(*, all_of_them: bool = False, large_too: bool = True) -> None:
    """Inspect again what a dead inspector left, and abandon what a dead receiver left.

    An upload with an open session has no receiver that could be dead. Not `large_too`: what came in by a resumable door,
    and mended copies, are left to the threads that inspect, which are rung.
    """
    dead = Upload.objects.filter(state=UploadState.RECEIVING).exclude(session__state__in=UNDER_WAY)
    if not all_of_them:
        dead = dead.filter(created_at__lt=timezone.now() - DEAD_RECEIVING)
    for upload in dead:
        abandon_upload(upload)
    if all_of_them:
        leased = Upload.objects.filter(
            state=UploadState.CHECKING, lease_until__isnull=False
        )  # others wait for a precheck
        leased.update(lease_until=Now() - timedelta(seconds=1))
    due = Upload.objects.filter(state=UploadState.CHECKING, lease_until__lt=Now())
    for upload_id in list((due if large_too else due.filter(session=None, mends=[])).values_list("pk", flat=True)):
        if (claimed := claim_upload(upload_id)) is not None:
            judge_claimed(claimed)
    unanswered = Upload.objects.filter(state=UploadState.READY, jobs=None, purged_at=None, purge_after=None)
    for upload in unanswered.exclude(intent=None).exclude(intent__has_key="review").select_related("org"):
        if all_of_them or (upload.checked_at and upload.checked_at < timezone.now() - UNANSWERED):
            submit_intended(upload)
    if not large_too and due.exists():
        ring(INTERACTIVE)


def recover_after_start(*, large_too: bool = True) -> None:
    """Pick up everything at the start of the only process on this database: no lease can be alive.

    Sessions that were open stay open. `large_too`: as in `sweep`.
    """
    clear_scratch()
    storage = get_storage()
    if isinstance(storage, LocalStorage):
        storage.clear_incoming()
    take_back_leases(all_of_them=True)
    take_back_prechecks()
    take_back_effects()
    take_back_undos()
    take_back_exports()
    close_cancelled_batches()
    settle_jobs()
    UploadSession.objects.exclude(lease_until=None).update(lease_until=None)
    if large_too:
        continue_completing()
    finish_dead_uploads(all_of_them=True, large_too=large_too)
    drop_dead_keys(all_of_them=True)
    purge_due_uploads()


def drop_dead_keys(*, all_of_them: bool = False) -> None:
    """Let go of Idempotency-Keys whose request died before it made a job.

    A key is held from the last byte to the job, so no longer than an inspection may take; what a dead one left is
    inspected again before, and keeps its key.
    """
    dead = IdempotencyKey.objects.filter(job=None)
    if not all_of_them:
        dead = dead.filter(created_at__lt=timezone.now() - inspect_lease() - UNANSWERED)
    dead.delete()


def recover_among_others() -> None:
    """Tidy at the start of one process of several: leases and uploads of the others are theirs, and stay."""
    clear_leavings()
