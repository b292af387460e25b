"""Writes on at the end of a file under way in a local folder, for as long as nobody newer does."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rowmill.errors import LostLease, StorageFault
from rowmill.storage.placing import as_out_of_space

FENCE = "incoming.fence"
_NUMBER = struct.Struct(">Q")


class FileAppender:
    """Appends under a fence: the highest number that ever opened the file is the only one that may write to it.

    A sender notices that a line is dead before the server does, and comes again while the thread of the dead line still
    waits for bytes. The number lies in a file beside, which is locked for each write: a holder sees that it was overtaken
    in the very moment in which its bytes would land. So after the newest has cut the file back nothing older comes
    behind. Units: bytes; `offset` is where the next write goes.
    Raises: FileNotFoundError where the file is over; LostLease where somebody newer has it; OutOfSpace.
    """

    def __init__(self, path: Path, number: int, offset: int) -> None:
        self.offset = offset
        self._number = number
        self._path = path
        self._file = os.open(path, os.O_RDWR)
        try:
            self._fence = os.open(path.with_name(FENCE), os.O_RDWR | os.O_CREAT, 0o600)
        except BaseException:
            os.close(self._file)
            raise
        try:
            self._take()
        except BaseException:
            self.close()
            raise

    def _take(self) -> None:
        """Raise the fence and cut the file back to what was acknowledged."""
        with self._alone():
            if self._newest() > self._number:
                raise LostLease
            # The fence goes when the file is finished: who made a new one since holds the finished file, not this one.
            if not os.path.samestat(os.fstat(self._file), os.stat(self._path)):
                raise FileNotFoundError(self._path.name)
            if os.fstat(self._file).st_size < self.offset:  # cutting would fill it with zeros
                raise StorageFault("The storage does not have all bytes that it was given.")
            os.pwrite(self._fence, _NUMBER.pack(self._number), 0)
            os.ftruncate(self._file, self.offset)

    def write(self, block: bytes) -> None:
        """Write on. Raises: LostLease, OutOfSpace."""
        view = memoryview(block)
        try:
            with self._alone():
                if self._newest() != self._number:
                    raise LostLease
                while view:
                    written = os.pwrite(self._file, view, self.offset)
                    view, self.offset = view[written:], self.offset + written
        except OSError as error:
            raise as_out_of_space(error) from error

    def sync(self) -> None:
        """Make durable what was written. Raises: OutOfSpace."""
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise as_out_of_space(error) from error

    def close(self) -> None:
        """Let go of it; what was not synced may be lost."""
        os.close(self._file)
        os.close(self._fence)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others out, threads and processes alike: the lock belongs to the open file."""
        fcntl.flock(self._fence, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fence, fcntl.LOCK_UN)

    def _newest(self) -> int:
        """Give the highest number so far."""
        told = os.pread(self._fence, _NUMBER.size, 0)
        return int(_NUMBER.unpack(told)[0]) if len(told) == _NUMBER.size else 0
