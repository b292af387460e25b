"""Plants a canary in every cell and every answer, lets a whole job run through trouble, then looks for them everywhere.

They may be in the stored files, the results a person takes or looks at, and the body of a payer's request. Nowhere else:
not in a log, a table, a finding, an audit event, an error, a header, an address, a temporary folder, or the admin.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import NoReverseMatch, reverse

from payersim.testing import Payer, running
from rowmill.admin import site
from rowmill.claims.accounts import seal_credentials
from rowmill.claims.workflow import WorkflowEngine
from rowmill.jobs.arrive import inspect_due
from rowmill.models import AuditEvent, FindingRecord, Job, PayerAccount, Practice, Result, Upload
from rowmill.orgs import find_caller
from rowmill.uploads.places import folder_key, get_storage
from tests.canaries import (
    BAD_DATE,
    BREAKS,
    CLEAN,
    GARBAGE,
    HEADER,
    KILLS,
    MISMATCH,
    MISSING,
    ROWS,
    TROUBLED,
    TWICE,
    UNKNOWN_PAYER,
    UNKNOWN_TIN,
    Browser,
    Ears,
    as_csv,
    book_entry,
    canaries_in,
    canaries_in_database_files,
    places_in_database,
    temporary_places,
)
from tests.conftest import PASSWORD, People
from tests.jobs.conftest import work_until_final

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def ears() -> Iterator[Ears]:
    found = Ears()
    root = logging.getLogger()
    level = root.level
    root.addHandler(found.handler)
    root.setLevel(logging.DEBUG)
    yield found
    root.setLevel(level)
    root.removeHandler(found.handler)


@pytest.fixture
def payer() -> Iterator[Payer]:
    with running("calm", in_flight_cap=10) as found:
        found.load_entries(*(book_entry(number) for number in range(1, ROWS + 1)))
        yield found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the address and the headers of every request that goes out."""
    seen: list[str] = []
    send = aiohttp.ClientSession._request

    async def noting(self: aiohttp.ClientSession, method: str, url: Any, **more: Any) -> aiohttp.ClientResponse:
        seen.append(f"{method} {url} {more.get('params')} {dict(more.get('headers') or {})}")
        return await send(self, method, url, **more)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", noting)
    return seen


