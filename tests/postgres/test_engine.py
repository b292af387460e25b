"""What holds on Postgres only because somebody saw to it: locks, lost connections, letters it refuses, errors that quote rows."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.utils import DataError

from rowmill.contracts import Outcome
from rowmill.jobs import run
from rowmill.jobs.checkpoint import save_results, write_checkpoint
from rowmill.jobs.claim import claim_batch, hold_batch, job_state_held
from rowmill.jobs.run import is_database_away, run_batch
from rowmill.jobs.steer import cancel_job, delete_job, retry_job
from rowmill.jobs.submit import submit_job, submit_unanswered
from rowmill.jobs.sweep import sweep, take_back_leases
from rowmill.models import Batch, Job, Upload
from rowmill.models.text import storable
from rowmill.registry import get_kind
from tests.crash.server import wait_for
from tests.early import ON_POSTGRES
from tests.jobs.accounting import broken_invariants
from tests.jobs.conftest import alice, in_thread, make_job, work, work_until_final
from tests.probe import Probe

__all__ = ["alice", "make_job"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not ON_POSTGRES, reason="speaks of a Postgres server: make test-postgres"),
]


@pytest.fixture(autouse=True)
def _fresh_probe():
    Probe.reset()
    yield
    Probe.reset()


def end_backends() -> None:
    """Break every other connection, as a restart of the server does, and see them gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        ended = [row[0] for row in cursor.fetchall()]

        def gone() -> bool:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", [ended])
            return bool(cursor.fetchone() == (0,))

        wait_for(gone, 60, "a connection outlives its end")


def test_checkpoints_of_one_job_hold_it_together(make_job) -> None:
    job = make_job(25)
    first, second = claim_batch("a"), claim_batch("b")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            hold_batch(first)
            job_state_held(first)
            held.set()
            assert done.wait(120)

    thread = in_thread(hold)
    assert held.wait(60)
    try:
        assert write_checkpoint(second, get_kind("probe"), [Outcome(second.first_row, "ok")]) == "saved"
    finally:
        done.set()
        thread.join(120)
    assert job.results.count() == 1


def test_a_cancel_gets_through_a_crowd_of_checkpoints(make_job, alice) -> None:
    """On the row lock alone those who share it passed a waiting cancel for 18 seconds."""
    job = make_job(60)
    batches = [claim_batch(str(n)) for n in range(6)]
    kind, ended, saved = get_kind("probe"), [], []

    def crowd(batch: Batch) -> None:
        while write_checkpoint(batch, kind, [Outcome(batch.first_row, "ok")]) == "saved":
            saved.append(1)
        ended.append(batch.pk)

    threads = [in_thread(lambda batch=batch: crowd(batch)) for batch in batches]
    while len(saved) < 20:
        time.sleep(0.01)
    cancel_job(alice, job)
    for thread in threads:
        thread.join(120)
    assert len(ended) == 6
    job.refresh_from_db()
    assert job.results.filter(written_at__gt=job.cancelled_at).count() == 0
    sweep()
    assert broken_invariants(job) == []


def test_no_deadlock_between_all_that_happens_to_jobs(make_job, alice) -> None:
    """Workers, sweepers, cancels and retries over a few jobs at once: whatever breaks in a thread fails the test."""
    uploads = [make_job(20).upload for _ in range(3)]
    work()
    until = time.monotonic() + 6.0
    troubles: list[BaseException] = []

    def again(function) -> None:
        while time.monotonic() < until:
            try:
                function()
            except OperationalError as error:
                troubles.append(error)
            except Exception as error:
                if type(error).__name__ != "StateError":
                    troubles.append(error)

    def steer(index: int) -> None:
        job = submit_job(uploads[index], None, {})
        time.sleep(0.05)
        cancel_job(alice, job)
        sweep()
        retry_job(alice, job)

    threads = [in_thread(lambda: again(work)) for _ in range(4)]
    threads += [in_thread(lambda: again(sweep)) for _ in range(2)]
    threads += [in_thread(lambda index=index: again(lambda: steer(index))) for index in range(3)]
    for thread in threads:
        thread.join(180)
    assert troubles == []
    for job in Job.objects.all():
        assert work_until_final(job) in ("COMPLETED", "CANCELLED")
        assert broken_invariants(job) == []


def test_a_broken_connection_costs_no_attempt(make_job) -> None:
    job = make_job(10)

    def plan(batch, row) -> Outcome:
        if row.number == 4 and Probe.runs == 0:
            Probe.runs = 1
            cutter = threading.Thread(target=cut)
            cutter.start()
            cutter.join(120)
        return Outcome(row.number, "ok")

    def cut() -> None:
        try:
            end_backends()
        finally:
            connections.close_all()

    Probe.runs = 0
    Probe.plan = staticmethod(plan)
    assert work_until_final(job) == "COMPLETED"
    assert broken_invariants(job) == []
    assert list(job.batches.values_list("attempts", flat=True)) == [1]


