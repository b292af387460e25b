"""Mends of cells: the one form of dates that fits a whole column, and the rewriting of it as year-month-day."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

import duckdb

from rowmill.tabular.load import quote_text
from rowmill.tabular.mend_records import split_newline
from rowmill.tabular.reading import Reading
from rowmill.tabular.records import Shape, cell, read_record

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR, _SMALL = "[12][0-9]{3}", "[0-9]{1,2}"
_SHORTEST = 8
_SIGNS = {"Y": "YYYY", "m": "MM", "d": "DD", "b": "Mon"}


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write a date: its order such as "mdY", what stands between, its pattern, and how strptime calls it."""

    order: str
    between: str
    pattern: str
    code: str

    @property
    def label(self) -> str:
        """Give it for people: MM/DD/YYYY."""
        return self.between.join(_SIGNS[sign] for sign in self.order)

    def as_date(self, name: str) -> str:
        """Give the SQL of the date in a column's cell, NULL for what is none."""
        full = f"regexp_full_match(trim({name}), {quote_text(self.pattern)})"
        return f"CASE WHEN {full} THEN try_strptime(trim({name}), {quote_text(self.code)}) END"

    def read(self, text: bytes) -> str:
        """Give year-month-day, "" for what is no such date."""
        match = _compiled(self.pattern).fullmatch(text.strip(b" "))
        if match is None:
            return ""
        parts = dict(zip(self.order, match.groups(), strict=True))
        month = _month(parts["b"]) if "b" in parts else int(parts["m"])
        try:
            return date(int(parts["Y"]), month, int(parts["d"])).isoformat()
        except ValueError:
            return ""


def _month(name: bytes) -> int:
    """Give the number of a month's short name, 0 for what is none."""
    found = name.decode().casefold()
    return _MONTHS.index(found) + 1 if found in _MONTHS else 0


_patterns: dict[str, re.Pattern[bytes]] = {}


def _compiled(pattern: str) -> re.Pattern[bytes]:
    """Compile a pattern for bytes, once."""
    if pattern not in _patterns:
        _patterns[pattern] = re.compile(pattern.encode())
    return _patterns[pattern]


def _form(order: str, between: str) -> Form:
    """Make a form of its parts."""
    parts = {"Y": f"({_YEAR})", "m": f"({_SMALL})", "d": f"({_SMALL})", "b": "([A-Za-z]{3})"}
    if not between:
        parts |= {"m": "([0-9]{2})", "d": "([0-9]{2})"}
    return Form(
        order,
        between,
        re.escape(between).replace("\\ ", " ").join(parts[s] for s in order),
        between.join("%" + s for s in order),
    )


# Each family is one look of a cell; where it has two orders, a cell with a day above 12 has to tell them apart.
FAMILIES: tuple[tuple[Form, ...], ...] = (
    *((_form("mdY", sign), _form("dmY", sign)) for sign in "/.-"),
    *((_form("Ymd", sign),) for sign in "/."),
    (_form("Ymd", ""),),
    *((_form("dbY", sign),) for sign in ("-", " ", "/")),
)
_ONE_DIGIT = (_form("Ymd", "-"),)


@dataclass(frozen=True, slots=True)
class Found:
    """The forms that a column's dates have beyond doubt, the commonest first; `doubtful`: days and months cannot be told apart."""

    forms: tuple[Form, ...] = ()
    doubtful: bool = False


def find_forms(con: duckdb.DuckDBPyConnection, rows_sql: str, place: int) -> Found:
    """Find the forms of a column's dates. Cost: one pass over the column; each spelling is looked at once.

    A form counts only where it fits every cell of its look; of two orders only where a cell is a date in that one alone.
    """
    families = (*FAMILIES, _ONE_DIGIT)
    parts = []
    for family in families:
        parts.append(f"sum(n) FILTER (regexp_full_match(trim(c{place}), {quote_text(family[0].pattern)}))")
        parts += [f"sum(n) FILTER ({form.as_date(f'c{place}')} IS NOT NULL)" for form in family]
    # What is shorter, or begins with a letter, is in none of the forms.
    may_be = f"strlen(c{place}) >= {_SHORTEST} AND c{place} < ':'"
    spellings = f"(SELECT c{place}, count(*) AS n FROM {rows_sql} WHERE {may_be} GROUP BY c{place})"
    counts = [int(n or 0) for n in con.execute(f"SELECT {', '.join(parts)} FROM {spellings}").fetchall()[0]]
    found: list[tuple[int, Form]] = []
    doubtful = False
    for family in families:
        looks, read = counts[0], counts[1 : len(family) + 1]
        del counts[: len(family) + 1]
        fitting = [form for form, count in zip(family, read, strict=True) if looks and count == looks]
        doubtful |= len(fitting) > 1
        if len(fitting) == 1:
            found.append((looks, fitting[0]))
    return Found(tuple(form for _, form in sorted(found, key=lambda f: -f[0])), doubtful)


def may_be_dates(con: duckdb.DuckDBPyConnection, spellings: str) -> bool:
    """Tell whether any of some cells (`v`) is a date in any form."""
    read = " OR ".join(f"{form.as_date('v')} IS NOT NULL" for family in (*FAMILIES, _ONE_DIGIT) for form in family)
    may_be = f"strlen(v) >= {_SHORTEST} AND v < ':'"
    return bool(con.execute(f"SELECT 1 FROM {spellings} WHERE {may_be} AND ({read}) LIMIT 1").fetchall())


def as_iso(forms: tuple[Form, ...], place: int) -> str:
    """Give the SQL of a column's cell with its dates written as year-month-day."""
    read = ", ".join(form.as_date(f"c{place}") for form in forms)
    return f"coalesce(strftime(coalesce({read}), '%Y-%m-%d'), c{place})"


@dataclass(slots=True)
class Rewriter:
    """Rewrites cells of some columns, record by record, and counts them per slug.

    `columns` are (index of the column, what gives the new cell of a record's cells or b"", slug), each going on from what
    the one before has made.
    """

    shape: Shape
    columns: list[tuple[int, Callable[[Sequence[bytes]], bytes], str]]
    counts: Counter[str] = field(default_factory=Counter)

    def rewrite(self, raw: bytes) -> bytes:
        """Give a sound record with its cells rewritten."""
        body, newline = split_newline(raw)
        shape, between = self.shape, bytes([self.shape.delimiter])
        if shape.quote >= 0 and shape.quote in body:
            spans = read_record(body, 0, shape, final=True).fields
            fields = [body[start:end] for start, end in spans]
            cells = [cell(body, span, shape) for span in spans]
        else:
            fields = body.split(between)
            cells = list(fields)
        changed = False
        for place, mend, slug in self.columns:
            if place >= len(cells):
                continue
            mended = mend(cells)
            if mended and mended != cells[place]:
                fields[place] = cells[place] = mended
                self.counts[slug] += 1
                changed = True
        return between.join(fields) + newline if changed else raw


def iso_dates(place: int, forms: tuple[Form, ...]) -> Callable[[Sequence[bytes]], bytes]:
    """Give what writes the date in a record's cell as year-month-day."""

    def mend(cells: Sequence[bytes]) -> bytes:
        return next((iso for form in forms if (iso := form.read(cells[place]))), "").encode()

    return mend


def place_of(reading: Reading, name: str) -> int | None:
    """Give the 1-based place of a column by the kind's name, or by its name in the header, or by its number."""
    inspection = reading.inspection
    if name in inspection.mapping:
        return inspection.mapping[name]
    if name in inspection.header:
        return inspection.header.index(name) + 1
    return int(name) if name.isdecimal() and 0 < int(name) <= len(inspection.header) else None
