"""An undo on Postgres: beside an import of the same keys, and by several workers at once."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from rowmill.errors import LostLease
from rowmill.jobs.claim import claim_batch
from rowmill.jobs.run import run_batch
from rowmill.jobs.submit import take_file
from rowmill.kinds.contact_import import ContactImport
from rowmill.merging import takeback
from rowmill.merging.takeback import run_undo
from rowmill.merging.undo import claim_due_undo, undo_job
from rowmill.models import FINAL_STATES, AuditEvent, Batch, Contact, Job, Undo
from tests.early import ON_POSTGRES
from tests.jobs.conftest import alice, in_thread, work_until_final
from tests.merging.conftest import as_csv

__all__ = ["alice"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not ON_POSTGRES, reason="speaks of a Postgres server: make test-postgres"),
]
SECONDS = 120.0


def take(alice, name: str, first: int, last: int) -> Job:
    data = as_csv(("contact_id", "first_name"), [(f"A{n:03d}", name) for n in range(first, last)])
    job = take_file(alice, "contact_import", "c.csv", [data], intent={"go_ahead": True}, confirm_duplicate=True).job
    return Job.objects.get(pk=job.pk)


def take_back_for_a_while(undo: Undo) -> None:
    until = time.monotonic() + SECONDS
    while Undo.objects.get(pk=undo.pk).state != "DONE" and time.monotonic() < until:
        if (mine := claim_due_undo()) is not None:
            with suppress(LostLease):
                run_undo(mine)
        time.sleep(0.002)


def work_for_a_while(job: Job) -> None:
    until = time.monotonic() + SECONDS
    while Job.objects.get(pk=job.pk).state not in FINAL_STATES and time.monotonic() < until:
        if (batch := claim_batch("w")) is not None:
            run_batch(batch)
        Batch.objects.filter(job=job, state="waiting").update(available_at="2000-01-01T00:00:00+00:00")


def test_an_undo_and_an_import_of_the_same_keys_take_turns(alice, monkeypatch) -> None:
    monkeypatch.setattr(ContactImport, "batch_rows", 20)
    monkeypatch.setattr(takeback, "BATCH_ROWS", 10)
    monkeypatch.setattr(takeback, "SLICE_SECONDS", 0.0)
    first = take(alice, "a", 0, 200)
    assert work_until_final(first) == "COMPLETED"
    second = take(alice, "b", 100, 300)
    undo = undo_job(alice, first)
    threads = [in_thread(lambda: take_back_for_a_while(undo)) for _ in range(2)]
    threads += [in_thread(lambda: work_for_a_while(second)) for _ in range(2)]
    for thread in threads:
        thread.join(SECONDS)
    undo.refresh_from_db()
    second.refresh_from_db()
    assert (undo.state, second.state) == ("DONE", "COMPLETED")
    told = dict(Contact.objects.values_list("contact_id", "first_name"))
    assert told == {f"A{n:03d}": "b" for n in range(100, 300)}
    kept = Contact.objects.filter(created_job=first).order_by("pk")
    assert (undo.kept, undo.removed) == (kept.count(), 200 - kept.count())
    assert undo.kept_ids == list(kept.values_list("pk", flat=True))
    assert AuditEvent.objects.filter(verb="job.undone").count() == 1


def test_of_workers_that_claim_at_once_one_has_it(alice) -> None:
    job = take(alice, "a", 0, 5)
    assert work_until_final(job) == "COMPLETED"
    undo_job(alice, job)
    claimed = []
    threads = [in_thread(lambda: claimed.append(claim_due_undo())) for _ in range(6)]
    for thread in threads:
        thread.join(SECONDS)
    assert len(claimed) == 6
    assert sum(one is not None for one in claimed) == 1
    assert Undo.objects.get().claims == 1
