"""Whose turn it is: small jobs beside big ones, small orgs beside big ones, nobody left out."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connections
from django.db.models.functions import Now

from rowmill.doorbell import BULK, INTERACTIVE
from rowmill.jobs.claim import claim_batch, release_batch
from rowmill.jobs.turns import INTERACTIVE_ROWS, Turns, lane_for
from rowmill.models import Batch, Job, JobState, Upload


def made(org, batches: int, lane: str = BULK, kind: str = "nothing") -> Job:
    """Make a job of so many batches of ten rows, without a file: it is only claimed."""
    upload = Upload.objects.create(org=org, kind=kind, name="made.csv", state="READY", row_count=batches * 10)
    job = Job.objects.create(org=org, upload=upload, kind=kind, total_rows=batches * 10, lane=lane)
    Batch.objects.bulk_create(
        Batch(org=org, job=job, lane=lane, first_row=first, last_row=first + 9)
        for first in range(1, batches * 10 + 1, 10)
    )
    return job


def claim(lane: str = BULK) -> Batch:
    batch = claim_batch("w", lane)
    assert batch is not None
    return batch


def finish(batch: Batch) -> None:
    Batch.objects.filter(pk=batch.pk).update(state="done")


def test_a_small_org_is_next_beside_a_big_one(people):
    big, small = made(people.acme, 1000), None
    for _ in range(3):
        assert claim().job_id == big.pk
    small = made(people.other, 2)
    assert [claim().job_id for _ in range(2)] == [small.pk, small.pk]
    assert claim().job_id == big.pk


def test_with_one_thread_orgs_take_turns_and_within_an_org_its_jobs(people):
    one, two, other = made(people.acme, 9), made(people.acme, 9), made(people.other, 9)
    served = []
    for _ in range(8):
        batch = claim()
        finish(batch)
        served.append(batch.job_id)
    assert Counter(served) == {one.pk: 2, two.pk: 2, other.pk: 4}
    assert all(served[at : at + 2].count(other.pk) == 1 for at in range(0, 8, 2))


def test_the_org_with_the_fewest_running_goes_first_whatever_its_jobs(people):
    for _ in range(20):
        made(people.acme, 3)
    lone = made(people.other, 50)
    served = Counter(claim().job_id == lone.pk for _ in range(40))
    assert served == {True: 20, False: 20}


def test_a_job_that_snoozes_keeps_nobody_waiting(people):
    held, other = made(people.acme, 3), made(people.acme, 3)
    Batch.objects.filter(job=held).update(available_at=Now() + timedelta(hours=1))
    assert [claim().job_id for _ in range(3)] == [other.pk] * 3
    assert claim_batch("w", BULK) is None
    Batch.objects.filter(job=held).update(available_at=Now())
    release_batch(claim(), 60, "The payer does not answer.")
    assert claim().job_id == held.pk


@pytest.mark.parametrize("state", [JobState.CANCELLING, JobState.COMPLETED])
def test_a_job_that_is_being_cancelled_or_ended_is_not_claimed(people, state: str):
    job = made(people.acme, 3)
    Job.objects.filter(pk=job.pk).update(state=state)
    assert claim_batch("w") is None


def test_a_kind_that_is_gone_holds_nobody_up(people):
    made(people.acme, 3, kind="gone"), (other := made(people.acme, 1))
    assert claim().job_id == other.pk
    assert claim_batch("w", BULK) is None


def test_small_jobs_have_a_lane_of_their_own_that_goes_first(people):
    made(people.acme, 3)
    quick = made(people.acme, 1, INTERACTIVE)
    assert claim_batch("w").job_id == quick.pk
    assert claim_batch("w", INTERACTIVE) is None
    assert claim_batch("w", (INTERACTIVE, BULK)).lane == BULK


def test_which_jobs_are_small(make_job):
    assert (lane_for(INTERACTIVE_ROWS), lane_for(INTERACTIVE_ROWS + 1)) == (INTERACTIVE, BULK)
    job = make_job(INTERACTIVE_ROWS + 1)
    assert (job.lane, set(job.batches.values_list("lane", flat=True))) == (BULK, {BULK})
    job = make_job(INTERACTIVE_ROWS)
    assert (job.lane, set(job.batches.values_list("lane", flat=True))) == (INTERACTIVE, {INTERACTIVE})


def test_many_jobs_are_not_looked_for_at_each_claim(people, monkeypatch):
    monkeypatch.setattr("rowmill.jobs.turns.MANY_JOBS", 10)
    monkeypatch.setattr("rowmill.jobs.turns.REMEMBER_SECONDS", 3600)
    turns = Turns()
    monkeypatch.setattr("rowmill.jobs.turns._turns", turns)
    jobs = [made(people.acme, 1) for _ in range(12)]
    assert {claim().job_id for _ in range(12)} == {job.pk for job in jobs}
    assert len(turns.recall(BULK)) == 12
    late = made(people.acme, 1)
    assert claim().job_id == late.pk, "all that are known were tried in vain, so it looked again"
    assert turns.recall(BULK) is None


def test_what_was_served_is_forgotten_before_it_grows_without_end(monkeypatch):
    monkeypatch.setattr("rowmill.jobs.turns.MOST_REMEMBERED", 10)
    turns = Turns()
    for job_id in range(100):
        turns.note(BULK, 1, job_id)
    assert len(turns._served) <= 12
    assert turns.order(BULK, [(1, 99), (1, 5)], {}) == [5, 99]


@pytest.mark.django_db(transaction=True)
def test_many_threads_claim_every_batch_once_and_leave_nobody_out(people):
    """Four threads at once. Who is next is told above: with real threads the order is that of the database's lock."""
    big, small = made(people.acme, 40), made(people.other, 6)
    taken: list[tuple[int, int]] = []
    lock = threading.Lock()

    def work() -> None:
        try:
            while (batch := claim_batch(uuid4().hex, BULK)) is not None:
                with lock:
                    taken.append((batch.job_id, batch.pk))
                finish(batch)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert len({pk for _, pk in taken}) == len(taken) == 46
    assert Counter(job_id for job_id, _ in taken) == {big.pk: 40, small.pk: 6}
