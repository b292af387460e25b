"""Mends: what can be repaired in a file without guessing, and the writing of the mended copy, record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from rowmill.contracts import NO_RULES, Column, Rules
from rowmill.errors import InputError
from rowmill.tabular.breaks import Break
from rowmill.tabular.fields import STAND_IN_BYTES
from rowmill.tabular.inspect import open_table
from rowmill.tabular.mend_cells import Rewriter, find_forms, iso_dates, place_of
from rowmill.tabular.mend_damage import SERIAL, WRITTEN_OUT, ZEROS, repairs_of
from rowmill.tabular.mend_header import mend_header
from rowmill.tabular.mend_quotes import is_row
from rowmill.tabular.mend_records import mend_break, split_newline
from rowmill.tabular.mend_text import Layout, iter_blocks, iter_records, lay_out, open_text
from rowmill.tabular.reading import DEFAULT_LIMITS, Limits, Reading
from rowmill.tabular.unfinished import whole_or_not

WITHOUT_BROKEN_ROWS = "without-broken-rows"


@dataclass(frozen=True, slots=True)
class Mend:
    """One thing that can be mended: its slug, what it does, and what becomes of the cells."""

    slug: str
    title: str
    help: str


_ALL = (
    Mend("encoding", "Write everything as UTF-8", "Every letter stays what it is; only the bytes behind it change."),
    Mend("newlines", "End every line the same way", "The line ending that most lines have is taken; no cell changes."),
    Mend("lone-cr", "Quote cells with a line break in them", "The cell stays as it is, inside quotes."),
    Mend("blank-lines", "Leave blank lines out", "They hold nothing."),
    Mend("preamble", "Leave out the lines above the header", "The table begins with its header."),
    Mend("footer", "Leave out the lines below the table", "Totals and remarks are no rows."),
    Mend("repeated-header", "Leave out the repeated header", "The first one stays."),
    Mend("bom", "Take out byte order marks in the middle", "They are left where files were joined, and mean nothing."),
    Mend("control-z", "Take out the control character 0x1A", "An old sign for the end of a file; it means nothing."),
    Mend(
        "delimiter",
        "Write all rows with the same delimiter",
        "Rows written with another delimiter get that of the others; cells that hold it are quoted.",
    ),
    Mend(
        "trailing-delimiter",
        "Take off surplus delimiters at the line's end",
        "Only empty fields beyond the last column go.",
    ),
    Mend(
        "quote-delimiter",
        "Quote cells that hold a delimiter",
        "Done where the other columns leave only one cell that the surplus delimiter can belong to.",
    ),
    Mend(
        "close-quote",
        "Close the quote that was left open",
        "Done where only one place for it makes the line a row; the rows below are rows again.",
    ),
    Mend(
        "escape-quotes",
        "Double the quotes inside quoted cells",
        "The cell keeps its quotes. Done where only one reading makes the line a row.",
    ),
    Mend("quote-spaces", "Take out blanks between quotes and delimiters", "What is inside the quotes stays."),
    Mend("quote-cells", "Quote cells that hold a quote", "The cell stays as it is; other programs read it alike."),
    Mend(
        "typographic-quotes",
        "Write plain quotes around cells",
        "Curly quotes at the edges of a cell become plain ones, and no longer count as part of it.",
    ),
    Mend("header", "Spell a column's name as it is needed", "Only the name in the header changes."),
    Mend(
        "date-form",
        "Write a column's dates as year-month-day",
        "Done where one form fits every date of the column and at least one proves it.",
    ),
    Mend(
        SERIAL,
        "Write a spreadsheet's day numbers as dates",
        "Counted from 1900 and written like the column's other dates; done where they lie among those.",
    ),
    Mend(
        ZEROS,
        "Give numbers their leading zeros back",
        "Done where the column's name tells how many digits a number has, as for ZIP codes.",
    ),
    Mend(
        WRITTEN_OUT,
        "Write numbers such as 1.23456789012E+11 out",
        "Done where all their digits are there; of the others the rest is gone: export them again as text.",
    ),
    Mend(WITHOUT_BROKEN_ROWS, "Leave out what is still broken", "Rows that no mend repairs are not in the new file."),
)
_OF_A_COLUMN = ("header", "date-form", SERIAL, ZEROS, WRITTEN_OUT)
MENDS: Mapping[str, Mend] = {mend.slug: mend for mend in _ALL}


def get_mend(slug: str) -> Mend:
    """Give the mend of a slug, with or without its column (`date-form:dob`). Raises: InputError."""
    name, _, column = slug.partition(":")
    if name not in MENDS or (name in _OF_A_COLUMN) != bool(column):
        raise InputError("There is no such mend.")
    mend = MENDS[name]
    return replace(mend, slug=slug, title=f"{mend.title}: {column}") if column else mend


@dataclass(frozen=True, slots=True)
class MendReport:
    """What became of a mending.

    `applied` counts the places that each mend changed; a slug that found nothing to do has 0. `left_out` counts broken
    records left out, `still_broken` those that stayed as they are. Units: `size_bytes` of the new file.
    """

    applied: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    still_broken: int = 0
    size_bytes: int = 0

    @property
    def changed(self) -> int:
        """Count the places that were mended."""
        return sum(self.applied.values())


def apply_mends(
    path: Path,
    out: Path,
    slugs: Collection[str],
    rules: Rules = NO_RULES,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> MendReport:
    """Write a mended copy of a file: UTF-8, every untouched sound record byte for byte.

    It appears under its name when it is whole. Columns only tell where the header is and what a needed name is: no check
    runs here. Raises: InputError for an unknown mend, or a file that cannot be read as a table at all.
    Cost: the file is judged once and written once; memory stays flat whatever its size.
    """
    for slug in slugs:
        get_mend(slug)
    bare = [replace(column, checks=(), filled=False) for column in rules.columns]
    with open_table(path, Rules(bare, sheet=rules.sheet), table_out=out, limits=limits) as reading:
        layout = lay_out(reading)
        if layout is None:
            raise InputError("This file cannot be read as a table, so there is nothing to mend in it.")
        with whole_or_not(out) as unfinished:
            with unfinished.open("wb") as target, open_text(layout) as source:
                writing = _Writing(reading, layout, slugs, rules.columns, source, target)
                writing.run()
            return writing.report(unfinished.stat().st_size)


def make_rewriter(reading: Reading, layout: Layout, slugs: Collection[str]) -> Rewriter | None:
    """Make what rewrites the columns named by the slugs; None where nothing is beyond doubt. Days come before dates."""
    places = {slug: place for slug in sorted(slugs) if (place := place_of(reading, slug.partition(":")[2]))}
    repairs = repairs_of(
        reading, {s: p for s, p in places.items() if s.partition(":")[0] in (SERIAL, ZEROS, WRITTEN_OUT)}
    )
    columns = [(repair.place - 1, repair.mend, repair.slug) for repair in repairs]
    for slug, place in places.items():
        if slug.startswith("date-form:") and reading.con is not None and reading.rows_sql is not None:
            found = find_forms(reading.con, reading.rows_sql, place)
            if found.forms:
                columns.append((place - 1, iso_dates(place - 1, found.forms), slug))
    return Rewriter(layout.shape, columns) if columns else None


class _Writing:
    """One mended copy in the making."""

    def __init__(
        self,
        reading: Reading,
        layout: Layout,
        slugs: Collection[str],
        columns: Sequence[Column],
        source: BinaryIO,
        target: BinaryIO,
    ) -> None:
        self.layout, self.slugs, self.columns = layout, frozenset(slugs), columns
        self.source, self.target = source, target
        self.applied: Counter[str] = Counter(dict.fromkeys(slugs, 0))
        self.left_out = self.still_broken = 0
        dialect = reading.inspection.dialect
        if "encoding" in slugs and dialect is not None and dialect.encoding != "utf-8":
            self.applied["encoding"] += 1
        self.one_newline = "newlines" in slugs and dialect is not None and dialect.newline == "mixed"
        self.rewriter: Rewriter | None = make_rewriter(reading, layout, self.slugs)
        self.cut = layout.shape.trailing and "trailing-delimiter" in slugs
        self.by_record = self.one_newline or self.rewriter is not None or self.cut or layout.sheet

    def run(self) -> None:
        """Write the whole copy."""
        layout, at, header = self.layout, self._begin(), False
        for index, one in enumerate(layout.breaks):
            if not header and one.start >= layout.head_start:
                self._write_header()
                at, header = layout.head_end, True
            self._write_rows(at, one.start)
            self._write_break(index, one)
            at = max(at, one.end)
        if not header:
            self._write_header()
            at = layout.head_end
        self._write_rows(at, layout.size)

    def _begin(self) -> int:
        """Give where the lines begin, the byte order mark left out."""
        first = self.layout.breaks[0].start if len(self.layout.breaks) else self.layout.head_start
        return min(first, self.layout.head_start)

    def _write_header(self) -> None:
        """Write the header with its mends."""
        data, done = mend_header(self.layout, self.slugs, self.columns)
        self.applied.update(done)
        self.target.write(data)

    def _write_break(self, index: int, one: Break) -> None:
        """Write what a break becomes."""
        layout = self.layout
        self.source.seek(one.start)
        raw = self.source.read(one.end - one.start)
        steps = mend_break(
            one.code,
            raw,
            layout.table,
            row=one.row,
            broken_after=layout.broken_after(index, one),
            chosen=self.slugs,
        )
        for step in steps:
            raw = step.data
            self.applied[step.slug] += 1
        if not steps and not one.row and one.severity == "error":
            if WITHOUT_BROKEN_ROWS in self.slugs:
                self.left_out += 1
                return
            self.still_broken += 1
            self.target.write(raw)
            return
        self.target.write(self._finish(raw) if steps or one.row else raw)

    def _write_rows(self, start: int, end: int) -> None:
        """Write the sound records between two places."""
        if start >= end:
            return
        if not self.by_record:
            for block in iter_blocks(self.source, start, end):
                self.target.write(block)
            return
        self.target.writelines(self._finish(raw) for raw in iter_records(self.source, start, end, self.layout.shape))

    def _finish(self, raw: bytes) -> bytes:
        """Apply to one sound record what holds for all of them."""
        shape = self.layout.shape
        if self.one_newline or self.cut:
            body, newline = split_newline(raw)
            if self.one_newline and newline not in (shape.newline, b""):
                newline = shape.newline
                self.applied["newlines"] += 1
            if self.cut and body.endswith(bytes([shape.delimiter])) and is_row(body, shape, shape.columns):
                body = body[:-1]
                self.applied["trailing-delimiter"] += 1
            raw = body + newline
        if self.layout.sheet and b"\xef\xb7" in raw:
            for stand_in, sign in STAND_IN_BYTES:
                raw = raw.replace(stand_in, sign if sign.isspace() else b"")
        return self.rewriter.rewrite(raw) if self.rewriter is not None and raw else raw

    def report(self, size: int) -> MendReport:
        """Say what was done."""
        if self.rewriter is not None:
            self.applied.update(self.rewriter.counts)
        return MendReport(dict(self.applied), self.left_out, self.still_broken, size)
