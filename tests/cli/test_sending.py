"""`rowmill upload` of large files against a real Rowmill: lines cut, the server killed, the command stopped, and taken up again."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from payersim.testing import Payer, running
from rowmill.claims.sample import make_claims
from tests.crash.inside import EMAIL, PASSWORD
from tests.crash.server import Server, provided
from tests.flows.long_upload import Valve, make_file, start_client, stored_original, uploads_of

pytestmark = pytest.mark.slow

CHUNK = 48 * 1024
SIZE = 2_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sending")


@pytest.fixture(scope="module")
def book(folder: Path) -> Path:
    make_claims(40, 4, folder / "claims.csv", folder / "book.jsonl")
    return folder / "book.jsonl"


@pytest.fixture(scope="module")
def payer(book: Path) -> Iterator[Payer]:
    with running("calm", book) as found:
        yield found


@pytest.fixture(scope="module")
def server(folder: Path, payer: Payer) -> Iterator[Server]:
    with provided(folder, payer.base_url, payer.token_url) as made:
        made.start()
        yield made


@pytest.fixture
def valve(server: Server) -> Iterator[Valve]:
    with Valve(server.port) as made:
        yield made


@pytest.fixture
def large(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, str]:
    path = tmp_path / f"{request.node.name}.csv"
    return path, make_file(path, SIZE, seed=sum(request.node.name.encode()))


class Sending:
    """The command under way, through the valve."""

    def __init__(self, server: Server, valve: Valve, file: Path, *more: str) -> None:
        url = f"http://127.0.0.1:{valve.port}"
        self.process = start_client(file, url, server.token, CHUNK, *more)

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str, str]:
        """Wait for it. Gives its exit code, what it said and what it complained of."""
        told, complaint = self.process.communicate(timeout=120)
        return self.process.returncode, told, " ".join(complaint.split())


def need_whole(server: Server, file: Path, sha256: str) -> None:
    """The server has the file's bytes and hash, once."""
    (upload,) = [row for row in uploads_of(server) if row["name"] == file.name]
    assert (upload["state"], upload["sha256"]) == ("READY", sha256)
    assert stored_original(server, upload).read_bytes() == file.read_bytes()


def test_the_chunks_become_a_job_whose_results_are_saved(server: Server, valve: Valve, folder: Path, book: Path):
    out = folder / "results.csv"
    with Sending(server, valve, folder / "claims.csv", "--wait", "-o", str(out)) as sending:
        code, told, complaint = sending.end()
    assert code == 0, complaint
    assert "40 rows." in told
    assert "COMPLETED: " in told
    expected = [json.loads(line)["expect"] for line in book.read_text(encoding="utf-8").splitlines()]
    with out.open(newline="", encoding="utf-8-sig") as file:
        got = list(csv.DictReader(file))
    assert [line["success"] == "True" for line in got] == [one["outcome"] == "ok" for one in expected]


def test_the_same_bytes_again_are_refused_unless_confirmed(server: Server, valve: Valve, folder: Path, book: Path):
    with Sending(server, valve, folder / "claims.csv", "--confirm-duplicate") as sending:
        assert sending.end()[0] == 0
    with Sending(server, valve, folder / "claims.csv") as sending:
        code, _, complaint = sending.end()
    assert code == 1
    assert "--confirm-duplicate" in complaint
    begun = len(uploads_of(server))
    with Sending(server, valve, folder / "claims.csv", "--confirm-duplicate") as sending:
        assert sending.end()[0] == 0
    assert len(uploads_of(server)) == begun, "what was there already was sent once more"


def test_a_file_that_is_not_sound_is_told_with_its_findings(server: Server, valve: Valve, tmp_path: Path):
    file = tmp_path / "broken.csv"
    file.write_text('claim_number,first_name\n1,"Jordan\n' + "2,x\n" * 50_000)
    with Sending(server, valve, file) as sending:
        code, _, complaint = sending.end()
    assert code == 1
    assert "Refused:" in complaint
    assert "quote" in complaint


def test_lines_that_are_cut_cost_only_what_was_under_way(server: Server, valve: Valve, large):
    file, sha256 = large
    with Sending(server, valve, file, "--parallel", "3") as sending:
        for number in range(1, 6):
            valve.hold_at(SIZE * number / 6)
            valve.cut(reset=number % 2 == 0)
        valve.budget = float("inf")
        code, _, complaint = sending.end()
    assert code == 0, complaint
    need_whole(server, file, sha256)
    assert valve.passed < SIZE + 5 * 3 * (CHUNK + 4096) + 300_000


def test_a_server_that_dies_in_the_middle_is_waited_for(server: Server, valve: Valve, large):
    file, sha256 = large
    with Sending(server, valve, file) as sending:
        valve.hold_at(SIZE / 2)
        server.kill()
        server.start()
        valve.budget = float("inf")
        code, _, complaint = sending.end()
    assert code == 0, complaint
    need_whole(server, file, sha256)


def test_ctrl_c_leaves_what_the_next_run_takes_up(server: Server, valve: Valve, large):
    file, sha256 = large
    with Sending(server, valve, file) as sending:
        valve.hold_at(SIZE * 0.8)
        sending.process.send_signal(signal.SIGINT)
        code, _, complaint = sending.end()
    assert code == 130, complaint
    assert "run the same command again" in complaint
    assert "Traceback" not in complaint
    valve.cut()
    valve.passed, valve.budget = 0, float("inf")
    with Sending(server, valve, file) as sending:
        code, _, complaint = sending.end()
    assert code == 0, complaint
    assert valve.passed < SIZE * 0.6
    need_whole(server, file, sha256)


def test_what_is_abandoned_is_gone(server: Server, valve: Valve, large):
    file, sha256 = large
    with Sending(server, valve, file) as sending:
        valve.hold_at(SIZE * 0.8)
        sending.process.kill()
        assert sending.end()[0] == -9
    valve.cut()
    valve.passed, valve.budget = 0, float("inf")
    with Sending(server, valve, file, "--abandon") as sending:
        code, told, complaint = sending.end()
    assert code == 0, complaint
    assert "Dropped: " in told
    assert valve.passed < 50_000
    folders = list((server.data_dir / "storage").glob("org/*/uploads/*"))
    (dropped,) = [row for row in uploads_of(server) if row["name"] == file.name]
    assert dropped["state"] == "ABORTED"
    assert not [path for path in folders if path.name == dropped["public_id_text"] and any(path.iterdir())]


def run_upload(server: Server, *more: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "rowmill", "upload", *more, "--url", server.url],
        input=given,
        capture_output=True,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
        timeout=120,
    )


def test_standard_input_is_sent_and_said_not_to_be_resumable(server: Server, folder: Path, book: Path):
    data = (folder / "claims.csv").read_bytes() + b"\n"
    sent = run_upload(server, "-", "--email", EMAIL, "--password", PASSWORD, given=data)
    assert sent.returncode == 0, sent.stderr
    assert b"not resumable" in sent.stderr
    assert b"40 rows." in sent.stdout


@pytest.mark.parametrize("option", ["--resumable", "--abandon"])
def test_standard_input_cannot_be_taken_up_again(server: Server, option: str):
    refused = run_upload(server, "-", "--token", "x", option)
    assert refused.returncode == 2
    assert b"not resumable" in refused.stderr
