"""The pages of workbooks made in the background: from the click over the progress to the download."""

from __future__ import annotations

import io
import re
from pathlib import Path

import openpyxl
import pytest
from django.test import Client

from rowmill.jobs.exporting import export_due
from rowmill.models import Export
from tests.conftest import PASSWORD, People
from tests.contacts.made import make_contacts

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(people: People, settings, tmp_path: Path, monkeypatch) -> Client:
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    monkeypatch.setattr("rowmill.contacts.export.DIRECT_ROWS", 5)
    make_contacts(people.acme, 20)
    client = Client()
    assert client.login(email="alice@acme.test", password=PASSWORD)
    return client


def begin(client: Client) -> str:
    """Ask for the workbook of all. Gives its address."""
    asked = re.search(r'name="asked" value="([^"]+)"', client.get("/contacts/").content.decode())
    assert asked is not None
    response = client.post("/contacts/export", {"asked": asked[1], "export": "xlsx"})
    assert response.status_code == 303
    return str(response["Location"])


def test_from_the_click_to_the_download(alice, people):
    page = alice.get("/contacts/").content.decode()
    assert "up to 10,000 contacts" in page, "told before the click"
    address = begin(alice)
    assert begin(alice) == address, "a second click makes no second one"
    page = alice.get(address).content.decode()
    assert "Waiting for its turn" in page
    assert f'hx-get="{address}?poll"' in page
    assert alice.get(f"{address}file").status_code == 409
    Export.objects.update(state="RUNNING", rows=20, rows_done=8)
    page = alice.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "8 of 20 rows" in page
    assert "<html" not in page
    Export.objects.update(state="WAITING")
    assert export_due()
    page = alice.get(address).content.decode()
    assert "20 rows, ready" in page
    assert "hx-get" not in page.partition('id="export"')[2], "it stops asking"
    assert "Download" in alice.get("/exports/").content.decode()
    response = alice.get(f"{address}file")
    assert re.search(r'filename="contacts-\d{4}-\d\d-\d\d-\d{4}\.xlsx"', response["Content-Disposition"])
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(response.streaming_content))).active
    assert (sheet.max_row, sheet.max_column, sheet.title) == (21, 54, "Contacts")
    assert alice.post(f"{address}delete").status_code == 302
    assert "not kept any more" in alice.get(address).content.decode()
    assert alice.get(f"{address}file").status_code == 410
    assert "No workbook" in alice.get("/exports/").content.decode()


def test_one_that_failed_says_why(alice):
    address = begin(alice)
    Export.objects.update(state="FAILED", error="It stopped.")
    page = alice.get(address).content.decode()
    assert "It could not be made" in page
    assert "It stopped." in page


def test_by_api(alice, people):
    asked = alice.post("/api/v1/contacts/export/", {"export": "xlsx"}, content_type="application/json")
    assert asked.status_code == 202
    address = asked["Location"]
    assert address == f"/api/v1/exports/{asked.json()['id']}/"
    assert alice.get(f"{address}file/").status_code == 409
    assert export_due()
    told = alice.get(address).json()
    assert (told["state"], told["rows"], told["file"]) == ("DONE", 20, f"{address}file/")
    book = openpyxl.load_workbook(io.BytesIO(b"".join(alice.get(told["file"]).streaming_content)))
    assert book.active.max_row == 21
    assert alice.delete(address).status_code == 204
    assert alice.get(address).json()["state"] == "GONE"
    assert alice.get(f"{address}file/").status_code == 410
