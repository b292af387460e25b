"""The chunk door by API: the five calls as they were agreed, and what goes wrong with each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from rowmill.api.receiving import MEMORY_CHUNKS, OneChunkHandler
from rowmill.jobs.arrive import inspect_due
from rowmill.models import Job, Upload, UploadSession
from tests.api.made import make_upload

pytestmark = pytest.mark.django_db
HEADER = b"claim_number,first_name,last_name,date_of_birth,subscriber_id\n"
CLAIMS = HEADER + b"".join(b"C%04d,Ann,Oak,1980-01-15,S%04d\n" % (n, n) for n in range(1, 41))
LENGTH = 400
COUNT = -(-len(CLAIMS) // LENGTH)


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is quick: it judges as soon as somebody waits."""
    from rowmill.jobs import arrive

    real = arrive.await_verdict

    def judged(upload: Upload, seconds: float) -> Upload:
        while inspect_due():
            pass
        return real(upload, 0)

    monkeypatch.setattr("rowmill.api.chunks.await_verdict", judged)


def post(client: APIClient, word: str, **body: Any):
    return client.post(f"/api/upload/{word}/", body, format="json")


def init(client: APIClient, data: bytes = CLAIMS, **more: Any) -> dict[str, Any]:
    answer = post(client, "init", **{"fileName": "c.csv", "fileSize": len(data), "totalChunks": COUNT, **more})
    assert answer.status_code == 200, answer.content
    return answer.json()


def put(client: APIClient, upload_id: str, index: Any, data: bytes | None = None, **more: Any):
    chunk = CLAIMS[index * LENGTH : (index + 1) * LENGTH] if data is None else data
    form = {"uploadId": upload_id, "chunkIndex": index, "chunk": SimpleUploadedFile("blob", chunk), **more}
    return client.post("/api/upload/chunk/", form, format="multipart")


