"""Sends a large file in chunks that arrive whatever happens on the way: the sending side of the chunk door (api/chunks.py)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import aiohttp

from rowmill.cli.bars import Bar
from rowmill.cli.client import Client, Refused

RESUMABLE_BYTES = 8 * 1024 * 1024  # below it a file goes up whole
CHUNK_BYTES = 0  # as the server likes it
STALL_SECONDS = 120.0  # a line on which nothing moves for so long is given up and the chunk sent anew
PATIENCE_SECONDS = 900.0  # so long nothing may get through before the command gives up
LONGEST_WAIT_SECONDS = 30.0
_EDGE_BYTES = 1024 * 1024
_LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
# Another call is at it; or what arrived of a chunk is not what was sent.
_PASSING_CODES = frozenset({"in_progress", "checksum_mismatch", "cut_off"})

T = TypeVar("T")


def make_fingerprint(file: Path) -> str:
    """Give what tells this file from others without reading all of it: name, size, time, first and last MiB."""
    found = file.stat()
    digest = hashlib.sha256(f"{file.name}|{found.st_size}|{found.st_mtime_ns}|".encode())
    with file.open("rb") as opened:
        digest.update(opened.read(_EDGE_BYTES))
        opened.seek(max(found.st_size - _EDGE_BYTES, 0))
        digest.update(opened.read(_EDGE_BYTES))
    return digest.hexdigest()


class Patience:
    """Makes a call again and again while its failure may pass, with longer and longer waits."""

    def __init__(self, say: Callable[[str], None], seconds: float = PATIENCE_SECONDS) -> None:
        self._say = say
        self._seconds = seconds
        self._last = float("-inf")  # when something got through; before that there is nobody to be patient with

    async def keep_on(self, make: Callable[[], Awaitable[T]]) -> T:
        """Give what the call gives. Raises: what its last try raised, once the patience is at its end; Refused at once."""
        attempt = 0
        while True:
            try:
                given = await make()
            except (Refused, *_LOST) as error:
                attempt += 1
                await self._wait(error, attempt)
            else:
                self._last = time.monotonic()
                self._say("")
                return given

    async def _wait(self, error: Exception, attempt: int) -> None:
        """Wait before the next try. Raises: the error where there shall be none."""
        if not may_pass(error) or time.monotonic() - self._last > self._seconds:
            raise error
        seconds = min(0.25 * 2**attempt, LONGEST_WAIT_SECONDS) * random.uniform(0.5, 1)
        if isinstance(error, Refused):
            seconds = max(seconds, min(error.retry_after_seconds, 300.0))
            self._say("the server is busy; trying again")
        else:
            self._say("no connection; trying again")
        await asyncio.sleep(seconds)


def may_pass(error: Exception) -> bool:
    """Tell whether the same call may succeed later: the line broke, or the server is busy or being started."""
    if not isinstance(error, Refused):
        return True
    return error.status in _PASSING or error.problem.get("code") in _PASSING_CODES


class _Piece(io.BytesIO):
    """A chunk on its way, which tells how far it has gone."""

    def __init__(self, data: bytes, told: Callable[[int], None]) -> None:
        super().__init__(data)
        self._told = told

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on and tell."""
        data = super().read(size)
        self._told(len(data))
        return data


@dataclass
class _Session:
    """What the server said of the upload. Units: chunks count from 0."""

    upload_id: str
    key: str
    chunk_bytes: int
    chunk_count: int
    there: set[int] = field(default_factory=set)

    @property
    def missing(self) -> list[int]:
        """Give the chunks to be sent, in order."""
        return [index for index in range(self.chunk_count) if index not in self.there]


