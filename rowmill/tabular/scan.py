"""The independent account: our own reading of every byte, which proves the structure and counts every line.

It shares nothing with the loader. Blocks of bytes are judged whole with NumPy; only around a fault does the precise
reader of `records` take over, record by record, and hands back as soon as the file is sound again.
"""

from __future__ import annotations

import bisect
import codecs
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from rowmill.tabular.clean import Clean
from rowmill.tabular.faults import Profile, settle_record
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.marks import Mark, find_marks
from rowmill.tabular.records import NeedMore, Shape, read_record

BLOCK = 1 << 18
MAX_RECORD_BYTES = 16 << 20
LONG_ROW_BYTES = 1_500_000
_FIRST_STRETCH = 32
TOLD_EVERY_SECONDS = 0.25

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
NONE: Ints = np.empty(0, np.int64)


class NotUtf8(Exception):
    """The bytes from `at` on are not UTF-8."""

    def __init__(self, at: int) -> None:
        super().__init__("The bytes are not UTF-8.")
        self.at = at


@dataclass(slots=True)
class _View:
    """One buffer, taken apart: where records end, which are in order, how many lines they take together.

    `swallowing` are the records that may have swallowed others.
    """

    ends: Ints
    good: Bools
    lines_before: Ints
    swallowing: Ints
    stop: int = 0

    def fail(self, records: Ints) -> None:
        """Hand records to the precise reader."""
        if len(records):
            self.good[records[records < len(self.good)]] = False