@pytest.fixture
def two_rows_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Rowmill itself break on two rows, with exceptions whose text holds cells, as those of libraries do."""
    ask = WorkflowEngine.execute_async

    async def breaking(self: WorkflowEngine, inquiry: Any, row_number: int = 0) -> Any:
        if row_number == BREAKS:
            raise ValueError(f"invalid literal: {inquiry.claim_number} {inquiry.last_name}")
        return await ask(self, inquiry, row_number)

    monkeypatch.setattr(WorkflowEngine, "execute_async", breaking)
    read = __import__("rowmill.kinds.claim_status", fromlist=["x"])
    place = read.ClaimStatus.place_rows

    def killing(self: Any, batch: Any, rows: Any) -> Any:
        for row, found in place(self, batch, rows):
            if row.number == KILLS:
                raise LookupError(f"no such key: {dict(row.cells)}")
            yield row, found

    monkeypatch.setattr(read.ClaimStatus, "place_rows", killing)


@pytest.fixture
def alice(people: People, payer: Payer) -> Client:
    Practice.objects.create(org=people.acme, name="Practice", tin="001234567")
    account = PayerAccount(org=people.acme, payer="UHC", base_url=payer.base_url, token_url=payer.token_url)
    seal_credentials(account, payer.client_id, payer.client_secret)
    account.save()
    people.alice.is_staff = people.alice.is_superuser = True
    people.alice.save()
    client = Client(raise_request_exception=False)
    assert client.login(email="alice@acme.test", password=PASSWORD)
    return client


def test_canaries_are_where_they_belong_and_nowhere_else(
    alice: Client,
    payer: Payer,
    ears: Ears,
    asked: list[str],
    two_rows_break: None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browser = Browser(alice)
    before = temporary_places()

    # Three files that are refused, one whose bad cells reject rows, and the job.
    unclosed = as_csv(CLEAN).replace(b"Cnrylastc", b'"Cnrylastc', 1)
    short = as_csv([[*row[:4]] if i == 2 else row for i, row in enumerate(CLEAN)])
    headless = as_csv(CLEAN, header=None)
    misnamed = as_csv(CLEAN, header=("claim_nmber", *HEADER[1:]))
    refused = [browser.send(f"{n}.csv", data) for n, data in enumerate((unclosed, short, headless, misnamed))]
    assert [answer.status_code for answer in refused] == [400, 400, 400, 400]
    for answer in refused:
        assert canaries_in(answer.whole) == set(), "the answer about a refused file"
    page = browser("post", "/bulk-upload", {"file": SimpleUploadedFile("again.csv", headless, "text/csv")})
    assert page.status_code == 400
    assert canaries_in(page.whole) == set()

    taken = browser.send("claims.csv", as_csv(CLEAN))
    assert taken.status_code == 201, taken.whole
    assert canaries_in(taken.whole) == set()
    again = browser.send("claims.csv", as_csv(CLEAN))
    assert (again.status_code, canaries_in(again.whole)) == (409, set())

    job = Job.objects.get(public_id=taken.json()["id"])
    assert work_until_final(job, 120) == "COMPLETED"
    codes = dict(Result.objects.filter(job=job).values_list("row_number", "code"))
    assert {n: codes[n] for n in range(3, 12)} == {
        UNKNOWN_TIN: "UNKNOWN_TIN",
        UNKNOWN_PAYER: "UNKNOWN_PAYER",
        BAD_DATE: "INVALID_INPUT",
        BREAKS: "INTERNAL_ERROR",
        KILLS: "POISON_ROW",
        MISMATCH: "MEMBER_MISMATCH",
        TWICE: "MULTIPLE_MATCHES",
        MISSING: codes[MISSING],
        GARBAGE: "BAD_RESPONSE",
    }
    assert codes[MISSING].startswith("NOT_FOUND")
    assert [codes[n] for n in (1, 2, *TROUBLED, 15, 16)] == [""] * 7

    # They are where they shall be: without this the test could not fail.
    address = f"/api/v1/claims/csv-jobs/{job.public_id}/"
    results = browser("get", f"{address}results/")
    assert {"CNRYCLM0001", "CNRYCLM0016", "9876501.11", "CNRYCHK0002", "cnrynote0009, and more"} <= canaries_in(
        results.whole
    )
    assert b"NOT_FOUND_IN_DATE_RANGE: Claim not found in date range 2019-05-10 to 2019-08-07." in results.whole
    for stranger in (b"Cnrystranger", b"Cnryelsewhere", b"CNRYSUBX"):
        assert stranger not in results.whole, "nobody is shown another member's claim"
    looked_at = browser("get", f"/jobs/{job.public_id}/")
    assert canaries_in(looked_at.whole), "the results table shows rows"
    searched = browser("post", f"/jobs/{job.public_id}/", {"search": "CNRYCLM0002"})
    assert b"CNRYCLM0002" in searched.whole
    browser("get", f"{address}results/?export=xlsx")
    browser("get", f"{address}results/?export=json&outcome=ok")
    storage = get_storage()
    key = folder_key(job.upload) + "/original"
    with storage.open(key) as stored:
        assert canaries_in(stored.read())

    # No page but the results has one.
    upload = Upload.objects.get(pk=job.upload_id)
    for path in (
        address,
        f"{address}progress/",
        "/api/v1/claims/csv-jobs/",
        f"/api/v1/uploads/{upload.public_id}/",
        f"/api/v1/uploads/{upload.public_id}/findings/",
        "/jobs/",
        "/bulk-upload",
        f"/jobs/{job.public_id}/?tab=causes",
        f"/jobs/{job.public_id}/?tab=activity",
        *(f"/uploads/{u.public_id}/" for u in Upload.objects.exclude(state="ABORTED")),
    ):
        answer = browser("get", path)
        assert answer.status_code == 200, path
        assert canaries_in(answer.whole) == set(), path

    # An error that nobody foresaw, with a cell in its text.
    def broken(*_args: Any, **_more: Any) -> None:
        raise RuntimeError("constraint failed: CNRYCLM0001 Cnrylasta")

    monkeypatch.setattr("rowmill.api.jobs.read_progress", broken)
    monkeypatch.setattr("rowmill.web.jobs.read_progress", broken)
    for path in (f"{address}progress/", f"/jobs/{job.public_id}/"):
        answer = browser("get", path)
        assert answer.status_code == 500
        assert canaries_in(answer.whole) == set()

    # Logs, as written and as handed over.
    written = ears.lines()
    assert len(written.splitlines()) > 20
    assert all(json.loads(line) for line in written.splitlines())
    assert "batch ended" in written
    assert "LookupError" in written
    assert canaries_in(written) == set()
    assert [line for line in ears.records(caplog) if canaries_in(line)] == []

    # The database, column by column, and the bytes of its files.
    assert places_in_database() == set()
    assert canaries_in_database_files() == set()
    assert FindingRecord.objects.count() > 4
    assert AuditEvent.objects.filter(verb="results.read").exists()

    # What went to the payer: in the body only. What came back to the browser: in the body only.
    assert len(asked) > ROWS - 4
    assert [line for line in asked if canaries_in(line)] == []
    assert [line for line in browser.around if canaries_in(line)] == []
    assert len(browser.links) > 50
    assert [link for link in browser.links if canaries_in(link)] == []

    # Nothing is left lying about.
    assert {p for p in temporary_places() if p not in before} == set()


def test_the_chunk_door_tells_no_cell(
    alice: Client, ears: Ears, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file in chunks, sound or refused, sent twice, given up, or met by an error that quotes it."""
    monkeypatch.setattr("rowmill.api.chunks.VERDICT_SECONDS", 0.0)
    browser, before = Browser(alice), temporary_places()

    def post(word: str, **body: Any) -> Any:
        answer = browser("post", f"/api/upload/{word}/", body)
        assert canaries_in(answer.whole) == set(), word
        return answer

    def send(data: bytes, upload_id: str, **more: Any) -> Any:
        chunk = SimpleUploadedFile("chunk", data)
        return post("chunk", uploadId=upload_id, chunkIndex=0, chunk=chunk, **more)

    monkeypatch.setattr(alice, "post", json_but_for_files(alice.post))
    unclosed = as_csv(CLEAN).replace(b"Cnrylastc", b'"Cnrylastc', 1)
    for name, data, state in (("a.csv", unclosed, "REJECTED"), ("b.csv", as_csv(CLEAN), "READY")):
        told = post("init", fileName=name, fileSize=len(data), totalChunks=1).json()
        assert send(data, told["uploadId"], sha256="0" * 64).json()["code"] == "checksum_mismatch"
        assert send(data[:-1], told["uploadId"]).json()["code"] == "chunk_size"
        for _ in range(2):
            assert send(data, told["uploadId"]).status_code == 200
        assert send(bytes(len(data)), told["uploadId"]).json()["code"] == "chunk_differs"
        assert post("complete", uploadId=told["uploadId"]).status_code == 200
        while inspect_due():
            pass
        assert post("complete", uploadId=told["uploadId"]).json()["upload"]["status"] == state
        progress = browser("get", f"/api/upload/progress/?s3Key={told['s3Key']}")
        assert (progress.status_code, canaries_in(progress.whole)) == (200, set())

    def broken(*_args: Any, **_more: Any) -> None:
        raise RuntimeError("cannot write CNRYCLM0001 Cnrylasta")

    told = post("init", fileName="c.csv", fileSize=len(unclosed), totalChunks=1).json()
    monkeypatch.setattr("rowmill.api.chunks.put_chunk", broken)
    assert send(unclosed, told["uploadId"]).status_code == 500
    assert post("cancel", uploadId=told["uploadId"]).status_code == 200

    assert len(ears.lines().splitlines()) > 10
    assert canaries_in(ears.lines()) == set()
    assert [line for line in ears.records(caplog) if canaries_in(line)] == []
    assert places_in_database() == set()
    assert [line for line in (*browser.around, *browser.links) if canaries_in(line)] == []
    assert {p for p in temporary_places() if p not in before} == set()


