"""Fourth look at a file: where the header is, what it says, and which columns of the kind it holds."""

from __future__ import annotations

import difflib
import functools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rowmill.contracts import Column
from rowmill.tabular.dialect import SampleRow
from rowmill.tabular.notes import Notes

MAX_COLUMNS = 2000
_NUMBER = re.compile(rb"\s*[-+(]?[$]?\d[\d,. ]*\)?%?\s*")
_DATE = re.compile(rb"\s*(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})(?:[ T][\d:.Z+-]*)?\s*")
# A line that Excel writes for itself: sep=;
_SEPARATOR = re.compile(rb"sep=(?:.|\x1f)?", re.I)
# A line above the table rather than a name: a sentence, a remark, a key with its value.
_SENTENCE = re.compile(rb"#|.*[ :]", re.S)
_FIRST_ROWS = 2
_YEAR = re.compile(rb"(?:19|20)\d\d")


def fold(name: str) -> str:
    """Give a header spelling without case, spaces, dashes, underscores and dots."""
    return re.sub(r"[\s\-_.\u00a0\ufeff]+", "", name).casefold()


# What exports put behind a name: the zone of a time, the currency of an amount, Salesforce's word for a state without a list.
_BEHIND = re.compile(
    r"\s*\((?:(?:UTC|GMT)(?:\s?[+-]\d{1,2}(?::?\d\d)?)?|[ECMP][SD]?T|AK[SD]T|HST|BST|IST|JST|SGT|CES?T|EES?T|WES?T|AE[SD]T|NZ[SD]T"
    r"|(?:in )?(?:USD|EUR|GBP|CAD|AUD|CHF|JPY|INR|[$€£¥])|text only)\)\s*$"
)


def fold_bare(name: str) -> str:
    """Give a header spelling as `fold` does, without the zone, currency or the like that stands in brackets behind it."""
    return fold(_BEHIND.sub("", name))


@dataclass(slots=True)
class Header:
    """The header as found: its row in the sample, its names, the width of the rows below, and the kind's columns in it."""

    index: int
    names: tuple[str, ...]
    columns: int
    trailing: bool = False
    broken: bool = False
    mapping: dict[str, int] = field(default_factory=dict)


def count_known(columns: Sequence[Column], cells: Sequence[bytes]) -> int:
    """Count the columns of a kind that these header cells name."""
    spellings = known_spellings(columns)
    return sum(fold(c.decode("utf-8", "replace")) in spellings for c in cells) if spellings else 0


def known_spellings(columns: Sequence[Column]) -> frozenset[str]:
    """Give every name of these columns, folded."""
    return _spellings(tuple((column.name, *column.aliases) for column in columns))


@functools.lru_cache(maxsize=16)
def _spellings(names: tuple[tuple[str, ...], ...]) -> frozenset[str]:
    """Fold every name of a kind's columns: asked of each of the first lines, for each delimiter that there may be."""
    return frozenset(fold(one) for spellings in names for one in spellings)


def find_header(rows: Sequence[SampleRow], columns: Sequence[Column]) -> Header | None:
    """Find the header among the first records; None where there is no line at all."""
    filled = [i for i, r in enumerate(rows) if not r.blank]
    if not filled:
        return None
    first = filled[0]
    by_kind = _find_by_kind(rows, filled, columns)
    if _SEPARATOR.fullmatch(b"\x1f".join(rows[first].cells)) and len(filled) > 1:
        first = filled[1]
        filled = filled[1:]
    index = by_kind if by_kind is not None else first
    width = _common_width([rows[i] for i in filled if i > index])
    if by_kind is None and width and len(rows[first].cells) != width:
        index = _skip_preamble(rows, filled, width)
    return _build(rows, index, [rows[i] for i in filled if i > index])


def _find_by_kind(rows: Sequence[SampleRow], filled: Sequence[int], columns: Sequence[Column]) -> int | None:
    """Take the first of the top lines that names most of the kind's columns."""
    counts = [(count_known(columns, rows[i].cells), i) for i in filled[:30]]
    most = max((c for c, _ in counts), default=0)
    return next(i for c, i in counts if c == most) if most else None


