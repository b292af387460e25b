"""Contacts to take home: what was found, whole, harmless in a spreadsheet, and read back by an import as it was."""

from __future__ import annotations

import csv
import io

import openpyxl
import pytest

from rowmill.contacts import browse, export
from rowmill.contacts.browse import Ask
from rowmill.contacts.export import ALL_COLUMNS, export_csv, take_xlsx
from rowmill.models import AuditEvent, Contact, Export
from rowmill.orgs import find_caller
from tests.contacts.made import make_contact, make_contacts

pytestmark = pytest.mark.django_db


def read(blocks) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(blocks).decode("utf-8"))))


def test_all_that_was_found_comes_once_while_others_come(alice, people, monkeypatch):
    monkeypatch.setattr(browse, "STRETCH_ROWS", 10)
    make_contacts(people.acme, 60)
    make_contacts(people.other, 5, first=500)
    blocks = export_csv(alice, Ask(search="last", email="with", sort="-name"), ("contact_id", "email"), bom=False)
    first = next(blocks)
    make_contacts(people.acme, 10, first=1000)
    rows = read([first, *blocks])
    ids = [row["contact_id"] for row in rows]
    assert [one for one in ids if int(one[1:]) < 1000] == [f"K{n}" for n in range(1, 61) if n % 4]
    assert len(ids) == len(set(ids))
    event = AuditEvent.objects.get(verb="contacts.export")
    assert event.details == {
        "export": "csv", "narrowed": True, "columns": 2, "rows": 45, "rows_are": "exact",
    }  # fmt: skip


def test_everything_comes_once_while_others_come_and_go(alice, people, monkeypatch):
    monkeypatch.setattr(browse, "STRETCH_ROWS", 10)
    make_contacts(people.acme, 25)
    make_contacts(people.other, 25, first=500)
    make_contacts(people.acme, 20, first=26)
    blocks = browse.iter_contacts(alice, Ask(), ("contact_id",))
    seen = [next(blocks)[0] for _ in range(10)]
    make_contacts(people.acme, 5, first=1000)
    Contact.objects.filter(org=people.acme, contact_id__in=["K3", "K30", "K45"]).delete()
    seen += [contact_id for (contact_id,) in blocks]
    assert seen == [f"K{n}" for n in range(1, 46) if n not in (30, 45)]
    assert list(browse.iter_contacts(find_caller(people.charlie), Ask(), ("contact_id",)))[0] == ("K500",)


def test_cells_are_harmless_and_whole(alice, people):
    make_contact(
        people.acme, 1, first_name="=1+1", title='He said "hm",\nthen left', employees=11, employees_most=50,
        lists=["a", "b"], replied=True, extra={"Colour": "blue"},
    )  # fmt: skip
    (row,) = read(export_csv(alice, Ask(), ALL_COLUMNS, bom=False))
    assert row["first_name"] == "'=1+1"
    assert row["title"] == 'He said "hm",\nthen left'
    assert (row["employees"], row["lists"], row["replied"]) == ("11-50", "a, b", "yes")
    assert row["extra"] == '{"Colour": "blue"}'
    with take_xlsx(alice, Ask(), ("first_name", "lists")) as out:
        sheet = openpyxl.load_workbook(out).active
        assert [[cell.value for cell in line] for line in sheet] == [["first_name", "lists"], ["=1+1", "a, b"]]
        assert sheet["A2"].data_type == "s"


def test_a_large_workbook_is_made_in_the_background(alice, people, monkeypatch):
    make_contacts(people.acme, 6)
    monkeypatch.setattr(export, "DIRECT_ROWS", 5)
    assert isinstance(take_xlsx(alice, Ask(), ALL_COLUMNS), Export)
    take_xlsx(alice, Ask(search="first1"), ALL_COLUMNS).close()
    assert list(Export.objects.values_list("kind", "state")) == [("contact_import", "WAITING")]
    assert AuditEvent.objects.filter(verb="contacts.export").count() == 2
