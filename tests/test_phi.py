"""Plants a canary in every cell and every answer, lets a whole job run through trouble, then looks for them everywhere.

They may be in the stored files, the results a person takes or looks at, and the body of a payer's request. Nowhere else:
not in a log, a table, a finding, an audit event, an error, a header, an address, a temporary folder, or the admin.
"""

from __future__ import annotations

import io
import json
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
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
from tests.conftest import PASSWORD, People
from tests.jobs.conftest import work_until_final

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

COLUMNS = (
    "claim_number",
    "first_name",
    "last_name",
    "date_of_birth",
    "subscriber_id",
    "first_service_date",
    "tin",
    "payer_id",
)
HEADER = (*COLUMNS, "patient_account_number", "clinic_note")
ROWS = 16
# What the rows come to: everything else is ok.
UNKNOWN_TIN, UNKNOWN_PAYER, BAD_DATE, BREAKS, KILLS = 3, 4, 5, 6, 7
MISMATCH, TWICE, MISSING, GARBAGE, TROUBLED = 8, 9, 10, 11, (12, 13, 14)


def canary_row(number: int) -> list[str]:
    """Give a row of which no cell is like anything else in the world."""
    n = f"{number:04d}"
    cells = [
        f"CNRYCLM{n}",
        f"Cnryfirst{'abcdefghijklmnopqrstuvwxyz'[number]}",
        f"Cnrylast{'abcdefghijklmnopqrstuvwxyz'[number]}",
        f"1903-07-{number:02d}",
        f"CNRYSUB{n}",
        f"2019-05-{number:02d}",
        "00-7654321" if number == UNKNOWN_TIN else "",
        "CNRYPAYER1" if number == UNKNOWN_PAYER else "",
        f"CNRYACC{n}",
        f"cnrynote{n}, and more",
    ]
    if number == BAD_DATE:
        cells[3] = "1903-13-47"
    return cells


def book_entry(number: int) -> dict[str, Any]:
    """Give what the payer knows of a row: the same person, and amounts and a check number that are canaries too."""
    cells = canary_row(number)
    claim = {
        "number": cells[0],
        "status": "Finalized",
        "parts": [["01", "F1", "65"]],
        "first": cells[1],
        "last": cells[2],
        "dob": f"07/{number:02d}/1903",
        "sub": cells[4],
        "from": f"05/{number:02d}/2019",
        "to": f"05/{number:02d}/2019",
        "charged": f"98765{number:02d}.11",
        "paid": f"87654{number:02d}.22",
        "allowed": f"76543{number:02d}.33",
        "check": f"CNRYCHK{number:04d}",
        "processed": f"08/{number:02d}/2019",
    }
    claims = [claim]
    if number == MISMATCH:
        claims = [{**claim, "first": "Cnrystranger", "last": "Cnryelsewhere", "dob": "01/02/1904", "sub": "CNRYSUBX"}]
    if number == TWICE:
        claims.append({**claim, "charged": "6543210.44", "from": "05/10/2019", "to": "05/11/2019"})
    if number == MISSING:
        claims = []
    trouble = {GARBAGE: "bad_json", 12: "html_error", 13: "graphql_errors", 14: "reset"}
    answer: dict[str, Any] = {"claims": claims}
    if number in trouble:
        answer |= {"behaviour": trouble[number]} | ({} if number == GARBAGE else {"times": 1})
    return {"claim_number": cells[0], "answer": answer}


def as_csv(rows: list[list[str]], header: tuple[str, ...] | None = HEADER) -> bytes:
    lines = [list(header)] if header else []
    return "".join(",".join(f'"{c}"' if "," in c else c for c in row) + "\n" for row in [*lines, *rows]).encode()


CLEAN = [canary_row(number) for number in range(1, ROWS + 1)]
CELLS = {cell for row in CLEAN for cell in row if cell}
ANSWERS = {"Cnrystranger", "Cnryelsewhere", "CNRYSUBX", "6543210.44"} | {
    str(record[key])
    for number in range(1, ROWS + 1)
    for record in book_entry(number)["answer"]["claims"]
    for key in ("dob", "charged", "paid", "allowed", "check", "processed")
}
SHORT = re.compile(r"\d{2}/\d{2}/\d{4}|\d{4}-\d{2}-\d{2}")
CANARIES = tuple(sorted(CELLS | ANSWERS, key=len, reverse=True))
ANY_CANARY = re.compile("|".join(re.escape(c) for c in CANARIES) + r"|cnry", re.IGNORECASE)


def canaries_in(text: str | bytes) -> set[str]:
    """Give the canaries that a text holds."""
    return set(ANY_CANARY.findall(text.decode("utf-8", "replace") if isinstance(text, bytes) else text))


class Ears:
    """Hears every log record twice: as it was made, and as the handler writes it."""

    def __init__(self) -> None:
        shipped = [h for h in logging.getLogger().handlers if type(h.formatter).__name__ == "ProcessorFormatter"]
        assert shipped, "Rowmill's own handler is not set up"
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(shipped[0].formatter)
        self.lines = self.stream.getvalue

    def records(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        """Give what our own code handed to the log, before anything is filtered; an exception is there by its type."""
        said = []
        for record in caplog.get_records("call"):
            if record.name.startswith("rowmill"):
                fields = dict(record.msg) if isinstance(record.msg, dict) else {"text": record.getMessage()}
                fields.pop("exc_info", None)
                said.append(repr(fields))
        return said


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


class Browser:
    """A signed-in client that keeps what every answer said apart from its body."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.around: list[str] = []
        self.links: list[str] = []

    def __call__(self, method: str, path: str, data: Any = None, **headers: str) -> Any:
        response = getattr(self.client, method)(path, data, **({"headers": headers} if headers else {}))
        self.around.append(f"{path} {dict(response.headers)} {response.cookies}")
        response.whole = b"".join(response.streaming_content) if response.streaming else response.content
        text = response.whole.decode("utf-8", "replace")
        if "html" in response.headers.get("Content-Type", ""):
            self.links += re.findall(r"""\s(?:href|action|src|hx-[a-z-]+)=["']([^"']*)["']""", text)
            title = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
            self.around.append(title[1] if title else "")
        return response

    def send(self, name: str, data: bytes) -> Any:
        return self("post", "/api/v1/claims/bulk/upload/", {"file": SimpleUploadedFile(name, data, "text/csv")})


def every_cell_of_the_database() -> Iterator[tuple[str, str | bytes]]:
    """Give each value of each column of each table."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    if value is not None:
                        yield f"{table}.{name}", bytes(value) if isinstance(value, bytes | memoryview) else str(value)


def places_in_database() -> set[str]:
    return {place for place, value in every_cell_of_the_database() if canaries_in(value)}


def canaries_in_database_files() -> set[str]:
    """Look into the bytes of the database and its journals: free pages too."""
    base = Path(connection.settings_dict["NAME"])
    found: set[str] = set()
    for path in base.parent.glob(base.name + "*"):
        data = path.read_bytes()
        found |= {c for c in CANARIES if not SHORT.fullmatch(c) and c.encode() in data}
    return found


def temporary_places() -> dict[Path, float]:
    roots = [Path(tempfile.gettempdir()), django_settings.SCRATCH_DIR]
    return {p: p.stat().st_mtime for root in roots if root.exists() for p in root.glob("*") if p.name.startswith(NAMES)}


NAMES = ("rowmill-child", "rowmill-convert", "inspect-", "receive-", "results-")


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
