"""The precheck's pages: the door, the live part in each of its states, what is taken home, and who may."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from rowmill.jobs.arrive import precheck_due
from rowmill.models import AuditEvent, Precheck, Upload
from rowmill.orgs import find_caller
from rowmill.uploads.receive import abandon_upload, begin_upload
from tests.conftest import People
from tests.web.test_pages import HTMX, signed_in, text_of

pytestmark = pytest.mark.django_db
DOOR = "/precheck-validation"
BROKEN = b'id,note\n0001,"a\n0002,b\n0003,c\n'


@pytest.fixture(autouse=True)
def _folders(settings, tmp_path) -> None:
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"


@pytest.fixture
def alice(people: People, client: Client) -> Client:
    client.force_login(people.alice)
    return client


def begin(client: Client, data: bytes = BROKEN, **form: str) -> Precheck:
    file = SimpleUploadedFile("table.csv", data, content_type="text/csv")
    sent = client.post(f"{DOOR}/upload", {"file": file, **form}, HTTP_ACCEPT="text/html")
    assert sent.status_code == 303
    precheck = Precheck.objects.get()
    assert sent["Location"] == page_of(precheck)
    return precheck


def page_of(precheck: Precheck) -> str:
    return f"{DOOR}/{precheck.public_id}"


def test_the_door_shows_what_was_prechecked_before(alice, people) -> None:
    assert "No precheck yet" in text_of(alice.get(DOOR))
    precheck = begin(alice)
    page = text_of(alice.get(DOOR))
    assert "table.csv" in page
    assert "Waiting for its turn" in page
    assert precheck_due() is True
    assert "Not sound" in text_of(alice.get(DOOR))
    assert str(precheck.public_id) not in signed_in(people.charlie).get(DOOR).content.decode()
    assert "begin none" in text_of(signed_in(people.ada).get(DOOR))


def test_the_live_part_asks_again_until_it_is_over(alice) -> None:
    precheck = begin(alice)
    address = page_of(precheck)
    part = alice.get(f"{address}?poll", **HTMX).content.decode()
    assert 'hx-trigger="every 2s"' in part
    assert "<html" not in part
    assert f'class="no-js-only" href="{address}"' in part
    Precheck.objects.update(
        status="RUNNING", stage="integrity", progress=40, integrity={"read_bytes": 1024, "size_bytes": 4096}
    )
    page = text_of(alice.get(address))
    assert "40 %" in page
    assert "1.0" in page
    Precheck.objects.update(status="PENDING")
    assert precheck_due() is True
    whole = alice.get(address)
    assert 'hx-trigger="every 2s"' not in whole.content.decode()
    page = text_of(whole)
    for words in ("COMPLETED", "One cause stops this file", "UTF-8", "commas"):
        assert words in page
    assert 'class="balance"' in whole.content.decode()


def test_what_is_known_stands_there_while_it_goes_on(alice) -> None:
    precheck = begin(alice)
    assert precheck_due() is True
    Precheck.objects.update(status="RUNNING", stage="validation", validation={}, progress=90)
    page = text_of(alice.get(page_of(precheck)))
    assert "Now every cell" in page
    assert "How the file is written" in page
    assert "CSV of the findings" not in page


def test_a_failed_one_says_why(alice) -> None:
    precheck = begin(alice)
    Precheck.objects.update(status="FAILED", stage="integrity", error="Reading the file took more memory than it may.")
    page = text_of(alice.get(page_of(precheck)))
    assert "There is no diagnosis. Reading the file took more memory" in page


def test_the_findings_are_taken_home_and_the_trail_says_so(alice) -> None:
    precheck = begin(alice)
    assert precheck_due() is True
    answer = alice.get(f"{page_of(precheck)}/findings.csv")
    lines = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
    assert (lines[0]["severity"], lines[0]["line"]) == ("error", "2")
    answer = alice.get(f"{page_of(precheck)}/findings.json")
    told = json.loads(answer.content)
    assert {"metadata", "integrity", "validation", "findings"} <= set(told)
    assert 'filename="table-findings.json"' in answer["Content-Disposition"]
    assert AuditEvent.objects.filter(verb="findings.download").count() == 2


def test_who_looked_stands_in_the_trail_once_a_page_load(alice) -> None:
    precheck = begin(alice)
    alice.get(page_of(precheck))
    alice.get(f"{page_of(precheck)}?poll", **HTMX)
    event = AuditEvent.objects.get(verb="precheck.view")
    assert (event.target_id, event.actor.email) == (str(precheck.public_id), "alice@acme.test")


def test_the_card_of_a_file_that_was_sent_in_pieces_leads_to_its_precheck(alice, people) -> None:
    precheck = begin(alice)
    address = f"{DOOR}/sent/{precheck.upload.public_id}"
    assert signed_in(people.charlie).get(address).status_code == 404
    waiting = alice.get(address).content.decode()
    assert f'data-open="{page_of(precheck)}"' in waiting
    assert "every 2s" in waiting
    assert precheck_due() is True
    over = text_of(alice.get(address))
    assert "Not sound" in over
    assert "every 2s" not in alice.get(address).content.decode()


def test_the_card_waits_while_bytes_come_in_and_knows_no_other_file(alice, people) -> None:
    coming = begin_upload(find_caller(people.alice), "", "x.csv", {"precheck": True})
    assert alice.get(f"{DOOR}/sent/{coming.public_id}").status_code == 202
    abandon_upload(coming)
    assert alice.get(f"{DOOR}/sent/{coming.public_id}").status_code == 404


def test_another_org_finds_none_of_it(alice, people) -> None:
    precheck = begin(alice)
    charlie = signed_in(people.charlie)
    for ending in ("", "/findings.csv", "/findings.json"):
        assert charlie.get(page_of(precheck) + ending).status_code == 404


def test_a_file_without_a_kind_breaks_no_page(alice) -> None:
    precheck = begin(alice, b"id,note\n1,a\n")
    assert precheck_due() is True
    upload = Upload.objects.get()
    assert (upload.kind, upload.state) == ("", "READY")
    assert "Sound. 1 row" in text_of(alice.get(page_of(precheck)))
    assert "Sound. 1 row" in text_of(alice.get(f"/uploads/{upload.public_id}/"))
    assert alice.get(f"/api/v1/uploads/{upload.public_id}/").json()["kind"] == ""
    for address in ("/jobs/", "/bulk-upload"):
        page = alice.get(address)
        assert page.status_code == 200
        assert str(upload.public_id) not in page.content.decode()


def test_a_refused_file_leads_to_its_precheck(alice) -> None:
    precheck = begin(alice, BROKEN)
    assert precheck_due() is True
    page = alice.get(f"/uploads/{precheck.upload.public_id}/").content.decode()
    assert 'action="/precheck-validation/upload"' in page
    again = alice.post(f"{DOOR}/upload", {"upload_id": str(precheck.upload.public_id)}, HTTP_ACCEPT="text/html")
    assert again.status_code == 303
    assert Precheck.objects.count() == 2
