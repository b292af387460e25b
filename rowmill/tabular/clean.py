"""The bytes that are rows and nothing else: the file itself where it is plain, a clean copy as soon as it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 20
PART_BYTES, MOST_PARTS = 8 << 20, 32


class Clean:
    """Follows the scan. Nothing is written for as long as every byte from `start` on is part of a sound row.

    It is written in parts, so that the loader can read the first while the scan goes on: `on_part` hears of each that is
    whole. `top` is the first line of each: the loader takes the newline from it, and a quoted cell cannot mislead it.
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        start: int,
        top: bytes = b"",
        on_start: Callable[[], None] = lambda: None,
        on_part: Callable[[Path], None] = lambda part: None,
    ) -> None:
        self.source, self.target, self.start, self.top = source, target, start, top
        self.parts: list[Path] = []
        self._reached = start
        self._out: BinaryIO | None = None
        self._on_start, self._on_part = on_start, on_part
        self._part_bytes = max(PART_BYTES, source.stat().st_size // MOST_PARTS)

    @property
    def needed(self) -> bool:
        """Tell whether the clean copy had to be written."""
        return bool(self.parts)

    def keep(self, data: bytes, begin: int, end: int, offset: int) -> None:
        """Take bytes that stay as they are; `offset` is where they lie in the file."""
        if not self.parts and offset == self._reached:
            self._reached += end - begin
            return
        self.put(data[begin:end])

    def put(self, data: bytes) -> None:
        """Write bytes that differ from the file's: whole rows."""
        self.begin()
        if self._out is None:
            self._open()
        assert self._out is not None
        self._out.write(data)
        if self._out.tell() >= self._part_bytes:
            self.close()

    def begin(self) -> None:
        """Start the copy with everything taken so far."""
        if self.parts:
            return
        self._on_start()
        out = self._open()
        with self.source.open("rb") as file:
            file.seek(self.start)
            left = self._reached - self.start
            while left > 0 and (block := file.read(min(left, _BLOCK))):
                out.write(block)
                left -= len(block)

    def _open(self) -> BinaryIO:
        """Begin a part."""
        self.parts.append(self.target.with_name(f"{self.target.name}-{len(self.parts)}"))
        self._out = self.parts[-1].open("wb")
        self._out.write(self.top)
        return self._out

    def close(self) -> None:
        """Finish the part that is being written."""
        if self._out is not None:
            self._out.close()
            self._out = None
            self._on_part(self.parts[-1])
