"""Mends of the header line: its quotes, its line ending, a surplus delimiter, and the spelling of a needed column's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from rowmill.contracts import Column
from rowmill.tabular.header import find_nearest, fold
from rowmill.tabular.mend_quotes import is_row, repair_quotes
from rowmill.tabular.mend_records import mend_break, split_newline
from rowmill.tabular.mend_text import Layout
from rowmill.tabular.records import cell, quote_field, read_record

# Two names are near enough to be one name spelled in two ways.
_NEAR = 0.75


def mend_header(layout: Layout, slugs: Collection[str], columns: Sequence[Column]) -> tuple[bytes, Counter[str]]:
    """Give the header's line with its mends, and how often each was used."""
    raw, done = layout.head_raw, Counter[str]()
    for found in repair_header(layout):
        if found[0] in slugs:
            raw, done = found[1], Counter([found[0]])
    body, newline = split_newline(raw)
    if "newlines" in slugs and newline not in (b"", layout.shape.newline):
        newline = layout.shape.newline
        done["newlines"] += 1
    if "trailing-delimiter" in slugs and has_surplus_name(layout):
        body = body[:-1]
        done["trailing-delimiter"] += 1
    names = {slug.partition(":")[2] for slug in slugs if slug.startswith("header:")}
    for name, place in near_names(_cells(body, layout), columns).items():
        if name in names:
            body = _rename(body, place, name, layout)
            done[f"header:{name}"] += 1
    return body + newline, done


def repair_header(layout: Layout) -> list[tuple[str, bytes]]:
    """Give the repair of a header with broken or odd quotes: (slug, its line), none where nothing is sure."""
    body, newline = split_newline(layout.head_raw)
    if layout.head.fault is None:
        odd = mend_break("", layout.head_raw, layout.table, row=True)
        return [(step.slug, step.data) for step in odd if step.slug != "newlines"][-1:]
    found = repair_quotes(body, layout.shape, layout.table.width)
    return [(found[0], found[1] + newline)] if found else []


def has_surplus_name(layout: Layout) -> bool:
    """Tell whether the header ends in a delimiter that the rows lack, or all rows have too: an empty name too many."""
    body, _ = split_newline(layout.head_raw)
    record = layout.head
    surplus = record.fault is None and len(record.fields) == layout.table.width + 1
    return (
        surplus and record.fields[-1][0] == record.fields[-1][1] and is_row(body[:-1], layout.shape, layout.table.width)
    )


def near_names(names: Sequence[str], columns: Sequence[Column]) -> Mapping[str, int]:
    """Give the needed columns that are missing and whose name stands there in a near spelling: name -> 1-based place.

    None of it is guessed: a name that is near to two columns counts for neither.
    """
    folded = [fold(name) for name in names]
    taken = {
        folded.index(fold(spelling)) + 1
        for column in columns
        for spelling in (column.name, *column.aliases)
        if fold(spelling) in folded
    }
    found: dict[str, int] = {}
    for column in columns:
        known = any(fold(spelling) in folded for spelling in (column.name, *column.aliases))
        if column.required and not known and (near := find_nearest(column, names, taken, _NEAR)):
            found[column.name] = near[0]
    places = Counter(found.values())
    return {name: place for name, place in found.items() if places[place] == 1}


def _cells(body: bytes, layout: Layout) -> list[str]:
    """Give the names of a header line."""
    record = read_record(body, 0, layout.shape, final=True)
    if record.fault is not None:
        return []
    return [cell(body, span, layout.shape).decode("utf-8", "replace") for span in record.fields]


def _rename(body: bytes, place: int, name: str, layout: Layout) -> bytes:
    """Write another name at a place of the header."""
    start, end = read_record(body, 0, layout.shape, final=True).fields[place - 1]
    return body[:start] + quote_field(name.encode(), layout.shape) + body[end:]
