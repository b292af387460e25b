"""The pages of contacts: the list with its search, and one contact; no cell in any address."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from rowmill.models import AuditEvent, ChosenColumns, Contact, Job
from tests.api.made import make_job
from tests.conftest import PASSWORD, People
from tests.contacts.made import make_contact, make_contacts
from tests.merging.undoing import run_undos

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
    assert 'href="/bulk-upload?kind=contact_import"' in page


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


def test_a_link_to_no_import_does_not_close_the_page(alice, people):
    make_contacts(people.acme, 1)
    assert alice.get("/contacts/?import=00000000-0000-0000-0000-000000000000").status_code == 404
    assert "First1" in text_of(alice.get("/contacts/"))


def test_pages_follow_each_other(alice, people, monkeypatch):
    make_contacts(people.acme, 120)
    page, seen = text_of(alice.get("/contacts/")), set()
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


def test_a_contact_is_edited_on_its_page(alice, people):
    contact = make_contact(people.acme, 9, first_name="Zelda", employees=11, employees_most=50, lists=["a", "b"])
    address = f"/contacts/{contact.pk}/edit"
    form = text_of(alice.get(address))
    assert 'value="11-50"' in form
    wrong = alice.post(address, {"email": "no address", "first_name": "Zoe", "revision": "1"})
    assert wrong.status_code == 400
    page = wrong.content.decode()
    assert 'value="Zoe"' in page, "what was typed stays"
    assert 'aria-describedby="wrong-email"' in page
    assert alice.post(address, {"first_name": "Zoe", "employees": "11-50", "revision": "1"}).status_code == 302
    contact.refresh_from_db()
    assert (contact.first_name, contact.employees_most, contact.lists, contact.revision) == ("Zoe", 50, ["a", "b"], 2)
    for seen in ("1", "9" * 5000):
        assert alice.post(address, {"first_name": "Zara", "revision": seen}).status_code == 409
    assert browser("ada@acme.test").get(address).status_code == 403
    assert browser("ada@acme.test").post(address, {"first_name": "Ada"}).status_code == 403
    assert browser("ada@acme.test").post(f"/contacts/{contact.pk}/delete").status_code == 403
    assert (
        "Edit" not in text_of(browser("ada@acme.test").get(f"/contacts/{contact.pk}/")).split("page-actions")[1][:200]
    )
    assert alice.post(f"/contacts/{contact.pk}/delete").status_code == 302
    assert alice.get(f"/contacts/{contact.pk}/").status_code == 404


def test_a_list_shows_the_beginning_of_a_cell_of_megabytes(alice, people):
    make_contact(people.acme, 1, first_name="A" * 2_000_000, title="T" * 1_000_000)
    page = text_of(alice.get("/contacts/"))
    assert len(page) < 200_000
    assert "A" * 199 + "…" in page


def test_an_export_takes_what_the_page_shows(alice, people):
    make_contacts(people.acme, 8)
    page = text_of(alice.post("/contacts/", {"search": "first3"}))
    asked = re.search(r'name="asked" value="([^"]+)"', page)[1]
    response = alice.post("/contacts/export", {"asked": asked, "export": "csv", "fields": "shown"})
    lines = b"".join(response.streaming_content).decode("utf-8-sig").splitlines()
    assert lines[0] == "first_name,last_name,title,company,email,first_phone,stage,country"
    assert len(lines) == 2
    workbook = alice.post("/contacts/export", {"asked": asked, "export": "xlsx"})
    assert b"".join(workbook.streaming_content)[:2] == b"PK"
    assert alice.post("/contacts/export", {"asked": "x"}).status_code == 400


def test_what_an_import_brought_is_removed_after_a_question(alice, people):
    job = make_job(people.acme, people.alice, "spring.csv")
    Job.objects.filter(pk=job.pk).update(kind="contact_import")
    make_contact(people.acme, 1, created_job=job)
    make_contact(people.acme, 2, created_job=job, revision=2, first_name="Kept")
    make_contact(people.acme, 3, first_name="Quentin")
    listed = text_of(alice.get(f"/contacts/?import={job.public_id}"))
    assert f'href="/contacts/imports/{job.public_id}/remove"' in listed
    assert "Quentin" not in listed
    address = f"/contacts/imports/{job.public_id}/remove"
    page = text_of(alice.get(address))
    assert "Remove 1 contact" in page
    assert browser("ada@acme.test").post(address).status_code == 403
    assert browser("charlie@other.test").get(address).status_code == 404
    done = text_of(alice.post(address, follow=True))
    assert "Removing what it brought" in done
    assert f'hx-get="{address}?poll"' in done
    run_undos()
    part = text_of(alice.get(address, HTTP_HX_REQUEST="true"))
    assert "1 removed, 1 kept." in part
    assert "Nothing would go: all that is left of what it brought (1 contact) was changed since" in part
    assert set(Contact.objects.values_list("first_name", flat=True)) >= {"Kept", "Quentin"}
    assert alice.get("/contacts/?import=nonsense").status_code == 404
    undo = text_of(alice.get(f"/jobs/{job.public_id}/undo"))
    assert re.search(r"Removed before</dt><dd>1<", undo), "an undo does not promise what is gone already"
