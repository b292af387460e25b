"""A table's file that comes in by a resumable door: what the table says meanwhile, and who gives way to whom."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from rowmill.cohorts.intake import take_table_file
from rowmill.cohorts.submissions import delete_table, fetch_table
from rowmill.errors import InputError
from rowmill.jobs.arrive import inspect_due
from rowmill.models import AuditEvent, SessionState, SubmissionTable, TableState, Upload, UploadSession
from rowmill.orgs import add_member
from rowmill.uploads.sessions import expire_sessions
from tests.cohorts.conftest import DAMAGED, LABS, PATIENTS, stored

pytestmark = pytest.mark.django_db
TUS = {"HTTP_TUS_RESUMABLE": "1.0.0"}


@pytest.fixture
def client(people) -> APIClient:
    found = APIClient()
    found.force_login(people.alice)
    return found


def announce(client: APIClient, table: SubmissionTable, size: int, /, **more: str):
    """Announce a file of a table by tus."""
    told = {"kind": "cohort_table", "submission": str(table.submission.public_id), "table": table.name}
    pairs = {**told, "filename": "big.csv", **more}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())
    return client.post("/api/v1/uploads/tus/", HTTP_UPLOAD_LENGTH=str(size), HTTP_UPLOAD_METADATA=metadata, **TUS)


def append(client: APIClient, address: str, offset: int, data: bytes):
    return client.generic(
        "PATCH", address, data, "application/offset+octet-stream", HTTP_UPLOAD_OFFSET=str(offset), **TUS
    )


def again(table: SubmissionTable, alice) -> SubmissionTable:
    return fetch_table(alice, table.submission.public_id, table.name)


@pytest.fixture
def patients(send, alice, submission) -> SubmissionTable:
    return fetch_table(alice, submission.public_id, "patient")


def test_by_tus_it_comes_in_pieces_and_is_checked_as_any(client, patients, alice):
    begun = announce(client, patients, len(PATIENTS))
    assert begun.status_code == 201, begun.content
    address = begun.headers["Location"]
    assert append(client, address, 0, PATIENTS[:20]).status_code == 204
    coming = again(patients, alice)
    assert (coming.state, coming.upload.size_bytes, inspect_due()) == (TableState.UPLOADING, 0, False)
    assert append(client, address, 20, PATIENTS[20:]).status_code == 204
    assert again(patients, alice).state == TableState.CONVERTING
    assert inspect_due()
    table = again(patients, alice)
    assert (table.state, table.id_count, stored(table.upload)) == (
        TableState.READY,
        4,
        {"original", "ids", "database"},
    )


def test_by_chunks_the_same_words_give_the_same_session_for_this_table_alone(client, patients, alice, send):
    send("patient", PATIENTS)
    told = {
        "kind": "cohort_table",
        "submission": str(patients.submission.public_id),
        "table": "patient",
        "fileName": "p.csv",
        "fileSize": len(LABS),
        "totalChunks": 1,
    }
    first, second = (client.post("/api/upload/init/", told, format="json").json() for _ in range(2))
    assert first["uploadId"] == second["uploadId"]
    send("labs", LABS)
    other = client.post("/api/upload/init/", {**told, "table": "labs"}, format="json").json()
    assert other["uploadId"] != first["uploadId"]
    labs = fetch_table(alice, patients.submission.public_id, "labs")
    assert str(labs.upload.public_id) == other["uploadId"]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"submission": ""}, 400),
        ({"table": ""}, 400),
        ({"submission": "nonsense"}, 404),
        ({"table": "none"}, 404),
        ({"submission": "00000000-0000-0000-0000-000000000000"}, 404),
    ],
)
def test_a_table_that_is_not_named_or_not_there_takes_nothing(client, patients, more, status):
    assert announce(client, patients, 10, **more).status_code == status
    body = {"fileName": "x", "fileSize": 10, "kind": "cohort_table", "submission": str(patients.submission.public_id)}
    assert client.post("/api/upload/init/", {**body, "table": "patient"} | more, format="json").status_code == status
    assert not Upload.objects.exists()


def test_others_and_auditors_begin_nothing(people, patients):
    for user, status in ((people.charlie, 404), (people.ada, 403)):
        other = APIClient()
        other.force_login(user)
        assert announce(other, patients, 10).status_code == status
    assert not Upload.objects.exists()


def test_before_the_patient_file_no_other_is_begun(client, submission, alice, send):
    with pytest.raises(Exception, match="no patient file yet"):
        send("labs", LABS)
    labs = fetch_table(alice, submission.public_id, "labs")
    refused = announce(client, labs, 10)
    assert (refused.status_code, refused.json()["code"]) == (409, "no_patient_file")
    assert not UploadSession.objects.exists()


def test_what_the_same_person_begins_anew_takes_the_place_of_what_was_left(client, patients, alice):
    first = announce(client, patients, 100).headers["Location"]
    second = announce(client, patients, len(PATIENTS)).headers["Location"]
    assert append(client, first, 0, b"x").status_code in (404, 409)
    assert append(client, second, 0, PATIENTS).status_code == 204
    assert inspect_due()
    assert again(patients, alice).state == TableState.READY
    assert Upload.objects.filter(state="ABORTED").count() == 1


def test_another_person_waits_or_cancels_it_on_the_page(client, patients, alice, people):
    announce(client, patients, 100)
    add_member(people.acme, "bob@acme.test", "member", None)
    bob = APIClient()
    bob.force_login(type(people.alice).objects.get(email="bob@acme.test"))
    refused = announce(bob, patients, 100)
    assert (refused.status_code, refused.json()["code"]) == (409, "in_progress")
    assert UploadSession.objects.filter(state=SessionState.OPEN).count() == 1
    page = f"/submissions/{patients.submission.public_id}/patient"
    assert "Cancel this upload" in bob.get(page).content.decode()
    assert bob.post(f"{page}/cancel").status_code == 302
    table = again(patients, alice)
    assert (table.state, table.code) == (TableState.EMPTY, "not_arrived")
    assert announce(bob, patients, 100).status_code == 201


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_a_file_that_never_arrives_leaves_the_table_as_it_was(client, patients, send, alice, how):
    send("patient", PATIENTS)
    refused = send("labs", DAMAGED)
    address = announce(client, refused, 100).headers["Location"]
    assert again(refused, alice).state == TableState.UPLOADING
    if how == "cancelled":
        assert client.delete(address, **TUS).status_code == 204
    else:
        UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        assert expire_sessions() == 1
    table = again(refused, alice)
    assert (table.state, table.message, table.unknown_count) == (TableState.REJECTED, refused.message, 5)
    assert (table.upload, table.causes, table.checked_at) == (refused.upload, refused.causes, refused.checked_at)


def test_looking_at_a_table_changes_nothing(client, patients, alice):
    """What a table says changes where its file's state does, never because somebody looks."""
    announce(client, patients, 100)
    Upload.objects.update(state="ABORTED")  # behind everybody's back
    for address in ("patient", "patient/status", ""):
        client.get(f"/submissions/{patients.submission.public_id}/{address}")
    assert SubmissionTable.objects.get(pk=patients.pk).state == TableState.UPLOADING


