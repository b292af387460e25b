"""What a person does to a job: cancel it, retry what failed, delete it. Each is one conditional change of state."""

from __future__ import annotations

import structlog
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from rowmill import audit
from rowmill.contracts import OUTCOMES
from rowmill.doorbell import new_ring_id, ring
from rowmill.errors import StateError
from rowmill.faults import fault_point
from rowmill.jobs.hold import hold_job, hold_upload
from rowmill.jobs.settle import close_waiting, settle_job
from rowmill.merging.undo import need_no_undo
from rowmill.models import FINAL_STATES, Batch, BatchState, Job, JobState, OutcomeState, Result, Upload
from rowmill.orgs import Caller
from rowmill.uploads.purge import purge_upload

log = structlog.get_logger("rowmill.jobs")


def cancel_job(caller: Caller, job: Job) -> Job:
    """Ask a job to stop: what is done stays done, the rest is listed as not processed.

    Raises: NotAllowed; StateError where it has ended. Again: a job being cancelled stays so, without error.
    """
    caller.need_write()
    with transaction.atomic():
        hold_job(job.pk)  # waits for checkpoints under way; the time below is later than what they wrote
        changed = Job.objects.filter(pk=job.pk, state__in=[JobState.PENDING, JobState.PROCESSING]).update(
            state=JobState.CANCELLING, cancelled_at=Now(), cancelled_by=caller.user
        )
        fault_point("cancelling")
        if changed:
            audit.record(caller.org, caller.user, "job.cancel", "job", job.public_id)
    fault_point("cancel_committed")
    close_waiting(job.pk)
    settle_job(job.pk)
    job.refresh_from_db()
    if not changed and job.state not in (JobState.CANCELLING, JobState.CANCELLED):
        raise StateError(f"This job has ended ({job.state.lower()}), so there is nothing to cancel.")
    return job


def retry_job(caller: Caller, job: Job) -> int:
    """Take a job up again: its failed and its not processed rows, nothing else. Gives how many rows that are.

    Raises: NotAllowed; StateError where it still runs, has nothing to retry, or its file is gone.
    """
    caller.need_write()
    ring_id = new_ring_id()
    with transaction.atomic():
        held = hold_job(job.pk)
        if held.state not in FINAL_STATES:
            raise StateError("This job is still at work. Wait until it has ended, or cancel it first.")
        if held.upload.purged_at is not None or held.deleted_at is not None:
            raise StateError("The file of this job has been removed, so its rows cannot be tried again.")
        need_no_undo(held)
        rows = _reopen(held)
        if rows == 0:
            raise StateError("There is nothing to retry: no row failed and none is left unprocessed.")
        Job.objects.filter(pk=held.pk, state=held.state).update(
            state=JobState.PROCESSING,
            retries=F("retries") + 1,
            completed_at=None,
            cancelled_at=None,
            cancelled_by=None,
            celery_task_id=ring_id,
        )
        audit.record(caller.org, caller.user, "job.retry", "job", job.public_id, rows=rows)
        fault_point("retrying")
    fault_point("retried")
    ring(job.lane, ring_id)
    job.refresh_from_db()
    return rows


def _reopen(job: Job) -> int:
    """Make every batch with something to do wait again. Gives the rows to do."""
    Result.objects.filter(job=job, outcome=OutcomeState.FAILED).delete()
    rows, reopened, whole = 0, [], []
    for batch in Batch.objects.filter(job=job):
        settled = sum(getattr(batch, word) for word in OUTCOMES) - batch.failed
        if settled < batch.row_count or batch.state == BatchState.FAILED:
            rows += batch.row_count - settled
            reopened.append(batch.pk)
        elif batch.state == BatchState.CANCELLED:
            whole.append(batch.pk)  # its last row was saved, and the cancel came before it was settled
    Batch.objects.filter(pk__in=whole).update(state=BatchState.DONE)
    Batch.objects.filter(pk__in=reopened).update(
        state=BatchState.WAITING, attempts=0, failed=0, available_at=Now(), waiting_reason="", last_error=""
    )
    return rows


def delete_job(caller: Caller, job: Job) -> None:
    """Remove a final job's results and, where no other job uses them, its file's bytes; the record and trail stay.

    Raises: NotAllowed; StateError while it is at work. Again: yes.
    """
    caller.need_write()
    with transaction.atomic():
        hold_upload(job.upload_id)  # of two jobs that go at once, one is the last
        changed = Job.objects.filter(pk=job.pk, state__in=FINAL_STATES, deleted_at=None).update(deleted_at=Now())
        if not changed:
            if Job.objects.filter(pk=job.pk).exclude(deleted_at=None).exists():
                return
            raise StateError("This job is still at work. Cancel it first; then it can be deleted.")
        Result.objects.filter(job=job).delete()
        unneeded = not Job.objects.filter(upload_id=job.upload_id, deleted_at=None).exists()
        if unneeded:  # due from this commit on, so that the sweeper purges it should this process die
            Upload.objects.filter(pk=job.upload_id, purged_at=None).update(purge_after=Now())
        audit.record(caller.org, caller.user, "job.delete", "job", job.public_id)
        fault_point("deleting")
    fault_point("deleted")
    if unneeded:
        purge_upload(job.upload, caller.user)
    log.info("job deleted", job_id=str(job.public_id))
