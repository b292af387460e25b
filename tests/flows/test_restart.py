"""Through HTTP, against a real `rowmill up` that is killed, stopped, doubled or out of disk: nothing is lost, and it goes on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from payersim.testing import Payer, running_apart
from rowmill.cli.demo import compare
from tests.crash.checker import Acknowledged, find_violations, open_read_only
from tests.crash.claims import Slice, make_slices
from tests.crash.server import UPLOAD, Refused, Server, multipart, provided, wait_for
from tests.early import ON_POSTGRES

pytestmark = pytest.mark.crash
IN_FLIGHT = 50
only_process = pytest.mark.skipif(
    ON_POSTGRES, reason="knows at once that what was under way is dead; beside others leases have to run out first"
)


@pytest.fixture(scope="module")
def payer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Payer]:
    arguments = ("--profile", "hostile", "--latency-scale", "0", "--in-flight-cap", str(IN_FLIGHT))
    with running_apart(*arguments) as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, payer: Payer) -> Iterator[Server]:
    payer.reset()
    payer.control("settings", {"latency_scale": 0.0})
    with provided(tmp_path, payer.base_url, payer.token_url, IN_FLIGHT) as made:
        yield made


def make_claims(folder: Path, payer: Payer, rows: int, without: tuple[str, ...] = ("out_of_order",)) -> Slice:
    """Make a file that the payer knows."""
    book, (claims,) = make_slices(folder, 5, [rows], without=without)
    payer.load_book(book)
    return claims


def end_well(server: Server, claims: Slice, job: str) -> None:
    """The job ends, each row is as the book says, and no invariant is broken."""
    assert server.wait(job)["status"] == "COMPLETED"
    report = compare(server.save_results(job, claims.book.with_suffix(".csv")), claims.book)
    assert report["equal_to_book"], report
    assert server.terminate() == 0
    assert find_violations(server.data_dir, [Acknowledged(job, claims.sha256, claims.rows)]) == []


@pytest.mark.timeout(600)
def test_killed_in_the_middle_of_a_thousand_hostile_rows(server: Server, payer: Payer, tmp_path: Path) -> None:
    claims = make_claims(tmp_path, payer, 1000, without=())
    server.start()
    job = server.upload(claims.data)["id"]
    for share in (0.2, 0.6):
        server.wait(job, until=lambda p, share=share: p["processed_rows"] >= 1000 * share)
        server.kill()
        server.start()
    end_well(server, claims, job)
    stats = payer.stats()
    assert (stats["cap_exceeded"], stats["max_in_flight"] <= IN_FLIGHT) == (0, True)
    assert stats["tokens_issued"] <= 3 + stats["tokens_revoked"] + 3, (
        "one token for each life, and one for each revoked"
    )
    assert stats["duplicates"] <= 2 * IN_FLIGHT + 40, "rows with a result were asked again"


def test_sigterm_gives_batches_back_without_an_attempt(server: Server, payer: Payer, tmp_path: Path) -> None:
    payer.control("settings", {"latency_scale": 0.3})
    claims = make_claims(tmp_path, payer, 400)
    server.start()
    job = server.upload(claims.data)["id"]
    server.wait(job, until=lambda p: p["processed_rows"] >= 50)
    assert server.terminate() == 0
    assert server.stopped_in_seconds < 50, "longer than the runner (20 s) and the web server (5 s) may take"
    database = open_read_only(server.data_dir)
    batches = database.execute("SELECT state, attempts FROM rowmill_batch").fetchall()
    database.close()
    assert {b["state"] for b in batches} <= {"waiting", "done"}
    assert all(b["attempts"] == 0 for b in batches if b["state"] == "waiting")
    assert find_violations(server.data_dir, at_rest=False) == []
    payer.control("settings", {"latency_scale": 0.0})
    server.start()
    end_well(server, claims, job)


def test_a_second_one_on_the_same_folder_refuses_in_words(server: Server) -> None:
    server.start()
    second = Server(server.data_dir, server.environment, port=0)
    process = second.spawn()
    assert process.wait(120) != 0
    words = second.log.read_text()
    assert "already works on" in words
    assert "Traceback" not in words
    assert server.call("GET", "/api/v1/claims/csv-jobs/")["count"] == 0


def test_without_room_the_door_says_507_and_the_job_waits_in_words(
    server: Server, payer: Payer, tmp_path: Path
) -> None:
    payer.control("settings", {"latency_scale": 0.4})
    claims = make_claims(tmp_path, payer, 300)
    server.start()
    job = server.upload(claims.data)["id"]
    server.wait(job, until=lambda p: p["processed_rows"] >= 20)
    server.kill()
    server.start(ROWMILL_MIN_FREE_BYTES=str(1 << 60))
    with pytest.raises(Refused) as refused:
        server.upload(claims.data + b"\n", confirm_duplicate="true")
    assert (refused.value.status, refused.value.problem["code"]) == (507, "out_of_space")
    waiting = server.wait(job, until=lambda p: "disk" in (p.get("waiting_reason") or ""))
    assert waiting["status"] == "PROCESSING"
    calls = payer.stats()["inquiries"]
    time.sleep(1)
    assert payer.stats()["inquiries"] == calls
    assert server.terminate() == 0
    payer.control("settings", {"latency_scale": 0.0})
    server.start(ROWMILL_MIN_FREE_BYTES="0")
    end_well(server, claims, job)


@only_process
def test_killed_while_the_body_is_being_sent(server: Server, payer: Payer, tmp_path: Path) -> None:
    claims = make_claims(tmp_path, payer, 100)
    server.start()
    headers, body = multipart(claims.data * 400, {})
    with socket.create_connection(("127.0.0.1", server.port)) as wire:
        head = f"POST {UPLOAD} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.token}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        wire.sendall(f"{head}Content-Length: {len(body) + (4 << 20)}\r\n\r\n".encode() + body)
        scratch = server.data_dir / "scratch"
        wait_for(lambda: any(scratch.glob("receive-*")), 30, "nothing of the body was written")
        server.kill()
    server.start()
    assert find_violations(server.data_dir) == []
    assert server.call("GET", "/api/v1/claims/csv-jobs/")["count"] == 0
    end_well(server, claims, server.upload(claims.data)["id"])


@only_process
def test_a_reader_of_the_file_that_outlives_the_kill_does_no_harm(server: Server, payer: Payer, tmp_path: Path) -> None:
    """Only the server itself is killed, in the middle of an inspection: its child must not keep the folder locked."""
    claims = make_claims(tmp_path, payer, 60)
    server.start(ROWMILL_FAULT_AT="1", ROWMILL_FAULT_NAME="inspected")
    with pytest.raises((OSError, ConnectionError)):
        server.upload(claims.data, "the-key")
    assert server.process is not None
    assert server.process.wait(120) == -9
    server.start(ROWMILL_FAULT_AT="0")
    job = server.upload(claims.data, "the-key")["id"]
    assert server.call("GET", "/api/v1/claims/csv-jobs/")["count"] == 1
    end_well(server, claims, job)


def test_fifty_posts_at_once_with_one_key_make_one_job(server: Server, payer: Payer, tmp_path: Path) -> None:
    claims = make_claims(tmp_path, payer, 20)
    server.start()

    def post(_: int) -> str:
        until, problem = time.monotonic() + 120, {"code": "in_progress"}
        while problem["code"] == "in_progress" and time.monotonic() < until:
            try:
                return str(server.upload(claims.data, "one-key")["id"])
            except Refused as refused:
                problem = refused.problem
                time.sleep(0.1)
        return f"refused: {problem['code']}"

    with ThreadPoolExecutor(12) as clients:
        jobs = set(clients.map(post, range(50)))
    assert len(jobs) == 1
    assert server.call("GET", "/api/v1/claims/csv-jobs/")["count"] == 1
    with pytest.raises(Refused) as refused:
        server.upload(claims.data + b"\n", "one-key")
    assert (refused.value.status, refused.value.problem["code"]) == (422, "idempotency_key_reused")
    end_well(server, claims, jobs.pop())