class Sender:
    """Sends one file."""

    def __init__(self, client: Client, file: Path, options: dict[str, str], parallel: int, bar: Bar) -> None:
        self._client = client
        self._file = file
        self._size = file.stat().st_size
        self._options = options
        self._parallel = parallel
        self._bar = bar
        self._patience = Patience(bar.say)
        self._session: _Session | None = None
        self._sha256 = ""
        self._all_there = False

    async def send(self) -> str:
        """Send what the server does not have yet, and have it put together. Gives the upload's id.

        Raises: Refused where the server does not want it, or has other bytes; a connection's error once patience ends.
        """
        begun_anew = False
        while True:
            try:
                await self._open()
                return await self._send_all()
            except Refused as refused:
                if begun_anew or self._session is None or not _is_gone(refused):
                    raise
                begun_anew = True

    async def abandon(self) -> str:
        """Drop what is there of the file. Gives words."""
        session = await self._open()
        await self._post("cancel", {"uploadId": session.upload_id})
        if not session.there:
            return "Nothing of this file was there."
        return f"Dropped: {len(session.there):,} of {session.chunk_count:,} chunks of this file had arrived."

    def left(self) -> str:
        """Say what a sending that was stopped leaves behind; "" for nothing."""
        if self._session is None:
            return ""
        if self._all_there:
            return "The whole file is there: the server checks it and starts its job without this command."
        share = f"{len(self._session.there):,} of {self._session.chunk_count:,} chunks are there"
        return f"{share}. To go on, run the same command again; to drop them, add --abandon."

    # ---------------------------------------------------------------------------------------- the five calls

    async def _open(self) -> _Session:
        """Begin, or take up what an earlier run began."""
        wanted: dict[str, Any] = {
            "fileName": self._file.name,
            "fileSize": self._size,
            "fingerprint": await asyncio.to_thread(make_fingerprint, self._file),
            **self._options,
        }
        if CHUNK_BYTES:
            wanted |= {"totalChunks": -(-self._size // CHUNK_BYTES), "chunkSize": CHUNK_BYTES}
        told = await self._post("init", wanted)
        size = int(told["chunkSize"])
        count = -(-self._size // size)
        self._session = _Session(told["uploadId"], told["s3Key"], size, count, set(told["receivedChunks"]))
        self._bar.begin_at(self._size_of(self._session.there))
        return self._session

    async def _post(self, verb: str, told: dict[str, Any]) -> Any:
        """Make one of the calls in JSON."""
        return await self._patience.keep_on(lambda: self._client.call("POST", f"/api/upload/{verb}/", json=told))

    async def _send_all(self) -> str:
        """Send until the server says that nothing is missing."""
        session = self._need_session()
        while True:
            self._sha256 = await self._send_missing(session)
            try:
                return await self._complete(session)
            except Refused as refused:
                if refused.problem.get("code") != "chunk_missing":
                    raise
                self._forget(session, refused.problem.get("missing") or ())

    async def _complete(self, session: _Session) -> str:
        """Have the chunks put together, and compare the server's hash with ours."""
        self._bar.say("all there; being put together")
        told = {"uploadId": session.upload_id, "sha256": self._sha256, **self._options}
        answer: dict[str, Any] = await self._post("complete", told)
        _need_same(self._sha256, answer)
        self._all_there = True
        return session.upload_id

    def _forget(self, session: _Session, missing: Iterable[int]) -> None:
        """Count chunks as missing that the server does not have."""
        gone = set(missing) & session.there or set(session.there)
        session.there -= gone
        self._bar.advance(-self._size_of(gone))

    def _need_session(self) -> _Session:
        assert self._session is not None
        return self._session

    def _size_of(self, chunks: Iterable[int]) -> int:
        """Give how many bytes chunks have together."""
        size = self._need_session().chunk_bytes
        return sum(min(size, self._size - index * size) for index in chunks)

    # ---------------------------------------------------------------------------------------- the bytes

    async def _send_missing(self, session: _Session) -> str:
        """Read the file once from its start, hash all of it, and send the chunks that are missing. Gives the SHA-256."""
        pieces: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(1)
        try:
            async with asyncio.TaskGroup() as carriers:
                for _ in range(self._parallel):
                    carriers.create_task(self._carry(session, pieces))
                sha256 = await self._read(session, pieces)
                for _ in range(self._parallel):
                    await pieces.put(None)
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        return sha256

    async def _read(self, session: _Session, pieces: asyncio.Queue[tuple[int, bytes] | None]) -> str:
        """Read and hash the file, and hand its missing chunks to the carriers. Raises: Refused for a changed file."""
        whole, missing = hashlib.sha256(), set(session.missing)
        before = self._file.stat()
        with self._file.open("rb") as opened:
            for index in range(session.chunk_count):
                data = await asyncio.to_thread(_read_on, opened, session.chunk_bytes, whole)
                if index in missing:
                    await pieces.put((index, data))
        after = self._file.stat()
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns) or after.st_size != self._size:
            raise Refused(0, {"detail": "The file has changed while it was being sent.", "code": "file_changed"})
        return whole.hexdigest()

    async def _carry(self, session: _Session, pieces: asyncio.Queue[tuple[int, bytes] | None]) -> None:
        """Send one chunk after another."""
        while (piece := await pieces.get()) is not None:
            index, data = piece
            sha256 = (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
            fields = {"uploadId": session.upload_id, "chunkIndex": str(index), "sha256": sha256}
            await self._patience.keep_on(partial(self._send_chunk, fields, data))
            session.there.add(index)

    async def _send_chunk(self, fields: dict[str, str], data: bytes) -> None:
        """Send a chunk. Raises: TimeoutError where nothing moves; what did not arrive is taken back from the bar."""
        gone = 0
        async with asyncio.timeout(STALL_SECONDS) as limit:

            def moved(count: int) -> None:
                nonlocal gone
                gone += count
                self._bar.advance(count)
                limit.reschedule(asyncio.get_running_loop().time() + STALL_SECONDS)

            def form() -> aiohttp.FormData:
                moved(-gone)
                made = aiohttp.FormData(fields)
                made.add_field("chunk", _Piece(data, moved), filename="chunk", content_type="application/octet-stream")
                return made

            try:
                await self._client.call("POST", "/api/upload/chunk/", form=form, timeout=_no_limit())
            except BaseException:
                self._bar.advance(-gone)
                raise


def _no_limit() -> aiohttp.ClientTimeout:
    """Leave the time to `_send_chunk`, which knows whether something moves."""
    return aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=None)


def _read_on(opened: BinaryIO, size: int, whole: Any) -> bytes:
    """Read a chunk and hash it."""
    data = opened.read(size)
    whole.update(data)
    return data


def _is_gone(refused: Refused) -> bool:
    """Tell whether the session ran out, or was dropped, so that the file has to be begun anew."""
    return refused.status in {404, 410}


def _need_same(sha256: str, answer: dict[str, Any]) -> None:
    """Raises: Refused where the server holds other bytes than were read here."""
    theirs = str(answer.get("sha256") or "")
    if theirs and theirs != sha256:
        words = "What the server put together is not the file that was read here. Send it again."
        raise Refused(0, {"detail": words, "code": "hash_mismatch"})
