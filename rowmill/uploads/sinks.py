"""Where bytes that are appended go: a file of this machine, or parts of at least 8 MiB in a bucket with a tail beside them."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from django.conf import settings

from rowmill.errors import LostLease, StorageFault
from rowmill.models import PartPlace, SessionState, UploadPart, UploadSession
from rowmill.storage import Assembly, LocalStorage, open_assembly
from rowmill.storage.local_append import FENCE, FileAppender
from rowmill.storage.local_parts import INCOMING
from rowmill.uploads.places import folder_key, get_storage, original_key

PART_BYTES = 8 * 1024 * 1024
MOST_PARTS = 9_000
TAIL = "tail"


@dataclass(frozen=True, slots=True)
class Saved:
    """What is durable: bytes up to `offset`, and the parts that are to be written down with it."""

    offset: int
    parts: tuple[UploadPart, ...] = ()


class Sink(Protocol):
    """Takes bytes at `offset`, which grows. Raises from every method: LostLease, OutOfSpace, FileNotFoundError."""

    @property
    def offset(self) -> int:
        """Give where the next block goes."""

    def write(self, block: bytes) -> None:
        """Take a block."""

    def save(self) -> Saved:
        """Make durable what can be; in a bucket that is whole parts only."""

    def save_end(self, *, whole: bool) -> Saved:
        """Make all durable. `whole`: these were the file's last bytes."""

    def forget_old(self) -> None:
        """Remove what the bytes that are committed now stand in the place of."""

    def close(self) -> None:
        """Let go of it."""


