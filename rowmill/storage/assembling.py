"""The contract `Assembly`: a file that is put together under its key, from parts that come in any order.

    assembly = open_assembly(get_storage())
    token = assembly.begin(key)                                     # once; keep the token with the session
    assembly.put_part(key, token, number, path, offset=offset)      # durable when it returns; any order, in parallel, again
    assembly.complete(key, token, parts, size_bytes)                # the object is there, whole, under its key; again: yes
    assembly.abort(key, token)                                      # what was under way is gone; again: yes

A near storage puts every part at its offset in one file beside the key (`InFile` also takes bytes, and cuts back); a
bucket makes a multipart upload of it (`InBucket` also lists the parts it has, and signs addresses for them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeGuard, runtime_checkable

from rowmill.contracts import Storage
from rowmill.errors import ConfigError, InputError

LEAST_PART_BYTES = 5 * 1024 * 1024
MOST_PARTS = 10_000
SIGNED_SECONDS = 15 * 60


Told = Callable[[], None]


def nothing_told() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is stored. Units: `number` 1-based, as S3 counts; `etag` is "" in a near storage."""

    number: int
    size_bytes: int
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A file that was begun and neither completed nor given up: its key, its token, and since when (with a zone)."""

    key: str
    token: str
    begun_at: datetime


class Assembly(Protocol):
    """A file under way. `key` is that of the finished object, `token` what `begin` gave.

    `least_part_bytes`: every part but the last must have so many (0: any size). Offsets only count in a near storage,
    numbers only in a bucket: give both. Raises: StorageFault from every method while the storage does not answer.
    """

    least_part_bytes: int

    def begin(self, key: str) -> str:
        """Begin a file; gives its token. Again: a near storage goes on with the file there is, a bucket begins another."""

    def put_part(self, key: str, token: str, number: int, path: Path, *, offset: int) -> Part:
        """Store a local file as one part: `number` is 1-based, `offset` where its first byte belongs in the whole.

        It is durable when this returns. `path` stays.
        Raises: FileNotFoundError where the file was never begun, completed or given up; OutOfSpace.
        Again: yes, the newer bytes count; two at once at one place never mix.
        """

    def complete(self, key: str, token: str, parts: Sequence[Part], size_bytes: int) -> None:
        """Make the object of its parts, in the order of their numbers, and see that it has `size_bytes`.

        Raises: InputError wrong_size where it has another size; FileNotFoundError where there is neither parts nor object.
        Again: yes, also after a crash; an object of that size under the key means that it is done.
        """

    def abort(self, key: str, token: str) -> None:
        """Give up what is under way; an object that is complete already stays. Again: yes."""

    def digest(self, key: str, told: Told = nothing_told) -> str:
        """Read the finished object through and give its SHA-256 in hex; `told` is called on the way, with each block.

        Raises: FileNotFoundError, OutOfSpace. Cost: a bucket's object becomes this machine's copy, hashed as it comes.
        """


@runtime_checkable
class InFile(Assembly, Protocol):
    """The assembly of a near storage: one file `incoming` in the folder of the key. Its token is ""."""

    def alone(self, key: str, number: int) -> AbstractContextManager[None]:
        """Be the only one at this part, of all threads and processes, while the `with` lasts. Raises: FileNotFoundError."""

    def reading(self, key: str) -> AbstractContextManager[int]:
        """Give a handle to read the file under way by. Raises: FileNotFoundError."""

    def has_same(self, key: str, blocks: Iterable[bytes | memoryview], offset: int) -> bool:
        """Tell whether the file under way has these bytes at an offset. Raises: FileNotFoundError."""

    def write_at(self, key: str, offset: int, data: bytes | memoryview) -> None:
        """Store bytes at an offset; durable when it returns. Raises: FileNotFoundError, OutOfSpace. Again: yes."""

    def size_bytes(self, key: str) -> int:
        """Give how far the file reaches. Raises: FileNotFoundError where it was not begun, or is over."""

    def truncate(self, key: str, size_bytes: int) -> None:
        """Cut the file back to its first bytes. Raises: FileNotFoundError."""


@runtime_checkable
class InBucket(Assembly, Protocol):
    """The assembly of a bucket: a multipart upload. Its token is S3's UploadId."""

    def list_parts(self, key: str, token: str) -> list[Part]:
        """Ask the bucket which parts it has, by number. Raises: FileNotFoundError. Cost: a call for each 1,000."""

    def presign_part(self, key: str, token: str, number: int, size_bytes: int) -> str:
        """Sign an address to which anybody may PUT this one part, of exactly this size, for SIGNED_SECONDS."""

    def unfinished(self, prefix: str = "") -> list[Unfinished]:
        """List what was begun under the folder `prefix` and is not over. Cost: a call for each 1,000."""


@runtime_checkable
class _Assembles(Protocol):
    """A storage that has an assembly."""

    def assembly(self) -> Assembly:
        """Give it."""


def open_assembly(storage: Storage) -> Assembly:
    """Give a storage's assembly. Raises: ConfigError where it has none."""
    if not isinstance(storage, _Assembles):
        raise ConfigError("This storage cannot put files together from parts.")
    return storage.assembly()


def is_in_file(assembly: Assembly) -> TypeGuard[InFile]:
    """Tell whether parts are put into one file of this machine."""
    return isinstance(assembly, InFile)


def is_in_bucket(assembly: Assembly) -> TypeGuard[InBucket]:
    """Tell whether parts go into a bucket."""
    return isinstance(assembly, InBucket)


def need_size(found_bytes: int, wanted_bytes: int) -> None:
    """Raises: InputError wrong_size."""
    if found_bytes != wanted_bytes:
        raise InputError(
            f"The parts make {found_bytes:,} bytes and {wanted_bytes:,} were announced. Send the file again.",
            code="wrong_size",
        )
