"""`rowmill up`'s server: what it logs of a broken request, and who may read what it writes."""

from __future__ import annotations

import logging
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.stdlib import ProcessorFormatter

from rowmill.cli import serving


def breaks_in_the_middle(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """Be a download that breaks after its first block, as one does whose file was deleted meanwhile."""
    start_response("200 OK", [("Content-Type", "text/csv")])
    yield b"claim_number\r\n"
    raise ValueError("canary-of-a-cell")


def ask(address: tuple[str, int], request: bytes) -> bytes:
    """Send raw bytes and read to the end."""
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return answer


@pytest.fixture
def server() -> Iterator[Any]:
    made = serving._make_server("127.0.0.1", 0)
    made.wsgi_app = breaks_in_the_middle
    made.shutdown_timeout = 0.1
    made.prepare()
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    yield made
    made.stop()
    thread.join(10)


def test_a_request_that_breaks_logs_where_and_never_what(
    server: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = ask(server.bind_addr[:2], b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.endswith(b"claim_number\r\n\r\n"), "no last chunk: the client sees that it is cut"
    formatter = next(h.formatter for h in logging.getLogger().handlers if isinstance(h.formatter, ProcessorFormatter))
    (line,) = [formatter.format(record) for record in caplog.records if record.name == "rowmill.server"]
    assert '"error_type": "ValueError"' in line
    assert "canary" not in line + "".join(capfd.readouterr())


def test_headers_without_end_are_refused(server: Any) -> None:
    answer = ask(server.bind_addr[:2], b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")


def test_what_it_writes_is_for_its_own_user_only(tmp_path: Path) -> None:
    """Also in a folder that was there before and is open to all."""
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    environment = {**os.environ, "SECRET_KEY": "k" * 50}
    command = [sys.executable, "-m", "rowmill", "migrate", "--data-dir", str(data)]
    subprocess.run(command, env=environment, check=True, capture_output=True, umask=0o022)
    assert stat.S_IMODE((data / "rowmill.sqlite3").stat().st_mode) == 0o600


def test_a_request_that_waits_for_ever_does_not_hold_a_stop_up() -> None:
    asked, let_go = threading.Event(), threading.Event()

    def hangs(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Be a request that waits for a storage which is frozen."""
        asked.set()
        let_go.wait(120)
        start_response("200 OK", [])
        return [b""]

    web = serving.WebServer("127.0.0.1", 0, 2)
    web._server.wsgi_app = hangs
    web._server.shutdown_timeout = 0.1
    web.listen()
    web.start()
    with socket.create_connection(web._server.bind_addr[:2], timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert asked.wait(60)
        assert not web.stop(0.5), "it tells that one did not end"
        let_go.set()
        assert web.stop(60)
