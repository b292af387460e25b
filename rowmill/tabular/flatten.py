"""A workbook on its way into the fast path: its sheet is written as a plain table, one line for each row of the sheet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rowmill.tabular.archive import UNPACKED_BYTES, Refused
from rowmill.tabular.header import MAX_COLUMNS
from rowmill.tabular.sheet import Places, Styles, has_values, read_sheet
from rowmill.tabular.workbook import Sheet, Strings, Workbook, open_workbook, read_strings, read_styles

_FIRST_ROWS = 200
_FLUSH_ROWS = 2_000
_FLUSH_CHARACTERS = 1 << 20
_LAST_ROWS = 20
_STAND_IN = b"\xef\xb7"


@dataclass(frozen=True, slots=True)
class Table:
    """What was written. `others` are further visible sheets that hold data; `stand_ins` tells that cells hold some."""

    sheet: str
    others: tuple[str, ...]
    width: int
    stand_ins: bool
    places: Places


def flatten(path: Path, target: Path, wanted: str | None = None) -> Table:
    """Write the wanted sheet, or the first visible one that holds data, as UTF-8 with commas.

    Blank rows of the sheet are blank lines, so that line n is row n as Excel shows it. Raises: Refused.
    """
    with open_workbook(path) as book:
        sheet, others = _choose(book, wanted)
        strings = read_strings(book, target.with_suffix(".strings"))
        styles = Styles(read_styles(book), book.from_1904)
        try:
            writer = _write(book, sheet, strings, styles, target)
        finally:
            strings.close()
        assert writer.places is not None
        return Table(sheet.name, others, writer.width, writer.stand_ins, writer.places)


def _write(book: Workbook, sheet: Sheet, strings: Strings, styles: Styles, target: Path) -> Writer:
    """Write the table; once more where a late row turns out to be wider than all before it."""
    width = 0
    while True:
        with target.open("wb") as out:
            writer = Writer(out, width)
            writer.places = read_sheet(book, sheet, strings, styles, writer.take)
            writer.finish()
        if not writer.too_narrow:
            return writer
        width = writer.widest


def _choose(book: Workbook, wanted: str | None) -> tuple[Sheet, tuple[str, ...]]:
    """Choose the sheet to read. Raises: Refused where there is none of that name, or none with data."""
    if wanted:
        for sheet in book.sheets:
            if sheet.name.casefold() == wanted.strip().casefold():
                return sheet, ()
        names = ", ".join(f'"{sheet.name[:60]}"' for sheet in book.sheets[:20])
        raise Refused("sheet-missing", names=names or "none")
    filled = [sheet for sheet in book.sheets if not sheet.hidden and has_values(book, sheet)]
    if not filled:
        raise Refused("sheet-empty")
    return filled[0], tuple(sheet.name for sheet in filled[1:])


class Writer:
    """Writes rows as lines of one width.

    Rows above the header stay as narrow as they are, which tells them from rows of the table, and so do single cells
    below it that stand apart; all others are filled up, as a sheet has no rows that are too short.
    """

    def __init__(self, out: BinaryIO, width: int = 0) -> None:
        self.width = self.widest = width
        self.stand_ins = False
        self.too_narrow = False
        self.places: Places | None = None
        self._out = out
        self._first: list[tuple[int, list[str]]] | None = []
        self._held: list[tuple[int, list[str]]] = []
        self._narrow = 0
        self._line = 0
        self._lines: list[str] = []
        self._characters = 0
        self._written = 0

    def take(self, row: int, cells: list[str]) -> None:
        """Take the next row. Raises: Refused for too many columns, or where the table grows beyond its limit."""
        if len(cells) > self.widest:
            self.widest = len(cells)
            if self.widest > MAX_COLUMNS:
                raise Refused("too-many-columns", line=row, found=self.widest, limit=MAX_COLUMNS)
        if self._first is not None:
            self._first.append((row, cells))
            if len(self._first) >= _FIRST_ROWS:
                self._begin()
            return
        if self.widest > self.width:
            self.too_narrow = True
            return
        self._sort(row, cells)

    def finish(self) -> None:
        """Write what is held back."""
        if self._first is not None:
            self._begin()
        for row, cells in self._held:
            self._put(row, ",".join(cells))
        self._flush()

    def _begin(self) -> None:
        """Settle the width on the first rows and write them."""
        first, self._first = self._first or [], None
        self.width = self.widest
        widths = Counter(len(cells) for _, cells in first)
        usual = max(widths, key=lambda width: (widths[width], width)) if widths else 0
        self._narrow = max(1, usual // 2) if usual > 1 else 0
        for row, cells in first:
            self._sort(row, cells)

    def _sort(self, row: int, cells: list[str]) -> None:
        """Write a row in full, narrow above the header, or hold it back as what may be a note below the table."""
        if self._narrow:
            if len(cells) <= self._narrow:
                self._put(row, ",".join(cells))
                return
            self._narrow = 0
        elif len(cells) == 1 < self.width and len(self._held) < _LAST_ROWS and (self._held or row > self._line + 1):
            self._held.append((row, cells))
            return
        if self._held:
            held, self._held = self._held, []
            for one, single in held:
                self._put_full(one, single)
        self._put_full(row, cells)

    def _put_full(self, row: int, cells: list[str]) -> None:
        """Write a row, filled up."""
        line = ",".join(cells)
        if len(cells) < self.width:
            line += "," * (self.width - len(cells))
        self._put(row, line)

    def _put(self, row: int, line: str) -> None:
        """Write a line, and the blank ones before it."""
        if row > self._line + 1:
            self._lines.append("\n" * (row - self._line - 2))
        self._line = row
        self._lines.append(line)
        self._characters += len(line)
        if len(self._lines) >= _FLUSH_ROWS or self._characters >= _FLUSH_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        """Write out. Raises: Refused past the limit."""
        if not self._lines:
            return
        data = "\n".join([*self._lines, ""]).encode()
        self._lines, self._characters = [], 0
        self._written += len(data)
        if self._written > UNPACKED_BYTES:
            raise Refused("unpacked-too-large", limit=UNPACKED_BYTES // (1 << 20))
        if _STAND_IN in data:
            self.stand_ins = True
        self._out.write(data)
