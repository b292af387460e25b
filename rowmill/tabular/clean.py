"""The bytes that are rows and nothing else: the file itself where it is plain, a clean copy as soon as it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 20


class Clean:
    """Follows the scan. Nothing is written for as long as every byte from `start` on is part of a sound row.

    `top` is the line written first: the loader takes the newline from it, and a quoted cell cannot mislead it.
    """

    def __init__(
        self, source: Path, target: Path, start: int, top: bytes = b"", on_start: Callable[[], None] = lambda: None
    ) -> None:
        self.source = source
        self.target = target
        self.start = start
        self.top = top
        self._reached = start
        self._out: BinaryIO | None = None
        self._on_start = on_start

    @property
    def needed(self) -> bool:
        """Tell whether the clean copy had to be written."""
        return self._out is not None

    def keep(self, data: bytes, begin: int, end: int, offset: int) -> None:
        """Take bytes that stay as they are; `offset` is where they lie in the file."""
        if self._out is None and offset == self._reached:
            self._reached += end - begin
            return
        self.put(data[begin:end])

    def put(self, data: bytes) -> None:
        """Write bytes that differ from the file's."""
        if self._out is None:
            self.begin()
        assert self._out is not None
        self._out.write(data)

    def begin(self) -> None:
        """Start the copy with everything taken so far."""
        if self._out is not None:
            return
        self._on_start()
        self._out = self.target.open("wb")
        self._out.write(self.top)
        with self.source.open("rb") as file:
            file.seek(self.start)
            left = self._reached - self.start
            while left > 0 and (block := file.read(min(left, _BLOCK))):
                self._out.write(block)
                left -= len(block)

    def close(self) -> None:
        """Finish the copy."""
        if self._out is not None:
            self._out.close()
