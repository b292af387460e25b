"""How the web server treats request bodies: how large each address may have them, and what becomes of one nobody reads."""

from __future__ import annotations

from typing import Any

from cheroot.server import HTTPConnection, HTTPRequest

# The doors that a whole file goes through in one request; whoever answers there reads it in blocks.
LARGE = (b"/api/v1/uploads/tus/", b"/precheck-validation/upload")
_BLOCK_BYTES = 256 * 1024
_MAX_LINE = 1024
# A sender that is answered early is read to its end up to here, so that it sees the answer; beyond it is cut off.
DRAINED_BYTES = 64 * 1024 * 1024


class Chunks:
    """A chunked body, read as it comes: the server's own reader would hold a chunk whole, whatever its size."""

    def __init__(self, source: Any, limit: int) -> None:
        self._source = source
        self._left = 0
        self._room = limit
        self.closed = False

    def read(self, size: int = _BLOCK_BYTES) -> bytes:
        """Give up to `size` bytes, fewer only at the end. Raises: ValueError where it is not chunked as it should be."""
        data = bytearray()
        while len(data) < size and not self.closed:
            if not self._left:
                self._next()
                continue
            block = self._source.read(min(self._left, size - len(data)))
            if not block:
                raise ValueError("The body ends in the middle of a chunk.")
            data += block
            self._left -= len(block)
            if not self._left and self._source.read(2) != b"\r\n":
                raise ValueError("A chunk does not end where it says.")
        return bytes(data)

    def _next(self) -> None:
        """Read a chunk's size; that of the last is 0, and behind it may stand fields."""
        line = self._source.readline(_MAX_LINE)
        self._left = int(line.split(b";", 1)[0], 16)
        self._room -= self._left
        if self._left < 0 or self._room < 0:
            raise ValueError("The body is larger than this address takes.")
        if not self._left:
            while self._source.readline(_MAX_LINE).strip():
                pass
            self.closed = True


class Request(HTTPRequest):
    """A request whose body may be as large as its address takes it."""

    def read_request_headers(self) -> bool:
        """Refuse a body that is too large for its address. Gives False where it was answered."""
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        if int(self.inheaders.get(b"Content-Length", 0)) > self._most():
            self.simple_response("413 Request Entity Too Large", "The request is larger than this address takes.")
            return False
        return True

    def _most(self) -> int:
        """Give the most bytes that this address takes."""
        large = any(self.path.startswith(start) for start in LARGE)
        most: int = self.server.max_request_body_size if large else self.server.small_body_bytes
        return most

    def respond(self) -> None:
        """Answer, with a chunked body read as it comes."""
        if not self.chunked_read:
            super().respond()
            return
        self.rfile = Chunks(self.conn.rfile, self._most())
        self.server.gateway(self).respond()
        if self.ready:
            self.ensure_headers_sent()
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")

    def write(self, chunk: bytes) -> None:
        """Send a block; never in answer to HEAD, after which a client takes it for the start of the next answer."""
        if self.method != b"HEAD":
            super().write(chunk)

    def send_headers(self) -> None:
        """Read what the application left of the body, block by block, or end the connection with this answer."""
        if self.chunked_read:
            self.close_connection = self.close_connection or not self.rfile.closed
        elif self.rfile.remaining > DRAINED_BYTES:
            self.close_connection = True
        while not self.close_connection and not self.chunked_read and self.rfile.remaining:
            if not self.rfile.read(_BLOCK_BYTES):
                self.close_connection = True
        super().send_headers()


class Connection(HTTPConnection):
    """A connection of such requests."""

    RequestHandlerClass = Request


def limit_bodies(server: Any, small_bytes: int, large_bytes: int) -> None:
    """Let a server take bodies of so many bytes, and larger ones where they are read in blocks.

    These are hard limits above the doors' own, which answer in words.
    """
    server.ConnectionClass = Connection
    server.small_body_bytes, server.max_request_body_size = small_bytes, large_bytes
