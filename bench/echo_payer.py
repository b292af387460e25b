"""A payer that answers every claim alike after a fixed time, at a tenth of the simulator's cost for each call.

Measured against the simulator, a client that shares its two cores is measured together with it. Reads the answer to give
from stdin (the claim's number in it stands as CLAIM_NUMBER), prints its port, and answers `GET /stats`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

_NUMBER = re.compile(rb'"claimNumber": ?"([A-Za-z0-9]+)"')
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.I)
TOKEN = b'{"access_token": "echo", "expires_in": 3600, "token_type": "Bearer"}'


class Payer:
    """What all connections share. Units: seconds of latency, calls in flight."""

    def __init__(self, answer: bytes, latency: float) -> None:
        self.before, self.after = answer.split(b"CLAIM_NUMBER")
        self.latency = latency
        self.in_flight = 0
        self.most = 0


class Connection(asyncio.Protocol):
    """One kept-alive connection; requests come one after the other, as HTTP clients without pipelining send them."""

    def __init__(self, payer: Payer) -> None:
        self.payer = payer
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self.data = b""
        if head.startswith(b"GET"):
            self._write(json.dumps({"max_in_flight": self.payer.most}).encode())
        elif (number := _NUMBER.search(body)) is None:
            self._write(TOKEN)
        else:
            self.payer.in_flight += 1
            self.payer.most = max(self.payer.most, self.payer.in_flight)
            answer = self.payer.before + number[1] + self.payer.after
            asyncio.get_running_loop().call_later(self.payer.latency, self._answer, answer)

    def _answer(self, body: bytes) -> None:
        self.payer.in_flight -= 1
        self._write(body)

    def _write(self, body: bytes) -> None:
        if not self.transport.is_closing():
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self.transport.write(head + body)


async def main() -> None:
    """Serve until stdin closes."""
    payer = Payer(sys.stdin.buffer.readline().strip(), float(sys.argv[1]))
    server = await asyncio.get_running_loop().create_server(lambda: Connection(payer), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main())
