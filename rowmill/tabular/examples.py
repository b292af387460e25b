"""Real examples of a cause, before and after its mend, read live from the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rowmill.contracts import NO_RULES, Cause, Column, Rules
from rowmill.tabular.inspect import open_table
from rowmill.tabular.load import Bad
from rowmill.tabular.mend_cells import as_iso, find_forms
from rowmill.tabular.mend_damage import BY_CODE, find_repair
from rowmill.tabular.mend_header import mend_header
from rowmill.tabular.mend_records import mend_break
from rowmill.tabular.mend_text import Layout, lay_out, open_text
from rowmill.tabular.reading import DEFAULT_LIMITS, Limits, Reading

_SHOWN_CHARACTERS = 400
_SAME = {"bad-encoding": ("bad-encoding", "mixed-encodings"), "mixed-encodings": ("bad-encoding", "mixed-encodings")}
_BEGINS_LINES = ("newlines", "lone-cr")


@dataclass(frozen=True, slots=True)
class Example:
    """One place of a cause: its physical line, what stands there, and what its mend makes of it ("" where there is none)."""

    line: int
    before: str
    after: str


def examples(
    path: Path,
    causes: Sequence[Cause],
    rules: Rules = NO_RULES,
    *,
    limits: Limits = DEFAULT_LIMITS,
    limit: int = 3,
) -> list[list[Example]]:
    """Give up to `limit` examples of each cause, in the order of the causes; none where it lies in no single place.

    They hold cells: show them to those who may see the file, and keep them nowhere. Cost: the file is judged once.
    """
    thorough = any(cause.code.startswith("excel-") for cause in causes)
    with open_table(path, rules, limits=limits, thorough=thorough) as reading:
        layout = lay_out(reading, even_if_lossy=True)
        if layout is None:
            return [[] for _ in causes]
        with open_text(layout) as file:
            return [list(_of_cause(cause, reading, layout, rules.columns, file, limit)) for cause in causes]


def _of_cause(
    cause: Cause, reading: Reading, layout: Layout, columns: Sequence[Column], file: BinaryIO, limit: int
) -> Iterator[Example]:
    """Yield the examples of one cause."""
    codes = [code for code in _SAME.get(cause.code, (cause.code,)) if code in layout.groups]
    if codes:
        yield from _of_breaks(cause, codes, layout, file, limit)
    elif cause.mend.partition(":")[0] == "header" or cause.code.startswith("header-"):
        after, _ = mend_header(layout, {cause.mend}, columns)
        yield Example(cause.line or 1, _show(layout.head_raw), _show(after) if cause.mend else "")
    elif bad := _condition(cause, reading):
        yield from _of_cells(cause, bad, reading, limit)


def _of_breaks(cause: Cause, codes: Sequence[str], layout: Layout, file: BinaryIO, limit: int) -> Iterator[Example]:
    """Yield records that this cause's mend mends, or that none does where it has no mend."""
    found = 0
    for index in sorted(i for code in codes for i in layout.spread(code)):
        one = layout.breaks[index]
        raw = layout.read(file, one, 1 << 16)
        steps = mend_break(one.code, raw, layout.table, row=one.row, broken_after=layout.broken_after(index, one))
        slugs = [step.slug for step in steps]
        if (cause.mend in slugs) if cause.mend else not slugs:
            found += 1
            after = next((step.data for step in steps if step.slug == cause.mend), b"")
            ends = cause.mend in _BEGINS_LINES
            yield Example(one.line, _show(raw, ends=ends), _show(after, ends=ends))
        if found == limit:
            return


def _of_cells(cause: Cause, bad: Bad, reading: Reading, limit: int) -> Iterator[Example]:
    """Yield cells that break a check, and what the mend makes of them."""
    assert reading.con is not None
    assert reading.rows_sql is not None
    assert reading.ledger is not None
    place = cause.column
    after = _mended_cell(cause, place, reading) if place and cause.mend else "''"
    cell = f"c{place}" if place else "''"
    numbered = f"(SELECT row_number() OVER () AS n, * FROM {reading.rows_sql})"
    changed = f" AND {after} <> {cell}" if after != "''" else ""
    found = reading.con.execute(
        f"SELECT n, {cell}, {after} FROM {numbered} WHERE ({bad.met_by('n')}){changed} ORDER BY n LIMIT {limit}"
    ).fetchall()
    lines = reading.ledger.places([row[0] for row in found])
    for (_, before, mended), (line, _) in zip(found, lines, strict=True):
        yield Example(line, before[:_SHOWN_CHARACTERS], mended[:_SHOWN_CHARACTERS])


def _mended_cell(cause: Cause, place: int, reading: Reading) -> str:
    """Give the SQL of what a cause's mend makes of a cell."""
    assert reading.con is not None
    assert reading.rows_sql is not None
    if cause.code in BY_CODE:
        repair = find_repair(reading, cause.code, place, cause.mend)
        return repair.sql if repair is not None else "''"
    forms = find_forms(reading.con, reading.rows_sql, place).forms
    return as_iso(forms, place) if forms else "''"


def _condition(cause: Cause, reading: Reading) -> Bad | None:
    """Find the condition that a cause comes from."""
    if reading.con is None or reading.rows_sql is None:
        return None
    labels = [f"{cause.code}:{name}" for name in (cause.column_name, cause.column) if name]
    return next((bad for bad in reading.bad if bad.label in labels), None)


def _show(raw: bytes, *, ends: bool = False) -> str:
    """Give a record as text, a long one cut."""
    text = raw.decode("utf-8", "backslashreplace")
    text = text if ends else text.rstrip("\r\n")
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def as_json(causes: Sequence[Cause], found: Sequence[Sequence[Example]]) -> list[dict[str, Any]]:
    """Give the causes that have examples. Shape: {"cause": index, "message", "mend", "pairs": [{"line","before","after"}]}."""
    return [
        {
            "cause": index,
            "message": cause.message,
            "mend": cause.mend,
            "pairs": [{"line": one.line, "before": one.before, "after": one.after} for one in pairs],
        }
        for index, (cause, pairs) in enumerate(zip(causes, found, strict=True))
        if pairs
    ]
