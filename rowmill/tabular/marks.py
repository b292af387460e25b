"""Single bytes that make a record suspect wherever they stand: NUL, 0x1A, a BOM, typographic quotes, a second header."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from rowmill.tabular.records import Shape

BOM = b"\xef\xbb\xbf"
OPENING = (b"\xe2\x80\x9c", b"\xe2\x80\x9e")
CLOSING = (b"\xe2\x80\x9d", b"\xe2\x80\x9c")  # in German the one that opens in English closes
_TYPOGRAPHIC = (*OPENING, CLOSING[0])
# A line of sums has the width of a row; it is told by its first word, and only at the file's very end.
_TOTAL = re.compile(rb"(?<=[\r\n])\"?(?:grand |sub)?total", re.I)
_TAIL = 4096


class Mark(NamedTuple):
    """A suspect place, by its offset in the file."""

    at: int
    code: str


@cache
def _typographic(delimiter: int) -> re.Pattern[bytes]:
    """Match a typographic double quote that stands where a plain one would open or close a cell."""
    d = re.escape(bytes([delimiter]))
    return re.compile(
        rb"(?:(?<=[" + d + rb"\r\n])\xe2\x80[\x9c\x9e]|\xe2\x80[\x9c\x9d](?=[" + d + rb"\r\n]))",
    )


@cache
def spell_header(header: bytes, delimiter: int, quote: int) -> tuple[bytes, ...]:
    """Give the header line as written, with every cell quoted, and with none: whoever joins files has several writers."""
    sign, between = bytes([max(quote, 0)]), bytes([delimiter])
    if quote < 0:
        return (header,)
    names = header.split(between)
    if all(len(n) > 2 and n[:1] == sign == n[-1:] and sign not in n[1:-1] for n in names):
        return header, between.join(n[1:-1] for n in names)
    return (header,) if sign in header else (header, between.join(sign + n + sign for n in names))


def find_marks(carried: bytes, block: bytes, at: int, header: bytes, shape: Shape, *, final: bool) -> list[Mark]:
    """Find the suspect places of a block, by offset, sorted; `carried` are the bytes of its first record before it."""
    marks: list[Mark] = []
    for byte, code in ((b"\x00", "nul-byte"), (b"\x1a", "control-z")):
        found = block.find(byte)
        while found >= 0:
            marks.append(Mark(at + found, code))
            found = block.find(byte, found + 1)
    headers = spell_header(header, shape.delimiter, shape.quote) if header else ()
    tail = carried[-(max(map(len, headers), default=0) + 8) :]
    line_end = shape.newline[-1:]
    joined = (line_end if len(tail) == len(carried) else b"") + tail + block
    base = at + len(block) - len(joined)
    if not (block.isascii() and tail.isascii()):
        # One byte is found many times faster than three.
        if b"\xef" in joined:
            marks += [Mark(base + m, "bom-in-middle") for m in _places(joined, BOM)]
        if b"\xe2" in joined and any(sign in joined for sign in _TYPOGRAPHIC):
            found_all = _typographic(shape.delimiter).finditer(joined)
            marks += [Mark(base + m.start(), "typographic-quotes") for m in found_all]
    for one in headers:
        needle = line_end + one
        marks += [
            Mark(base + m + 1, "repeated-header")
            for m in _places(joined, needle)
            if joined[m + len(needle) : m + len(needle) + 1] in (b"\r", b"\n", b"")
        ]
    if final:
        marks += [Mark(base + m.start(), "total-line") for m in _TOTAL.finditer(joined, max(0, len(joined) - _TAIL))]
    return sorted(set(marks)) if marks else marks


def _places(data: bytes, needle: bytes) -> list[int]:
    """Give every place of needle in data."""
    places = []
    found = data.find(needle)
    while found >= 0:
        places.append(found)
        found = data.find(needle, found + 1)
    return places
