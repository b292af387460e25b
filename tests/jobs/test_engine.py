"""The engine by its rules: claim, checkpoint, settle, fence, cancel, retry, halving, snooze."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from rowmill.contracts import Outcome
from rowmill.errors import LostLease, Snooze, StateError
from rowmill.jobs import claim as claim_module
from rowmill.jobs.checkpoint import settle_batch, write_checkpoint
from rowmill.jobs.claim import claim_batch, release_batch, renew_lease
from rowmill.jobs.progress import read_progress
from rowmill.jobs.run import run_batch
from rowmill.jobs.steer import cancel_job, delete_job, retry_job
from rowmill.jobs.sweep import recover_after_start, sweep, take_back_leases
from rowmill.models import AuditEvent, Batch, BatchState, Job, JobState, Result
from rowmill.registry import get_kind
from tests.crash.server import wait_for
from tests.jobs.accounting import broken_invariants
from tests.jobs.conftest import in_thread, work, work_until_final
from tests.probe import Probe, slowly

pytestmark = pytest.mark.django_db


def test_a_job_runs_to_its_end_and_every_row_has_its_result(make_job):
    job = make_job(25)
    assert job.state == JobState.PENDING
    assert [(b.first_row, b.last_row) for b in job.batches.all()] == [(1, 10), (11, 20), (21, 25)]
    assert work() == ["done", "done", "done"]
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED
    assert job.processing_started_at is not None
    assert job.completed_at >= job.processing_started_at
    assert list(Result.objects.filter(job=job).values_list("row_number", flat=True)) == list(range(1, 26))
    assert Probe.asked == dict.fromkeys(range(1, 26), 1)
    assert [info.id for info in Probe.closed] == [job.public_id]
    assert broken_invariants(job) == []


def test_a_file_with_a_header_only_is_a_job_of_no_rows_that_completes(alice):
    from rowmill.jobs.submit import take_file

    job = take_file(alice, "probe", "empty.csv", [b"id,note\n"], intent={}).job
    sweep()
    job.refresh_from_db()
    assert (job.state, job.total_rows) == (JobState.COMPLETED, 0)
    assert read_progress(job).percent == 100.0


def test_progress_and_balance_of_a_finished_job(make_job):
    outcomes = {1: "ok", 2: "not_found", 3: "rejected", 4: "failed"}
    Probe.plan = staticmethod(lambda batch, row: Outcome(row.number, outcomes.get(row.number, "ok"), "CODE"))
    job = make_job(12)
    work()
    job.refresh_from_db()
    progress = read_progress(job)
    assert progress.outcomes == {"ok": 9, "not_found": 1, "rejected": 1, "failed": 1, "unprocessed": 0}
    assert (progress.processed_rows, progress.success_rows, progress.failed_rows, progress.percent) == (12, 9, 3, 100.0)
    assert progress.balance["rows_balance"] is True
    assert progress.balance["balances"] is True
    assert progress.balance["lines"] == 13


def test_the_balance_shows_a_result_that_vanished(make_job):
    job = make_job(12)
    work()
    Result.objects.filter(job=job, row_number=7).delete()
    job.refresh_from_db()
    assert read_progress(job).balance["rows_balance"] is False


def test_two_claims_never_give_the_same_batch(make_job):
    make_job(30)
    first, second, third, none = (claim_batch("w") for _ in range(4))
    assert len({first.pk, second.pk, third.pk}) == 3
    assert none is None
    assert first.claims == 1


def test_a_stale_worker_writes_nothing(make_job):
    job = make_job(10)
    zombie = claim_batch("zombie")
    Batch.objects.filter(pk=zombie.pk).update(lease_until=Now() - timedelta(seconds=1))
    assert take_back_leases() == 1
    heir = claim_batch("heir")
    assert heir.claims == zombie.claims + 1
    assert run_batch(heir) == "done"
    kind = get_kind("probe")
    with pytest.raises(LostLease):
        write_checkpoint(zombie, kind, [Outcome(1, "failed", "ZOMBIE")])
    with pytest.raises(LostLease):
        settle_batch(zombie)
    with pytest.raises(LostLease):
        release_batch(zombie)
    assert not renew_lease(zombie)
    assert not Result.objects.filter(code="ZOMBIE").exists()
    assert broken_invariants(job) == []


def test_negative_control_without_the_fence_the_stale_worker_does_harm(make_job, monkeypatch):
    """With the fence check off, the same story must end in a broken invariant: else the check above proves nothing."""
    from rowmill.jobs import checkpoint

    monkeypatch.setattr(checkpoint, "hold_batch", lambda batch: None)
    job = make_job(10)
    zombie = claim_batch("zombie")
    Batch.objects.filter(pk=zombie.pk).update(lease_until=Now() - timedelta(seconds=1))
    take_back_leases()
    heir = claim_batch("heir")
    settle_batch(zombie)  # closes the batch that the heir has just begun
    assert broken_invariants(job) != []
    assert heir.pk == zombie.pk


def test_only_rows_without_a_result_are_done_again(make_job):
    job = make_job(10)
    batch = claim_batch("first")
    write_checkpoint(batch, get_kind("probe"), [Outcome(n, "ok") for n in (1, 2, 3)])
    recover_after_start()
    work()
    assert sorted(Probe.asked) == [4, 5, 6, 7, 8, 9, 10]
    assert broken_invariants(job) == []


def test_cancel_before_the_start_ends_at_once(make_job, alice):
    job = cancel_job(alice, make_job(25))
    assert job.state == JobState.CANCELLED
    assert (job.cancelled_by_id, job.cancelled_at is not None) == (alice.user.pk, True)
    assert read_progress(job).outcomes["unprocessed"] == 25
    assert work() == []


def test_after_the_cancel_nothing_more_commits(make_job, alice):
    job = make_job(10)
    batch = claim_batch("w")
    kind = get_kind("probe")
    assert write_checkpoint(batch, kind, [Outcome(1, "ok")]) == "saved"
    assert cancel_job(alice, job).state == JobState.CANCELLING
    assert write_checkpoint(batch, kind, [Outcome(2, "ok")]) == "cancelled"
    assert list(Result.objects.filter(job=job).values_list("row_number", flat=True)) == [1]
    sweep()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert broken_invariants(job) == []


def test_cancelling_twice_is_harmless_and_a_finished_job_cannot_be_cancelled(make_job, alice):
    job = make_job(5)
    cancel_job(alice, job)
    assert cancel_job(alice, job).state == JobState.CANCELLED
    done = make_job(5)
    work()
    with pytest.raises(StateError):
        cancel_job(alice, done)


def test_retry_does_failed_and_unprocessed_rows_only(make_job, alice):
    Probe.plan = staticmethod(
        lambda batch, row: Outcome(row.number, {2: "failed", 3: "rejected", 15: "failed"}.get(row.number, "ok"), "X")
    )
    job = make_job(25)
    work()
    Probe.reset()
    assert retry_job(alice, job) == 2
    assert job.state == JobState.PROCESSING
    assert read_progress(job).outcomes["unprocessed"] == 2
    assert work_until_final(job) == JobState.COMPLETED
    assert sorted(Probe.asked) == [2, 15]
    assert read_progress(job).outcomes == {"ok": 24, "not_found": 0, "rejected": 1, "failed": 0, "unprocessed": 0}
    assert broken_invariants(job) == []
    with pytest.raises(StateError):
        retry_job(alice, job)


def test_a_cancelled_job_is_retried_to_the_end(make_job, alice):
    job = make_job(25)
    batch = claim_batch("w")
    write_checkpoint(batch, get_kind("probe"), [Outcome(n, "ok") for n in range(1, 6)])
    cancel_job(alice, job)
    sweep()
    assert settle_batch(batch) == "cancelled"
    sweep()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert retry_job(alice, job) == 20
    assert work_until_final(job) == JobState.COMPLETED
    assert job.cancelled_at is None
    assert sorted(Probe.asked) == list(range(6, 26))
    assert broken_invariants(job) == []


def test_a_poisonous_row_is_found_by_halving_and_the_others_go_on(make_job):
    def plan(batch, row):
        if row.number == 7:
            raise RuntimeError("poison")
        return Outcome(row.number, "ok")

    Probe.plan = staticmethod(plan)
    job = make_job(25)
    assert work_until_final(job) == JobState.COMPLETED
    assert read_progress(job).outcomes == {"ok": 24, "not_found": 0, "rejected": 0, "failed": 1, "unprocessed": 0}
    assert Result.objects.get(job=job, outcome="failed").row_number == 7
    assert Result.objects.get(job=job, row_number=7).code == "POISON_ROW"
    assert broken_invariants(job) == []


def test_a_poison_that_yields_nothing_before_it_dies_is_found_too(make_job):
    """The kind throws before its first outcome, whatever the batch, as long as the bad row is among its rows."""

    def plan(batch, row):
        if batch.first_row <= 13 <= batch.last_row:
            raise RuntimeError("poison")
        return Outcome(row.number, "ok")

    Probe.plan = staticmethod(plan)
    job = make_job(20)
    assert work_until_final(job) == JobState.COMPLETED
    assert set(Result.objects.filter(job=job, outcome="failed").values_list("row_number", flat=True)) == {13}
    assert broken_invariants(job) == []


def test_a_kind_that_forgets_rows_does_not_get_them_counted_as_done(make_job):
    Probe.plan = staticmethod(lambda batch, row: None if row.number == 4 else Outcome(row.number, "ok"))
    job = make_job(10)
    assert work_until_final(job) == JobState.COMPLETED
    assert Result.objects.get(job=job, row_number=4).outcome == "failed"
    assert broken_invariants(job) == []


def test_what_is_no_outcome_is_a_failure(make_job):
    Probe.plan = staticmethod(lambda batch, row: "ok" if row.number == 2 else Outcome(row.number, "ok"))  # type: ignore[return-value]
    job = make_job(3)
    work_until_final(job)
    assert Result.objects.get(job=job, row_number=2).outcome == "failed"


def test_snooze_costs_no_attempt_and_says_why(make_job):
    def plan(batch, row):
        raise Snooze(3600, "UHC refuses our credentials.")

    Probe.plan = staticmethod(plan)
    job = make_job(5)
    assert work() == ["snoozed"]
    batch = Batch.objects.get(job=job)
    assert (batch.state, batch.attempts, batch.claims) == (BatchState.WAITING, 0, 1)
    words = read_progress(job).waiting_reason
    assert words.startswith("UHC refuses our credentials. 5 rows wait, next try in 3")
    job.refresh_from_db()
    assert job.state == JobState.PROCESSING


def test_a_file_that_is_gone_fails_the_job_and_blames_no_row(make_job):
    from rowmill.uploads.places import get_storage, table_key

    job = make_job(12)
    get_storage().delete(table_key(job.upload))
    assert work_until_final(job) == JobState.FAILED
    assert Result.objects.filter(job=job).count() == 0
    assert broken_invariants(job) == []


def test_worker_deaths_alone_reach_the_halving(make_job):
    """A row that kills its process: the batch is claimed and never comes back."""
    job = make_job(4)
    for _ in range(40):
        batch = claim_batch("dies")
        if batch is None:
            break
        if batch.attempts > get_kind("probe").max_attempts or batch.first_row > 2 or batch.last_row < 2:
            run_batch(batch)
        Batch.objects.filter(state="running").update(lease_until=Now() - timedelta(seconds=1))
        sweep()
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED
    assert set(Result.objects.filter(job=job, outcome="failed").values_list("row_number", flat=True)) == {2}
    assert broken_invariants(job) == []


def test_delete_takes_results_and_bytes_and_leaves_record_and_trail(make_job, alice):
    from rowmill.uploads.places import folder_key, get_storage

    job = make_job(5)
    with pytest.raises(StateError):
        delete_job(alice, job)
    work()
    delete_job(alice, job)
    delete_job(alice, job)
    job.refresh_from_db()
    assert job.deleted_at is not None
    assert Result.objects.filter(job=job).count() == 0
    assert list(get_storage().keys(folder_key(job.upload))) == []
    assert AuditEvent.objects.filter(target_id=str(job.public_id), verb="job.delete").count() == 1
    assert Job.objects.filter(pk=job.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_cancel_reaches_a_running_batch_within_two_seconds(make_job, alice):
    Probe.plan = staticmethod(slowly(250.0))
    job = make_job(5)
    batch = claim_batch("w")
    thread = in_thread(lambda: run_batch(batch))
    wait_for(lambda: bool(Probe.asked), 60, "no row was begun")
    cancel_job(alice, job)
    thread.join(120)  # far below the time that a row takes
    assert not thread.is_alive()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert Result.objects.filter(job=job).count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_stopping_worker_gives_its_batch_back_without_an_attempt(make_job):
    Probe.plan = staticmethod(slowly(250.0))
    job = make_job(5)
    batch = claim_batch("w")
    stopping = threading.Event()
    thread = in_thread(lambda: run_batch(batch, stopping))
    stopping.set()
    thread.join(120)
    given_back = Batch.objects.get(job=job)
    assert (given_back.state, given_back.attempts) == (BatchState.WAITING, 0)


@pytest.mark.django_db(transaction=True)
def test_a_long_row_keeps_its_lease(make_job, settings):
    settings.ROWMILL_LEASE_SECONDS = 5  # a third of it passes before it is renewed: a slow machine has the rest
    Probe.plan = staticmethod(slowly(11.0))
    job = make_job(1)
    batch = claim_batch("w")
    thread = in_thread(lambda: run_batch(batch))
    while thread.is_alive():
        assert take_back_leases() == 0
        time.sleep(0.05)
    assert broken_invariants(job) == []
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED


def test_only_the_clock_of_the_database_counts(make_job, monkeypatch):
    """A worker whose own clock is hours off claims and holds as any other."""
    monkeypatch.setattr(time, "time", lambda: 0.0)
    make_job(5)
    batch = claim_batch("w")
    assert take_back_leases() == 0
    assert renew_lease(batch)
    assert claim_module.backoff_seconds(99) == 60.0


def test_a_job_of_a_kind_that_is_gone_holds_nobody_up(make_job):
    gone, other = make_job(2), make_job(2)
    Job.objects.filter(pk=gone.pk).update(kind="a-plugin-that-was-taken-out")
    work()
    other.refresh_from_db()
    gone.refresh_from_db()
    assert (other.state, gone.state) == ("COMPLETED", "PENDING")
