"""Packed files: opens a ZIP container behind guards, and counts every byte that is inflated, because headers lie."""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

MAX_ENTRIES = 2_000
UNPACKED_BYTES = 1 << 30
MAX_RATIO = 200
# Below this size a ratio says nothing: a sheet of equal rows packs very well.
RATIO_FLOOR_BYTES = 16 << 20
DIRECTORY_BYTES = 1 << 20
BLOCK = 1 << 18
# What a broken or hostile container makes zipfile, zlib and gzip raise.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, OSError, ValueError)


class Refused(Exception):
    """A packed file or workbook that is not read: the finding's code and the words of its sentence, never a cell."""

    def __init__(self, code: str, *, line: int | None = None, column: int | None = None, **words: object) -> None:
        super().__init__(code)
        self.code = code
        self.line = line
        self.column = column
        self.words = words


class Meter:
    """Counts inflated bytes. `packed` is what they were inflated from."""

    def __init__(self, packed: int) -> None:
        self.packed = max(packed, 1)
        self.total = 0

    def take(self, count: int) -> None:
        """Count on. Raises: Refused past the size or the ratio."""
        self.total += count
        judge_size(self.total, self.packed)


def judge_size(size: int, packed: int) -> None:
    """Raises: Refused where that many bytes are too many, or too many for what they were packed in."""
    if size > UNPACKED_BYTES:
        raise Refused("unpacked-too-large", limit=UNPACKED_BYTES // (1 << 20))
    if size > RATIO_FLOOR_BYTES and size > MAX_RATIO * max(packed, 1):
        raise Refused("unpacked-too-dense", limit=MAX_RATIO)


class _Bounded(io.FileIO):
    """A file of which no read is longer than a directory may be: zipfile reads the whole directory in one."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read. Raises: Refused for more than a directory may have."""
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > DIRECTORY_BYTES:
            raise Refused("archive-entries", limit=MAX_ENTRIES)
        return super().read(size) or b""


class Archive:
    """An open ZIP container whose directory has been judged; members are read through meters."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._zip = zipfile.ZipFile(file)
        self.entries = self._zip.infolist()
        self._all = Meter(size)
        self._by_name = {entry.filename: entry for entry in self.entries}
        self._judge(size)

    def _judge(self, size: int) -> None:
        """Look at what the directory declares."""
        if len(self.entries) > MAX_ENTRIES:
            raise Refused("archive-entries", limit=MAX_ENTRIES)
        if len(self._by_name) < len(self.entries):
            raise Refused("archive-damaged")
        judge_size(sum(entry.file_size for entry in self.entries), size)

    def find(self, name: str) -> str | None:
        """Give a member's own spelling of a name; case does not matter where no member is spelt so."""
        if name in self._by_name:
            return name
        folded = name.casefold()
        return next((own for own in self._by_name if own.casefold() == folded), None)

    def names(self) -> list[str]:
        """List the members."""
        return list(self._by_name)

    def blocks(self, name: str, *, block_bytes: int = BLOCK) -> Iterator[bytes]:
        """Inflate a member block by block. Raises: Refused past a limit, or where it is damaged or locked."""
        entry = self._by_name[name]
        if entry.flag_bits & 0x1:
            raise Refused("archive-locked")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused("archive-method")
        meter = Meter(entry.compress_size)
        try:
            with self._zip.open(entry) as member:
                while block := member.read(block_bytes):
                    meter.take(len(block))
                    self._all.take(len(block))
                    yield block
        except DAMAGE as error:
            _raise_full_disk(error)
            raise Refused("archive-damaged") from None


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a ZIP container. Raises: Refused where it is damaged, or has too many entries or declares too much."""
    with _Bounded(path) as file:
        try:
            archive = Archive(file, path.stat().st_size)
        except DAMAGE:
            raise Refused("archive-damaged") from None
        yield archive


def is_link(entry: zipfile.ZipInfo) -> bool:
    """Tell whether an entry is a symbolic link."""
    return stat.S_ISLNK(entry.external_attr >> 16)


def _raise_full_disk(error: BaseException) -> None:
    """Let a full disk be told as what it is."""
    if isinstance(error, OSError) and error.errno == 28:
        raise error
