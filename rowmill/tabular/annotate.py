"""A judged file as a workbook: what is wrong is marked by colour and by notes on the cells."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xlsxwriter

from rowmill.contracts import NO_RULES, Rules
from rowmill.errors import InputError
from rowmill.tabular.failed_rows import LINE, WRONG, say_troubles
from rowmill.tabular.inspect import open_table
from rowmill.tabular.mend_text import lay_out
from rowmill.tabular.reading import DEFAULT_LIMITS, Limits
from rowmill.tabular.unfinished import whole_or_not
from rowmill.tabular.walk import Walked, walk
from rowmill.tabular.writers import SHEET_ROWS, fit_cell

CONTEXT_ROWS = 3
# Each note is a drawing that a spreadsheet program keeps in memory; beyond these the colour and the words have to do.
MOST_NOTES = 20_000
_SHEET_COLUMNS = 16_384
_FIRST = 2  # the columns before the cells: line, what is wrong
_RED, _PINK, _YELLOW = "#F4B6B6", "#FBE3E3", "#FFF2B3"


@dataclass(frozen=True, slots=True)
class Annotated:
    """What was written. `whole`: every row is there; else the failing ones with the rows around them. `marked` counts rows."""

    whole: bool
    rows: int
    marked: int


def write_annotated(
    path: Path,
    out: Path,
    rules: Rules = NO_RULES,
    *,
    limits: Limits = DEFAULT_LIMITS,
    sheet_rows: int = SHEET_ROWS,
) -> Annotated:
    """Write the whole file as a workbook, each record with its line and what is wrong, bad cells marked and noted.

    A file with more rows than a sheet holds gives its failing rows only, with three rows before and after each; the sheet
    says so. Every cell is a text, none a formula. Raises: InputError where the file cannot be read as a table at all.
    """
    with open_table(path, rules, table_out=out, limits=limits) as reading:
        layout = lay_out(reading, even_if_lossy=True)
        if layout is None:
            raise InputError("This file cannot be read as a table, so nothing can be marked in it.")
        whole = reading.inspection.balance.lines < sheet_rows
        walked = walk(reading, layout)
        if not whole:
            walked = _with_context(walked)
        with whole_or_not(out) as unfinished, unfinished.open("wb") as target:
            book = _Book(target, reading.inspection.header, whole, sheet_rows)
            for one in walked:
                if not book.add(one):
                    break
            book.close()
    return Annotated(whole, book.rows, book.marked)


def _with_context(walked: Iterator[Walked]) -> Iterator[Walked]:
    """Yield failing records and the rows around them."""
    before: deque[Walked] = deque(maxlen=CONTEXT_ROWS)
    after = 0
    for one in walked:
        if one.failed:
            yield from before
            before.clear()
            after = CONTEXT_ROWS
            yield one
        elif after:
            after -= 1
            yield one
        else:
            before.append(one)


class _Book:
    """The workbook in the making: one sheet, row after row."""

    def __init__(self, target: Any, header: Sequence[str], whole: bool, sheet_rows: int) -> None:
        self.book = xlsxwriter.Workbook(
            target,
            {
                "constant_memory": True,
                "strings_to_numbers": False,
                "strings_to_formulas": False,
                "strings_to_urls": False,
            },
        )
        self.page = self.book.add_worksheet("Findings")
        self.red, self.pink, self.yellow = (self.book.add_format({"bg_color": c}) for c in (_RED, _PINK, _YELLOW))
        self.rows = self.marked = self.notes = 0
        self.sheet_rows, self.header_width = sheet_rows, min(len(header), _SHEET_COLUMNS - _FIRST)
        bold = self.book.add_format({"bold": True})
        self.page.freeze_panes(1, _FIRST)
        self.page.set_column(1, 1, 50)
        self.page.set_column(_FIRST, _FIRST + max(0, self.header_width - 1), 16)
        for place, name in enumerate((LINE, WRONG, *header[: self.header_width])):
            self.page.write_string(0, place, fit_cell(name), bold)
        if not whole:
            words = f"The file has more rows than a sheet holds ({sheet_rows:,}): here are the failing ones and those around them."
            self.page.write_comment(0, 1, words)

    def add(self, one: Walked) -> bool:
        """Write one record; False where the sheet is full."""
        if self.rows + 1 >= self.sheet_rows:
            return False
        self.rows += 1
        self.marked += bool(one.troubles)
        plain = None if not one.troubles else (self.pink if one.failed else None)
        strong = self.red if one.failed else self.yellow
        bad = {t.column for t in one.troubles if t.column}
        self.page.write_number(self.rows, 0, one.line, plain)
        if one.troubles:
            self.page.write_string(self.rows, 1, fit_cell(say_troubles(one)), strong)
        cells = one.cells()[: _SHEET_COLUMNS - _FIRST]
        for place, text in enumerate(cells, 1):
            look = strong if place in bad else plain
            if text or look is not None:
                self.page.write_string(self.rows, place + _FIRST - 1, fit_cell(text), look)
        self._note(one, len(cells))
        return True

    def _note(self, one: Walked, width: int) -> None:
        """Put the words on the cells that they are about; those about the whole row on its line number."""
        by_place: dict[int, list[str]] = {}
        for trouble in one.troubles:
            place = trouble.column + _FIRST - 1 if trouble.column and trouble.column <= max(width, 1) else 0
            by_place.setdefault(place, []).append(trouble.words)
        for place, words in by_place.items():
            if self.notes < MOST_NOTES:
                self.notes += 1
                self.page.write_comment(self.rows, place, "\n".join(words)[:1000])

    def close(self) -> None:
        """Finish the workbook."""
        self.page.autofilter(0, 0, self.rows, _FIRST + max(0, self.header_width) - 1)
        self.book.close()