def part_bytes(size_bytes: int | None) -> int:
    """Give the size of a file's parts in a bucket: even the largest has fewer than MOST_PARTS of them."""
    size: int = settings.ROWMILL_MAX_FILE_BYTES if size_bytes is None else size_bytes
    return max(PART_BYTES, -(-size // MOST_PARTS))


def forget_leavings(session: UploadSession) -> None:
    """Remove what stood beside a file while it was appended to. Only once it is finished: nobody may append any more."""
    storage, folder = get_storage(), folder_key(session.upload)
    for key in list(storage.keys(folder)):
        if key == f"{folder}/{FENCE}" or key.startswith(f"{folder}/{TAIL}-"):
            storage.delete(key)


def open_sink(session: UploadSession) -> Sink:
    """Open the end of a session's file, for who holds its fence. Raises: FileNotFoundError, LostLease."""
    storage = get_storage()
    if isinstance(storage, LocalStorage):
        path = storage.local_path(f"{folder_key(session.upload)}/{INCOMING}")
        return FileSink(FileAppender(path, session.claims, session.offset_bytes))
    return BucketSink(session, open_assembly(storage))


class FileSink:
    """The end of a file of this machine."""

    def __init__(self, end: FileAppender) -> None:
        self._end = end

    @property
    def offset(self) -> int:
        """Give where the next block goes."""
        return self._end.offset

    def write(self, block: bytes) -> None:
        """Write on."""
        self._end.write(block)

    def save(self) -> Saved:
        """Sync."""
        self._end.sync()
        return Saved(self.offset)

    def save_end(self, *, whole: bool) -> Saved:
        """Sync."""
        return self.save()

    def forget_old(self) -> None:
        """There is nothing."""

    def close(self) -> None:
        """Close the file."""
        self._end.close()


class BucketSink:
    """The end of a multipart upload.

    All its parts are of one size, so a part holds the same range of the file whoever sends it, and one that a dead holder
    sends late is the same part again, or another one that the completing refuses by its ETag. What is less than a part
    lies as a small object of its own, named by its holder's fence, until the next request brings it back.
    """

    def __init__(self, session: UploadSession, assembly: Assembly) -> None:
        self._end = session.offset_bytes
        self._session = session
        self._assembly = assembly
        self._key = original_key(session.upload)
        self._number, self._filled = divmod(self._end, session.chunk_bytes)
        self._made: list[UploadPart] = []
        self._saved = 0
        self._old = session.parts.filter(place=PartPlace.PIECE).first()
        folder: Path = settings.SCRATCH_DIR
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / f"append-{uuid4().hex}"
        self._spool = self._path.open("xb")
        try:
            self._bring_back()
        except BaseException:
            self.close()
            raise

    @property
    def offset(self) -> int:
        """Give where the next block goes."""
        return self._end

    def write(self, block: bytes) -> None:
        """Fill the part, and send it when it is full."""
        view = memoryview(block)
        while view:
            piece = view[: self._session.chunk_bytes - self._filled]
            self._spool.write(piece)
            self._filled += len(piece)
            self._end += len(piece)
            view = view[len(piece) :]
            if self._filled == self._session.chunk_bytes:
                self._send()

    def save(self) -> Saved:
        """Give the whole parts there are."""
        whole = self._number * self._session.chunk_bytes
        return Saved(max(whole, self._session.offset_bytes), self._parts())

    def save_end(self, *, whole: bool) -> Saved:
        """Send what is left: as the last part, or as the tail."""
        if self._filled and whole:
            self._send()
        elif self._filled:
            self._keep_tail()
        return Saved(self.offset, self._parts())

    def forget_old(self) -> None:
        """Remove the tail that was brought back. What a crash leaves goes when the file is finished."""
        if self._old:
            with suppress(StorageFault):
                get_storage(patient=False).delete(self._tail_key(self._old.etag))

    def close(self) -> None:
        """Remove the spool."""
        self._spool.close()
        self._path.unlink(missing_ok=True)

    def _parts(self) -> tuple[UploadPart, ...]:
        """Give the parts made since the last time."""
        made = tuple(self._made[self._saved :])
        self._saved = len(self._made)
        return made

    def _send(self) -> None:
        """Send the spool as a part."""
        self._need_fence()
        self._spool.flush()
        part = self._assembly.put_part(
            self._key,
            self._session.storage_token,
            self._number + 1,
            self._path,
            offset=self._number * self._session.chunk_bytes,
        )
        self._note(PartPlace.PART, part.etag)
        self._number, self._filled = self._number + 1, 0
        self._spool.seek(0)
        self._spool.truncate()

    def _keep_tail(self) -> None:
        """Store the spool as an object of its own."""
        self._need_fence()
        self._spool.flush()
        with self._path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = str(self._session.claims)
        get_storage().put_file(self._tail_key(name), self._path)
        self._note(PartPlace.PIECE, name, digest)

    def _bring_back(self) -> None:
        """Put the tail into the spool. Raises: StorageFault where it is not what was stored."""
        if not self._filled:
            return
        digest = hashlib.sha256()
        if self._old:
            with get_storage().open(self._tail_key(self._old.etag)) as tail:
                for block in iter(lambda: tail.read(1 << 20), b""):
                    digest.update(block)
                    self._spool.write(block)
        if self._old is None or digest.hexdigest() != self._old.digest or self._spool.tell() != self._filled:
            raise StorageFault("The storage does not have all bytes that it was given.")

    def _tail_key(self, name: str) -> str:
        """Give the key of a tail."""
        return f"{folder_key(self._session.upload)}/{TAIL}-{name}"

    def _note(self, place: PartPlace, etag: str, digest: str = "") -> None:
        """Make the record of what was sent."""
        session = self._session
        self._made.append(
            UploadPart(
                org_id=session.org_id,
                session=session,
                number=self._number,
                size_bytes=self._filled,
                digest=digest,
                etag=etag,
                place=place,
            )
        )

    def _need_fence(self) -> None:
        """Raises: LostLease where somebody newer appends: what is sent now would come too late."""
        if not UploadSession.objects.filter(
            pk=self._session.pk, state=SessionState.OPEN, claims=self._session.claims
        ).exists():
            raise LostLease("A newer request took this upload over; nothing of this one was kept.")