def test_a_table_deleted_while_its_file_comes_in_leaves_no_session_and_no_bytes(client, patients, alice):
    address = announce(client, patients, 100).headers["Location"]
    append(client, address, 0, PATIENTS[:20])
    upload = Upload.objects.get()
    delete_table(alice, again(patients, alice))
    assert UploadSession.objects.get().state == SessionState.CLOSED
    assert stored(upload) == set()
    assert append(client, address, 20, b"x").status_code in (404, 409)


def test_a_whole_post_that_is_refused_gives_the_refusal_before_back(send, alice, settings):
    send("patient", PATIENTS)
    refused = send("labs", DAMAGED)
    settings.ROWMILL_KIND_UPLOAD_BYTES = {"cohort_table": 10}
    with pytest.raises(InputError):
        take_table_file(alice, again(refused, alice), "x.csv", [LABS])
    assert again(refused, alice).message == refused.message == "File contains 5 patient IDs not in patient file."
    assert AuditEvent.objects.filter(verb="upload.abandon").count() == 1


@pytest.mark.parametrize("before", [b"", PATIENTS])
def test_other_bytes_than_announced_refuse_the_file_and_the_table_takes_the_next(client, patients, send, alice, before):
    table = send("patient", before) if before else patients
    address = announce(client, table, len(PATIENTS), sha256="0" * 64).headers["Location"]
    append(client, address, 0, PATIENTS)
    inspect_due()
    refused = again(table, alice)
    assert (refused.state, refused.code, refused.upload.state) == (TableState.REJECTED, "not_arrived", "REJECTED")
    assert (refused.accepted, refused.upload.purged_at is not None) == (table.accepted, True)
    assert "SHA-256" in refused.message
    assert send("patient", PATIENTS).state == TableState.READY
