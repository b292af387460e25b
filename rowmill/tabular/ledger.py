"""The account of a file's lines, as the independent scan enters them: what each line is, and where each row begins."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rowmill.contracts import Balance
from rowmill.tabular.breaks import Breaks
from rowmill.tabular.notes import Notes

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
# What a record is. SHORT: of the wrong width; PRECISE: not known without a look at its every byte.
ROW, BROKEN, SHORT, BLANK, HEADER, PRECISE = range(6)
_FOOTER = re.compile(
    rb"\W*(?:grand|sub)?[ -]?(?:totals?|sums?|count|records?|rows?|end|generated|printed|exported|created|report|page|note"
    rb"|notes|source|copyright|confidential|disclaimer|eof|trailer|summary|number of|checksum)\b|\W*\(?\d+ (?:rows?|records?)\b"
    rb"|[^\x220-9A-Za-z\x80-\xff]{3,}$|TRL|\xc2\xa9",
    re.I,
)


HELD = 20  # so many records at the end of a file may be a footer


@dataclass(slots=True)
class Short:
    """A record with the wrong number of fields, held back until it is known whether rows follow."""

    code: str
    line: int
    lines: int
    byte: int
    words: dict[str, Any]
    column: int | None
    first_cell: bytes
    unfinished: bool
    after_blank: bool
    start: int = 0


@dataclass(slots=True)
class Ledger:
    """Counts lines, rows and broken lines; remembers where the line of a row stops being the row's number plus a constant.

    Units: `line` is the physical line that comes next. A shift (row, line - row, record - row) holds from its row on.
    """

    notes: Notes
    line: int = 1
    header: int = 0
    rows: int = 0
    blank: int = 0
    continuation: int = 0
    preamble_footer: int = 0
    broken: int = 0
    broken_records: int = 0
    breaks: Breaks = field(default_factory=Breaks)
    shift_rows: array[int] = field(default_factory=lambda: array("q"))
    shift_lines: array[int] = field(default_factory=lambda: array("q"))
    shift_records: array[int] = field(default_factory=lambda: array("q"))
    mark_lines: array[int] = field(default_factory=lambda: array("q"))
    mark_bytes: array[int] = field(default_factory=lambda: array("q"))
    held_back: list[Short] = field(default_factory=list)
    after_blank: bool = False

    @property
    def held(self) -> Short | None:
        """Give the record held back last, if one is."""
        return self.held_back[-1] if self.held_back else None

    @property
    def record(self) -> int:
        """The number that the next record has, broken ones counted."""
        return self.rows + self.broken_records + 1 + len(self.held_back)

    def balance(self) -> Balance:
        """Give the account."""
        lines = self.line - 1
        return Balance(lines, self.header, self.rows, self.blank, self.continuation, self.preamble_footer, self.broken)

    def mark(self, byte: int) -> None:
        """Remember where the next line begins."""
        self.mark_lines.append(self.line)
        self.mark_bytes.append(byte)

    def marks(self, apart: int) -> list[tuple[int, int]]:
        """Give some of the remembered places, at least so many bytes apart: (line, byte)."""
        told: list[tuple[int, int]] = []
        for line, byte in zip(self.mark_lines, self.mark_bytes, strict=True):
            if byte >= (told[-1][1] if told else 0) + apart:
                told.append((line, byte))
        return told

    def take_rows(self, lines_through: npt.NDArray[Any]) -> None:
        """Enter sound rows; item i says how many physical lines rows 0..i take together."""
        if self.held_back:
            self.release()
        count, lines = len(lines_through), int(lines_through[-1])
        self._mark_shift()
        if lines != count:
            starts = np.concatenate(([0], lines_through[:-1]))
            shifts = self.line + starts - (self.rows + 1 + np.arange(count))
            changed = np.flatnonzero(np.diff(shifts, prepend=self.shift_lines[-1]))
            self.shift_rows.frombytes((changed + self.rows + 1).astype(np.int64).tobytes())
            self.shift_lines.frombytes(shifts[changed].astype(np.int64).tobytes())
            self.shift_records.frombytes(np.full(len(changed), self.broken_records, np.int64).tobytes())
        self.rows += count
        self.continuation += lines - count
        self.line += lines
        self.after_blank = False

    def _mark_shift(self) -> None:
        """Begin a new stretch where the next row's line is not where the last stretch puts it."""
        row, shift = self.rows + 1, self.line - (self.rows + 1)
        if self.shift_rows and self.shift_lines[-1] == shift and self.shift_records[-1] == self.broken_records:
            return
        self.shift_rows.append(row)
        self.shift_lines.append(shift)
        self.shift_records.append(self.broken_records)

    def take_row(self, lines: int) -> None:
        """Enter one sound row."""
        if self.held_back:
            self.release()
        self._mark_shift()
        self.rows += 1
        self.continuation += lines - 1
        self.line += lines
        self.after_blank = False

    def take_many(self, kinds: Bytes, lines: Ints, at_lines: Ints, records: Ints, staying: Ints) -> None:
        """Enter records that were judged together, except those `staying` back; `records` are their numbers."""
        is_row, broken = kinds == ROW, (kinds == BROKEN) | (kinds == SHORT)
        broken[staying] = False
        numbers = self.rows + is_row.cumsum()[is_row]
        if len(numbers):
            shifts, behind = at_lines[is_row] - numbers, records[is_row] - numbers
            last = (self.shift_lines[-1], self.shift_records[-1]) if self.shift_rows else (-1, -1)
            changed = np.diff(shifts, prepend=last[0]) != 0
            changed |= np.diff(behind, prepend=last[1]) != 0
            changed[0] |= not self.shift_rows
            self.shift_rows.frombytes(numbers[changed].astype(np.int64).tobytes())
            self.shift_lines.frombytes(shifts[changed].astype(np.int64).tobytes())
            self.shift_records.frombytes(behind[changed].astype(np.int64).tobytes())
        self.rows += len(numbers)
        self.continuation += int(lines[is_row].sum()) - len(numbers)
        self.broken += int(lines[broken].sum())
        self.broken_records += int(broken.sum())
        self.blank += int((kinds == BLANK).sum())
        self.header += int(lines[kinds == HEADER].sum())
        self.line += int(lines.sum())
        releasing = np.flatnonzero(kinds <= BROKEN)
        blanks = kinds[int(releasing[-1]) + 1 :] if len(releasing) else kinds
        self.after_blank = bool((blanks == BLANK).any()) or (self.after_blank and not len(releasing))

    def take_blank(self) -> None:
        """Enter a blank line."""
        self.blank += 1
        self.line += 1
        self.after_blank = True

    def take_header(self, lines: int) -> None:
        """Enter the header or one that repeats it."""
        self.header += lines
        self.line += lines

    def take_left_out(self, lines: int) -> None:
        """Enter lines above the header or below the table."""
        self.preamble_footer += lines
        self.line += lines

    def take_broken(self, lines: int) -> None:
        """Enter a broken record."""
        if self.held_back:
            self.release()
        self.broken += lines
        self.broken_records += 1
        self.line += lines
        self.after_blank = False

    def hold(self, short: Short) -> None:
        """Hold back a record of the wrong width: at the end of the file it may be a footer, or cut short."""
        short.after_blank = self.after_blank
        self.held_back.append(short)
        self.line += short.lines
        if len(self.held_back) > HELD:
            self.release()

    def release(self) -> None:
        """Enter what is held back as broken records: rows follow."""
        held, self.held_back = self.held_back, []
        for short in held:
            self._enter_broken(short)

    def _enter_broken(self, short: Short) -> None:
        """Enter one record of the wrong width as broken."""
        row = self.rows + self.broken_records + 1
        self.notes.add(short.code, line=short.line, row=row, column=short.column, byte=short.byte, **short.words)
        self.broken += short.lines
        self.broken_records += 1

    def finish(self) -> None:
        """Decide at the end of the file what the records held back are: a footer, a row cut short, or broken rows."""
        held, self.held_back = self.held_back, []
        footer = bool(held) and self._is_footer(held)
        for index, short in enumerate(held):
            if footer:
                self.notes.add("footer", line=short.line, byte=short.byte)
                self.breaks.relabel(short.start, "footer")
                self.preamble_footer += short.lines
                continue
            if short.unfinished and index == len(held) - 1 and short.code == "too-few-fields" and self.rows:
                short.code = "truncated"
                self.breaks.relabel(short.start, "truncated")
            self._enter_broken(short)

    def _is_footer(self, held: list[Short]) -> bool:
        """Tell whether the last records are notes below the table: they say so, or stand apart and are one cell wide."""
        if any(s.code != "too-few-fields" for s in held):
            return False
        if _FOOTER.match(held[0].first_cell):
            return True
        apart = held[0].after_blank and not held[-1].unfinished
        return apart and all(s.words["found"] == 1 for s in held) and self.rows > 0

    def shifts_of_rows(self) -> int | npt.NDArray[np.int32]:
        """Give what to add to a row's number to get its line; for every row where that is not one number."""
        if len(self.shift_rows) <= 1:
            return self.shift_lines[0] if self.shift_lines else 1
        first = np.frombuffer(self.shift_rows, np.int64)
        shifts = np.frombuffer(self.shift_lines, np.int64)
        narrow = shifts.astype(np.int32) if int(shifts.max()) < 1 << 31 else shifts
        return np.repeat(narrow, np.diff(first, append=self.rows + 1))

    def places(self, rows: list[int]) -> list[tuple[int, int]]:
        """Give (line, record number) of rows of the table."""
        first = np.frombuffer(self.shift_rows, np.int64)
        at = np.searchsorted(first, np.asarray(rows, np.int64), side="right") - 1
        return [(r + self.shift_lines[int(i)], r + self.shift_records[int(i)]) for r, i in zip(rows, at, strict=True)]
