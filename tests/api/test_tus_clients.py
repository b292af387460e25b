"""Clients of others, as real processes, through lines that are cut: tuspy and tus-js-client against the tus door."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import json
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from rowmill.cli import serving
from rowmill.models import Upload, UploadSession
from rowmill.uploads.places import get_storage, original_key
from tests.api.conftest import sign_in
from tests.servers.proxy import Proxy, _end_line

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
NODE = Path(__file__).parents[1] / "node"
DOOR = "/api/v1/uploads/tus/"
SIZE = 3_000_000
SECONDS = 120


class Cutting(Proxy):
    """A line that breaks, by RST, each time so many bytes have gone from the client to the server."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.cuts: list[int] = []
        self.sent = 0

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await super()._converse(_Counted(self, reader, writer), writer)  # type: ignore[arg-type]


class _Counted:
    """One connection's way to the server."""

    def __init__(self, line: Cutting, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.line, self.reader, self.writer = line, reader, writer

    async def read(self, size: int) -> bytes:
        block = await self.reader.read(size)
        self.line.sent += len(block)
        if self.line.cuts and self.line.sent >= self.line.cuts[0]:
            self.line.cuts.pop(0)
            _end_line(self.writer, reset=True)
            raise ConnectionResetError
        return block


@pytest.fixture
def line(people) -> Iterator[Cutting]:
    """The server that `rowmill up` runs, behind a line."""
    server = serving._make_server("127.0.0.1", 0)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        with Cutting(server.bind_addr[1]) as made:
            yield made
    finally:
        server.stop()
        thread.join(30)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "claims.csv"
    path.write_bytes(random.Random(7).randbytes(SIZE))
    return path


@pytest.fixture
def token(people) -> str:
    return sign_in("bob@acme.test")._credentials["HTTP_AUTHORIZATION"].removeprefix("Bearer ")


def need_whole(file: Path) -> None:
    """There is one upload, and it has the file's bytes."""
    upload = Upload.objects.get()
    with get_storage().open(original_key(upload)) as stored:
        assert stored.read() == file.read_bytes()
    assert (upload.state, upload.size_bytes, upload.name) == ("CHECKING", SIZE, "claims.csv")
    assert upload.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert UploadSession.objects.get().state == "closed"


def wrong_checksum() -> str:
    return "sha1 " + base64.b64encode(hashlib.sha1(b"other").digest()).decode()


def expire() -> None:
    UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


# ------------------------------------------------------------------------------------------------ tuspy

TUSPY = """
import json, sys
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError
given = json.loads(sys.argv[1])
client = TusClient(given["endpoint"], headers={"Authorization": "Bearer " + given["token"], **given.get("headers", {})})
more = {"metadata": {"filename": "claims.csv"}, "retry_delay": 0, **given.get("options", {})}
try:
    uploader = client.uploader(given["file"], **more)
    if "offset" in given:
        uploader.offset = given["offset"]
    uploader.upload(given.get("stop_at"))
    told = {"url": uploader.url, "offset": uploader.offset}
except TusCommunicationError as error:
    told = {"failed": True, "status": error.status_code}
print(json.dumps(told))
"""


@pytest.fixture
def tuspy(line: Cutting, file: Path, token: str) -> Callable[..., dict[str, Any]]:
    if find_spec("tusclient") is None:
        pytest.skip("tuspy is not installed: it comes with the development requirements")

    def run(**given: Any) -> dict[str, Any]:
        given = {"endpoint": f"http://127.0.0.1:{line.port}{DOOR}", "file": str(file), "token": token, **given}
        command = [sys.executable, "-W", "ignore", "-c", TUSPY, json.dumps(given)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("options", [{}, {"chunk_size": 700_000}, {"upload_checksum": True, "chunk_size": 1_000_000}])
def test_tuspy_sends_a_file(tuspy, file: Path, options: dict[str, Any]) -> None:
    assert tuspy(options=options)["offset"] == SIZE
    need_whole(file)


@pytest.mark.parametrize("checked", [False, True])
def test_tuspy_goes_on_when_the_line_is_cut(tuspy, line: Cutting, file: Path, checked: bool) -> None:
    line.cuts = [500_000, 1_200_000, 2_500_000]
    options = {"retries": 20, "upload_checksum": checked, **({"chunk_size": 600_000} if checked else {})}
    assert tuspy(options=options)["offset"] == SIZE
    assert line.cuts == []
    need_whole(file)


def test_tuspy_goes_on_from_an_address(tuspy, file: Path) -> None:
    begun = tuspy(options={"chunk_size": 1_000_000}, stop_at=1_000_000)
    assert begun["offset"] == 1_000_000
    assert tuspy(options={"url": begun["url"]}) == {"url": begun["url"], "offset": SIZE}
    need_whole(file)


def test_tuspy_hears_what_is_wrong(tuspy, file: Path) -> None:
    url = tuspy(options={"chunk_size": 1000}, stop_at=1000)["url"]
    assert tuspy(options={"url": url}, offset=999) == {"failed": True, "status": 409}
    wrong = {"Upload-Checksum": wrong_checksum()}
    assert tuspy(options={"url": url}, headers=wrong) == {"failed": True, "status": 460}
    expire()
    assert tuspy(options={"url": url}) == {"failed": True, "status": 410}


# ------------------------------------------------------------------------------------------------ tus-js-client


@pytest.fixture(scope="session")
def node() -> str:
    """Give Node with tus-js-client beside it; fetched once, where it can be."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None:
        pytest.skip("Node is not installed")
    with (NODE / ".gitignore").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests' other processes want it too
        if not (NODE / "node_modules" / "tus-js-client").is_dir():
            if npm is None:
                pytest.skip("npm is not installed, and tests/node/node_modules is not there")
            try:
                done = subprocess.run([npm, "ci"], cwd=NODE, capture_output=True, text=True, timeout=SECONDS)
            except subprocess.TimeoutExpired:
                pytest.skip("npm could not fetch tus-js-client in time")
            if done.returncode:
                pytest.skip(f"npm could not fetch tus-js-client: {done.stderr[-200:]}")
    return program


@pytest.fixture
def tusjs(node: str, line: Cutting, file: Path, token: str) -> Callable[..., dict[str, Any]]:
    def run(**given: Any) -> dict[str, Any]:
        given = {"endpoint": f"http://127.0.0.1:{line.port}{DOOR}", "file": str(file), "token": token, **given}
        command = [node, "tus.mjs", json.dumps(given)]
        done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunkSize": 700_000},
        {"uploadDataDuringCreation": True},
        {"overridePatchMethod": True, "chunkSize": 2_000_000},
        {"uploadLengthDeferred": True, "chunkSize": 700_000},
    ],
    ids=["whole", "chunks", "with the creation", "by POST", "deferred"],
)
def test_tus_js_client_sends_a_file(tusjs, file: Path, options: dict[str, Any]) -> None:
    told = tusjs(options=options)
    assert told["url"].endswith(f"{DOOR}{Upload.objects.get().public_id}/"), told
    need_whole(file)


def test_tus_js_client_goes_on_when_the_line_is_cut(tusjs, line: Cutting, file: Path) -> None:
    line.cuts = [500_000, 1_200_000, 2_500_000]
    told = tusjs(retryDelays=[0] * 20)
    assert "url" in told, told
    assert line.cuts == []
    assert [method for method, _ in told["seen"]].count("HEAD") >= 3
    need_whole(file)


def test_tus_js_client_goes_on_where_it_was_closed(tusjs, file: Path) -> None:
    begun = tusjs(abortAt=1_000_000, options={"chunkSize": 500_000})
    assert begun["aborted"] == 1_000_000
    told = tusjs(url=begun["url"])
    assert told["seen"] == [["HEAD", 200], ["PATCH", 204]]
    need_whole(file)


def test_tus_js_client_terminates(tusjs) -> None:
    told = tusjs(abortAt=1_000_000, terminate=True, options={"chunkSize": 500_000})
    assert told["seen"][-1] == ["DELETE", 204]
    assert Upload.objects.get().state == "ABORTED"
    assert list(get_storage().keys("org")) == []


def test_tus_js_client_hears_what_is_wrong(tusjs, line: Cutting) -> None:
    told = tusjs(checksum=wrong_checksum())
    assert (told["status"], json.loads(told["body"])["code"]) == (460, "checksum_mismatch")
    url = f"http://127.0.0.1:{line.port}{DOOR}{Upload.objects.get().public_id}/"
    expire()
    told = tusjs(url=url, endpoint=None)
    assert (told["status"], told["seen"]) == (410, [["HEAD", 410]]), told


def test_a_file_in_parallel_uploads_is_refused_in_words(tusjs) -> None:
    """Concatenation is not announced: a client that wants it all the same hears why."""
    told = tusjs(options={"parallelUploads": 2})
    assert told["status"] == 400
    assert "parallelUploads" in json.loads(told["body"])["detail"]
    assert not Upload.objects.exists()
