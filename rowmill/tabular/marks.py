"""Single bytes that make a record suspect wherever they stand: NUL, 0x1A, a BOM, typographic quotes, a second header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rowmill.tabular.records import Shape

BOM = b"\xef\xbb\xbf"
OPENING = (b"\xe2\x80\x9c", b"\xe2\x80\x9e")
CLOSING = (b"\xe2\x80\x9d", b"\xe2\x80\x9c")  # in German the one that opens in English closes
_TYPOGRAPHIC = (*OPENING, CLOSING[0])
# A line of sums has the width of a row; it is told by its first word, and only at the file's very end.
_TOTAL = re.compile(rb"(?<=[\r\n])\"?(?:grand |sub)?total", re.I)
_TAIL = 4096
ERROR_CODES = ("bad-encoding", "bom-in-middle", "nul-byte")
CODES = (
    "bad-encoding",
    "bom-in-middle",
    "control-z",
    "nul-byte",
    "repeated-header",
    "total-line",
    "typographic-quotes",
)
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


class Mark(NamedTuple):
    """A suspect place, by its offset in the file."""

    at: int
    code: str


@dataclass(slots=True)
class Marked:
    """Marks in the order of their places: offsets, and the numbers of their codes. A file of junk has one every other byte."""

    at: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    code: Bytes = field(default_factory=lambda: np.empty(0, np.uint8))

    def add(self, found: Mapping[str, Sequence[int] | Ints]) -> None:
        """Take in more places, by code."""
        if not found:
            return
        at = np.concatenate((self.at, *(np.asarray(places, np.int64) for places in found.values())))
        new = [np.full(len(places), CODES.index(code), np.uint8) for code, places in found.items()]
        code = np.concatenate((self.code, *new))
        order = np.lexsort((code, at))
        self.at, self.code = at[order], code[order]

    def drop_before(self, at: int) -> None:
        """Forget the marks that lie behind."""
        if len(self.at) and self.at[0] < at:
            gone = int(np.searchsorted(self.at, at))
            self.at, self.code = self.at[gone:], self.code[gone:]

    def between(self, start: int, end: int) -> Marked:
        """Give the marks from one offset to another."""
        if not len(self.at):
            return self
        first, last = np.searchsorted(self.at, (start, end))
        return Marked(self.at[first:last], self.code[first:last])

    def listed(self) -> list[Mark]:
        """Give them one by one."""
        return [Mark(at, CODES[code]) for at, code in zip(self.at.tolist(), self.code.tolist(), strict=True)]


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


def find_marks(
    carried: bytes, block: bytes, at: int, header: bytes, shape: Shape, *, final: bool
) -> dict[str, Sequence[int] | Ints]:
    """Find the suspect places of a block, offsets by code; `carried` are the bytes of its first record before it."""
    found: dict[str, Sequence[int] | Ints] = {}
    for byte, code in ((0, "nul-byte"), (26, "control-z")):
        if block.find(byte) >= 0:
            found[code] = np.flatnonzero(np.frombuffer(block, np.uint8) == byte) + at
    headers = spell_header(header, shape.delimiter, shape.quote) if header else ()
    tail = carried[-(max(map(len, headers), default=0) + 8) :]
    # One byte is found many times faster than three, or than a line.
    beyond = not (block.isascii() and tail.isascii())
    bom, signs = beyond and _either(0xEF, tail, block), beyond and _either(0xE2, tail, block)
    if headers and not all(_either(byte, tail, block) for byte in _rarest(header)):
        headers = ()
    if not (bom or signs or headers or final):
        return found
    line_end = shape.newline[-1:]
    joined = (line_end if len(tail) == len(carried) else b"") + tail + block
    base = at + len(block) - len(joined)
    if bom:
        found["bom-in-middle"] = [base + m for m in _places(joined, BOM)]
    if signs and any(sign in joined for sign in _TYPOGRAPHIC):
        places = _typographic(shape.delimiter).finditer(joined)
        found["typographic-quotes"] = [base + m.start() for m in places]
    for one in headers:
        needle = line_end + one
        places_of_header = [
            base + m + 1
            for m in _places(joined, needle)
            if joined[m + len(needle) : m + len(needle) + 1] in (b"\r", b"\n", b"")
        ]
        if places_of_header:
            found["repeated-header"] = [*found.get("repeated-header", ()), *places_of_header]
    if final and (totals := [base + m.start() for m in _TOTAL.finditer(joined, max(0, len(joined) - _TAIL))]):
        found["total-line"] = totals
    return {code: places for code, places in found.items() if len(places)}


@cache
def _rarest(header: bytes) -> bytes:
    """Give the bytes of a header that its rows are least likely to hold: signs, capitals, then letters few words have."""
    order = b"_/()#.%$*?!-: ABCDEFGHIJKLMNOPQRSTUVWXYZjqxzkvwfbygphcd"
    return bytes(byte for byte in order if byte in header)[:6]


def _either(byte: int, one: bytes, other: bytes) -> bool:
    """Tell whether one of two texts holds a byte."""
    return other.find(byte) >= 0 or one.find(byte) >= 0


def _places(data: bytes, needle: bytes) -> list[int]:
    """Give every place of needle in data."""
    places = []
    found = data.find(needle)
    while found >= 0:
        places.append(found)
        found = data.find(needle, found + 1)
    return places
