"""The web server and bodies: chunked ones, unread ones, and those too large for their address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rowmill.cli import bodies, serving

TUS = "/api/v1/uploads/tus/"
ELSEWHERE = "/bulk-upload"


class Application:
    """Reads so much of a body and says what it read."""

    def __init__(self) -> None:
        self.wants: int | None = None
        self.read: list[bytes] = []
        self.broken = ""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body = b""
        try:
            while self.wants is None or len(body) < self.wants:
                block = environ["wsgi.input"].read(3 if self.wants is None else self.wants - len(body))
                if not block:
                    break
                body += block
        except ValueError as error:
            self.broken = str(error)
        self.read.append(body)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def server(application: Application) -> Iterator[Any]:
    made = serving._make_server("127.0.0.1", 0)
    made.wsgi_app = application
    made.shutdown_timeout = 0.1
    made.prepare()
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    yield made
    made.stop()
    thread.join(10)


def talk(server: Any, *pieces: bytes) -> bytes:
    """Send raw bytes, say no more, and read to the end."""
    with socket.create_connection(server.bind_addr[:2], timeout=120) as line:
        for piece in pieces:
            line.sendall(piece)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while block := line.recv(65536):
            answer += block
    return answer


def head(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"PATCH {path} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()


CHUNKED = head(TUS, "Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    "body",
    [b"5\r\nhello\r\n0\r\n\r\n", b"1;x=y\r\nh\r\n4\r\nello\r\n0\r\nTrailer: 1\r\n\r\n", b"005\r\nhello\r\n0\r\n\r\n"],
)
def test_a_chunked_body_is_read_as_it_comes(server, application, body: bytes) -> None:
    answer = talk(server, CHUNKED, body, head(TUS, "Content-Length: 3"), b"abc")
    assert answer.count(b"200 OK") == 2, "the connection goes on behind the body"
    assert application.read == [b"hello", b"abc"]


@pytest.mark.parametrize("body", [b"zz\r\nhello\r\n", b"-5\r\nhello\r\n", b"5\r\nhel", b"5\r\nhelloXX0\r\n\r\n", b""])
def test_a_body_that_is_not_chunked_as_it_says_is_broken(server, application, body: bytes) -> None:
    answer = talk(server, CHUNKED, body)
    assert application.broken
    assert answer.count(b"200 OK") == 1
    assert b"Connection: close" in answer


def test_a_chunk_of_any_size_is_not_held_whole(server, application) -> None:
    """It says that it has a gigabyte, and the first bytes are there before the others come."""
    application.wants = 5
    answer = talk(server, CHUNKED, b"40000000\r\nhello")
    assert application.read == [b"hello"]
    assert b"Connection: close" in answer


def test_a_chunked_body_too_large_for_its_address_is_broken(server, application) -> None:
    small = server.small_body_bytes
    talk(server, head(ELSEWHERE, "Transfer-Encoding: chunked"), f"{small + 1:x}\r\n".encode())
    assert "larger" in application.broken


def test_only_the_door_for_large_files_takes_a_large_body(server, application) -> None:
    size = server.small_body_bytes + 1
    assert talk(server, head(ELSEWHERE, f"Content-Length: {size}")).startswith(b"HTTP/1.1 413")
    assert application.read == []
    application.wants = 0
    assert talk(server, head(TUS, f"Content-Length: {size}")).startswith(b"HTTP/1.1 200")
    assert talk(server, head(TUS, f"Content-Length: {server.max_request_body_size + 1}")).startswith(b"HTTP/1.1 413")


def test_what_nobody_read_is_read_before_the_next_request(server, application) -> None:
    application.wants = 0
    request = head(ELSEWHERE, "Content-Length: 300000") + b"x" * 300_000
    assert talk(server, request, request).count(b"200 OK") == 2


def test_a_large_body_that_nobody_reads_ends_the_connection(server, application, monkeypatch) -> None:
    monkeypatch.setattr(bodies, "DRAINED_BYTES", 1000)
    application.wants = 0
    answer = talk(server, head(TUS, "Content-Length: 100000"))
    assert answer.count(b"200 OK") == 1
    assert b"Connection: close" in answer


def test_head_is_answered_without_a_body_and_the_next_request_on_the_line_is_heard(server: Any) -> None:
    first, second = (
        f"{word} /x HTTP/1.1\r\nHost: a\r\n{more}\r\n"
        for word, more in (("HEAD", ""), ("GET", "Connection: close\r\n"))
    )
    told = talk(server, (first + second).encode())
    head, _, rest = told.partition(b"\r\n\r\n")
    assert b"Content-Length: 2" in head
    assert rest.startswith(b"HTTP/1.1 200 OK"), "no body stands between the two answers"
    assert rest.endswith(b"\r\n\r\nok")