class Rank:
    """Counts the set places of a mask before any place: one bit a byte, and a running sum over words of 64."""

    def __init__(self, mask: Bools) -> None:
        bits = np.packbits(mask, bitorder="little")
        padded = np.zeros((len(bits) + 15) // 8 * 8, np.uint8)
        padded[: len(bits)] = bits
        self._words = padded.view(np.uint64)
        self._sums = np.zeros(len(self._words) + 1, np.int64)
        np.cumsum(np.bitwise_count(self._words), out=self._sums[1:])

    def before(self, at: Ints) -> Ints:
        """Count the set places before each place."""
        word = at >> 6
        below = (np.uint64(1) << (at & 63).astype(np.uint64)) - np.uint64(1)
        counts: Ints = self._sums[word] + np.bitwise_count(self._words[word] & below)
        return counts


@dataclass(slots=True)
class Scan:
    """Reads a UTF-8 table from its first data line to its end.

    `ledger` takes the account and the notes, `clean` the bytes that are rows. `on_progress` hears, a few times a second
    and at the end, up to which byte has been read.
    """

    source: BinaryIO
    shape: Shape
    ledger: Ledger
    clean: Clean
    header: bytes
    tolerate_bad_bytes: bool = False
    unreadable: Sequence[int] = ()
    profile: Profile = field(default_factory=Profile)
    encoding_label: str = "UTF-8"
    first_bad_is_mixed: bool = False
    data: bytes = b""
    mixed_noted: bool = False
    long_row: int = 0
    on_progress: Callable[[int], None] = lambda reached: None
    _told_at: float = field(default_factory=time.monotonic)
    _base: int = 0
    _marks: list[Mark] = field(default_factory=list)
    _stretch: int = _FIRST_STRETCH
    _decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")())
    _pending: bytes = b""

    def run(self, start: int) -> None:
        """Read to the end. Raises: NotUtf8 at the first byte that is not, unless bad bytes are tolerated."""
        self.source.seek(start)
        self._base = start
        self._marks = [Mark(at, "bad-encoding") for at in self.unreadable if at >= start]
        data, size, final = b"", BLOCK, False
        while True:
            if not final:
                block = self.source.read(size)
                final = len(block) < size
                self._look_for_marks(data, block, final)
                data = data + block if data else block
            used = self._consume(data, final)
            data = data[used:]
            self._base += used
            if (now := time.monotonic()) >= self._told_at + TOLD_EVERY_SECONDS:
                self._told_at = now
                self.on_progress(self._base)
            if final and not data:
                break
            size = BLOCK if len(data) < BLOCK else len(data)
        self.ledger.finish()
        self.on_progress(self._base)

    def _look_for_marks(self, carried: bytes, block: bytes, final: bool) -> None:
        """Find bytes in the new block that make their record a matter for the precise reader."""
        at = self._base + len(carried)
        if self._pending or not block.isascii():
            self._check_utf8(block, at, final)
        self._marks += find_marks(carried, block, at, self.header, self.shape, final=final)
        self._marks.sort()

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
        if len(data) > LONG_ROW_BYTES:
            self.long_row = max(self.long_row, len(data))
        self.data = data
        used = 0
        while used < len(data):
            took, troubled = self._take_blocks(data, used, final)
            used += took
            too_long = len(data) - used >= MAX_RECORD_BYTES
            if took and not troubled:
                if final or too_long or data.find(self.shape.line_end, used) >= 0:
                    continue
                break
            if not (troubled or final or too_long) or used >= len(data):
                break
            before = used
            used = self._take_slowly(data, used, final, too_long)
            if used == before:
                break
        return used

    # ------------------------------------------------------------------------------------ whole blocks

    def _take_blocks(self, data: bytes, start: int, final: bool) -> tuple[int, bool]:
        """Account for records from `start` on: the sound ones together, the others one by one.

        Gives (bytes taken, whether a broken quote comes next).
        """
        patched = data[start:] if start else data
        if final and not patched.endswith(self.shape.newline[-1:]):
            patched += self.shape.newline
        view, troubled = self._view(patched)
        if not final and self.shape.line_end == 13 and view.stop == len(patched):
            # A line feed may follow.
            view.good[-1:] = False
        for mark in self._marks_within(self._base + start, view.stop):
            view.good[np.searchsorted(view.ends, mark)] = False
        taken = 0
        for bad in np.flatnonzero(~view.good):
            if bad > taken:
                self._take_rows(view, taken, int(bad), patched, start)
            begin = start + (int(view.ends[bad - 1]) + 1 if bad else 0)
            reached = self._take_one(data, begin, final)
            if reached is None or reached != min(start + int(view.ends[bad]) + 1, len(data)):
                return (reached or begin) - start, True
            taken = int(bad) + 1
        if taken < len(view.good):
            self._take_rows(view, taken, len(view.good), patched, start)
        if view.stop > BLOCK // 4:
            self._stretch = _FIRST_STRETCH
        return min(view.stop, len(data) - start), troubled

    def _take_one(self, data: bytes, start: int, final: bool) -> int | None:
        """Settle one record; gives where the next begins, None where its end is not at hand."""
        try:
            return settle_record(self, data, read_record(data, start, self.shape, final=final), final)
        except NeedMore:
            return None

    def _view(self, data: bytes) -> tuple[_View, bool]:
        """Take a buffer apart up to its last record end or its first broken quote."""
        shape = self.shape
        a = np.frombuffer(data, np.uint8)
        line_ends = np.flatnonzero(a == shape.line_end)
        delimiters = Rank(a == shape.delimiter)
        quotes, troubled = NONE, False
        if shape.quote >= 0 and data.find(shape.quote) >= 0:
            quotes = np.flatnonzero(a == shape.quote)
            broken_at = self._first_misplaced(a, quotes)
            if broken_at is not None:
                troubled = True
                quotes = quotes[: np.searchsorted(quotes, broken_at)]
                line_ends = line_ends[: np.searchsorted(line_ends, broken_at)]
        if len(quotes):
            view, widths = self._with_quotes(a, line_ends, delimiters, quotes)
        else:
            widths = np.diff(delimiters.before(line_ends), prepend=0)
            view = _View(line_ends, np.empty(0, np.bool_), np.arange(1, len(line_ends) + 1), NONE)
        view.good = widths == shape.columns - 1
        if len(view.ends):
            self._check_line_ends(a, view, data.find(LF_OR_CR[shape.line_end]) >= 0, quotes)
            view.fail(view.swallowing)
            view.stop = int(view.ends[-1]) + 1
        return view, troubled

    def _with_quotes(
        self, a: npt.NDArray[np.uint8], line_ends: Ints, delimiters: Rank, quotes: Ints
    ) -> tuple[_View, Ints]:
        """Tell record ends from line ends inside quotes. Gives the view and the delimiters outside quotes per record."""
        if len(quotes) > len(line_ends):
            before = Rank(a == self.shape.quote).before(line_ends)
        else:
            before = np.bincount(np.searchsorted(line_ends, quotes), minlength=len(line_ends) + 1).cumsum()[:-1]
        outside = before & 1 == 0
        at_ends = delimiters.before(line_ends)
        ends, through, lines, swallowing = line_ends, at_ends, np.arange(1, len(line_ends) + 1), NONE
        if not outside.all():
            swallowing = self._may_swallow(at_ends, outside)
            ends, through, before = line_ends[outside], at_ends[outside], before[outside]
            lines = np.flatnonzero(outside) + 1
            swallowing = np.searchsorted(lines, swallowing + 1)
        pairs = len(quotes) // 2 * 2
        at_quotes = delimiters.before(quotes[:pairs])
        inside = at_quotes[1::2] - at_quotes[0::2]
        if inside.any():
            through = through - np.concatenate(([0], inside.cumsum()))[before // 2]
        return _View(ends, np.empty(0, np.bool_), lines, swallowing), np.diff(through, prepend=0)

    def _first_misplaced(self, a: npt.NDArray[np.uint8], quotes: Ints) -> int | None:
        """Give the first place that condemns a record: a quote that may not stand where it stands.

        Quotes open and close in turn. One opens after a delimiter or line end, or right after one that closes (a doubled
        quote); one closes before a delimiter or line end. A wrong closing quote condemns from its opening quote on.
        """
        shape = self.shape
        opens, closes = quotes[0::2], quotes[1::2]
        before = a[np.maximum(opens - 1, 0)]
        wrong = (before != shape.delimiter) & (before != shape.line_end)
        wrong[0] &= opens[0] > 0
        after = a[np.minimum(closes + 1, len(a) - 1)]
        wrong_close = (after != shape.delimiter) & (after != shape.line_end) & (closes < len(a) - 1)
        if shape.line_end == 10:
            wrong_close &= after != 13
        doubled = opens[1:] - closes[: len(opens) - 1] == 1
        wrong[1:] &= ~doubled
        wrong_close[: len(doubled)] &= ~doubled
        first = []
        if wrong.any():
            first.append(int(opens[np.argmax(wrong)]))
        if wrong_close.any():
            first.append(int(opens[np.argmax(wrong_close)]))
        return min(first) if first else None

    def _may_swallow(self, at_ends: Ints, outside: Bools) -> Ints:
        """Give the numbers of physical lines that begin inside quotes and yet look as wide as a row."""
        if self.shape.columns == 1:
            return NONE
        wide = np.diff(at_ends, prepend=0) == self.shape.columns - 1
        return np.flatnonzero(wide[1:] & wide[:-1] & ~outside[:-1]) + 1

    def _check_line_ends(self, a: npt.NDArray[np.uint8], view: _View, odd: bool, quotes: Ints) -> None:
        """Fail the records that end another way than the pinned newline, or in a surplus field that is not empty."""
        shape, ends, good = self.shape, view.ends, view.good
        width = len(shape.newline)
        if odd:
            view.fail(np.searchsorted(ends, self._stray_others(a, quotes)))
        if odd or width == 2:
            good &= (a[np.maximum(ends - 1, 0)] == 13) == (width == 2)
        if shape.columns == 1:
            starts = np.concatenate(([0], ends[:-1] + 1))
            good &= ends - starts >= width
            self._fail_whitespace(a, starts, ends, good)
        if shape.trailing:
            good &= a[np.maximum(ends - width, 0)] == shape.delimiter

    def _stray_others(self, a: npt.NDArray[np.uint8], quotes: Ints) -> Ints:
        """Give the carriage returns outside quotes that belong to no line end (in a CR file: the line feeds)."""
        at = np.flatnonzero(a == LF_OR_CR[self.shape.line_end])
        if self.shape.line_end == 13:
            # One right after a carriage return ends that record.
            at = np.concatenate((at, at[a[np.maximum(at - 1, 0)] == 13] - 1))
        else:
            at = at[(a[np.minimum(at + 1, len(a) - 1)] != 10) | (at == len(a) - 1)]
        return at[np.searchsorted(quotes, at) & 1 == 0] if len(quotes) else at

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
        del self._marks[: self._first_mark(base)]
        return [m.at - base for m in self._marks[: self._first_mark(base + stop)]]

    # ------------------------------------------------------------------------------------ record by record

    def _take_slowly(self, data: bytes, start: int, final: bool, too_long: bool) -> int:
        """Read the next stretch record by record; gives the offset reached."""
        for _ in range(self._stretch):
            if start >= len(data):
                break
            try:
                record = read_record(data, start, self.shape, final=final or too_long)
                if too_long and not final and record.fault is None and not record.newline:
                    return self._give_up(data, start)
                start = settle_record(self, data, record, final or too_long)
            except NeedMore:
                break
        self._stretch = min(self._stretch * 2, 1 << 20)
        return start

    def _give_up(self, data: bytes, start: int) -> int:
        """Enter what is at hand of a row without an end as broken; the rest of its line comes as a record of its own."""
        ledger = self.ledger
        ledger.release()
        ledger.notes.add(
            "row-too-long", line=ledger.line, row=ledger.record, byte=self.offset(start), limit=MAX_RECORD_BYTES
        )
        ledger.take_broken(0)
        ledger.breaks.add(
            "row-too-long", ledger.line, self.offset(start), self.offset(len(data)), at=self.offset(start)
        )
        self.clean.begin()
        return len(data)

    def marks_in(self, start: int, end: int) -> list[Mark]:
        """Give the marks inside a record, told by offsets in the file."""
        return self._marks[self._first_mark(start) : self._first_mark(end)] if self._marks else []

    def _first_mark(self, at: int) -> int:
        """Give the place of the first mark at an offset or after it. A file of junk has a mark on every other byte."""
        return bisect.bisect_left(self._marks, at, key=lambda m: m.at)

    def note_mixed_newlines(self, line: int, at: int) -> None:
        """Warn once that lines end in several ways."""
        if not self.mixed_noted:
            self.mixed_noted = True
            self.ledger.notes.add("mixed-newlines", line=line, byte=at)

    def offset(self, at: int) -> int:
        """Turn a place in the buffer into an offset in the file."""
        return self._base + at


LF_OR_CR = {10: 13, 13: 10}