def json_but_for_files(send: Any) -> Any:
    """Give a client's `post` that sends JSON unless there is a chunk in it."""

    def post(path: str, data: Any = None, **more: Any) -> Any:
        if "chunk" in data:
            return send(path, data, **more)
        return send(path, json.dumps(data), content_type="application/json", **more)

    return post


def test_the_admin_shows_no_cell(alice: Client, people: People) -> None:
    browser = Browser(alice)
    caller = find_caller(people.alice)
    taken = browser.send("claims.csv", as_csv(CLEAN))
    job = Job.objects.get(public_id=taken.json()["id"])
    assert work_until_final(job, 120) == "COMPLETED"
    assert caller.org == job.org
    assert browser("get", "/admin/").status_code == 200
    shown = set()
    for model in site._registry:
        names = (model._meta.app_label, model._meta.model_name)
        answer = browser("get", reverse("admin:{}_{}_changelist".format(*names)))
        assert answer.status_code in (200, 302, 403)
        assert canaries_in(answer.whole) == set(), names
        shown.add(names[1])
        for one in model._default_manager.all()[:30]:
            try:
                page = browser("get", reverse("admin:{}_{}_change".format(*names), args=[one.pk]))
            except NoReverseMatch:
                continue
            assert canaries_in(page.whole) == set(), names
    assert [line for line in (*browser.around, *browser.links) if canaries_in(line)] == []
    assert {"org", "user", "upload", "job"} <= shown
    assert "result" not in shown