def _common_width(rows: Sequence[SampleRow]) -> int:
    """Give the number of fields that most rows have, 0 without rows."""
    widths = Counter(len(r.cells) for r in rows if not r.fault)
    return max(widths, key=lambda w: (widths[w], w)) if widths else 0


def _skip_preamble(rows: Sequence[SampleRow], filled: Sequence[int], width: int) -> int:
    """Find the header below lines that are no part of the table; the first line where none is plain to see."""
    for position, index in enumerate(filled[:30]):
        if len(rows[index].cells) != width:
            if len(rows[index].cells) > max(1, width // 2):
                break
            continue
        below = [rows[i] for i in filled[position + 1 :] if len(rows[i].cells) == width][:50]
        above = [rows[i] for i in filled[:position]]
        sentences = width > 2 and all(len(r.cells) == 1 and _SENTENCE.match(r.cells[0]) for r in above)
        if width > 1 and _looks_like_header(rows[index].cells, below, sentences):
            return index
        break
    return filled[0]


def _looks_like_header(cells: Sequence[bytes], below: Sequence[SampleRow], after_sentences: bool) -> bool:
    """Tell whether cells are names: all there, all different, none a number or date, where rows below have some.

    Where all columns are text, only sentences above them tell.
    """
    if any(not c.strip() or _kind_of(c) for c in cells) or len(set(cells)) < len(cells):
        return False
    return any(_kind_of(c) for r in below for c in r.cells) or after_sentences


def _kind_of(value: bytes) -> str:
    """Say whether a cell is a number or a date; "" for anything else."""
    if _DATE.fullmatch(value):
        return "date"
    return "number" if _NUMBER.fullmatch(value) else ""


def looks_like_data(cells: Sequence[bytes], below: Sequence[SampleRow]) -> bool:
    """Tell whether the header is a row of data: wherever the rows hold numbers or dates, it holds one too."""
    if not any(map(_kind_of, cells)):
        return False
    same = [r.cells for r in below if len(r.cells) == len(cells)]
    typed = []
    for position, cell in enumerate(cells):
        kinds = {_kind_of(row[position]) for row in same if row[position].strip()}
        if len(kinds) == 1 and (kind := kinds.pop()):
            typed.append((cell, kind))
    if not typed or all(_YEAR.fullmatch(c) for c, _ in typed):
        return False
    return all(_kind_of(c) == kind for c, kind in typed)


def _build(rows: Sequence[SampleRow], index: int, below: Sequence[SampleRow]) -> Header:
    """Settle how wide the table is: the header's word, unless the rows plainly agree on another."""
    row = rows[index]
    names = tuple(c.decode("utf-8", "replace") for c in row.cells)
    if row.fault or _header_swallows(row, below):
        width = _common_width(below) or len(names)
        return Header(index, names, width, broken=True)
    own, width = len(names), _common_width(below)
    agree = [r for r in below if len(r.cells) == width]
    # Where the first rows bear the header out, the table changes further down: that is where it breaks.
    starts_right = len(below) > _FIRST_ROWS and all(len(r.cells) == own and not r.fault for r in below[:_FIRST_ROWS])
    if not width or width == own or starts_right or len(agree) < 0.6 * len(below):
        return Header(index, names, own)
    if width == own + 1 and all(not r.cells[-1] for r in agree):
        return Header(index, names, own + 1, trailing=True)
    if own == width + 1 and not names[-1].strip():
        return Header(index, names[:-1], width)
    if len(agree) < 3 or any(b"\xe2\x80\x9c" in c for r in agree for c in r.cells):
        return Header(index, names, own)
    return Header(index, names, width)


def _header_swallows(row: SampleRow, below: Sequence[SampleRow]) -> bool:
    """Tell whether a header of several lines is one whose quote was never closed: one of its names holds rows."""
    width = _common_width(below)
    if row.lines == 1 or width < 2:
        return row.lines > 20
    return any(
        line.count(b",") + line.count(b";") + line.count(b"\t") + line.count(b"|") >= width - 1
        for c in row.cells
        for line in c.splitlines()[1:]
    )


def check_header(header: Header, rows: Sequence[SampleRow], columns: Sequence[Column], notes: Notes) -> None:
    """Note what is wrong with the header, and map the kind's columns to their places in it."""
    row = rows[header.index]
    if header.broken:
        notes.add("header-broken", line=row.line, byte=row.fault_at)
        return
    width = header.columns - header.trailing
    if len(header.names) != width:
        code = "header-too-short" if len(header.names) < width else "header-too-long"
        notes.add(code, line=row.line, byte=row.start, found=len(header.names), wanted=width)
    elif width > MAX_COLUMNS:
        notes.add("too-many-columns", line=row.line, found=width, limit=MAX_COLUMNS)
    below = [r for r in rows[header.index + 1 :] if not r.blank]
    data = looks_like_data(row.cells, below)
    if data:
        notes.add("header-missing", line=row.line, byte=row.start)
    if data or _knows_nothing(row.cells, columns):
        _forget_names(header, columns, notes, row)
        return
    if len(row.cells) == len(header.names) + 1:
        notes.add("header-empty", line=row.line, column=len(row.cells), byte=row.start)
    _map_columns(header, columns, notes, row)
    _check_names(header, notes, row)


def _knows_nothing(cells: Sequence[bytes], columns: Sequence[Column]) -> bool:
    """Tell whether a kind that needs several columns finds not one of its names: then these may be somebody's cells."""
    return sum(column.required for column in columns) > 1 and not count_known(columns, cells)


def _forget_names(header: Header, columns: Sequence[Column], notes: Notes, row: SampleRow) -> None:
    """Name the columns that are missing, but repeat no cell of a line that may be a person's row."""
    header.names = ("",) * len(header.names)
    notes.names = ()
    for column in columns:
        if column.required:
            notes.add("column-missing", line=row.line, byte=row.start, needed=column.name, nearest="")


def _map_columns(header: Header, columns: Sequence[Column], notes: Notes, row: SampleRow) -> None:
    """Match each column of the kind by its name, then by its aliases; then without what stands in brackets behind it."""
    folded = [fold(n) for n in header.names]
    known = known_spellings(columns)
    bare = ["" if name in known else fold_bare(n) for name, n in zip(folded, header.names, strict=True)]
    for column in columns:
        spellings = [fold(spelling) for spelling in (column.name, *column.aliases)]
        for wanted, names in [(one, names) for names in (folded, bare) for one in spellings if one]:
            places = [i for i, name in enumerate(names, 1) if name == wanted]
            if len(places) > 1 and column.required:
                notes.add(
                    "column-doubled",
                    line=row.line,
                    column=places[1],
                    byte=row.start,
                    needed=column.name,
                    first=places[0],
                )
            if places:
                header.mapping[column.name] = places[0]
                break
        else:
            if column.required:
                nearest = _nearest(column, header.names, set(header.mapping.values()))
                notes.add("column-missing", line=row.line, byte=row.start, needed=column.name, nearest=nearest)


def _nearest(column: Column, names: Sequence[str], taken: set[int]) -> str:
    """Name the header cell that comes nearest to a missing column."""
    near = find_nearest(column, names, taken)
    return f' Nearest found: "{near[1].strip()[:60]}" (column {near[0]}).' if near else ""


def find_nearest(column: Column, names: Sequence[str], taken: set[int], cutoff: float = 0.6) -> tuple[int, str] | None:
    """Give (1-based place, name) of the header cell that comes nearest to a missing column, None where none is near."""
    free = {fold(n): (i, n) for i, n in enumerate(names, 1) if i not in taken and n.strip()}
    wanted = [fold(s) for s in (column.name, *column.aliases)]
    found = [m for w in wanted for m in difflib.get_close_matches(w, free, n=1, cutoff=cutoff)]
    return free[found[0]] if found else None


def _check_names(header: Header, notes: Notes, row: SampleRow) -> None:
    """Warn of names that are empty or stand twice."""
    seen: dict[str, int] = {}
    needed = set(header.mapping.values())
    for place, name in enumerate(header.names, 1):
        if not name.strip():
            notes.add("header-empty", line=row.line, column=place, byte=row.start)
        elif name.strip().casefold() in seen and seen[name.strip().casefold()] not in needed:
            notes.add(
                "header-doubled",
                line=row.line,
                column=place,
                byte=row.start,
                first=seen[name.strip().casefold()],
            )
        seen.setdefault(name.strip().casefold(), place)
