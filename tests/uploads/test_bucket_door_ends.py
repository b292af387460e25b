"""How an upload past the server ends: crashes in the middle, what is swept, and the door by API."""

# ruff: noqa: F811  (an argument is named as the fixture that it gets)
from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from rest_framework.test import APIClient

from rowmill.api import chunks as api
from rowmill.errors import Expired, StateError
from rowmill.jobs.arrive import inspect_due
from rowmill.models import AuditEvent, Job, SessionState, Upload, UploadSession, UploadState
from rowmill.uploads.bucket import sign_parts
from rowmill.uploads.completing import complete_session, continue_completing
from rowmill.uploads.places import original_key
from rowmill.uploads.sessions import cancel_session, count_open, expire_sessions
from rowmill.uploads.tidy import clear_orphans
from tests.jobs.conftest import _fresh_probe  # noqa: F401
from tests.storage.conftest import s3_servers  # noqa: F401
from tests.uploads.test_bucket_door import (  # noqa: F401  the fixtures too
    BUCKET,
    PART,
    Killed,
    _small_parts,
    alice,
    begin,
    code_of,
    door,
    fresh,
    is_whole,
    kill_at,
    lapse,
    lines,
    put,
    send,
    states,
    stored,
    table,
    unfinished,
)

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


# ------------------------------------------------------------------------------------------------ crashes


@pytest.mark.parametrize("point", ["session_completing", "bucket_completed", "session_assembled", "finished"])
def test_a_crash_in_completing_is_ended_once_by_the_sweeper(begin, kill_at, point: str):
    data = table(PART + 100_000)
    session = begin(len(data))
    send(session, data)
    kill_at(point)
    with pytest.raises(Killed):
        complete_session(session)
    kill_at("nowhere")
    lapse(session)
    assert states(session)[0] == SessionState.COMPLETING
    assert (continue_completing(), continue_completing()) == (1, 0)
    assert states(session) == (SessionState.CLOSED, UploadState.CHECKING)
    assert (stored(), unfinished(), Upload.objects.count()) == (["original"], [], 1)
    assert is_whole(session.upload, data)


def test_while_one_completes_nobody_else_does(begin, kill_at):
    data = table(10)
    session = begin(len(data))
    send(session, data)
    kill_at("session_completing")
    with pytest.raises(Killed):
        complete_session(session)
    kill_at("nowhere")
    UploadSession.objects.filter(pk=session.pk).update(lease_until=Now() + timedelta(seconds=60))
    with pytest.raises(StateError) as caught:
        complete_session(fresh(session))
    assert (code_of(caught), continue_completing(), stored()) == ("in_progress", 0, [])


def test_a_crash_between_the_bucket_and_the_database_leaves_no_orphan(begin, kill_at, alice):
    kill_at("bucket_begun")
    with pytest.raises(Killed):
        begin(10)
    kill_at("nowhere")
    session = begin(10)
    assert (len(unfinished()), UploadSession.objects.count()) == (2, 1)
    clear_orphans()
    assert unfinished() == [session.storage_token]
    cancel_session(alice, session)
    assert unfinished() == []


# ------------------------------------------------------------------------------------------------ what is swept


def test_abandoned_sessions_are_gone_from_the_bucket_too(begin, alice):
    sessions = [begin(100 + number) for number in range(50)]
    for session in sessions[::10]:
        send(session, b"x" * (session.size_bytes or 0))
    kept = begin(7)
    assert (len(unfinished()), count_open(alice)) == (51, 51)
    UploadSession.objects.exclude(pk=kept.pk).update(expires_at=Now() - timedelta(seconds=1))
    assert (expire_sessions(), expire_sessions()) == (50, 0)
    assert (unfinished(), stored(), count_open(alice)) == ([kept.storage_token], [], 1)
    assert Upload.objects.filter(state=UploadState.ABORTED, purged_at__isnull=False).count() == 50
    assert AuditEvent.objects.filter(verb="upload.expire").count() == 50


def test_a_cancelled_upload_leaves_nothing_and_takes_nothing(door, begin, alice):
    data = table(10)
    session = begin(len(data))
    address = sign_parts(session, [1])[0].url
    send(session, data)
    cancel_session(alice, session)
    assert (unfinished(), stored()) == ([], [])
    assert put(address, data) != 200
    assert stored() == []


def test_a_sweep_spares_what_is_open_and_takes_what_is_nobodys(door, begin):
    open_ones = {begin(10 + number).storage_token for number in range(3)}
    door.raw.create_multipart_upload(Bucket=BUCKET, Key="p/org/1/uploads/nobody/original")
    clear_orphans()
    assert set(unfinished()) == open_ones


def test_a_session_whose_parts_the_bucket_gave_up_is_ended(door, begin, alice):
    lost, kept = begin(10), begin(11)
    name = f"p/{original_key(lost.upload)}"
    door.raw.abort_multipart_upload(Bucket=BUCKET, Key=name, UploadId=lost.storage_token)
    clear_orphans()
    with pytest.raises(Expired):
        sign_parts(fresh(lost), [1])
    assert (expire_sessions(), states(lost)) == (1, (SessionState.CLOSED, UploadState.ABORTED))
    assert states(kept)[0] == SessionState.OPEN


