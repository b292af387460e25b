"""Damage on purpose: one named fault put into a sound CSV file at a seeded place, for trying out what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from rowmill.tabular.records import Shape, read_record


class Damage(NamedTuple):
    """A way to damage one row: what it is, in words, and what becomes of its bytes (without the newline)."""

    title: str
    break_row: Callable[[bytes, Random], bytes]


def _cell(change: Callable[[bytes], bytes]) -> Callable[[bytes, Random], bytes]:
    """Change one cell of the row that is not quoted and not empty; the whole row where there is none."""

    def break_row(row: bytes, rng: Random) -> bytes:
        record = read_record(row, 0, _SHAPE, final=True)
        plain = [span for span in record.fields if span[1] - span[0] > 1 and row[span[0]] != _SHAPE.quote]
        start, end = rng.choice(plain) if plain else (0, len(row))
        return row[:start] + change(row[start:end]) + row[end:]

    return break_row


def _inside(sign: bytes) -> Callable[[bytes], bytes]:
    """Put a sign after the first letter."""
    return lambda cell: cell[:1] + sign + cell[1:]


_SHAPE = Shape(ord(","), ord('"'), b"\n", 1)
KINDS: dict[str, Damage] = {
    "too-few-fields": Damage(
        "the last cell is lost", lambda row, rng: row[: read_record(row, 0, _SHAPE, final=True).fields[-1][0] - 1]
    ),
    "too-many-fields": Damage("a cell too many", lambda row, rng: row + b",surplus"),
    "surplus-empty-field": Damage("an empty cell too many", lambda row, rng: row + b","),
    "quote-not-closed": Damage("a quote opens and never closes", _cell(lambda cell: b'"' + cell)),
    "quote-not-escaped": Damage(
        "quotes inside a quoted cell", _cell(lambda cell: b'"' + cell + b' "x" ' + cell + b'"')
    ),
    "text-after-quote": Damage("text after a closing quote", _cell(lambda cell: b'"' + cell + b'"x')),
    "quote-in-unquoted": Damage("a quote inside a cell that is not quoted", _cell(_inside(b'"'))),
    "nul-byte": Damage("a NUL byte", _cell(_inside(b"\x00"))),
    "control-z": Damage("the old end-of-file mark 0x1A", _cell(_inside(b"\x1a"))),
    "bad-encoding": Damage("a byte that is no UTF-8", _cell(_inside(b"\x81"))),
    "bom-in-middle": Damage("a byte order mark in the middle", lambda row, rng: b"\xef\xbb\xbf" + row),
    "typographic-quotes": Damage(
        "typographic quotes around a cell", _cell(lambda cell: "“".encode() + cell + "”".encode())
    ),
    "other-delimiter": Damage("a row with semicolons", lambda row, rng: row.replace(b",", b";")),
    "blank-line": Damage("a blank line before the row", lambda row, rng: b"\n" + row),
    "mixed-newlines": Damage("a row that ends in CR LF", lambda row, rng: row + b"\r"),
    "lone-cr": Damage("a carriage return inside a cell", _cell(_inside(b"\r"))),
    "truncated": Damage("the file stops in the middle of a row", lambda row, rng: row[: len(row) // 2]),
}


def put_damage(path: Path, kind: str, seed: int) -> int:
    """Put one fault into a sound file of commas and LF. Gives the physical line of the damaged row.

    Raises: KeyError for an unknown kind, ValueError where the file has no row. Cost: the file is held in memory.
    """
    data, rng = path.read_bytes(), Random(seed)
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        at = read_record(data, at, _SHAPE, final=True).end
    if len(starts) < 2:
        raise ValueError("The file has no row to damage.")
    start = rng.choice(starts[1:])
    record = read_record(data, start, _SHAPE, final=True)
    row = KINDS[kind].break_row(data[start : record.end - len(record.newline)], rng)
    rest = b"" if kind == "truncated" else record.newline + data[record.end :]
    path.write_bytes(data[:start] + row + rest)
    return data.count(b"\n", 0, start) + 1
