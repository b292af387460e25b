"""The proxy breaks lines as it is told: a fault test that passes because nothing was broken is worth nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.crash.server import wait_for
from tests.servers.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says everything again."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(line: socket.socket) -> None:
        with line:
            try:
                while data := line.recv(1000):
                    line.sendall(data)
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(line,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def call(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=60)


def say(line: socket.socket, words: bytes = b"hello") -> bytes:
    line.sendall(words)
    return line.recv(100)


def test_it_passes_everything_on(echo: int):
    with Proxy(echo) as proxy, call(proxy) as line:
        assert say(line) == b"hello"
        assert say(line, b"again") == b"again"
        assert proxy.connections == 1


def test_a_cut_ends_the_line_and_a_reset_breaks_it(echo: int):
    with Proxy(echo) as proxy:
        with call(proxy) as line:
            say(line)
            proxy.cut()
            assert line.recv(1) == b""
        with call(proxy) as line:
            say(line)
            proxy.cut(reset=True)
            with pytest.raises(ConnectionResetError):
                line.recv(1)
        with call(proxy) as line:
            assert say(line) == b"hello"


def test_a_black_hole_takes_all_and_gives_nothing(echo: int):
    with Proxy(echo) as proxy, call(proxy) as line:
        say(line)
        proxy.black_hole = True
        line.settimeout(0.3)
        with pytest.raises(TimeoutError):
            say(line)
        with call(proxy) as new:
            new.settimeout(0.3)
            with pytest.raises(TimeoutError):
                say(new)
        wait_for(lambda: proxy.lost_bytes == 2 * len(b"hello"), 60, "it has not lost what was said")
        proxy.black_hole = False
        line.settimeout(60)
        assert say(line, b"back") == b"back"


def test_lost_answers_are_lost(echo: int):
    with Proxy(echo) as proxy, call(proxy) as line:
        proxy.swallow_answers = True
        line.settimeout(0.3)
        with pytest.raises(TimeoutError):
            say(line)


def test_a_refusal_is_one_and_ends(echo: int):
    with Proxy(echo) as proxy:
        port = proxy.port
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            call(proxy)
        proxy.accept()
        assert proxy.port == port
        with call(proxy) as line:
            assert say(line) == b"hello"
