"""A Redis of a test's own: `with redis_server() as redis:`; it can be killed, emptied, frozen and thawed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.ports import free_port


class RedisServer:
    """One redis-server on a free port of 127.0.0.1, and of other addresses of this machine; nothing outlives it."""

    def __init__(self, program: str, folder: Path, *addresses: str) -> None:
        self._program, self._folder, self._addresses = program, folder, addresses
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        command = [self._program, "--port", str(self.port), "--dir", str(self._folder)]
        command += ["--bind", "127.0.0.1", *self._addresses, *(["--protected-mode", "no"] if self._addresses else [])]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + 120
        while not self.answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.02)

    def answers(self) -> bool:
        """Tell whether it answers a PING within a second."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(1)
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """kill -9; all it held is gone. Again: yes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def restart_empty(self) -> None:
        """Kill it and start it on the same port without its data."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """Send one command and read the beginning of its answer."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.settimeout(5)
            connection.sendall((" ".join(words) + "\r\n").encode())
            return connection.recv(65536)


@contextlib.contextmanager
def redis_server(*addresses: str) -> Iterator[RedisServer]:
    """Run one, reached on `addresses` too; skip the test where redis-server is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (make system)")
    with tempfile.TemporaryDirectory(prefix="rowmill-redis-") as folder:
        server = RedisServer(program, Path(folder), *addresses)
        try:
            server.start()
            yield server
        finally:
            server.kill()
