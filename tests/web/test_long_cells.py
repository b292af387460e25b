"""The form of a contact with very long cells: it comes back whole, what it does not carry stays, and nothing changes by itself."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from django.test import Client

from tests.contacts.made import make_contact
from tests.web.test_imports import signed_in, text_of

pytestmark = pytest.mark.django_db
HUGE = "0123456789" * 120_000


class Form(HTMLParser):
    """Reads a form's boxes as a browser would send them back."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.boxes: dict[str, str] = {}
        self._in = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "textarea":
            self._in = told["name"]
            self.boxes[self._in] = ""
        elif tag == "input" and told.get("name") and told.get("type") != "search":
            self.boxes[told["name"]] = told.get("value", "").replace("\r", "").replace("\n", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            cell = self.boxes[self._in].removeprefix("\n").replace("\r\n", "\n").replace("\r", "\n")
            self.boxes[self._in], self._in = cell.replace("\n", "\r\n"), ""

    def handle_data(self, data: str) -> None:
        if self._in:
            self.boxes[self._in] += data


@pytest.fixture
def alice(people) -> Client:
    return signed_in(people.alice)


def boxes_of(response) -> dict[str, str]:
    return Form(response.content.decode()).boxes


def send(client: Client, address: str, boxes: dict[str, str]):
    return client.post(address, urlencode(boxes), content_type="application/x-www-form-urlencoded")


def test_a_contact_with_a_cell_above_a_megabyte_is_saved_from_its_page(alice, people):
    contact = make_contact(people.acme, 1, seo_description=HUGE, stage="Cold")
    address = f"/contacts/{contact.pk}/edit"
    page = alice.get(address)
    assert "1,200,000 characters are too many to be changed here" in text_of(page)
    boxes = boxes_of(page)
    assert "seo_description" not in boxes
    assert send(alice, address, {**boxes, "stage": "Warm"}).status_code == 302
    contact.refresh_from_db()
    assert (contact.stage, contact.seo_description == HUGE) == ("Warm", True)


def test_many_long_cells_come_back_within_what_a_request_may_have(alice, people):
    names = (
        "title",
        "industry",
        "company_address",
        "latest_funding",
        "contact_owner",
        "account_owner",
        "city",
        "country",
    )
    contact = make_contact(people.acme, 1, **dict.fromkeys(names, "ж" * 19_000), stage="Cold")
    address = f"/contacts/{contact.pk}/edit"
    boxes = boxes_of(alice.get(address))
    assert 0 < len(set(names) - set(boxes)) < len(names)
    wrong = send(alice, address, {**boxes, "email": "no mail", "title": "x" * 20_001})
    assert wrong.status_code == 400
    assert boxes_of(wrong)["title"] == "x" * 20_001
    assert send(alice, address, {**boxes, "stage": "Warm"}).status_code == 302
    contact.refresh_from_db()
    assert contact.stage == "Warm"
    assert {getattr(contact, name) for name in names} == {"ж" * 19_000}


def test_ends_of_lines_stay_as_they_are(alice, people):
    cells = {"title": "one\ntwo", "company": "three\r\nfour", "industry": "five\rsix"}
    contact = make_contact(people.acme, 1, **cells)
    address = f"/contacts/{contact.pk}/edit"
    assert send(alice, address, {**boxes_of(alice.get(address)), "stage": "Warm"}).status_code == 302
    contact.refresh_from_db()
    assert ({name: getattr(contact, name) for name in cells}, contact.stage) == (cells, "Warm")
