"""Cells of contacts stay where they belong: in no address, log line, audit event or session, whatever a person does."""

from __future__ import annotations

import logging
import re

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from rowmill.models import AuditEvent
from tests.conftest import PASSWORD
from tests.contacts.made import make_contact, make_contacts

pytestmark = pytest.mark.django_db
CANARY = "cnryquux"
FIELDS = {
    "first_name": "Cnryquuxann", "last_name": "Cnryquuxoak", "company": "Cnryquux Ltd", "email": "cnryquux@acme.example",
    "stage": "Cnryquuxstage", "title": "Cnryquuxtitle",
}  # fmt: skip


def test_no_cell_gets_out(people, caplog: pytest.LogCaptureFixture):
    contact = make_contact(people.acme, 1, **FIELDS)
    make_contact(people.acme, 2, contact_id="cnryquuxid")
    make_contacts(people.acme, 70, first=100)
    browser = Client()
    assert browser.login(email="alice@acme.test", password=PASSWORD)
    one, around, pages = f"/contacts/{contact.pk}/", [], []

    def call(method: str, path: str, data=None, **more):
        response = getattr(browser, method)(path, data, **more)
        around.append(f"{path} {dict(response.headers)} {response.cookies}")
        body = b"".join(response.streaming_content) if response.streaming else response.content
        pages.append(body.decode("utf-8", "replace"))
        return response

    with caplog.at_level(logging.DEBUG):
        listed = call("get", "/contacts/").content.decode()
        asked = re.search(r'name="asked" value="([^"]+)"', listed)[1]
        cursor = re.search(r'name="cursor" value="([^"]+)" type="submit" id="contacts-next"', listed)[1]
        call("post", "/contacts/", {"asked": asked, "cursor": cursor})
        call("post", "/contacts/", {"search": "cnryquux", "stage": "cnryquuxstage"})
        call("get", "/contacts/")
        call("post", "/contacts/export", {"asked": asked, "export": "csv"})
        call("get", one)
        call("get", f"{one}edit")
        assert call("post", f"{one}edit", {"email": "cnryquux no address"}).status_code == 400
        assert call("post", f"{one}edit", {"contact_id": "cnryquuxid"}).status_code == 409
        assert call("post", f"{one}edit", {"title": "Cnryquuxother"}).status_code == 302
        kind = {"content_type": "application/json"}
        api = "/api/v1/contacts/"
        found = call("post", f"{api}search/", {"search": "cnryquux", "page_size": 1}, **kind).json()
        call("get", f"{api}?cursor={call('get', f'{api}?page_size=1').json()['next']}&page_size=1")
        refused = call("patch", f"{api}{contact.pk}/", {"email": "cnryquux no"}, **kind)
        assert CANARY not in refused.content.decode().lower()
        call("patch", f"{api}{contact.pk}/", {"stage": "Cnryquuxwarm"}, **kind)
        call("post", f"{one}delete")
    assert found["count"] == 1
    assert sum(CANARY in page.lower() for page in pages) >= 6, "they are where they shall be"
    addresses = [
        link for page in pages for link in re.findall(r"""\s(?:href|action|src|hx-[a-z-]+)="([^"]*)\"""", page)
    ]
    titles = re.findall(r"<title>(.*?)</title>", "".join(pages), re.DOTALL)
    said = [
        str(record.msg) + record.getMessage() for record in caplog.records if not record.name.startswith("django.db")
    ]
    trail = [f"{one.target_id} {one.details}" for one in AuditEvent.objects.all()]
    kept = [str(session.get_decoded()) for session in Session.objects.all()]
    assert trail
    assert kept
    assert [text for text in (*around, *addresses, *titles, *said, *trail, *kept) if CANARY in text.lower()] == []