def send_all(client: APIClient, data: bytes = CLAIMS, **more: Any) -> dict[str, Any]:
    told = init(client, data, **more)
    for index in reversed(range(-(-len(data) // LENGTH))):
        assert put(client, told["uploadId"], index, data[index * LENGTH : (index + 1) * LENGTH]).status_code == 200
    return told


def progress(client: APIClient, key: str) -> dict[str, Any]:
    answer = client.get("/api/upload/progress/", {"s3Key": key})
    assert answer.status_code == 200, answer.content
    return answer.json()


def code_of(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_the_five_calls(alice):
    told = init(alice)
    assert set(told) >= {"uploadId", "s3Key", "chunkSize", "receivedChunks"}
    assert (told["receivedChunks"], told["totalChunks"]) == ([], COUNT)
    assert told["chunkSize"] * (COUNT - 1) < len(CLAIMS) <= told["chunkSize"] * COUNT
    for index in range(COUNT - 1, 0, -1):
        answer = put(alice, told["uploadId"], index)
        assert (answer.status_code, answer.json()["chunkIndex"]) == (200, index)
    half = progress(alice, told["s3Key"])
    assert (half["status"], half["uploadedChunks"], half["totalChunks"]) == ("uploading", COUNT - 1, COUNT)
    assert (half["uploadedBytes"], half["fileSize"]) == (len(CLAIMS) - LENGTH, len(CLAIMS))
    assert (half["importStatus"], half["jobId"], half["processedRows"]) == (None, None, 0)
    again = init(alice)
    assert (again["uploadId"], again["receivedChunks"]) == (told["uploadId"], list(range(1, COUNT)))
    assert again["chunkSize"] == LENGTH
    missing = post(alice, "complete", uploadId=told["uploadId"])
    assert code_of(missing) == (409, "chunk_missing")
    assert (missing.json()["missing"], missing.json()["missing_count"]) == ([0], 1)
    assert put(alice, told["uploadId"], 0).status_code == 200
    done = post(alice, "complete", uploadId=told["uploadId"])
    assert done.status_code == 200, done.content
    body = done.json()
    job = Job.objects.get()
    assert (body["status"], body["sha256"]) == ("completed", hashlib.sha256(CLAIMS).hexdigest())
    assert (body["upload"]["status"], body["upload"]["rows"]) == ("READY", 40)
    assert (body["jobId"], body["job"]["id"]) == (str(job.public_id), str(job.public_id))
    assert job.options["payer"] == "UHC"
    full = progress(alice, told["s3Key"])
    assert (full["status"], full["percent"], full["uploadedChunks"]) == ("completed", 100.0, COUNT)
    assert (full["importStatus"], full["totalRows"], full["jobId"]) == ("PENDING", 40, str(job.public_id))
    assert post(alice, "complete", uploadId=told["uploadId"]).json()["jobId"] == str(job.public_id)
    assert code_of(post(alice, "cancel", uploadId=told["uploadId"])) == (409, "wrong_state")
    assert code_of(put(alice, told["uploadId"], 0)) == (409, "wrong_state")


def test_cancelling_removes_all_and_can_be_said_twice(alice, settings):
    told = init(alice)
    put(alice, told["uploadId"], 0)
    for _ in range(2):
        answer = post(alice, "cancel", uploadId=told["uploadId"])
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert not [path for path in settings.STORAGE_DIR.rglob("*") if path.is_file()]
    assert code_of(put(alice, told["uploadId"], 0)) == (409, "wrong_state")
    assert code_of(post(alice, "complete", uploadId=told["uploadId"])) == (409, "wrong_state")
    assert init(alice)["uploadId"] != told["uploadId"]


def test_what_was_not_finished_in_time_is_gone(alice):
    told = init(alice)
    UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert code_of(put(alice, told["uploadId"], 0)) == (410, "expired")
    assert code_of(post(alice, "complete", uploadId=told["uploadId"])) == (410, "expired")
    assert progress(alice, told["s3Key"])["status"] == "expired"


def test_chunks_that_cannot_be_taken(alice, settings):
    upload_id = init(alice)["uploadId"]
    put(alice, upload_id, 0)
    right = CLAIMS[LENGTH : 2 * LENGTH]
    assert code_of(put(alice, upload_id, 0, bytes(LENGTH))) == (409, "chunk_differs")
    assert code_of(put(alice, upload_id, 1, right, sha256="0" * 64)) == (400, "checksum_mismatch")
    assert code_of(put(alice, upload_id, 1, right, sha256="short")) == (400, "bad_sha256")
    assert code_of(put(alice, upload_id, 1, right[:-1])) == (400, "chunk_size")
    assert code_of(put(alice, upload_id, COUNT, right)) == (400, "bad_index")
    assert code_of(put(alice, upload_id, "x", right)) == (400, "bad_input")
    assert code_of(put(alice, "x", 1, right)) == (400, "bad_input")
    assert code_of(alice.post("/api/upload/chunk/", {"uploadId": upload_id, "chunkIndex": 1})) == (400, "missing_file")
    settings.ROWMILL_MAX_CHUNK_BYTES = 100
    too_large = put(alice, upload_id, 1, right)
    assert code_of(too_large) == (413, "too_large")
    assert too_large.json()["limit_bytes"] == 100
    settings.ROWMILL_MAX_CHUNK_BYTES = LENGTH
    assert put(alice, upload_id, 1, right, sha256=hashlib.sha256(right).hexdigest().upper()).status_code == 200
    assert list(settings.SCRATCH_DIR.glob("*")) == []


def test_the_room_in_memory_is_free_again_whatever_happens(alice, monkeypatch):
    def broken(*told):
        raise RuntimeError("nobody foresaw it")

    upload_id = init(alice)["uploadId"]
    monkeypatch.setattr("rowmill.api.chunks.put_chunk", broken)
    alice.raise_request_exception = False
    for _ in range(2 * MEMORY_CHUNKS):
        assert put(alice, upload_id, 0).status_code == 500
        assert code_of(put(alice, upload_id, "x", b"a")) == (400, "bad_input")
    rooms = [OneChunkHandler._rooms.acquire(blocking=False) for _ in range(MEMORY_CHUNKS + 1)]
    for _ in range(sum(rooms)):
        OneChunkHandler._rooms.release()
    assert rooms == [True] * MEMORY_CHUNKS + [False]


def test_without_room_in_memory_a_chunk_goes_by_the_scratch_folder(alice, settings):
    """The room is used again: nothing of the chunk before may be in the one that comes after, which is shorter."""
    told = init(alice)
    for index in range(COUNT - 1):
        if index == 1:
            for _ in range(MEMORY_CHUNKS):
                assert OneChunkHandler._rooms.acquire(blocking=False)
        assert put(alice, told["uploadId"], index).status_code == 200
    for _ in range(MEMORY_CHUNKS):
        OneChunkHandler._rooms.release()
    assert put(alice, told["uploadId"], COUNT - 1).status_code == 200
    assert post(alice, "complete", uploadId=told["uploadId"]).json()["sha256"] == hashlib.sha256(CLAIMS).hexdigest()
    assert list(settings.SCRATCH_DIR.glob("receive-*")) == []


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ({"fileSize": 0}, 400, "empty_file"),
        ({"fileSize": -1}, 400, "empty_file"),
        ({"fileSize": 10**15}, 413, "too_large"),
        ({"fileSize": "many"}, 400, "bad_input"),
        ({"fileName": ""}, 400, "bad_input"),
        ({"totalChunks": 10**6}, 400, "bad_chunks"),
        ({"totalChunks": 0}, 400, "bad_input"),
        ({"chunkSize": 10**9}, 400, "bad_chunks"),
        ({"chunkSize": 10}, 400, "bad_chunks"),
        ({"sha256": "abc"}, 400, "bad_sha256"),
        ({"kind": "nonsense"}, 400, "bad_option"),
        ({"payer": "NOBODY"}, 400, "bad_option"),
        ({"start_date": "yesterday"}, 400, "bad_option"),
    ],
)
def test_beginnings_that_cannot_be(alice, words, status, code):
    body = {"fileName": "c.csv", "fileSize": len(CLAIMS), "totalChunks": COUNT, **words}
    assert code_of(post(alice, "init", **body)) == (status, code)
    assert not Upload.objects.exists()


def test_who_says_nothing_of_chunks_is_told_their_size(alice):
    answer = post(alice, "init", fileName="c.csv", fileSize=20_000_000).json()
    assert (answer["chunkSize"], answer["totalChunks"]) == (8 * 1024 * 1024, 3)
    example = post(alice, "init", fileName="contacts.csv", fileSize=50_000_000, totalChunks=10).json()
    assert example["chunkSize"] == 5_000_000


def test_quotas_answer_403(alice, settings):
    settings.ROWMILL_ORG_SESSIONS = 1
    init(alice)
    refused = post(alice, "init", fileName="other.csv", fileSize=5, totalChunks=1)
    assert code_of(refused) == (403, "quota_exceeded")


def test_another_org_sees_nothing_and_an_auditor_changes_nothing(alice, bob, ada, charlie):
    told = init(alice)
    put(alice, told["uploadId"], 0)
    for word in ("complete", "cancel"):
        assert code_of(post(charlie, word, uploadId=told["uploadId"])) == (404, "not_found")
        assert code_of(post(ada, word, uploadId=told["uploadId"])) == (403, "not_allowed")
    assert code_of(put(charlie, told["uploadId"], 1)) == (404, "not_found")
    assert code_of(put(ada, told["uploadId"], 1)) == (403, "not_allowed")
    assert code_of(post(ada, "init", fileName="c.csv", fileSize=5)) == (403, "not_allowed")
    assert code_of(charlie.get("/api/upload/progress/", {"s3Key": told["s3Key"]})) == (404, "not_found")
    for wrong in ("", "nonsense", told["s3Key"].replace("org/", "org/9"), told["s3Key"] + "/x"):
        assert alice.get("/api/upload/progress/", {"s3Key": wrong}).status_code in (400, 404)
    assert progress(ada, told["s3Key"])["uploadedChunks"] == 1
    assert put(bob, told["uploadId"], 1).status_code == 200
    assert alice.get("/api/upload/progress/", {"uploadId": told["uploadId"]}).json()["uploadedChunks"] == 2


def test_a_browser_needs_its_token(people):
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    body = json.dumps({"fileName": "c.csv", "fileSize": len(CLAIMS), "totalChunks": COUNT})
    assert client.post("/api/upload/init/", body, content_type="application/json").status_code == 403
    client.get("/bulk-upload")
    token = {"HTTP_X_CSRFTOKEN": client.cookies["csrftoken"].value}
    told = client.post("/api/upload/init/", body, content_type="application/json", **token)
    assert told.status_code == 200
    form = {"uploadId": told.json()["uploadId"], "chunkIndex": 0, "chunk": SimpleUploadedFile("c", CLAIMS[:LENGTH])}
    assert client.post("/api/upload/chunk/", form).status_code == 403
    form["chunk"] = SimpleUploadedFile("c", CLAIMS[:LENGTH])
    assert client.post("/api/upload/chunk/", form, **token).status_code == 200
    assert Client().post("/api/upload/init/", body, content_type="application/json").status_code == 401


def test_a_refused_file_answers_with_its_findings(alice):
    data = HEADER + b'C1,"canary-cell,Oak,1980-01-15,S1\n' * 30
    told = send_all(alice, data, totalChunks=-(-len(data) // LENGTH))
    answer = post(alice, "complete", uploadId=told["uploadId"])
    assert answer.status_code == 200
    body = answer.json()
    assert (body["upload"]["status"], body["importStatus"], body["job"]) == ("REJECTED", "REJECTED", None)
    assert body["findings"]
    assert "canary-cell" not in answer.content.decode()


def test_other_bytes_than_declared_are_refused(alice):
    told = send_all(alice, sha256="0" * 64)
    body = post(alice, "complete", uploadId=told["uploadId"]).json()
    assert (body["importStatus"], [f["code"] for f in body["findings"]]) == ("REJECTED", ["hash_mismatch"])


@pytest.mark.parametrize("spelling", ["confirm_duplicate", "confirmDuplicate"])
def test_the_same_file_within_a_day_is_a_409_unless_it_is_meant(alice, spelling):
    first = send_all(alice)
    job_id = post(alice, "complete", uploadId=first["uploadId"]).json()["jobId"]
    second = send_all(alice)
    assert second["uploadId"] != first["uploadId"]
    for _ in range(2):
        held = post(alice, "complete", uploadId=second["uploadId"])
        assert code_of(held) == (409, "duplicate_file")
        assert held.json()["job"] == job_id
    meant = post(alice, "complete", uploadId=second["uploadId"], **{spelling: True})
    assert meant.status_code == 200, meant.content
    assert meant.json()["jobId"] not in (None, job_id)


def test_a_large_file_is_judged_later(alice, monkeypatch):
    monkeypatch.setattr("rowmill.api.chunks.await_verdict", lambda upload, seconds: upload)
    told = send_all(alice)
    body = post(alice, "complete", uploadId=told["uploadId"]).json()
    assert (body["importStatus"], body["job"], body["upload"]["status"]) == ("CHECKING", None, "CHECKING")
    Upload.objects.update(lease_until=Now() - timedelta(seconds=1))
    inspect_due()
    assert progress(alice, told["s3Key"])["importStatus"] == "PENDING"


def test_it_waits_for_the_verdict_no_longer_than_it_says(people, monkeypatch):
    from rowmill.jobs import arrive

    looks: list[float] = []
    clock = iter(range(100))
    monkeypatch.setattr(arrive, "time", SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=looks.append))
    upload = make_upload(people.acme, people.alice, "c.csv", state="CHECKING")
    assert arrive.await_verdict(upload, 5).state == "CHECKING"
    assert len(looks) == 5


def test_forms_work_too(alice: Callable[..., Any]):
    answer = alice.post(
        "/api/upload/init/",
        f"fileName=c.csv&fileSize={len(CLAIMS)}&totalChunks={COUNT}",
        content_type="application/x-www-form-urlencoded",
    )
    assert answer.status_code == 200
