"""Cancel, completion and retry racing each other in threads: one end, one legal history, every time."""

from __future__ import annotations

import random
import time

import pytest

from rowmill.contracts import Outcome
from rowmill.errors import StateError
from rowmill.jobs.checkpoint import write_checkpoint
from rowmill.jobs.claim import claim_batch
from rowmill.jobs.steer import cancel_job, retry_job
from rowmill.jobs.submit import submit_job
from rowmill.jobs.sweep import sweep
from rowmill.models import AuditEvent, BatchState, Job
from rowmill.registry import get_kind
from tests.jobs.accounting import broken_invariants
from tests.jobs.conftest import alice, in_thread, make_job, work, work_until_final

__all__ = ["alice", "make_job"]
RACES = 30


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_cancel_against_completion(make_job, alice) -> None:
    dice, ends, head_start = random.Random(1), set(), 0.02
    upload = make_job(12).upload
    work()
    for _ in range(RACES):
        job = submit_job(upload, None, {})
        worker = in_thread(work)
        time.sleep(head_start * dice.uniform(0.5, 1.5))
        cancellers = [in_thread(lambda job=job: _cancel(alice, job)) for _ in range(2)]
        for thread in (worker, *cancellers):
            thread.join(60)
        work()
        sweep()
        job.refresh_from_db()
        ends.add(job.state)
        # Seek the instant at which it goes one way or the other, however fast this machine is.
        head_start *= 1.5 if job.state == "CANCELLED" else 0.6
        assert job.state in ("COMPLETED", "CANCELLED")
        assert broken_invariants(job) == []
        told = AuditEvent.objects.filter(target_id=str(job.public_id), verb__in=["job.completed", "job.cancelled"])
        assert told.count() == 1
        if job.state == "CANCELLED" and job.results.count() < 12:
            retry_job(alice, job)
            assert work_until_final(job) == "COMPLETED"
            assert broken_invariants(job) == []
    assert ends == {"COMPLETED", "CANCELLED"}, "the race was always won by the same side"


def _cancel(caller, job: Job) -> None:
    try:
        cancel_job(caller, job)
    except StateError:
        return


@pytest.mark.django_db
def test_a_batch_cancelled_between_its_last_row_and_its_end_is_done_after_the_retry(make_job, alice) -> None:
    job = make_job(12)
    batch = claim_batch("w")
    write_checkpoint(batch, get_kind("probe"), [Outcome(n, "ok") for n in range(1, 11)])
    cancel_job(alice, job)
    write_checkpoint(batch, get_kind("probe"), [])
    sweep()
    assert retry_job(alice, job) == 2
    assert work_until_final(job) == "COMPLETED"
    assert set(job.batches.values_list("state", flat=True)) == {BatchState.DONE}
