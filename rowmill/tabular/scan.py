"""The independent account: our own reading of every byte, which proves the structure and counts every line.

It shares nothing with the loader. Blocks of bytes are judged whole with NumPy; only around a fault does the precise
reader of `records` take over, record by record, and hands back as soon as the file is sound again.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from rowmill.tabular.clean import Clean
from rowmill.tabular.faults import Profile, settle_record
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.marks import Mark, find_marks
from rowmill.tabular.records import NeedMore, Shape, read_record

BLOCK = 1 << 17
MAX_RECORD_BYTES = 16 << 20
LONG_ROW_BYTES = 1_500_000
_FIRST_STRETCH = 32

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class NotUtf8(Exception):
    """The bytes from `at` on are not UTF-8."""

    def __init__(self, at: int) -> None:
        super().__init__("The bytes are not UTF-8.")
        self.at = at


@dataclass(slots=True)
class _View:
    """One buffer, taken apart: the specials outside quotes, where records end, which of them are in order."""

    ends: Ints
    good: Bools
    lines_before: Ints
    stop: int


@dataclass(slots=True)
class Scan:
    """Reads a UTF-8 table from its first data line to its end.

    `ledger` takes the account and the notes, `clean` the bytes that are rows, `on_bytes` every block read (the hash).
    """

    source: BinaryIO
    shape: Shape
    ledger: Ledger
    clean: Clean
    header: bytes
    tolerate_bad_bytes: bool = False
    on_block: Callable[[bytes], None] = lambda block: None
    profile: Profile = field(default_factory=Profile)
    encoding_label: str = "UTF-8"
    first_bad_is_mixed: bool = False
    data: bytes = b""
    mixed_noted: bool = False
    long_row: int = 0
    first_foreign: tuple[int, int] | None = None
    _base: int = 0
    _marks: list[Mark] = field(default_factory=list)
    _stretch: int = _FIRST_STRETCH
    _decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")())
    _pending: bytes = b""

    def run(self, start: int) -> None:
        """Read to the end. Raises: NotUtf8 at the first byte that is not, unless bad bytes are tolerated."""
        self.source.seek(start)
        self._base = start
        data, size, final = b"", BLOCK, False
        while True:
            if not final:
                block = self.source.read(size)
                final = len(block) < size
                self.on_block(block)
                self._look_for_marks(data, block, final)
                data = data + block if data else block
            used = self._consume(data, final)
            data = data[used:]
            self._base += used
            if final and not data:
                break
            size = BLOCK if len(data) < BLOCK else len(data)
        self.ledger.finish()

    def _look_for_marks(self, carried: bytes, block: bytes, final: bool) -> None:
        """Find bytes in the new block that make their record a matter for the precise reader."""
        at = self._base + len(carried)
        if self._pending or not block.isascii():
            self._check_utf8(block, at, final)
        self._marks += find_marks(carried, block, at, self.header, self.shape)

    def _check_utf8(self, block: bytes, at: int, final: bool) -> None:
        """Decode the block as UTF-8, with the cut character of the block before."""
        block = self._pending + block
        at -= len(self._pending)
        begin = 0
        while True:
            try:
                _, used = codecs.utf_8_decode(memoryview(block)[begin:], "strict", final)
                self._pending = block[begin + used :]
                return
            except UnicodeDecodeError as error:
                if not self.tolerate_bad_bytes:
                    raise NotUtf8(at + begin + error.start) from None
                self._marks.append(Mark(at + begin + error.start, "bad-encoding"))
                begin += error.start + 1

    def _consume(self, data: bytes, final: bool) -> int:
        """Account for as many whole records as the bytes hold; gives how many bytes that was."""
        too_long = len(data) >= MAX_RECORD_BYTES
        if len(data) > LONG_ROW_BYTES:
            self.long_row = max(self.long_row, len(data))
        used = 0
        while used < len(data):
            took, troubled = self._take_sound(data, used, final)
            used += took
            if not troubled and not (final or too_long):
                break
            if used >= len(data):
                break
            before = used
            used = self._take_slowly(data, used, final, too_long)
            if used == before:
                break
        return used

    # ------------------------------------------------------------------------------------ whole blocks

    def _take_sound(self, data: bytes, start: int, final: bool) -> tuple[int, bool]:
        """Account for the sound records from `start` on. Gives (bytes taken, whether a troubled record comes next)."""
        patched = data[start:] if start else data
        if final and not patched.endswith(self.shape.newline[-1:]):
            patched += self.shape.newline
        view, troubled = self._view(patched)
        if not len(view.ends):
            return 0, troubled
        good = view.good
        for mark in self._marks_within(self._base + start, view.stop):
            good[np.searchsorted(view.ends, mark)] = False
        if good.all():
            self._take_rows(view, 0, len(good), patched, start)
            if view.stop > BLOCK // 4:
                self._stretch = _FIRST_STRETCH
            return min(view.stop, len(data) - start), troubled
        first = int(np.argmin(good))
        if first:
            self._take_rows(view, 0, first, patched, start)
            return int(view.ends[first - 1]) + 1, True
        return 0, True

    def _view(self, data: bytes) -> tuple[_View, bool]:
        """Take a buffer apart up to its last record end or its first broken quote."""
        shape, nl = self.shape, self.shape.line_end
        other = LF_OR_CR[nl]
        a = np.frombuffer(data, np.uint8)
        mask = a == shape.delimiter
        mask |= a == nl
        quoted = shape.quote >= 0 and data.find(shape.quote) >= 0
        if quoted:
            mask |= a == shape.quote
        odd = data.find(other) >= 0
        if odd:
            mask |= a == other
        pos = np.flatnonzero(mask)
        kind = a[pos]
        troubled = False
        if quoted:
            inside, broken_at = self._inside(a, pos, kind)
            if broken_at is not None:
                troubled = True
                keep = pos < broken_at
                pos, kind, inside = pos[keep], kind[keep], inside[keep]
            all_ends = kind == nl
            outside = ~inside
            outside &= kind != shape.quote
            several = bool((inside & all_ends).any())
            swallowed = self._may_swallow(kind, inside, all_ends) if several else None
            lines = np.cumsum(all_ends)[outside] if several else None
            pos, kind = pos[outside], kind[outside]
        else:
            swallowed = None
            lines = None
        good_cr = None
        if odd:
            is_other = kind == other
            bad_other = self._bad_other(a, pos[is_other])
            keep = ~is_other
            if bad_other is not None:
                good_cr = bad_other
            pos, kind = pos[keep], kind[keep]
            lines = lines[keep] if lines is not None else None
        is_end = kind == nl
        at = np.flatnonzero(is_end)
        ends = pos[at]
        counts = np.diff(at, prepend=-1)
        good = counts == shape.columns
        self._check_line_ends(a, ends, good, good_cr, odd)
        lines_before = lines[at] if lines is not None else np.arange(1, len(at) + 1)
        if swallowed is not None and len(swallowed) and len(ends):
            hit = np.searchsorted(lines_before, swallowed + 1)
            good[hit[hit < len(good)]] = False
        stop = int(ends[-1]) + 1 if len(ends) else 0
        return _View(ends, good, lines_before, stop), troubled

    def _inside(self, a: npt.NDArray[np.uint8], pos: Ints, kind: npt.NDArray[np.uint8]) -> tuple[Bools, int | None]:
        """Say which specials stand inside quotes, and where the first quote stands that may not stand there."""
        shape = self.shape
        is_quote = kind == shape.quote
        inside = np.logical_xor.accumulate(is_quote)
        at = pos[is_quote]
        opens = inside[is_quote]
        before = a[at - 1] if len(at) and at[0] > 0 else a[np.maximum(at - 1, 0)]
        after = a[np.minimum(at + 1, len(a) - 1)]
        ok_before = (before == shape.delimiter) | (before == shape.line_end) | (at == 0)
        ok_after = (after == shape.delimiter) | (after == shape.line_end) | (at == len(a) - 1)
        if shape.line_end == 10:
            ok_after |= after == 13
        adjacent = np.diff(at) == 1
        ok_before[1:] |= adjacent
        ok_after[:-1] |= adjacent
        bad = np.where(opens, ~ok_before, ~ok_after)
        if not bad.any():
            return inside, None
        first = int(np.argmax(bad))
        # A closing quote that may not stand there condemns the whole record, from its opening quote on.
        return inside, int(at[first] if opens[first] else at[max(first - 1, 0)])

    def _may_swallow(self, kind: npt.NDArray[np.uint8], inside: Bools, all_ends: Bools) -> Ints | None:
        """Give the numbers of physical lines that begin inside quotes and yet look as wide as a row."""
        if self.shape.columns == 1:
            return None
        at = np.flatnonzero(all_ends)
        delimiters = np.cumsum(kind == self.shape.delimiter)[at]
        wide = np.diff(delimiters, prepend=0) == self.shape.columns - 1
        begins_inside = np.concatenate(([False], inside[at][:-1]))
        return np.flatnonzero(wide & begins_inside)

    def _bad_other(self, a: npt.NDArray[np.uint8], at: Ints) -> Ints | None:
        """Give the places of carriage returns (or line feeds, in a CR file) that do not belong to a line's end."""
        if self.shape.line_end == 13:
            return at if len(at) else None
        after = a[np.minimum(at + 1, len(a) - 1)]
        bad = at[(after != 10) | (at == len(a) - 1)]
        return bad if len(bad) else None

    def _check_line_ends(
        self, a: npt.NDArray[np.uint8], ends: Ints, good: Bools, bad_other: Ints | None, odd: bool
    ) -> None:
        """Fail the records that end another way than the pinned newline, or in a surplus field that is not empty."""
        if not len(ends):
            return
        previous = a[np.maximum(ends - 1, 0)]
        has_cr = (previous == 13) & (ends > 0)
        if self.shape.newline == b"\r\n":
            good &= has_cr
        elif odd and self.shape.newline == b"\n":
            good &= ~has_cr
        if bad_other is not None:
            hit = np.searchsorted(ends, bad_other)
            good[hit[hit < len(good)]] = False
        width = len(self.shape.newline)
        starts = np.concatenate(([0], ends[:-1] + 1))
        if self.shape.columns == 1:
            good &= ends - starts >= width
            self._fail_whitespace(a, starts, ends, good)
        if self.shape.trailing:
            good &= a[np.maximum(ends - width, 0)] == self.shape.delimiter

    def _fail_whitespace(self, a: npt.NDArray[np.uint8], starts: Ints, ends: Ints, good: Bools) -> None:
        """Hand lines of one column that begin with white space to the precise reader: they may be blank."""
        first = a[np.minimum(starts, ends)]
        good &= (first != 32) & (first != 9)

    def _take_rows(self, view: _View, first: int, last: int, data: bytes, start: int) -> None:
        """Enter sound records [first, last) of the view into the account."""
        begin = int(view.ends[first - 1]) + 1 if first else 0
        end = int(view.ends[last - 1]) + 1
        self.ledger.take_rows(view.lines_before[first:last] - (view.lines_before[first - 1] if first else 0))
        self.clean.keep(data, begin, end, self._base + start + begin)

    def _marks_within(self, base: int, stop: int) -> list[int]:
        """Give the marks that fall into the next `stop` bytes, relative to them; drop those that lie behind."""
        if not self._marks:
            return []
        self._marks = [m for m in self._marks if m.at >= base]
        return [m.at - base for m in self._marks if m.at < base + stop]

    # ------------------------------------------------------------------------------------ record by record

    def _take_slowly(self, data: bytes, start: int, final: bool, too_long: bool) -> int:
        """Read the next stretch record by record; gives the offset reached."""
        self.data = data
        for _ in range(self._stretch):
            if start >= len(data):
                break
            try:
                record = read_record(data, start, self.shape, final=final or too_long)
                start = settle_record(self, data, record, final or too_long)
            except NeedMore:
                break
        self._stretch = min(self._stretch * 2, 1 << 20)
        return start

    def marks_in(self, start: int, end: int) -> list[Mark]:
        """Give the marks inside a record, told by offsets in the file."""
        return [m for m in self._marks if start <= m.at < end] if self._marks else []

    def note_mixed_newlines(self, line: int, at: int) -> None:
        """Warn once that lines end in several ways."""
        if not self.mixed_noted:
            self.mixed_noted = True
            self.ledger.notes.add("mixed-newlines", line=line, byte=at)

    def offset(self, at: int) -> int:
        """Turn a place in the buffer into an offset in the file."""
        return self._base + at


LF_OR_CR = {10: 13, 13: 10}
