"""The precise reader: one record at a time, used for headers, for samples, and around faults that the scan has met."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

LF, CR = 10, 13


class NeedMore(Exception):
    """The record does not end inside the bytes at hand."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The pinned dialect in bytes. `quote` is -1 where none is in use; `columns` counts the fields of a sound row."""

    delimiter: int
    quote: int
    newline: bytes
    columns: int
    trailing: bool = False

    @property
    def line_end(self) -> int:
        """The byte that ends a physical line."""
        return self.newline[-1]


@dataclass(slots=True)
class Fault:
    """A broken quote: its code, the byte it is told at, its 1-based field, and where the quote opened."""

    code: str
    at: int
    column: int
    opened: int


@dataclass(slots=True)
class Record:
    """One record as it lies in the bytes: from `start` to `end`, newline included; `fields` are raw spans."""

    start: int
    end: int
    fields: list[tuple[int, int]] = field(default_factory=list)
    newline: bytes = b""
    bare_quote: tuple[int, int] | None = None
    inner_cr: int | None = None
    fault: Fault | None = None


@cache
def _patterns(delimiter: int, quote: int) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Compile what an unquoted and a quoted field look like."""
    d = re.escape(bytes([delimiter]))
    plain = re.compile(rb"[^" + d + rb"\r\n]*+")
    q = re.escape(bytes([quote])) if quote >= 0 else rb"(?!)"
    return plain, re.compile(q + rb"(?:[^" + q + rb"]++|" + q + q + rb")*+" + q if quote >= 0 else rb"(?!)")


def read_record(data: bytes, start: int, shape: Shape, *, final: bool, keep_cr: bool = False) -> Record:
    """Read the record that begins at `start`.

    A broken quote ends the reading with a `fault`; `end` is then not to be relied on. `keep_cr`: a lone CR outside
    quotes (in a CR file: a line feed) is part of its cell instead of a line end. Raises: NeedMore unless `final`.
    """
    plain, quoted = _patterns(shape.delimiter, shape.quote)
    record = Record(start, start)
    here, size = start, len(data)
    while True:
        begin = here
        if shape.quote >= 0 and here < size and data[here] == shape.quote:
            match = quoted.match(data, here)
            if match is None or (match.end() == size and not final):
                if not final:
                    raise NeedMore
                record.fault = Fault("quote-not-closed", begin, len(record.fields) + 1, begin)
                return record
            here = match.end()
            if here < size and data[here] not in (shape.delimiter, LF, CR):
                record.fault = _after_quote(data, begin, here, len(record.fields) + 1, shape)
                return record
        else:
            here = _skip_plain(data, begin, plain, shape, record, keep_cr)
        if here >= size:
            if not final:
                raise NeedMore
            record.fields.append((begin, here))
            record.end = here
            return record
        record.fields.append((begin, here))
        if data[here] == shape.delimiter:
            here += 1
            continue
        if data[here] == CR and here + 1 == size and not final:
            raise NeedMore
        record.newline = b"\r\n" if data[here : here + 2] == b"\r\n" else data[here : here + 1]
        record.end = here + len(record.newline)
        return record


def _skip_plain(data: bytes, here: int, plain: re.Pattern[bytes], shape: Shape, record: Record, keep_cr: bool) -> int:
    """Find the end of an unquoted field; remember a quote or a lone CR inside it."""
    begin = here
    while True:
        match = plain.match(data, here)
        assert match is not None
        here = match.end()
        lone = keep_cr and _is_lone(data, here, shape)
        if not lone:
            break
        if record.inner_cr is None:
            record.inner_cr = here
        here += 1
    if shape.quote >= 0 and record.bare_quote is None:
        at = data.find(shape.quote, begin, here)
        if at >= 0:
            record.bare_quote = (len(record.fields) + 1, at)
    return here


def _is_lone(data: bytes, at: int, shape: Shape) -> bool:
    """Tell whether the byte at a place is a newline of the other kind, standing by itself."""
    if shape.newline == b"\r":
        return data[at : at + 1] == b"\n"
    return data[at : at + 1] == b"\r" and data[at + 1 : at + 2] not in (b"\n", b"")


def _after_quote(data: bytes, opened: int, at: int, column: int, shape: Shape) -> Fault:
    """Tell text after a closing quote from a quote inside the cell that should have been doubled."""
    stop = len(data)
    for end in (shape.delimiter, LF, CR):
        found = data.find(end, at)
        stop = min(stop, found) if found >= 0 else stop
    if data.find(shape.quote, at, min(stop, at + 4096)) >= 0:
        return Fault("quote-not-escaped", at - 1, column, opened)
    return Fault("text-after-quote", at, column, opened)


def cell(data: bytes, span: tuple[int, int], shape: Shape) -> bytes:
    """Give a field's value: the quotes around it off, doubled ones single."""
    raw = data[span[0] : span[1]]
    q = bytes([shape.quote]) if shape.quote >= 0 else b""
    if q and len(raw) >= 2 and raw.startswith(q) and raw.endswith(q):
        return raw[1:-1].replace(q + q, q)
    return raw


def quote_field(raw: bytes, shape: Shape) -> bytes:
    """Write a field as it stands, but quoted where a plain reader could trip over an inner quote or a lone CR."""
    quote = bytes([shape.quote]) if shape.quote >= 0 else b'"'
    if raw.startswith(quote) or not (quote in raw or b"\r" in raw or b"\n" in raw):
        return raw
    return quote + raw.replace(quote, quote + quote) + quote
