"""The contract of bytes at rest: an object and the storage that keeps it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Stored:
    """An object at rest. `sha256` is "" where the storage does not keep it; `modified_at` has a zone."""

    key: str
    size_bytes: int
    modified_at: datetime
    sha256: str = ""


@runtime_checkable
class Storage(Protocol):
    """Bytes at rest under a key such as `org/7/uploads/<uuid>/original`, made by the server, never a sender's name.

    Every write is seen whole or not at all. A key's bytes never change, but that `put_file` may replace them.
    `near`: objects are files of this machine, so that `hold` copies nothing.
    Raises: StorageFault from every method while the storage does not answer; ValueError for what is no key.
    """

    near: bool

    def write(self, key: str, source: BinaryIO | Iterable[bytes]) -> int:
        """Store the whole source, atomically. Gives the bytes written. Raises: OutOfSpace, FileExistsError."""

    def put_file(self, key: str, path: Path) -> int:
        """Move a finished local file in under key; gives its bytes. Again: replaces. Raises: OutOfSpace."""

    def open(self, key: str) -> BinaryIO:
        """Open for reading. Raises: FileNotFoundError."""

    def hold(self, key: str, sha256: str = "") -> AbstractContextManager[Path]:
        """Give a local path to the object's bytes, for reading only and while the `with` lasts.

        Raises: FileNotFoundError, OutOfSpace, ObjectChanged where what is fetched has another SHA-256.
        Cost: fetched once for the machine, then kept in its scratch.
        """

    def stat(self, key: str) -> Stored | None:
        """Tell size, time and hash, None where there is no such key."""

    def delete(self, key: str) -> None:
        """Remove; no error where there is none."""

    def delete_under(self, prefix: str) -> int:
        """Remove everything in the folder `prefix`, here and in scratch; gives how many objects went."""

    def listing(self, prefix: str = "") -> Iterator[Stored]:
        """List the object or the folder `prefix` with size and time, sorted by key. Cost: a call for each 1,000."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """List the keys of the same."""

    def clear_unfinished(self, older_than_seconds: float, spare: Collection[str] = ()) -> int:
        """Remove what writers that died left unfinished, but the multipart uploads `spare`; gives how many."""

    def copies(self) -> Sequence[str]:
        """List the keys of which this machine has a copy in its scratch."""

    def drop_copy(self, key: str) -> None:
        """Remove this machine's copy, unless it is in use."""

    def free_bytes(self) -> int | None:
        """Give the bytes left where files are received or copied to, None where it cannot be known."""
