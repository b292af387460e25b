"""Looks into a file while imports have all the memory of theirs: they work; more of them at once than fit are told to wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from rowmill.merging import room
from rowmill.merging.batches import MEMORY, connect_duck
from rowmill.models import Contact
from tests.conftest import People
from tests.web.test_imports import at, imported, send, signed_in, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(people: People) -> Client:
    return signed_in(people.alice)


@pytest.fixture
def no_memory_left() -> Iterator[None]:
    """Leave the DuckDB of the batches nothing, as if these had taken it."""
    con = connect_duck(settings.SCRATCH_DIR)
    con.execute("SET GLOBAL memory_limit='1MB'")
    yield
    con.execute(f"SET GLOBAL memory_limit='{MEMORY}'")


@pytest.fixture
def no_room_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(room, "PATIENCE_SECONDS", 0.01)
    for _ in range(room.ROOMS):
        assert room._free.acquire(timeout=10)
    yield
    room._free.release(room.ROOMS)


def api(upload) -> str:
    return f"/api/v1/uploads/{upload.public_id}/mapping/"


@pytest.mark.usefixtures("no_memory_left")
def test_a_file_is_looked_at_while_batches_have_all_their_memory(alice):
    upload = send(alice)
    page = alice.get(at("mapping", upload))
    assert page.status_code == 200
    assert "Cnryname1" in page.content.decode()
    told = alice.get(api(upload)).json()
    assert [len(told["first_rows"]), told["columns"][0]["filled"]] == [5, 1.0]


def test_more_looks_at_once_than_there_is_memory_for_are_asked_to_wait(alice, no_room_left):
    upload = send(alice)
    page = alice.get(at("mapping", upload))
    assert page.status_code == 503
    assert "Try again in a moment." in text_of(page)
    told = alice.get(api(upload))
    assert (told.status_code, told.json()["code"], told["Retry-After"]) == (503, "busy", "5")


def test_an_edit_that_has_no_room_is_refused_and_changes_nothing(alice, request):
    imported(alice)
    contact = Contact.objects.order_by("pk").first()
    request.getfixturevalue("no_room_left")
    answer = alice.patch(f"/api/v1/contacts/{contact.pk}/", {"first_name": "Zoe"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    contact.refresh_from_db()
    assert (contact.first_name, contact.revision) == ("Cnryname0", 1)


def test_cells_too_large_for_a_page_leave_the_rest_of_it(alice, monkeypatch):
    upload = send(alice)
    monkeypatch.setattr(room, "MEMORY", "1MB")
    page = alice.get(at("mapping", upload))
    assert page.status_code == 200
    assert "too large to be shown here" in text_of(page)
    assert "nothing in the first rows" not in text_of(page)
    told = alice.get(api(upload)).json()
    assert (told["first_rows"], told["columns"][0]["filled"]) == (None, None)
    assert alice.post(at("mapping", upload), {"c1": "E-mail", "do": "save"})["Location"] == reverse(
        "upload-effect", args=[upload.public_id]
    )
