"""One contact changed by hand: read, checked and cleaned as an import does; kept by an undo; deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rowmill.contacts.browse import Ask, list_contacts
from rowmill.contacts.editing import as_cell, clean_cells, delete_contact, edit_contact, write_cells
from rowmill.contacts.records import find_origin, list_changes
from rowmill.contacts.removal import Removal, count_removal, remove_imported
from rowmill.contacts.showing import FIELD_NAMES, GROUPS
from rowmill.errors import InputError, NotAllowed, NotFound, StateError
from rowmill.models import AuditEvent, Contact, OldRow, Undo
from rowmill.orgs import find_caller
from tests.api.made import make_job
from tests.contacts.made import make_contact
from tests.merging.undoing import remove_all, take_back

pytestmark = pytest.mark.django_db


def test_every_field_stands_in_one_group():
    assert sorted(name for _, names in GROUPS for name in names) == sorted(FIELD_NAMES)


def test_cells_are_read_as_those_of_a_file():
    found = clean_cells(
        {
            "employees": "11-50", "annual_revenue": "$1.2M", "lists": "a; b,c", "last_raised_at": "Jan 31, 2026",
            "last_contacted": "2026-01-31 10:00:00+01:00", "replied": "yes", "email": " Ann@Example.ORG ", "title": "",
            "total_funding": "", "keywords": "", "email_confidence": "95%",
        }
    )  # fmt: skip
    assert found["employees"] == 11
    assert found["employees_most"] == 50
    assert (found["annual_revenue"], found["annual_revenue_most"]) == (Decimal("1200000.00"), None)
    assert found["lists"] == ["a", "b", "c"]
    assert str(found["last_raised_at"]) == "2026-01-31"
    assert found["last_contacted"] == datetime(2026, 1, 31, 9, tzinfo=UTC)
    assert (found["replied"], found["email"], found["title"]) == (True, "ann@example.org", "")
    assert (found["total_funding"], found["keywords"], found["email_confidence"]) == (None, [], Decimal(95))


def test_what_is_wrong_is_told_by_field_without_the_cell():
    with pytest.raises(InputError) as told:
        clean_cells({"email": "secret-not-an-address", "employees": "many", "title": "x" * 20_001, "company": "fine"})
    assert set(told.value.details["fields"]) == {"title"}
    with pytest.raises(InputError) as told:
        clean_cells({"email": "secret-not-an-address", "employees": "many", "company": "fine"})
    assert set(told.value.details["fields"]) == {"email", "employees"}
    assert "secret" not in str(told.value)
    with pytest.raises(InputError):
        clean_cells({"password": "x"})
    for bad in (["a,b"], [1], {"a": 1}):
        with pytest.raises(InputError):
            as_cell("lists", bad)
    assert [as_cell("lists", v) for v in (["a", "b"], None, True, 12, "x")] == ["a, b", "", "yes", "12", "x"]


def test_an_edit_raises_the_revision_and_what_follows(alice, people):
    contact = make_contact(people.acme, 1, first_name="Ann", email="ann@example.org", employees=11, employees_most=50)
    assert edit_contact(alice, contact, {"first_name": "Ann", "employees": "12", "mobile_phone": "(415) 555-0100"}) == [
        "employees", "employees_most", "mobile_phone",
    ]  # fmt: skip
    assert (contact.revision, contact.employees, contact.employees_most) == (2, 12, None)
    assert contact.phone_numbers == {"mobile_phone": "+14155550100"}
    assert [row.pk for row in list_contacts(alice, Ask(search="555-0100")).rows] == [contact.pk]
    assert edit_contact(alice, contact, {"mobile_phone": ""}, revision=2) == ["mobile_phone"]
    assert contact.phone_numbers == {}
    assert edit_contact(alice, contact, {"first_name": "Ann"}) == []
    assert contact.revision == 3
    events = AuditEvent.objects.filter(verb="contact.edit", target_id=str(contact.pk)).order_by("position")
    assert [one.details["fields"] for one in events] == ["employees, mobile_phone", "mobile_phone"]
    with pytest.raises(StateError, match="Somebody else"):
        edit_contact(alice, contact, {"first_name": "Bea"}, revision=2)


def test_the_key_follows_and_stays_the_only_one(alice, people):
    contact = make_contact(people.acme, 1, email="ann@example.org")
    make_contact(people.acme, 2)
    edit_contact(alice, contact, {"contact_id": ""})
    assert contact.match_key == "m:ann@example.org"
    with pytest.raises(StateError) as told:
        edit_contact(alice, contact, {"contact_id": "K2"})
    assert told.value.details["code"] == "taken"
    with pytest.raises(InputError) as wrong:
        edit_contact(alice, contact, {"email": ""})
    assert set(wrong.value.details["fields"]) == {"contact_id", "email"}
    contact.refresh_from_db()
    assert (contact.match_key, contact.revision) == ("m:ann@example.org", 2)


def test_what_is_written_out_reads_back(alice, people):
    contact = make_contact(
        people.acme, 1, email="a@b.example", employees=11, employees_most=50, annual_revenue=Decimal("1000000.50"),
        annual_revenue_most=Decimal(2000000), lists=["a", "b c"], replied=False, last_raised_at="2026-01-31",
        last_contacted=datetime(2026, 1, 31, 9, 5, 7, tzinfo=UTC), email_confidence=Decimal("0.95"), title="O'Neil, \"x\"",
    )  # fmt: skip
    contact.refresh_from_db()
    assert edit_contact(alice, contact, write_cells(contact)) == []


def test_only_who_may_and_only_the_orgs_own(alice, people):
    contact = make_contact(people.acme, 1)
    for caller, error in ((find_caller(people.ada), NotAllowed), (find_caller(people.charlie), NotFound)):
        with pytest.raises(error):
            edit_contact(caller, contact, {"title": "x"})
        with pytest.raises(error):
            delete_contact(caller, contact)
    assert Contact.objects.count() == 1


HEADER = ("Contact ID", "First name", "Stage")


@pytest.mark.django_db(transaction=True)
def test_where_it_came_from_and_what_an_undo_keeps(alice, people, import_rows):
    first = import_rows(HEADER, [("A", "Ann", "Cold"), ("B", "Ben", "Cold"), ("C", "Cid", "Cold")])
    second = import_rows(HEADER, [("X", "Xen", "Warm"), ("B", "Ben", "Warm")])
    ben = Contact.objects.get(contact_id="B")
    origin = find_origin(ben)
    assert (origin.created_job, origin.import_job, origin.row, origin.line) == (first, second, 2, 3)
    edit_contact(alice, ben, {"title": "Boss"})
    changes = list_changes(ben)
    assert [change.words for change in changes] == ["edited by hand", "changed by an import", "brought by an import"]
    assert (changes[0].who, changes[0].fields, changes[1].job, changes[2].job) == (people.alice, "title", second, first)

    assert count_removal(alice, first) == Removal(removed=2, kept=1)
    with pytest.raises(NotAllowed):
        remove_imported(find_caller(people.ada), first)
    assert told(remove_all(alice, first)) == (2, 1)
    assert sorted(Contact.objects.values_list("contact_id", flat=True)) == ["B", "X"]
    assert told(remove_all(alice, first)) == (2, 1), "both together"
    undone = take_back(alice, second)
    assert (undone.removed, undone.restored, undone.kept_ids) == (1, 0, [ben.pk])
    assert AuditEvent.objects.filter(verb="job.remove", actor=people.alice).count() == 2
    event = AuditEvent.objects.filter(verb="job.removed").first()
    assert event is not None
    assert event.details == {"removed": 2, "restored": 0, "kept": 1}


def told(undo: Undo) -> tuple[int, int]:
    return undo.removed, undo.kept


@pytest.mark.django_db(transaction=True)
def test_deleting_takes_what_was_kept_for_an_undo_too(alice, import_rows):
    import_rows(HEADER, [("A", "Ann", "Cold")])
    import_rows(HEADER, [("A", "Ann", "Warm")])
    assert OldRow.objects.count() == 1
    contact = Contact.objects.get()
    delete_contact(alice, contact)
    assert (Contact.objects.count(), OldRow.objects.count()) == (0, 0)
    with pytest.raises(NotFound):
        delete_contact(alice, contact)


def test_an_import_at_work_is_not_removed(alice, people):
    with pytest.raises(StateError):
        remove_imported(alice, make_job(people.acme, people.alice, state="PROCESSING"))
