"""Puts a file together in a local folder: every part at its offset in one file beside the key, renamed at the end."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rowmill.storage.assembling import Part, Told, need_size, nothing_told
from rowmill.storage.placing import as_out_of_space, make_folder, move_into_place, sync_folder

INCOMING = "incoming"
# One byte behind any file: who writes holds it together with others, who ends or cuts the file holds it alone.
_GATE = 1 << 62
# From here on one byte for each part: whoever compares a part with what is there holds its byte until it is recorded.
_PLACES = 1 << 61
# One large write takes the page cache in pieces of 2 MiB, and a virtual machine may have to ask its host for each of their
# pages: 8 MB took 2 ms in blocks and 16 to 24 at once.
_BLOCK_BYTES = 1024 * 1024
_NO_RANGE_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}


class LocalAssembly:
    """Assembles in `<folder of the key>/incoming`. Locks belong to an open file: threads and processes are alike."""

    least_part_bytes = 0

    def __init__(self, path_of: Callable[[str], Path], need_room: Callable[[], None]) -> None:
        self._path_of = path_of
        self._need_room = need_room

    def begin(self, key: str) -> str:
        """Make the empty file, durably. Again: goes on with the one there is."""
        path = self._incoming(key)
        with _told_when_full():
            make_folder(path.parent)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            sync_folder(path.parent)
        return ""

    def put_part(self, key: str, token: str, number: int, path: Path, *, offset: int) -> Part:
        """Copy a local file to an offset. Raises: FileNotFoundError, OutOfSpace."""
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            with self._writing(key, offset, size) as handle:
                _copy(source.fileno(), handle, offset, size)
        return Part(number, size)

    @contextmanager
    def alone(self, key: str, number: int) -> Iterator[None]:
        """Be the only one at this part while the `with` lasts. Raises: FileNotFoundError where the file is not under way."""
        handle = os.open(self._incoming(key), os.O_RDWR)
        try:
            _lock(handle, fcntl.F_WRLCK, _PLACES + number, 1)
            self._need_under_way(handle, key)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def reading(self, key: str) -> Iterator[int]:
        """Give the file under way, opened for reading. Raises: FileNotFoundError where there is none."""
        handle = os.open(self._incoming(key), os.O_RDONLY)
        try:
            yield handle
        finally:
            os.close(handle)

    def has_same(self, key: str, blocks: Iterable[bytes | memoryview], offset: int) -> bool:
        """Compare bytes with what lies at an offset. Raises: FileNotFoundError."""
        with self.reading(key) as handle:
            for block in blocks:
                if os.pread(handle, len(block), offset) != block:
                    return False
                offset += len(block)
        return True

    def write_at(self, key: str, offset: int, data: bytes | memoryview) -> None:
        """Store bytes at an offset. Raises: FileNotFoundError, OutOfSpace."""
        with self._writing(key, offset, len(data)) as handle:
            _write_all(handle, data, offset)

    def size_bytes(self, key: str) -> int:
        """Give how far the file reaches. Raises: FileNotFoundError."""
        return self._incoming(key).stat().st_size

    def truncate(self, key: str, size_bytes: int) -> None:
        """Cut the file back. Raises: FileNotFoundError."""
        with self._opened(key, fcntl.F_WRLCK) as handle:
            if os.fstat(handle).st_size > size_bytes:
                os.ftruncate(handle, size_bytes)
                os.fsync(handle)

    def complete(self, key: str, token: str, parts: Sequence[Part], size_bytes: int) -> None:
        """Rename the file to its key. Raises: InputError wrong_size, FileNotFoundError."""
        target = self._path_of(key)
        try:
            with self._opened(key, fcntl.F_WRLCK) as handle:
                need_size(os.fstat(handle).st_size, size_bytes)
                os.fsync(handle)
                move_into_place(self._incoming(key), target)
        except FileNotFoundError:
            need_size(target.stat().st_size, size_bytes)

    def abort(self, key: str, token: str) -> None:
        """Remove the file; who is writing to it finds out."""
        path = self._incoming(key)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty, or not there
            path.parent.rmdir()

    def digest(self, key: str, told: Told = nothing_told) -> str:
        """Read the finished file and give its SHA-256. Raises: FileNotFoundError."""
        digest = hashlib.sha256()
        with self._path_of(key).open("rb") as file:
            for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
                digest.update(block)
                told()
        return digest.hexdigest()

    def _incoming(self, key: str) -> Path:
        """Give the path of the file under way."""
        return self._path_of(key).with_name(INCOMING)

    @contextmanager
    def _opened(self, key: str, gate: int) -> Iterator[int]:
        """Open the file under way and pass the gate. Raises: FileNotFoundError where it is over by then."""
        handle = os.open(self._incoming(key), os.O_RDWR)
        try:
            _lock(handle, gate, _GATE, 1)
            self._need_under_way(handle, key)
            yield handle
        finally:
            os.close(handle)

    @contextmanager
    def _writing(self, key: str, offset: int, size: int) -> Iterator[int]:
        """Hold a range alone while it is written, and sync it. Raises: FileNotFoundError where it was over meanwhile."""
        self._need_room()
        with _told_when_full(), self._opened(key, fcntl.F_RDLCK) as handle:
            if size:
                _lock(handle, fcntl.F_WRLCK, offset, size)
            yield handle
            os.fdatasync(handle)
            self._need_under_way(handle, key)

    def _need_under_way(self, handle: int, key: str) -> None:
        """Raises: FileNotFoundError where an open file is no longer the one under way: completed, or given up."""
        mine, there = os.fstat(handle), self._incoming(key).stat()
        if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
            raise FileNotFoundError(key)


@contextmanager
def _told_when_full() -> Iterator[None]:
    """Raises: OutOfSpace for what the disk says when it is full."""
    try:
        yield
    except OSError as error:
        if (told := as_out_of_space(error)) is error:
            raise
        raise told from error


def _lock(handle: int, kind: int, start: int, length: int) -> None:
    """Wait for a range of an open file; closing it lets go. Source: fcntl(2), open file description locks."""
    fcntl.fcntl(handle, fcntl.F_OFD_SETLKW, struct.pack("hhqqi0q", kind, os.SEEK_SET, start, length, 0))


def _copy(source: int, handle: int, offset: int, size: int) -> None:
    """Copy a whole file to an offset of another, in the kernel where it can."""
    done = 0
    while done < size:
        try:
            copied = os.copy_file_range(source, handle, min(size - done, _BLOCK_BYTES), done, offset + done)
        except OSError as error:
            if error.errno not in _NO_RANGE_COPY:
                raise
            copied = 0
        if not copied:
            block = os.pread(source, _BLOCK_BYTES, done)
            if not block:
                raise OSError(errno.EIO, "a part became shorter while it was stored")
            _write_all(handle, block, offset + done)
            copied = len(block)
        done += copied


def _write_all(handle: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view[:_BLOCK_BYTES], offset)
        view, offset = view[written:], offset + written
