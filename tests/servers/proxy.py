"""A proxy that breaks lines on purpose, in a thread of its own: TCP for Redis and Postgres, HTTP for S3.

with Proxy(port) as line:                   # or Proxy(port, host="10.0.0.1", bind="10.0.0.2")
    line.port                               # where the client goes
    line.latency_seconds = 0.2              # added to every block, each way
    line.black_hole = True                  # half-open: takes connections and bytes, passes nothing on
    line.swallow_answers = True             # what the server says is lost; what the client says arrives
    line.cut(); line.cut(reset=True)        # end every connection there is
    line.refuse(); line.accept()            # connection refused, and not any more

with HttpProxy(port) as line:
    line.plan("503", times=2, method="GET", path="original")    # FAULTS; the next two that fit get it
    line.share = 0.1                        # one request in ten gets a fault, seeded by `seed`
    line.seen                               # (method, path, fault or "")
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.servers.ports import free_port

_BLOCK = 64 * 1024
FAULTS = ("503", "500", "500_after", "404", "skew", "reset", "reset_request", "truncate", "corrupt", "slow", "hang")
_ANSWERS = {
    "503": (503, "SlowDown"),
    "500": (500, "InternalError"),
    "500_after": (500, "InternalError"),
    "404": (404, "NoSuchKey"),
    "skew": (403, "RequestTimeTooSkewed"),
}


class Proxy:
    """Passes bytes both ways between a port of its own and a server's."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", bind: str = "127.0.0.1") -> None:
        self._server_at = (host, port)
        self._bind = bind
        self.port = 0
        self.latency_seconds = 0.0
        self.bytes_per_second = 0.0
        self.black_hole = False
        self.swallow_answers = False
        self.connections = 0
        self.lost_bytes = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    # ---------------------------------------------------------------------------------------- its life

    def __enter__(self) -> Any:
        self._thread.start()
        self.accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def _do(self, coroutine: Callable[..., Any], *arguments: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine(*arguments), self._loop).result(60)

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---------------------------------------------------------------------------------------- faults

    def accept(self) -> None:
        """Listen (again), on the same port."""
        if self._listener is None:
            self._do(self._listen)

    async def _listen(self) -> None:
        self.port = self.port or free_port()
        self._listener = await asyncio.start_server(self._begin, self._bind, self.port)

    def refuse(self) -> None:
        """Take no connection, and end those there are."""
        if self._listener is not None:
            self._do(self._close)
        self.cut(reset=True)

    async def _close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        self._listener = None

    def cut(self, *, reset: bool = False) -> None:
        """End every connection, by RST where `reset`."""
        self._do(self._cut, reset)

    async def _cut(self, reset: bool) -> None:
        for writer in list(self._writers):
            _end_line(writer, reset=reset)

    # ---------------------------------------------------------------------------------------- passing on

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._converse(reader, writer)
        finally:
            self._writers.discard(writer)
            _end_line(writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join the two ends until one of them hangs up."""
        server_reader, server_writer = await asyncio.open_connection(*self._server_at)
        self._writers.add(server_writer)
        try:
            ways = {
                asyncio.ensure_future(self._pass(reader, server_writer, lambda: self.black_hole)),
                asyncio.ensure_future(
                    self._pass(server_reader, writer, lambda: self.black_hole or self.swallow_answers)
                ),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._writers.discard(server_writer)
            _end_line(server_writer)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: Callable[[], bool] = lambda: False
    ) -> None:
        """Pass blocks on, late, slow or not at all."""
        while block := await reader.read(_BLOCK):
            if self.latency_seconds:
                await asyncio.sleep(self.latency_seconds)
            if self.bytes_per_second:
                await asyncio.sleep(len(block) / self.bytes_per_second)
            if lost():
                self.lost_bytes += len(block)
            else:
                writer.write(block)
                await writer.drain()
        while lost():  # a peer that goes into a black hole is not seen to go
            await asyncio.sleep(0.05)


@dataclass
class _Plan:
    """A fault for the requests to come."""

    fault: str
    times: int
    method: str
    path: str

    def fits(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in ("", method) and self.path in path


class HttpProxy(Proxy):
    """Passes HTTP requests on, each on a connection of its own, and gives some of them a fault."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", bind: str = "127.0.0.1", seed: int = 1) -> None:
        super().__init__(port, host=host, bind=bind)
        self.seen: list[tuple[str, str, str]] = []
        self.share = 0.0
        self.shared_faults: tuple[str, ...] = ("503", "500", "500_after", "reset", "reset_request", "truncate")
        self.hang_seconds = 60.0
        self.slow_bytes_per_second = 20_000.0
        self._random = random.Random(seed)
        self._plans: list[_Plan] = []

    def plan(self, fault: str, *, times: int = 1, method: str = "", path: str = "") -> None:
        """Give the next requests that fit a fault."""
        assert fault in FAULTS, fault
        self._plans.append(_Plan(fault, times, method, path))

    def clear(self) -> None:
        """Forget plans and what was seen."""
        self._plans.clear()
        self.seen.clear()
        self.share = 0.0

    def _choose(self, method: str, path: str) -> str:
        for plan in self._plans:
            if plan.fits(method, path):
                plan.times -= 1
                return plan.fault
        return self._random.choice(self.shared_faults) if self._random.random() < self.share else ""

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request, and answer it or have it answered."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, path = head.split(b" ", 2)[:2]
        fault = self._choose(method.decode(), path.decode())
        self.seen.append((method.decode(), path.decode(), fault))
        fields = _fields(head)
        length = int(fields.get(b"content-length", b"0"))
        if fault in ("503", "500", "404", "skew", "hang", "reset_request"):
            await self._answer_alone(reader, writer, fault, length, b"expect" in fields)
        else:
            await self._relay(reader, writer, head, length, fault)

    async def _answer_alone(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: str, length: int, expects: bool
    ) -> None:
        """Answer without asking the server."""
        if expects:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if fault == "reset_request":
            await reader.read(min(length // 2, _BLOCK))
            return _end_line(writer, reset=True)
        await _skip(reader, length)
        if fault == "hang":
            await asyncio.sleep(self.hang_seconds)
            return None
        writer.write(_error_answer(fault))
        return await writer.drain()

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, length: int, fault: str
    ) -> None:
        """Have the server answer, and spoil the answer."""
        server_reader, server_writer = await asyncio.open_connection(*self._server_at)
        self._writers.add(server_writer)
        sending = asyncio.ensure_future(_send(reader, server_writer, _closing(head), length))
        try:
            await self._spoil(server_reader, writer, fault)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._writers.discard(server_writer)
            _end_line(server_writer)

    async def _spoil(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: str) -> None:
        """Pass the answer on, as the fault has it."""
        head = await reader.readuntil(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            writer.write(head)
            head = await reader.readuntil(b"\r\n\r\n")
        if fault == "":
            writer.write(head)
            return await self._pass(reader, writer)
        body = await reader.read(-1)
        if fault == "500_after":
            writer.write(_error_answer(fault))
        elif fault == "corrupt":
            writer.write(head + bytes([body[0] ^ 1] if body else b"") + body[1:])
        elif fault == "slow":
            await self._drip(writer, head + body)
        else:
            writer.write(head + body[: len(body) // 2] if body else head[: len(head) // 2])
            await writer.drain()
            _end_line(writer, reset=fault == "reset")
        return None

    async def _drip(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send it drop by drop."""
        step = max(1, int(self.slow_bytes_per_second / 20))
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            await asyncio.sleep(0.05)


def _end_line(writer: asyncio.StreamWriter, *, reset: bool = False) -> None:
    """Hang up."""
    with suppress(OSError, RuntimeError):
        if reset:
            line = writer.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        writer.close()


def _fields(head: bytes) -> dict[bytes, bytes]:
    """Read the header fields, names in small letters."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}


def _closing(head: bytes) -> bytes:
    """Ask the server to hang up after its answer."""
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])


async def _skip(reader: asyncio.StreamReader, length: int) -> None:
    """Read a body and forget it."""
    while length > 0 and (block := await reader.read(min(length, _BLOCK))):
        length -= len(block)


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, length: int) -> None:
    """Send a request with its body."""
    writer.write(head)
    while length > 0 and (block := await reader.read(min(length, _BLOCK))):
        length -= len(block)
        writer.write(block)
        await writer.drain()


def _error_answer(fault: str) -> bytes:
    """Write an error as S3 does."""
    status, code = _ANSWERS[fault]
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>planned</Message></Error>'
    head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()
