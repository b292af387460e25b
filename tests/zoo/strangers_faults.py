"""What a stranger breaks in a table: one fault at a drawn place, with the line where it has to be told."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.zoo.stranger import WORDS, Sheet

QUOTE = frozenset(("quote-not-closed", "quote-swallows-rows", "text-after-quote", "quote-not-escaped"))
WIDTH = frozenset(("too-many-fields", "too-few-fields", "truncated"))
BYTES = frozenset(("bad-encoding", "mixed-encodings"))


class Broken(NamedTuple):
    """A file with one fault: how grave, which codes may tell it, at which physical line."""

    name: str
    data: bytes
    severity: str
    codes: frozenset[str]
    line: int
    last: int  # a record of several lines may be told at any of them


Result = tuple[list[str], int, str, frozenset[str]]  # records, row of the fault, severity, codes
Break = Callable[[Sheet, random.Random, int], Result | None]


def _with(sheet: Sheet, row: int, record: str) -> list[str]:
    records = sheet.records()
    records[row] = record
    return records


def _other(sheet: Sheet) -> str:
    return next(d for d in (";", ",", "|", "\t") if d != sheet.delimiter)


def _put_cell(sheet: Sheet, row: int, place: int, raw: str) -> list[str]:
    fields = sheet.fields(row)
    fields[place] = raw
    return _with(sheet, row, sheet.delimiter.join(fields))


def _plain_place(sheet: Sheet, rng: random.Random, row: int) -> int | None:
    """Draw a cell that is written without quotes and holds a few letters."""
    places = [i for i, f in enumerate(sheet.fields(row)) if len(f.strip()) > 2 and '"' not in f and f == f.strip()]
    return rng.choice(places) if places else None


def _quoted_place(sheet: Sheet, rng: random.Random, row: int) -> int | None:
    places = [
        i for i, f in enumerate(sheet.fields(row)) if f[:1] == '"' and len(f) > 4 and not set(f[1:-1]) & set('"\r\n')
    ]
    return rng.choice(places) if places else None


def too_few(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    if sheet.width < 2:
        return None
    fields = sheet.fields(row)
    del fields[rng.randrange(1, sheet.width) if rng.random() < 0.5 else -1]
    if not sheet.delimiter.join(fields).strip():
        return None
    return _with(sheet, row, sheet.delimiter.join(fields)), row, "error", WIDTH


def too_many(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    fields = sheet.fields(row)
    fields.insert(rng.randrange(sheet.width + 1), rng.choice(("surplus", "12", "x y")))
    return _with(sheet, row, sheet.delimiter.join(fields)), row, "error", WIDTH


def surplus_empty(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    record = sheet.records()[row]
    more = sheet.delimiter * rng.choice((1, 1, 3))
    return _with(sheet, row, more + record if rng.random() < 0.3 else record + more), row, "error", WIDTH


def bare_delimiter(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    place = _plain_place(sheet, rng, row)
    if place is None:
        return None
    raw = f"Doe{sheet.delimiter} {rng.choice(WORDS)}"
    return _put_cell(sheet, row, place, raw), row, "error", WIDTH


def not_closed(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    place = _plain_place(sheet, rng, row)
    if place is None:
        return None
    return _put_cell(sheet, row, place, '"' + sheet.fields(row)[place]), row, "error", QUOTE


def closing_lost(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    place = _quoted_place(sheet, rng, row)
    if place is None:
        return None
    return _put_cell(sheet, row, place, sheet.fields(row)[place][:-1]), row, "error", QUOTE


def opening_lost(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    place = _quoted_place(sheet, rng, row)
    if place is None:
        return None
    raw = sheet.fields(row)[place][1:]
    grave = sheet.delimiter in raw
    codes = WIDTH | {"quote-in-unquoted"} if grave else frozenset(("quote-in-unquoted",))
    return _put_cell(sheet, row, place, raw), row, "error" if grave else "warning", codes


def bare_quote(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    place = _plain_place(sheet, rng, row)
    if place is None:
        return None
    raw = sheet.fields(row)[place]
    at = rng.randrange(1, len(raw))
    return _put_cell(sheet, row, place, raw[:at] + '"' + raw[at:]), row, "warning", frozenset(("quote-in-unquoted",))


def unescaped(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    raw = f'"{rng.choice(WORDS)} "Al" {rng.choice(WORDS)}"'
    return _put_cell(sheet, row, rng.randrange(sheet.width), raw), row, "error", QUOTE


def one_unescaped(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    raw = f'"5" pipe {rng.choice(WORDS)}"'
    return _put_cell(sheet, row, rng.randrange(sheet.width), raw), row, "error", QUOTE


def text_after(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    raw = f'"{rng.choice(WORDS)}"{rng.choice(("x", " ", " Jr.", "."))}'
    return _put_cell(sheet, row, rng.randrange(sheet.width), raw), row, "error", QUOTE


def backslash(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    raw = '"the \\"new\\" one"' if rng.random() < 0.7 else f'"a \\"b{sheet.delimiter} c\\""'
    codes = QUOTE | WIDTH
    return _put_cell(sheet, row, rng.randrange(sheet.width), raw), row, "error", codes


def space_before(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    if rng.random() < 0.5:
        raw = f' "Doe{sheet.delimiter} Ann"'
        return _put_cell(sheet, row, rng.randrange(sheet.width), raw), row, "error", WIDTH
    raw = ' "Doe Ann"'
    return _put_cell(sheet, row, rng.randrange(sheet.width), raw), row, "warning", frozenset(("quote-in-unquoted",))


def apostrophes(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    raw = f"'Doe{sheet.delimiter} Ann'"
    return _put_cell(sheet, row, rng.randrange(sheet.width), raw), row, "error", WIDTH


def sign(text: str, severity: str, *codes: str) -> Break:
    def breaks(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
        try:
            text.encode(sheet.codec)
        except UnicodeEncodeError:
            return None
        cell = sheet.cells[row][place := rng.randrange(sheet.width)]
        at = rng.randrange(len(cell) + 1)
        if '"' in cell or "\r" in cell or "\n" in cell:
            return None
        raw = sheet.written(cell[:at] + text + cell[at:])
        return _put_cell(sheet, row, place, raw), row, severity, frozenset(codes)

    return breaks


def bom_row(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    if not sheet.codec.startswith("utf"):
        return None
    return _with(sheet, row, "\ufeff" + sheet.records()[row]), row, "error", frozenset(("bom-in-middle",))


def typographic(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    if not sheet.codec.startswith("utf") and sheet.codec != "cp1252":
        return None
    if rng.random() < 0.4:
        raw = f"“Doe{sheet.delimiter} Ann”"
        return _put_cell(sheet, row, rng.randrange(sheet.width), raw), row, "error", WIDTH
    raw = "“Doe Ann”"
    return _put_cell(sheet, row, rng.randrange(sheet.width), raw), row, "warning", frozenset(("typographic-quotes",))


def blank(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    records = sheet.records()
    records.insert(row, rng.choice(("", "", " ", "    ", "\t" if sheet.delimiter != "\t" else "")))
    return records, row, "warning", frozenset(("blank-line",))


def repeated_header(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    records = sheet.records()
    records.insert(row, records[0])
    return (records, row, "warning", frozenset(("repeated-header",))) if row > 1 else None


def other_delimiter(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    if sheet.width < 3 or any(_other(sheet) in c for c in sheet.cells[row]):
        return None
    record = _other(sheet).join(sheet.fields(row))
    return _with(sheet, row, record), row, "error", WIDTH | {"other-delimiter"}


def joined(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    records = sheet.records()
    if row + 1 >= len(records) or sheet.width < 2:
        return None
    records[row : row + 2] = [records[row] + records[row + 1]]
    return records, row, "error", WIDTH | QUOTE


def split(sheet: Sheet, rng: random.Random, row: int) -> Result | None:
    place = _plain_place(sheet, rng, row)
    if place is None or sheet.width < 3:
        return None
    raw = sheet.fields(row)[place]
    records = _put_cell(sheet, row, place, raw[:2] + sheet.newline + raw[2:])
    return records, row, "error", WIDTH | QUOTE


FAULTS: dict[str, Break] = {
    "too_few": too_few,
    "too_many": too_many,
    "surplus_empty": surplus_empty,
    "bare_delimiter": bare_delimiter,
    "not_closed": not_closed,
    "closing_lost": closing_lost,
    "opening_lost": opening_lost,
    "bare_quote": bare_quote,
    "unescaped": unescaped,
    "one_unescaped": one_unescaped,
    "text_after": text_after,
    "backslash": backslash,
    "space_before": space_before,
    "apostrophes": apostrophes,
    "nul": sign("\x00", "error", "nul-byte"),
    "control_z": sign("\x1a", "warning", "control-z"),
    "bom_in_cell": sign("\ufeff", "error", "bom-in-middle"),
    "bom_row": bom_row,
    "typographic": typographic,
    "blank": blank,
    "repeated_header": repeated_header,
    "other_delimiter": other_delimiter,
    "joined": joined,
    "split": split,
}


def break_sheet(sheet: Sheet, fault: str, rng: random.Random) -> Broken | None:
    """Put one fault into a table; None where it does not go together with it."""
    rows = len(sheet.cells) - 1
    row = rng.choice((1, rows, rng.randrange(1, rows + 1)))
    result = FAULTS[fault](sheet, rng, row)
    if result is None:
        return None
    records, at, severity, codes = result
    end = sheet.newline[-1]
    line = 1 + sum(record.count(end) + 1 for record in records[:at])
    last = line + records[at].count(end)
    return Broken(f"{fault} row {row} of {sheet.name}", sheet.bytes_of(records), severity, codes, line, last)