@pytest.mark.parametrize("point", ["", "session_completing"])
def test_completing_what_the_bucket_gave_up_says_so_and_ends(door, begin, kill_at, point: str):
    data = table(10)
    session = begin(len(data))
    send(session, data)
    kill_at(point or "nowhere")
    if point:
        with pytest.raises(Killed):
            complete_session(session)
        kill_at("nowhere")
        lapse(session)
    name = f"p/{original_key(session.upload)}"
    door.raw.abort_multipart_upload(Bucket=BUCKET, Key=name, UploadId=session.storage_token)
    with pytest.raises(Expired):
        complete_session(fresh(session))
    assert expire_sessions() == 1
    assert (states(session), stored()) == ((SessionState.CLOSED, UploadState.ABORTED), [])


# ------------------------------------------------------------------------------------------------ by API


@pytest.fixture
def by_api(people, door, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """POST to a call of the chunk door, as somebody. Shape: (status, body)."""
    monkeypatch.setattr(api, "VERDICT_SECONDS", 0.0)  # there is no worker beside the test

    def call(who: str, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        client = APIClient()
        client.force_authenticate(getattr(people, who))
        answer = client.post(f"/api/upload/{name}/", body, format="json")
        return answer.status_code, answer.json()

    return call


def test_the_calls_of_the_door_by_api(by_api, people):
    data = table(PART + 100_000)
    announced = {"fileName": "t.csv", "fileSize": len(data), "kind": "probe", "door": "bucket"}
    status, begun = by_api("alice", "init", announced)
    assert (status, begun["door"], begun["chunkSize"], begun["totalChunks"]) == (200, "bucket", PART, 2)
    told = {"uploadId": begun["uploadId"]}
    status, signed = by_api("alice", "sign", {**told, "parts": [2, 1]})
    assert (status, [part["part"] for part in signed["parts"]]) == (200, [2, 1])
    part = signed["parts"][0]
    assert put(part["url"], data[PART:]) == 200
    assert part["size"] == len(data) - PART
    assert by_api("alice", "init", announced)[1]["receivedChunks"] == [1]
    status, problem = by_api("alice", "complete", told)
    assert (status, problem["code"], problem["missing"]) == (409, "chunk_missing", [0])
    assert put(signed["parts"][1]["url"], data[:PART]) == 200
    lies = [{"partNumber": number, "etag": '"0123456789abcdef0123456789abcdef"'} for number in (1, 2, 3)]
    status, done = by_api("alice", "complete", {**told, "parts": lies})
    assert (status, done["importStatus"]) == (200, "CHECKING")
    assert inspect_due()
    status, done = by_api("alice", "complete", told)
    assert (status, done["sha256"], done["jobId"]) == (
        200,
        hashlib.sha256(data).hexdigest(),
        str(Job.objects.get().public_id),
    )
    progress = _get_progress(people.alice, begun["s3Key"])
    assert (progress["status"], progress["percent"], progress["receivedChunks"]) == ("completed", 100.0, [0, 1])


def _get_progress(user, key: str) -> Any:
    client = APIClient()
    client.force_authenticate(user)
    return client.get("/api/upload/progress/", {"s3Key": key}).json()


def test_nobody_else_gets_an_address(by_api):
    begun = by_api("alice", "init", {"fileName": "t", "fileSize": 5, "kind": "probe", "door": "bucket"})[1]
    told = {"uploadId": begun["uploadId"], "parts": [1]}
    assert by_api("charlie", "sign", told)[0] == 404
    assert by_api("ada", "sign", told)[0] == 403
    assert by_api("bob", "sign", told)[0] == 200
    for parts in ([], [0], ["x"], [1] * 1_001, "1"):
        assert by_api("alice", "sign", {**told, "parts": parts})[0] == 400
    status, problem = by_api("alice", "sign", {**told, "parts": [10_001]})
    assert (status, problem["code"]) == (400, "bad_index")


def test_the_doors_are_kept_apart(by_api, settings):
    chunks = by_api("alice", "init", {"fileName": "t", "fileSize": 5, "kind": "probe", "totalChunks": 1})[1]
    assert chunks["door"] == "chunks"
    assert by_api("alice", "sign", {"uploadId": chunks["uploadId"], "parts": [1]})[0] == 409
    settings.ROWMILL_DIRECT_UPLOADS = False
    status, problem = by_api("alice", "init", {"fileName": "t", "fileSize": 5, "kind": "probe", "door": "bucket"})
    assert (status, problem["code"]) == (400, "no_direct_upload")


def test_progress_tells_what_the_bucket_has_and_that_it_gave_up(by_api, door, people):
    begun = by_api("alice", "init", {"fileName": "t", "fileSize": PART + 5, "kind": "probe", "door": "bucket"})[1]
    session = UploadSession.objects.select_related("upload").get()
    send(session, b"x" * (PART + 5), [2])
    progress = _get_progress(people.alice, begun["s3Key"])
    assert (progress["status"], progress["receivedChunks"], progress["uploadedBytes"]) == ("uploading", [1], 5)
    name = f"p/{original_key(session.upload)}"
    door.raw.abort_multipart_upload(Bucket=BUCKET, Key=name, UploadId=session.storage_token)
    progress = _get_progress(people.alice, begun["s3Key"])
    assert (progress["status"], progress["receivedChunks"]) == ("expired", [])
