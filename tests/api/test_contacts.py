"""Contacts by API: list, search, one; searches in no address, an auditor may look."""

from __future__ import annotations

import pytest

from rowmill.models import AuditEvent
from tests.contacts.made import make_contact, make_contacts

pytestmark = pytest.mark.django_db
LIST, SEARCH = "/api/v1/contacts/", "/api/v1/contacts/search/"


def test_the_list_goes_on_from_its_cursor(alice, people):
    make_contacts(people.acme, 25)
    make_contacts(people.other, 3, first=100)
    seen, cursor = [], ""
    while cursor is not None:
        page = alice.get(LIST, {"page_size": 10, "sort": "-added", **({"cursor": cursor} if cursor else {})}).json()
        assert (page["count"], page["count_is"], page["first"]) == (25, "exact", len(seen) + 1)
        seen += [one["contact_id"] for one in page["results"]]
        cursor = page["next"]
    assert seen == [f"K{n}" for n in range(25, 0, -1)]
    assert AuditEvent.objects.filter(verb="contacts.read").count() == 3


def test_a_search_goes_by_post_and_an_auditor_may(ada, people):
    make_contact(people.acme, 1, first_name="Ann", stage="Cold", employees=11, employees_most=50)
    make_contact(people.acme, 2, first_name="Ben", stage="Cold")
    page = ada.post(SEARCH, {"search": "ann", "stage": "cold", "columns": ["employees", "stage"]}, format="json").json()
    assert page["results"] == [{"id": page["results"][0]["id"], "employees": 11, "employees_most": 50, "stage": "Cold"}]
    assert ada.get(f"{LIST}?search=ann").status_code == 400, "an address takes no search"


def test_what_cannot_be_is_told(alice, people):
    for body in ({"sort": "title"}, {"columns": ["password"]}, {"page_size": 0}, {"email": "x"}, {"import": "no"}):
        assert alice.post(SEARCH, body, format="json").status_code == 400, body
    assert alice.post(SEARCH, {"cursor": "xyz"}, format="json").json()["code"] == "bad_cursor"
    assert alice.get(LIST, {"columns": "email,password"}).json()["code"] == "bad_option"
    assert alice.get(LIST, {"search": "ann"}).json()["field"] == "search", "left out without a word it would seem found"
    nowhere = "00000000-0000-0000-0000-000000000000"
    assert alice.post(SEARCH, {"import": nowhere}, format="json").status_code == 404


def test_one_contact_is_the_orgs_own(alice, charlie, people):
    contact = make_contact(people.acme, 1, first_name="Ann", annual_revenue="1200000", lists=["Spring"])
    found = alice.get(f"{LIST}{contact.pk}/").json()
    assert (found["first_name"], found["annual_revenue"], found["lists"]) == ("Ann", "1200000.00", ["Spring"])
    assert (found["revision"], found["created_job"], found["extra"]) == (1, None, {})
    assert charlie.get(f"{LIST}{contact.pk}/").status_code == 404
    assert charlie.get(LIST).json()["count"] == 0


def test_a_contact_is_changed_by_the_rules_of_an_import(alice, bob, ada, charlie, people):
    contact = make_contact(people.acme, 1, first_name="Ann")
    address = f"{LIST}{contact.pk}/"
    body = {"employees": "11-50", "lists": ["Spring", "VIP"], "replied": True, "annual_revenue": 1200000, "revision": 1}
    changed = bob.patch(address, body, format="json").json()
    assert (changed["employees"], changed["employees_most"], changed["lists"]) == (11, 50, ["Spring", "VIP"])
    assert (changed["replied"], changed["annual_revenue"], changed["revision"]) == (True, "1200000.00", 2)
    wrong = bob.patch(address, {"email": "no", "last_raised_at": "soon"}, format="json")
    assert wrong.status_code == 400
    assert [one["field"] for one in wrong.json()["errors"]] == ["email", "last_raised_at"]
    assert bob.patch(address, {"title": "x", "revision": 1}, format="json").status_code == 409
    assert bob.patch(address, {"password": "x"}, format="json").json()["code"] == "bad_option"
    assert bob.patch(address, {"wrong name": []}, format="json").json()["code"] == "bad_option"
    odd = bob.patch(address, '{"title": "a\\ud800\\u0000b"}', content_type="application/json")
    assert (odd.status_code, "title" in odd.json()) == (200, True)
    assert bob.patch(address, ["x"], format="json").status_code == 400
    assert bob.patch(address, {"contact_id": None}, format="json").status_code == 400
    for client, status in ((ada, 403), (charlie, 404)):
        assert client.patch(address, {"title": "x"}, format="json").status_code == status
        assert client.delete(address).status_code == status
    assert alice.delete(address).status_code == 204
    assert alice.get(address).status_code == 404


def test_an_export_goes_by_post(ada, people):
    make_contacts(people.acme, 5)
    response = ada.post(f"{LIST}export/", {"search": "first3", "columns": ["contact_id", "stage"]}, format="json")
    assert response["Content-Disposition"] == 'attachment; filename="contacts.csv"'
    assert b"".join(response.streaming_content) == b"contact_id,stage\r\nK3,Warm\r\n"
    workbook = ada.post(f"{LIST}export/", {"export": "xlsx"}, format="json")
    assert b"".join(workbook.streaming_content)[:2] == b"PK"
    assert ada.post(f"{LIST}export/", {"export": "pdf"}, format="json").status_code == 400