@pytest.mark.parametrize("went_through", [True, False])
def test_a_commit_without_an_answer_is_settled_by_the_fence(make_job, monkeypatch, went_through: bool) -> None:
    job = make_job(10)
    real, lost = run.settle_batch, []

    def settle(batch: Batch) -> str:
        if lost:
            return real(batch)
        lost.append(1)
        if went_through:
            real(batch)
        raise OperationalError("the connection was closed")

    monkeypatch.setattr(run, "settle_batch", settle)
    assert run_batch(claim_batch("w")) == ("lost" if went_through else "released")
    job.refresh_from_db()
    assert job.state == ("COMPLETED" if went_through else "PROCESSING")
    asked = Probe.asked.total()
    assert work_until_final(job) == "COMPLETED"
    assert Probe.asked.total() == asked, "a row with a result was asked again"
    assert broken_invariants(job) == []


def test_a_statement_that_takes_too_long_is_the_kinds_own_trouble() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '50ms'")
        with pytest.raises(OperationalError) as slow, transaction.atomic():
            cursor.execute("SELECT pg_sleep(5)")
    assert not is_database_away(slow.value)
    assert is_database_away(OperationalError("gone"))


def test_no_connection_is_held_while_a_batch_waits(make_job) -> None:
    make_job(10)
    asked, answer = threading.Event(), threading.Event()

    def plan(batch, row) -> Outcome:
        asked.set()
        answer.wait(250)
        return Outcome(row.number, "ok")

    Probe.plan = staticmethod(plan)
    thread = in_thread(lambda: run_batch(claim_batch("w")))

    def used() -> int:
        stats = connection.pool.get_stats()
        return int(stats["pool_size"] - stats["pool_available"])

    try:
        assert asked.wait(60)
        wait_for(lambda: used() <= 1, 60, "only this test's own connection may be out")
    finally:
        answer.set()
        thread.join(120)


def test_texts_with_nul_and_half_characters_are_stored(make_job) -> None:
    job = make_job(10)
    Probe.plan = staticmethod(
        lambda batch, row: Outcome(row.number, "ok", "A\x00B", "c\x00\ud800d", {"x": "\x00\ud800"})
    )
    assert work_until_final(job) == "COMPLETED"
    assert job.results.values_list("code", "message").first() == ("A\ufffdB", "c\ufffd\ufffdd")
    assert storable({"a\x00": ("\x00", [1, None, "ok"])}) == {"a\ufffd": ["\ufffd", [1, None, "ok"]]}


def test_an_error_that_quotes_a_row_leaves_no_trace_of_it(make_job, monkeypatch, caplog, capfd) -> None:
    job = make_job(10)
    canary = "CNRY-quoted-by-postgres"

    def save(outcomes) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::text::bigint", [canary])

    monkeypatch.setattr(Probe, "save", staticmethod(save), raising=False)
    with pytest.raises(DataError, match=canary), transaction.atomic():
        save_results(get_kind("probe"), [], [])
    run_batch(claim_batch("w"))
    monkeypatch.undo()
    assert work_until_final(job) == "COMPLETED"
    from rowmill.monitor.logs import describe_exception

    for record in caplog.records:
        event = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
        assert canary not in str(describe_exception(None, "", dict(event)))
    assert canary not in capfd.readouterr().err
    assert not Batch.objects.filter(last_error__contains=canary).exists()


def test_of_two_jobs_deleted_at_once_the_last_takes_the_bytes(make_job, alice) -> None:
    for _ in range(5):
        first = make_job(10)
        second = submit_job(first.upload, None, {})
        work()
        threads = [in_thread(lambda job=job: delete_job(alice, job)) for job in (first, second)]
        for thread in threads:
            thread.join(120)
        assert Upload.objects.get(pk=first.upload_id).purged_at is not None


def test_of_two_sweepers_one_starts_the_job_of_a_cut_post(make_job) -> None:
    upload = make_job(10).upload
    Job.objects.filter(upload=upload).delete()
    made = []
    threads = [in_thread(lambda: made.append(submit_unanswered(upload))) for _ in range(4)]
    for thread in threads:
        thread.join(120)
    assert Job.objects.filter(upload=upload).count() == 1
    assert sum(job is not None for job in made) == 1


def test_a_frozen_holder_of_a_batch_does_not_hold_the_sweep_up(make_job) -> None:
    make_job(25)
    frozen, other = claim_batch("frozen"), claim_batch("other")
    Batch.objects.all().update(lease_until="2000-01-01T00:00:00+00:00")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            hold_batch(frozen)
            held.set()
            assert done.wait(120)

    thread = in_thread(hold)
    assert held.wait(60)
    assert take_back_leases() == 1
    done.set()
    thread.join(120)
    states = dict(Batch.objects.filter(pk__in=[frozen.pk, other.pk]).values_list("pk", "state"))
    assert states == {frozen.pk: "running", other.pk: "waiting"}
