"""The precheck by API: send a file or name one, run it, see its status; 404 for another org."""

from __future__ import annotations

from base64 import b64encode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from rowmill.jobs.arrive import precheck_due
from rowmill.models import Precheck, Upload
from tests.api.made import make_upload

pytestmark = pytest.mark.django_db
DOOR = "/precheck-validation/upload"
BROKEN = b'id,note\n0001,"a\n0002,b\n'
WORDS = {"id", "status", "stage", "progress", "metadata", "integrity", "validation", "findings", "error"}


def send(client, data: bytes = BROKEN, **more):
    return client.post(DOOR, {"file": SimpleUploadedFile("table.csv", data), **more})


def test_a_file_is_sent_run_and_told(alice) -> None:
    begun = send(alice)
    assert begun.status_code == 201, begun.content
    body = begun.json()
    address = body["links"]["status"]
    assert address == begun["Location"] == f"/precheck-validation/api/{body['id']}/status"
    first = alice.get(address).json()
    assert (first["status"], first["progress"], first["findings"]) == ("PENDING", 0, [])
    assert precheck_due() is True
    told = alice.get(address).json()
    assert set(told) == WORDS
    assert (told["status"], told["stage"], told["progress"]) == ("COMPLETED", "validation", 100)
    assert told["integrity"]["balance"]["balances"] is True
    assert [(f["code"], f["line"]) for f in told["findings"]][0] == ("quote-not-closed", 2)
    assert told["validation"]["verdict"] == "unsound"
    assert Upload.objects.get().state == "REJECTED"


def test_a_refused_file_that_is_here_is_named(alice, people) -> None:
    upload = make_upload(people.acme, people.alice, state="REJECTED")
    for kind in ("json", "multipart"):
        begun = alice.post(DOOR, {"upload_id": str(upload.public_id)}, format=kind)
        assert begun.status_code == 201
    assert Precheck.objects.count() == 1
    assert precheck_due() is True  # nothing of it was ever stored
    told = alice.get(begun.json()["links"]["status"]).json()
    assert (told["status"], "not here any more" in told["error"]) == ("FAILED", True)
    upload.refresh_from_db()
    assert upload.state == "REJECTED"


def test_another_org_finds_nothing(alice, charlie, people) -> None:
    address = send(alice).json()["links"]["status"]
    assert charlie.get(address).status_code == 404
    upload = make_upload(people.acme, people.alice, state="REJECTED")
    named = charlie.post(DOOR, {"upload_id": str(upload.public_id)}, format="json")
    nowhere = charlie.post(DOOR, {"upload_id": "00000000-0000-0000-0000-000000000000"}, format="json")
    assert (named.status_code, named.json()["detail"]) == (404, nowhere.json()["detail"])


def test_an_auditor_begins_none(ada) -> None:
    assert send(ada).status_code == 403


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({}, 400, "missing_file"),
        ({"file": SimpleUploadedFile("e.csv", b"")}, 400, "empty_file"),
        ({"file": SimpleUploadedFile("e.csv", b"a\n1\n"), "kind": "nonsense"}, 400, "bad_option"),
        ({"upload_id": "nonsense"}, 404, "not_found"),
    ],
)
def test_what_cannot_be_used_is_said(alice, form, status, code) -> None:
    answer = alice.post(DOOR, form)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not Precheck.objects.exists()


def test_a_file_beyond_the_limit_is_refused(alice, settings) -> None:
    settings.ROWMILL_MAX_FILE_BYTES = 10
    assert send(alice).status_code == 413


def test_a_file_whose_bytes_are_gone_is_said_so(alice, people) -> None:
    upload = make_upload(people.acme, people.alice, state="REJECTED")
    Upload.objects.filter(pk=upload.pk).update(purged_at="2026-01-01T00:00:00Z")
    answer = alice.post(DOOR, {"upload_id": str(upload.public_id)}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "bytes_gone")


def test_a_session_needs_the_token_of_the_page(people) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.alice)
    assert send(client).status_code == 403
    client.get("/precheck-validation")
    token = client.cookies["csrftoken"].value
    file = SimpleUploadedFile("table.csv", BROKEN)
    assert client.post(DOOR, {"file": file}, headers={"X-CSRFToken": token}).status_code == 201


def test_a_plain_form_leads_to_the_page(people) -> None:
    client = Client()
    client.force_login(people.alice)
    html = {"HTTP_ACCEPT": "text/html,*/*"}
    sent = client.post(DOOR, {"file": SimpleUploadedFile("table.csv", BROKEN)}, **html)
    assert (sent.status_code, sent["Location"]) == (303, f"/precheck-validation/{Precheck.objects.get().public_id}")
    refused = client.post(DOOR, {}, **html)
    assert (refused.status_code, refused["Location"]) == (303, "/precheck-validation")
    assert "There is no file" in client.get("/precheck-validation").content.decode()


def test_a_file_in_chunks_is_prechecked_and_starts_no_job(alice, monkeypatch) -> None:
    monkeypatch.setattr("rowmill.api.chunks.VERDICT_SECONDS", 0.0)
    told = {"fileName": "table.csv", "fileSize": len(BROKEN), "totalChunks": 1, "precheck": True}
    session = alice.post("/api/upload/init/", told, format="json")
    assert session.status_code == 200, session.content
    upload_id = session.json()["uploadId"]
    chunk = {"uploadId": upload_id, "chunkIndex": 0, "chunk": SimpleUploadedFile("chunk", BROKEN)}
    assert alice.post("/api/upload/chunk/", chunk).status_code == 200
    done = alice.post("/api/upload/complete/", {"uploadId": upload_id}, format="json").json()
    assert (done["importStatus"], done["jobId"]) == ("CHECKING", None)
    assert precheck_due() is True
    told = alice.get(f"/precheck-validation/api/{done['precheckId']}/status").json()
    assert (told["status"], told["validation"]["verdict"], told["metadata"]["kind"]) == ("COMPLETED", "unsound", "")


def test_a_file_by_tus_is_prechecked(alice) -> None:
    metadata = f"filename {b64encode(b'table.csv').decode()},precheck {b64encode(b'true').decode()}"
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(BROKEN)), "Upload-Metadata": metadata}
    made = alice.generic(
        "POST", "/api/v1/uploads/tus/", BROKEN, content_type="application/offset+octet-stream", headers=headers
    )
    assert made.status_code == 201, made.content
    assert precheck_due() is True
    precheck = Precheck.objects.get()
    assert (precheck.status, precheck.upload.kind, precheck.upload.state) == ("COMPLETED", "", "REJECTED")
