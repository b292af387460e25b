"""A contacts file through the door, the engine and the merge into the table, on either database."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db.models import Sum

from rowmill.jobs.progress import read_progress
from rowmill.models import BatchMerge, Contact, Result

pytestmark = pytest.mark.django_db

HEADER = ("Contact ID", "First Name", "Last Name", "Email", "Company", "# Employees", "Annual Revenue")


COUNTS = ("inserted", "updated", "unchanged", "duplicates", "rejected")


def counts(job) -> dict[str, int]:
    return BatchMerge.objects.filter(job=job).aggregate(**{word: Sum(word) for word in COUNTS})


def test_rows_become_contacts(import_rows, people):
    job = import_rows(
        (*HEADER, "Mobile Phone", "Keywords", "Last Raised At", "Last Contacted", "Replied", "Shoe size"),
        [
            ("A1", " Ann ", "Ünal", "Ann@Example.org", "Acme", "11-50", "$1.2M", "(212) 555-0123", "a; b", "01/31/2026",
             "2026-01-31T10:00:00-05:00", "yes", "42"),
            ("A2", "Bob", "", "", "Line\none", "", "", "", "", "", "", "", ""),
        ],
    )  # fmt: skip
    assert counts(job) == {"inserted": 2, "updated": 0, "unchanged": 0, "duplicates": 0, "rejected": 0}
    ann, bob = Contact.objects.order_by("id")
    assert (ann.first_name, ann.last_name, ann.email, ann.match_key) == ("Ann", "Ünal", "ann@example.org", "i:A1")
    assert (ann.employees, ann.employees_most, ann.annual_revenue) == (11, 50, Decimal("1200000.00"))
    assert (ann.mobile_phone, ann.phone_numbers) == ("(212) 555-0123", {"mobile_phone": "+12125550123"})
    assert (ann.keywords, ann.extra, ann.replied) == (["a", "b"], {"Shoe size": "42"}, True)
    assert ann.last_raised_at == date(2026, 1, 31)
    assert ann.last_contacted == datetime(2026, 1, 31, 15, 0, tzinfo=UTC)
    assert (ann.org_id, ann.created_job_id, ann.import_job_id, ann.import_row, ann.import_line) == (
        people.acme.pk, job.pk, job.pk, 1, 2,
    )  # fmt: skip
    assert (bob.company, bob.employees, bob.keywords, bob.extra, bob.replied) == ("Line\none", None, [], {}, None)
    progress = read_progress(job)
    assert progress.outcomes == {"ok": 2, "not_found": 0, "rejected": 0, "failed": 0, "unprocessed": 0}
    assert progress.balance["rows_balance"] is True


def test_a_second_run_changes_nothing(import_rows):
    rows = [("A1", "Ann", "Ünal", "ann@example.org", "Acme", "11-50", "$1.2M"), ("", "Bo", "", "bo@x.org", "", "", "")]
    import_rows(HEADER, rows)
    before = list(Contact.objects.order_by("id").values())
    job = import_rows(HEADER, rows)
    assert counts(job) == {"inserted": 0, "updated": 0, "unchanged": 2, "duplicates": 0, "rejected": 0}
    assert list(Contact.objects.order_by("id").values()) == before


def test_bad_rows_are_rejected_with_all_their_reasons(import_rows):
    job = import_rows(
        HEADER,
        [
            ("A1", "", "", "no address", "", "Nov-50", ""),
            ("", "No", "Key", "", "", "", ""),
            ("A3", "", "", "", "", "", ""),
        ],
    )
    assert counts(job) == {"inserted": 1, "updated": 0, "unchanged": 0, "duplicates": 0, "rejected": 2}
    first, second = Result.objects.filter(job=job).order_by("row_number")
    assert (first.outcome, first.code) == ("rejected", "INVALID_INPUT")
    assert "email: this is not an e-mail address" in first.message
    assert "employees: this is not a number of things" in first.message
    assert "neither a contact ID nor an e-mail" in second.message
    assert read_progress(job).balance["rows_balance"] is True
