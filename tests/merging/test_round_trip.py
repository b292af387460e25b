"""What is exported can be imported again, and then changes nothing."""

from __future__ import annotations

import csv
import io

import pytest

from rowmill.contacts.browse import Ask
from rowmill.contacts.export import ALL_COLUMNS, export_csv
from rowmill.models import Contact
from tests.merging.test_merge import counts

pytestmark = pytest.mark.django_db
HEADER = (
    "contact_id", "first_name", "mobile phone", "annual_revenue", "employees", "keywords", "last_contacted", "replied",
    "email_confidence", "email", "title", "Shoe", 'No"te',
)  # fmt: skip
ROWS = [
    ("A1", "=cmd()", "+1 212-555-0123", "-5", "11-50", "- a, b", "2026-01-31T10:00:00Z", "yes", "0.95", "", "-", "4\"2",
     "x\\\n\x01"),
    ("", "@Ann", "212-555-0123", "$1M-$10M", "5", "", "", "", "", "a@b.co", "+", "=1", ""),
]  # fmt: skip


@pytest.mark.parametrize("more", [0, 200])  # columns of which nothing is known
def test_an_export_changes_nothing_when_it_is_imported(import_rows, alice, more):
    import_rows(HEADER, ROWS)
    before = list(Contact.objects.order_by("id").values())
    assert (before[0]["extra"], before[0]["annual_revenue"]) == ({"Shoe": '4"2', 'No"te': "x\\\n\x01"}, -5)
    text = b"".join(export_csv(alice, Ask(), ALL_COLUMNS, bom=False)).decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    header += [f"Blank {n}" for n in range(more)]
    job = import_rows(header, [[*row, *[""] * more] for row in rows])
    assert (counts(job)["unchanged"], counts(job)["rejected"]) == (2, 0)
    assert list(Contact.objects.order_by("id").values()) == before


@pytest.mark.parametrize("cell", ["{}", '{"a":1}', '{"a":"\\u0000"}', '{"a":"\\ud800"}', '{"a":"b"', '{"a":""}', "x"])
def test_a_column_called_extra_that_is_no_export_is_kept_as_it_is(import_rows, cell):
    import_rows(("email", "Extra"), [("a@b.co", cell)])
    assert Contact.objects.get().extra == {"Extra": cell}
