"""A kind that is a Table Schema and nothing else: its types, its key, its constraints, and what it refuses to be."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from rowmill import registry
from rowmill.errors import InputError
from rowmill.jobs.submit import take_file
from rowmill.kinds.bulk_kind import BulkKind
from rowmill.models import Contact, Job, Result
from rowmill.orgs import find_caller
from tests.jobs.conftest import work_until_final
from tests.merging.conftest import as_csv
from tests.merging.test_merge import counts

pytestmark = pytest.mark.django_db
HEADER = (
    "account_id",
    "company",
    "employees",
    "annual_revenue",
    "last_raised_at",
    "last_contacted",
    "demoed",
    "Remark",
)
DESCRIPTOR = {
    "fields": [
        {"name": "account_id", "title": "Account", "constraints": {"pattern": "[A-Z]\\d+"}},
        {"name": "company", "constraints": {"required": True, "maxLength": 20}},
        {"name": "employees", "type": "integer", "constraints": {"minimum": 1}},
        {"name": "annual_revenue", "type": "number"},
        {"name": "last_raised_at", "type": "date"},
        {"name": "last_contacted", "type": "datetime"},
        {"name": "demoed", "type": "boolean"},
    ],
    "primaryKey": "account_id",
}
FULL = ("A1", "Acme", "12", "1234.5", "2026-01-31", "2026-01-31T10:00:00Z", "true", "x")
SUPPLIERS: type[BulkKind]  # made for each test, since its checks are entered among all others


@pytest.fixture(autouse=True)
def own_checks(monkeypatch):
    monkeypatch.setattr(registry, "CHECKS", dict(registry.CHECKS))


@pytest.fixture
def import_suppliers(people, monkeypatch):
    made = BulkKind.from_descriptor(
        "suppliers", "Suppliers", DESCRIPTOR, "Contact", extra="extra", newest_by="last_contacted"
    )
    monkeypatch.setitem(globals(), "SUPPLIERS", made)
    monkeypatch.setitem(registry.KINDS, "suppliers", "tests.merging.test_described.SUPPLIERS")
    registry.get_kind.cache_clear()

    def run(*rows, **options) -> Job:
        data = as_csv(HEADER, rows)
        caller = find_caller(people.alice)
        job = take_file(
            caller, "suppliers", "s.csv", [data], intent={"go_ahead": True, **options}, confirm_duplicate=True
        ).job
        job = Job.objects.select_related("upload", "org").get(pk=job.pk)
        assert work_until_final(job) == "COMPLETED"
        return job

    yield run
    registry.get_kind.cache_clear()


def in_table() -> list[tuple]:
    return list(Contact.objects.order_by("match_key").values_list("match_key", *HEADER[:-1], "extra"))


def test_every_type_is_kept_as_what_it_is(import_suppliers):
    told = counts(import_suppliers(FULL, ("B2", "Globex", "", "", "", "", "", "")))
    assert told == {"inserted": 2, "updated": 0, "unchanged": 0, "duplicates": 0, "rejected": 0}
    moment = datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert in_table() == [
        ("k:A1", "A1", "Acme", 12, Decimal("1234.5"), date(2026, 1, 31), moment, True, {"Remark": "x"}),
        ("k:B2", "B2", "Globex", None, None, None, None, None, {}),
    ]
    assert counts(import_suppliers(FULL))["unchanged"] == 1
    assert counts(import_suppliers((*FULL[:2], "13", *FULL[3:])))["updated"] == 1


def test_the_key_joins_rows_and_constraints_reject_them(import_suppliers):
    long = "9" * 19
    job = import_suppliers(
        ("A1", "Acme", "", "", "", "", "", ""), ("A1", "Acme Inc", "", "", "", "", "", ""), ("", "No key", *[""] * 6),
        ("bad", "Pattern", *[""] * 6), ("A2", "", *[""] * 6), ("A3", "Few", "0", *[""] * 5), ("A4", "Long", long, *[""] * 5),
        ("A5", "Exponent", "", "1.5E3", *[""] * 4), ("A6", "A name that is too long", *[""] * 6),
    )  # fmt: skip
    assert counts(job) == {"inserted": 1, "updated": 0, "unchanged": 1, "duplicates": 1, "rejected": 7}
    assert [row[2] for row in in_table()] == ["Acme Inc"]
    rejected = Result.objects.filter(job=job, outcome="rejected").values_list("message", flat=True)
    assert sum("18 digits" in message for message in rejected) == 2


def test_the_newer_row_wins_by_the_field_that_is_named(import_suppliers):
    import_suppliers(FULL)
    older = ("A1", "Old", "", "", "", "2025-01-01T00:00:00Z", "", "")
    assert counts(import_suppliers(older, duplicates="newest"))["unchanged"] == 1
    newer = ("A1", "New", "", "", "", "2026-02-01T00:00:00Z", "", "")
    assert counts(import_suppliers(newer, duplicates="newest"))["updated"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"primaryKey": []}, "primaryKey of one field"),
        ({"primaryKey": ["account_id", "company"]}, "primaryKey of one field"),
        ({"primaryKey": "nowhere"}, "names no field"),
        ({"primaryKey": "last_raised_at"}, "text or of whole numbers"),
        ({"fields": [{"name": "a"}, {"name": "d", "type": "date", "format": "%d/%m/%Y"}], "primaryKey": "a"}, "form of dates"),
        ({"fields": [{"name": "a"}, {"name": "b", "type": "array"}], "primaryKey": "a"}, "'array'"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_by_name(change, words):
    with pytest.raises(InputError, match=words):
        BulkKind.from_descriptor("x", "X", {**DESCRIPTOR, **change}, "Contact")


def test_a_field_for_newest_must_be_there():
    with pytest.raises(InputError, match="'soon'"):
        BulkKind.from_descriptor("x", "X", DESCRIPTOR, "Contact", newest_by="soon")
