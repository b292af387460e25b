"""The pages of contacts: the list with its search, and one contact; no cell in any address."""

from __future__ import annotations

import pytest
from django.test import Client

from rowmill.models import AuditEvent, ChosenColumns
from tests.conftest import PASSWORD, People
from tests.contacts.made import make_contact, make_contacts

pytestmark = pytest.mark.django_db


def browser(email: str) -> Client:
    client = Client()
    assert client.login(email=email, password=PASSWORD)
    return client


@pytest.fixture
def alice(people: People) -> Client:
    return browser("alice@acme.test")


def text_of(response) -> str:
    assert response.status_code == 200
    return response.content.decode()


def test_without_contacts_the_page_leads_to_importing(alice):
    page = text_of(alice.get("/contacts/"))
    assert "No contact yet" in page
    assert 'href="/bulk-upload"' in page


def test_a_search_is_remembered_sealed_and_stands_in_no_address(alice, people):
    make_contacts(people.acme, 3)
    make_contact(people.acme, 9, first_name="Zelda", last_name="Quirk", stage="Cold", extra={"Colour": "<b>teal</b>"})
    page = text_of(alice.post("/contacts/", {"search": "zelda", "stage": "cold"}))
    assert "Zelda Quirk" in page
    assert "First1" not in page
    assert "1–1 of 1 contact" in page
    assert "zelda" not in str(alice.session["contacts"]).lower()
    again = text_of(alice.get("/contacts/"))
    assert "Zelda Quirk" in again
    assert "First1" not in again
    assert "zelda" not in "".join(part for part in again.split('"') if part.startswith("/")).lower()
    part = text_of(alice.post("/contacts/", {"search": "nobody"}, headers={"HX-Request": "true"}))
    assert "No contact fits" in part
    assert "<html" not in part
    assert "First1" in text_of(alice.post("/contacts/", {}))


def test_pages_follow_each_other(alice, people, monkeypatch):
    make_contacts(people.acme, 120)
    page, seen = text_of(alice.get("/contacts/")), set()
    import re

    for _ in range(3):
        seen |= set(re.findall(r"First\d+", page))
        asked, cursor = (
            re.search(r'name="asked" value="([^"]+)"', page),
            re.search(r'name="cursor" value="([^"]*)" type="submit" id="contacts-next"', page),
        )
        page = text_of(alice.post("/contacts/", {"asked": asked[1], "cursor": cursor[1]})) if cursor[1] else page
    assert len(seen) == 120


def test_a_contact_tells_what_it_is_and_where_it_comes_from(alice, people):
    contact = make_contact(
        people.acme, 9, first_name="Zelda", employees=11, employees_most=50, extra={"Colour": "<b>teal"}
    )
    page = text_of(alice.get(f"/contacts/{contact.pk}/"))
    assert "Zelda" in page
    assert "11–50" in page
    assert "&lt;b&gt;teal" in page
    assert AuditEvent.objects.filter(verb="contact.view", target_id=str(contact.pk)).count() == 1
    assert browser("charlie@other.test").get(f"/contacts/{contact.pk}/").status_code == 404
    assert alice.get("/contacts/99999999999999999999/").status_code == 404


def test_columns_are_remembered_for_each_person(alice, people):
    make_contact(people.acme, 9, last_name="Quirk", industry="Beekeeping")
    assert ">Beekeeping<" not in text_of(alice.get("/contacts/"))
    assert alice.post("/contacts/columns", {"column": ["industry", "email"]}).status_code == 302
    page = text_of(alice.get("/contacts/"))
    assert ">Beekeeping<" in page
    assert '<th scope="col">Stage</th>' not in page
    assert ">Beekeeping<" not in text_of(browser("bob@acme.test").get("/contacts/"))
    assert alice.post("/contacts/columns", {"column": ["password"]}).status_code == 400
    alice.post("/contacts/columns", {"column": ["industry"], "usual": "yes"})
    assert ChosenColumns.objects.count() == 0
