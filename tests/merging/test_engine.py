"""The engine's rules for a batch that is done whole: one transaction, the fence, cancel, retry, poison, results."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now

from rowmill.contracts import MergeCounts
from rowmill.errors import LostLease, Snooze
from rowmill.jobs import whole
from rowmill.jobs.claim import claim_batch
from rowmill.jobs.progress import read_progress
from rowmill.jobs.results import causes, iter_results, page_results
from rowmill.jobs.run import run_batch
from rowmill.jobs.steer import cancel_job, retry_job
from rowmill.jobs.submit import take_file
from rowmill.jobs.sweep import sweep, take_back_leases
from rowmill.kinds.contact_import import ContactImport
from rowmill.merging import merge as merge_module
from rowmill.models import Batch, BatchMerge, Contact, Job, Result
from rowmill.registry import get_kind
from tests.jobs.conftest import work, work_until_final
from tests.merging.conftest import as_csv
from tests.merging.test_merge import counts

pytestmark = pytest.mark.django_db
HEADER = ("contact_id", "first_name", "email")


def rows(number: int) -> list[tuple[str, ...]]:
    return [(f"A{n}", f"Ann {n}", "bad" if n == 5 else "") for n in range(1, number + 1)]


@pytest.fixture
def make_job(alice, monkeypatch):
    monkeypatch.setattr(ContactImport, "batch_rows", 10)

    def make(number: int = 25) -> Job:
        made = take_file(
            alice,
            "contact_import",
            "c.csv",
            [as_csv(HEADER, rows(number))],
            intent={"go_ahead": True},
            confirm_duplicate=True,
        )
        return Job.objects.select_related("upload", "org").get(pk=made.job.pk)

    return make


def is_exact(job: Job, number: int = 25) -> None:
    job.refresh_from_db()
    assert job.state == "COMPLETED"
    assert Contact.objects.count() == number - 1
    assert set(Contact.objects.values_list("revision", flat=True)) == {1}
    assert counts(job) == {"inserted": number - 1, "updated": 0, "unchanged": 0, "duplicates": 0, "rejected": 1}
    assert [batch.settled for batch in job.batches.all()] == [batch.row_count for batch in job.batches.all()]
    assert read_progress(job).balance["rows_balance"] is True


@pytest.mark.parametrize("place", ["prepared", "before_effect", "staged", "merged", "after_effect", "settling"])
def test_what_breaks_in_the_middle_leaves_nothing(make_job, monkeypatch, place):
    job = make_job()
    broken = []

    def break_once(name: str) -> None:
        if name == place and not broken:
            broken.append(name)
            seen.append(Contact.objects.count())
            raise RuntimeError("broken off")

    seen: list[int] = []
    monkeypatch.setattr(whole, "fault_point", break_once)
    monkeypatch.setattr(merge_module, "fault_point", break_once)
    assert run_batch(claim_batch("w")) == "failed"
    assert (Contact.objects.count(), BatchMerge.objects.count(), Result.objects.count()) == (0, 0, 0)
    assert work_until_final(job) == "COMPLETED"
    is_exact(job)


def test_negative_control_an_effect_outside_the_transaction_is_seen(make_job, monkeypatch):
    """With the merge committed before its marker, the same break must leave rows behind: else the test above proves nothing."""
    job = make_job()
    kind = get_kind("contact_import")
    real = kind.merge

    def merge_apart(info, prepared) -> MergeCounts:
        told = real(info, prepared)
        kept.extend(Contact.objects.values_list("pk", flat=True))
        return told

    kept: list[int] = []
    monkeypatch.setattr(kind, "merge", merge_apart)
    monkeypatch.setattr(whole, "_mark_done", lambda batch, told: None)
    assert run_batch(claim_batch("w")) == "done"
    assert len(kept) == 9
    assert Contact.objects.count() == 9
    assert not BatchMerge.objects.filter(job=job).exists()


def test_a_stale_worker_writes_nothing(make_job):
    job = make_job(10)
    zombie = claim_batch("zombie")
    Batch.objects.filter(pk=zombie.pk).update(lease_until=Now() - timedelta(seconds=1))
    assert take_back_leases() == 1
    heir = claim_batch("heir")
    assert run_batch(zombie) == "lost"
    assert Contact.objects.count() == 0
    assert run_batch(heir) == "done"
    is_exact(job, 10)
    with pytest.raises(LostLease):
        whole._merge(zombie, get_kind("contact_import"), None, None)


def test_cancel_keeps_whole_batches_and_retry_does_the_rest(make_job, alice):
    job = make_job()
    assert run_batch(claim_batch("w")) == "done"
    second = claim_batch("w")
    cancel_job(alice, job)
    assert run_batch(second) == "cancelled"
    sweep()
    job.refresh_from_db()
    assert (job.state, Contact.objects.count()) == ("CANCELLED", 9)
    assert not list(settings.SCRATCH_DIR.glob(f"*{job.public_id}*"))  # cells stand in it
    assert read_progress(job).outcomes == {"ok": 9, "not_found": 0, "rejected": 1, "failed": 0, "unprocessed": 15}
    assert retry_job(alice, job) == 15
    assert work_until_final(job) == "COMPLETED"
    is_exact(job)


def test_a_poisonous_row_is_singled_out(make_job, monkeypatch, alice):
    job = make_job()
    kind = get_kind("contact_import")
    real = kind.merge

    def poisoned(info, prepared) -> MergeCounts:
        if info.first_row <= 13 <= info.last_row:
            raise RuntimeError("poison")
        return real(info, prepared)

    monkeypatch.setattr(kind, "merge", poisoned)
    assert work_until_final(job) == "COMPLETED"
    assert Result.objects.get(job=job, outcome="failed").row_number == 13
    assert Contact.objects.count() == 23
    assert read_progress(job).outcomes == {"ok": 23, "not_found": 0, "rejected": 1, "failed": 1, "unprocessed": 0}
    assert read_progress(job).balance["rows_balance"] is True
    monkeypatch.setattr(kind, "merge", real)
    assert retry_job(alice, job) == 1
    assert work_until_final(job) == "COMPLETED"
    is_exact(job)


def test_a_merge_that_must_wait_costs_no_attempt(make_job, monkeypatch):
    job = make_job(10)
    kind = get_kind("contact_import")
    real = kind.merge

    def busy(info, prepared) -> MergeCounts:
        raise Snooze(0.0, "busy")

    monkeypatch.setattr(kind, "merge", busy)
    assert run_batch(claim_batch("w")) == "snoozed"
    assert Batch.objects.get(job=job).attempts == 0
    monkeypatch.setattr(kind, "merge", real)
    assert work_until_final(job) == "COMPLETED"
    is_exact(job, 10)


def test_counts_that_do_not_add_up_are_not_written(make_job, monkeypatch):
    job = make_job(1)
    kind = get_kind("contact_import")
    monkeypatch.setattr(kind, "merge", lambda info, prepared: MergeCounts(inserted=2))
    assert run_batch(claim_batch("w")) == "failed"
    assert not BatchMerge.objects.filter(job=job).exists()


def test_every_row_has_its_line_in_the_results(make_job, alice):
    job = make_job()
    run_batch(claim_batch("w"))
    cancel_job(alice, job)
    sweep()
    job.refresh_from_db()
    header, lines = iter_results(job)
    told = [dict(zip(header, line, strict=True)) for line in lines]
    assert [line["success"] for line in told[:10]] == ["True"] * 4 + ["False"] + ["True"] * 5
    assert told[4]["error"].startswith("INVALID_INPUT: email")
    assert {line["error"] for line in told[10:]} == {"NOT_PROCESSED: This row was not processed."}
    assert page_results(job, outcome="ok").total == 9
    assert page_results(job, outcome="rejected").total == 1
    assert page_results(job, outcome="unprocessed").total == 15
    assert [line.outcome for line in page_results(job, size=5).rows] == ["ok"] * 4 + ["rejected"]
    assert [cause.count for cause in causes(job)] == [1]
    assert work() == []


def test_an_unknown_policy_is_told_and_fails_no_row(alice):
    made = take_file(alice, "contact_import", "c.csv", [as_csv(HEADER, rows(3))], intent={"duplicates": "perhaps"})
    job = made.job
    assert run_batch(claim_batch("w")) == "failed"
    assert Contact.objects.count() == 0
    assert Batch.objects.get(job=job).last_error == "ConfigError"
