"""The independent account: our own reading of every byte, which proves the structure and counts every line.

It shares nothing with the loader. Blocks of bytes are judged whole with NumPy; only around a fault does the precise
reader of `records` take over, record by record, and hands back as soon as the file is sound again.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from rowmill.tabular.bulk import NUMBER, Table, judge
from rowmill.tabular.clean import Clean
from rowmill.tabular.enter import enter_table
from rowmill.tabular.faults import Profile, settle_record
from rowmill.tabular.ledger import PRECISE, ROW, Ledger
from rowmill.tabular.marks import Mark, Marked, find_marks
from rowmill.tabular.quotes import view_lines
from rowmill.tabular.records import NeedMore, Shape, read_record
from rowmill.tabular.structure import Block, View
from rowmill.tabular.utf8 import cut_character, find_bad_bytes, is_surely_utf8

BLOCK = 1 << 18
BAD_ENCODING = NUMBER["bad-encoding"]
MAX_RECORD_BYTES = 16 << 20
LONG_ROW_BYTES = 1_500_000
TOLD_EVERY_SECONDS = 0.25
_HEAP_KEPT = 24 << 20
ONLY_PRECISE = False  # nothing is judged together: how the tests prove that it may be


class NotUtf8(Exception):
    """The bytes from `at` on are not UTF-8."""

    def __init__(self, at: int) -> None:
        super().__init__("The bytes are not UTF-8.")
        self.at = at


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
    _marks: Marked = field(default_factory=Marked)
    _pending: bytes = b""

    def run(self, start: int) -> None:
        """Read to the end. Raises: NotUtf8 at the first byte that is not, unless bad bytes are tolerated."""
        _keep_heap()
        self.source.seek(start)
        self._base = start
        self._marks.add({"bad-encoding": [at for at in self.unreadable if at >= start]})
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
            self.ledger.mark(self._base)
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
        self._marks.add(find_marks(carried, block, at, self.header, self.shape, final=final))

    def _check_utf8(self, block: bytes, at: int, final: bool) -> None:
        """See whether the block is UTF-8, with the cut character of the block before."""
        if self._pending:
            at -= len(self._pending)
            block = self._pending + block
        self._pending = b"" if final else cut_character(block)
        whole = block[: len(block) - len(self._pending)]
        if is_surely_utf8(whole):
            return
        try:
            codecs.utf_8_decode(whole, "strict", True)
        except UnicodeDecodeError as error:
            if not self.tolerate_bad_bytes:
                raise NotUtf8(at + error.start) from None
            self._marks.add({"bad-encoding": find_bad_bytes(whole) + at})

    def _consume(self, data: bytes, final: bool) -> int:
        """Account for as many whole records as the bytes hold; gives how many bytes that was."""
        if len(data) > LONG_ROW_BYTES:
            self.long_row = max(self.long_row, len(data))
        self.data = data
        used = 0
        while used < len(data):
            took, stuck = self._take_block(data, used, final)
            used += took
            if stuck or not took:
                if len(data) - used < MAX_RECORD_BYTES or used >= len(data):
                    break
                used = self._take_too_long(data, used, final)
            elif not final and data.find(self.shape.line_end, used) < 0 and len(data) - used < MAX_RECORD_BYTES:
                break
        return used

    def _take_block(self, data: bytes, start: int, final: bool) -> tuple[int, bool]:
        """Account for records from `start` on: together where what they are is plain, else one by one.

        Gives (bytes taken, whether more are needed to go on).
        """
        rest = data[start:] if start else data
        open_end = final and not rest.endswith(self.shape.newline[-1:])
        block = Block(rest + self.shape.newline if open_end else rest, self.shape)
        self._marks.drop_before(self._base + start)
        view, troubled = block.whole()
        if not final and self.shape.line_end == 13 and view.stop == len(rest):
            # A line feed may follow.
            view.good[-1:] = False
        if not len(view.ends) and not troubled and not final:
            return 0, True
        marked = self._marks.between(self._base + start, self._base + start + len(rest))
        if len(view.ends) and not troubled and not len(marked.at) and view.good.all() and not ONLY_PRECISE:
            self._take_rows(block, view, start)
            return min(view.stop, len(rest)), False
        marked = Marked(marked.at - self._base - start, marked.code)
        took, stuck = 0, False
        if len(view.ends):
            took, stuck = self._settle(block, judge(block, view, marked), data, start, 0, final, open_end)
        if stuck or took >= len(rest) or not len(block.quotes):
            return took, stuck
        if not (troubled or final) and took == view.stop:
            return took, True
        if not len(block.line_ends):
            return took, True
        # From the first misplaced quote on each line is looked at by itself.
        lines, quotes = view_lines(block)
        first = int(np.searchsorted(lines.starts, took))
        if first == len(lines.starts) or lines.starts[first] != took:
            return took, False
        return self._settle(block, judge(block, lines, marked, quotes), data, start, first, final, open_end)

    def _settle(
        self, block: Block, table: Table, data: bytes, start: int, first: int, final: bool, open_end: bool
    ) -> tuple[int, bool]:
        """Account for the records of a table from `first` on. Gives (bytes of the block taken, whether more are needed)."""
        if ONLY_PRECISE or self.shape.line_end == 13:
            table.kinds[:] = PRECISE
        if open_end and table.ends[-1] == len(block.data):
            odd = table.other_end is not None and table.other_end[-1]
            if table.kinds[-1] != ROW or table.codes[-1] or odd:
                table.kinds[-1] = PRECISE
        self._pick_firsts(table)
        precise = np.flatnonzero(table.kinds == PRECISE)
        count, here = len(table.kinds), first
        while here < count:
            place = int(np.searchsorted(precise, here))
            stop = int(precise[place]) if place < len(precise) else count
            if stop > here:
                enter_table(self, block, table, here, stop, self._base + start)
            if stop == count:
                break
            begin = int(table.starts[stop])
            reached = self._take_one(data, start + begin, final)
            if reached is None:
                return begin, True
            reached -= start
            here = int(np.searchsorted(table.starts, reached))
            if here == count or table.starts[here] != reached:
                return reached, False
        return min(int(table.ends[-1]), len(data) - start), False

    def _pick_firsts(self, table: Table) -> None:
        """Leave to the precise reader what is told once: the first other newline, the first byte of another encoding."""
        if table.other_end is not None and not self.mixed_noted:
            rows = np.flatnonzero(table.other_end & (table.kinds == ROW))
            table.kinds[rows[:1]] = PRECISE
        if self.first_bad_is_mixed:
            bad = np.flatnonzero(table.codes == BAD_ENCODING)
            table.kinds[bad[:1]] = PRECISE

    def _take_rows(self, block: Block, view: View, start: int) -> None:
        """Enter a block of nothing but sound rows."""
        self.ledger.take_rows(view.lines_through)
        self.clean.keep(block.data, 0, view.stop, self._base + start)

    def _take_one(self, data: bytes, start: int, final: bool) -> int | None:
        """Settle one record; gives where the next begins, None where its end is not at hand."""
        try:
            return settle_record(self, data, read_record(data, start, self.shape, final=final), final)
        except NeedMore:
            return None

    def _take_too_long(self, data: bytes, start: int, final: bool) -> int:
        """Settle a record that has no end within the bytes that a record may have."""
        record = read_record(data, start, self.shape, final=True)
        if not final and record.fault is None and not record.newline:
            return self._give_up(data, start)
        return settle_record(self, data, record, True)

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
        return self._marks.between(start, end).listed()

    def note_mixed_newlines(self, line: int, at: int) -> None:
        """Warn once that lines end in several ways."""
        if not self.mixed_noted:
            self.mixed_noted = True
            self.ledger.notes.add("mixed-newlines", line=line, byte=at)

    def offset(self, at: int) -> int:
        """Turn a place in the buffer into an offset in the file."""
        return self._base + at


def _keep_heap() -> None:
    """Have the C library keep the memory that the blocks give back, instead of handing it to the kernel each time.

    Freeing one large piece teaches it: glibc raises its limits to that size. Measured: 40,000 page faults less, and a quarter
    of the scan's time in a fresh process, for 100 MB.
    """
    np.empty(_HEAP_KEPT, np.uint8)
