"""New rows that go into the table by COPY: what the table shows of them, and what happens when somebody is quicker."""

from __future__ import annotations

import pytest
from django.db import connections
from django.db.models import F

from rowmill.jobs.claim import claim_batch
from rowmill.jobs.run import run_batch
from rowmill.jobs.submit import take_file
from rowmill.merging import merge
from rowmill.models import Batch, BatchMerge, Contact, Org
from tests.early import ON_POSTGRES
from tests.jobs.conftest import alice, in_thread, work_until_final
from tests.merging.conftest import as_csv

__all__ = ["alice"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not ON_POSTGRES, reason="speaks of a Postgres server: make test-postgres"),
]
HEADER = ("contact_id", "first_name", "company", "keywords", "employees", "Note")


def take(alice, rows):
    data = as_csv(HEADER, rows)
    return take_file(alice, "contact_import", "c.csv", [data], intent={"go_ahead": True}, confirm_duplicate=True).job


def at_fault_point(monkeypatch, name: str, act) -> None:
    """Do something once, in a thread of its own, when a merge comes to a place."""
    done = []

    def point(place: str) -> None:
        if place == name and not done:
            done.append(place)
            in_thread(apart).join(60)

    def apart() -> None:
        try:
            act()
        finally:
            connections.close_all()

    monkeypatch.setattr(merge, "fault_point", point)


def test_a_new_row_that_somebody_else_wrote_meanwhile_is_looked_at_again(alice, monkeypatch) -> None:
    org = Org.objects.get(pk=alice.org.pk)

    def be_quicker() -> None:
        Contact.objects.create(org=org, contact_id="A2", match_key="i:A2", first_name="Ben", company="Acme")

    at_fault_point(monkeypatch, "staged", be_quicker)
    job = take(alice, [("A1", "Ann", "", "", "", ""), ("A2", "Bo", "", "", "", "")])
    assert run_batch(claim_batch("w")) == "snoozed"
    assert list(Contact.objects.values_list("contact_id", "first_name")) == [("A2", "Ben")]
    assert (BatchMerge.objects.count(), Batch.objects.get(job=job).attempts) == (0, 0)
    assert work_until_final(job) == "COMPLETED"
    told = Contact.objects.order_by("contact_id").values_list("contact_id", "first_name", "company", "revision")
    assert list(told) == [("A1", "Ann", "", 1), ("A2", "Bo", "Acme", 2)]
    counted = BatchMerge.objects.get(job=job)
    assert (counted.inserted, counted.updated, counted.unchanged) == (1, 1, 0)


def test_cells_that_look_like_signs_of_a_copy_stay_what_they_are(alice) -> None:
    odd = ["\\.", "\\N", "NULL", 'a "quoted" one', "a\n\\.\nb", "a,b;c", "\\", '"', "Ünal 漢字", "\r\nx\ty"]
    rows = [(f"A{n}", cell, f"{cell} Ltd", cell, "", cell) for n, cell in enumerate(odd)]
    blanks = [("B1", "", "", "", "", ""), ("B2", "x", "", "", "11-50", "")]
    job = take(alice, rows + blanks)
    assert work_until_final(job) == "COMPLETED"
    for n, cell in enumerate(odd):
        contact = Contact.objects.get(contact_id=f"A{n}")
        assert (contact.first_name, contact.extra) == (cell.strip(), {"Note": cell.strip()})
        assert contact.company == f"{cell} Ltd".strip()
    blank = Contact.objects.get(contact_id="B1")
    assert (blank.first_name, blank.email, blank.employees, blank.keywords, blank.extra) == ("", "", None, [], {})
    assert (blank.phone_numbers, blank.replied, blank.last_contacted) == ({}, None, None)
    assert (blank.revision, blank.created_job_id, blank.import_job_id) == (1, job.pk, job.pk)
    assert Contact.objects.filter(created_at=F("updated_at"), created_at__gte=job.created_at).count() == len(odd) + 2
    before = sorted(Contact.objects.values_list("contact_id", "revision", "first_name"))
    assert work_until_final(take(alice, rows + blanks)) == "COMPLETED"
    assert sorted(Contact.objects.values_list("contact_id", "revision", "first_name")) == before
