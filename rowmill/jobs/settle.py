"""The fifth step: closes a job whose last batch has ended, in a transaction of its own after that commit."""

from __future__ import annotations

import structlog
from django.db import transaction
from django.db.models.functions import Now

from rowmill import audit
from rowmill.faults import fault_point
from rowmill.jobs.hold import hold_job, read_shared_state
from rowmill.jobs.info import job_info
from rowmill.jobs.progress import read_progress
from rowmill.models import OPEN_STATES, Batch, BatchState, Job, JobState
from rowmill.registry import get_kind

log = structlog.get_logger("rowmill.jobs")


def settle_job(job_id: int) -> str | None:
    """Close the job if no batch is open any more. Shape: its new state, None where there is nothing to close.

    Again: yes; of two at once one finds it closed.
    """
    job = Job.objects.select_related("org").get(pk=job_id)
    if job.state not in (JobState.PENDING, JobState.PROCESSING, JobState.CANCELLING):
        return None
    if Batch.objects.filter(job_id=job_id, state__in=OPEN_STATES).exists():
        return None
    _close_kind(job)
    fault_point("before_settle")
    with transaction.atomic():
        hold_job(job_id)  # first, so that no retry opens a batch between the look and the end
        if Batch.objects.filter(job_id=job_id, state__in=OPEN_STATES).exists():
            return None
        state = _final_state(job)
        if Job.objects.filter(pk=job_id, state=job.state).update(state=state, completed_at=Now()) != 1:
            return None
        fault_point("job_settling")
        audit.record(job.org, None, f"job.{state.lower()}", "job", job.public_id)
    fault_point("job_settled")
    log.info("job ended", job_id=str(job.public_id), state=state)
    read_progress(Job.objects.select_related("upload").get(pk=job_id))  # which says so where its rows do not add up
    return state


def close_waiting(job_id: int) -> int:
    """Close the waiting batches of a job that is being cancelled. Gives how many.

    One that is being claimed at this moment is left to whoever claims it, or to the next sweep.
    """
    with transaction.atomic():
        if read_shared_state(job_id) != JobState.CANCELLING:
            return 0
        waiting = Batch.objects.filter(job_id=job_id, state=BatchState.WAITING).order_by("id")
        found = list(waiting.select_for_update(skip_locked=True).values_list("pk", flat=True))
        return waiting.filter(pk__in=found).update(state=BatchState.CANCELLED, waiting_reason="")


def _final_state(job: Job) -> str:
    """Tell how a job with no open batch ended."""
    if job.state == JobState.CANCELLING:
        return JobState.CANCELLED
    if Batch.objects.filter(job=job, state=BatchState.FAILED).exists():
        return JobState.FAILED
    return JobState.COMPLETED


def _close_kind(job: Job) -> None:
    """Let the kind tidy up; its trouble does not keep the job open."""
    try:
        get_kind(job.kind).close(job_info(job))
    except Exception as error:
        log.warning("close failed", job_id=str(job.public_id), exc_info=error)
