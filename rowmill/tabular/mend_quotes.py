"""Repairs of a record whose quotes are broken: every way to close or double them is tried, and only a single one counts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rowmill.tabular.records import Fault, Record, Shape, quote_field, read_record

# So many repairs of one record are tried; a line with more quotes than that is left to a person.
_MOST_TRIES = 400
_MOST_FAULTS = 6
_MOST_BYTES = 20_000
_EITHER = re.compile(rb"^[ \t]*\xe2\x80[\x9c\x9e]|\xe2\x80[\x9c\x9d][ \t]*$")


def repair_quotes(body: bytes, shape: Shape, width: int) -> tuple[str, bytes] | None:
    """Give (slug, the record mended) where exactly one way to mend its quotes makes it a row; None else."""
    if shape.quote < 0 or len(body) > _MOST_BYTES:
        return None
    found: dict[bytes, str] = {}
    for tries, (slug, text, record) in enumerate(_repairs(body, shape, 0, "")):
        if tries > _MOST_TRIES:
            return None
        if _is_whole(record, text, width):
            found.setdefault(text, slug)
        if len(found) > 1:
            return None
    for text, slug in found.items():
        return slug, text
    return None


def is_row(body: bytes, shape: Shape, width: int) -> bool:
    """Tell whether bytes without their newline are one record of that width with nothing odd in it."""
    return _is_whole(read_record(body, 0, shape, final=True), body, width)


def _is_whole(record: Record, body: bytes, width: int) -> bool:
    """Tell whether a record that was read of a text is all of it, of that width, with nothing odd in it."""
    sound = record.fault is None and record.end == len(body) and not record.newline
    return sound and len(record.fields) == width and record.bare_quote is None


def _repairs(body: bytes, shape: Shape, depth: int, slug: str) -> Iterator[tuple[str, bytes, Record]]:
    """Yield every text that comes of mending the broken quotes one after the other: the first mend's slug, the text, as read."""
    record = read_record(body, 0, shape, final=True)
    fault = record.fault
    if fault is None:
        if depth:
            yield slug, body, record
        return
    if depth == _MOST_FAULTS:
        return
    for one, text in _repair_first(body, fault, shape):
        yield from _repairs(text, shape, depth + 1, slug or one)


def _repair_first(body: bytes, fault: Fault, shape: Shape) -> Iterator[tuple[str, bytes]]:
    """Yield each way to mend the first broken quote of a record."""
    quote, opened = bytes([shape.quote]), fault.opened
    blanks = re.compile(rb"[ \t]+(?=[\r\n]|$|" + re.escape(bytes([shape.delimiter])) + rb")")
    if fault.code != "quote-not-closed" and (match := blanks.match(body, fault.at)):
        yield "quote-spaces", body[: match.start()] + body[match.end() :]
        return
    # The missing quote belongs before a delimiter or at the end; up to there no other quote may stand.
    other = body.find(quote, opened + 1)
    stop = len(body) if other < 0 else other
    line_end = body.find(shape.line_end, opened)
    stop = stop if line_end < 0 else min(stop, line_end)
    place = body.find(shape.delimiter, opened + 1)
    while 0 <= place < stop:
        yield "close-quote", body[:place] + quote + body[place:]
        place = body.find(shape.delimiter, place + 1)
    if stop == len(body):
        yield "close-quote", body + quote
    # The quotes inside have to be doubled; the last one before a delimiter or the end closes the cell.
    close = other
    while close >= 0:
        after = body[close + 1 : close + 2]
        if close > opened + 1 and after in (b"", bytes([shape.delimiter])):
            inner = body[opened + 1 : close]
            yield "escape-quotes", body[:opened] + quote + _double(inner, quote) + body[close:]
        close = body.find(quote, close + 1)


def _double(inner: bytes, quote: bytes) -> bytes:
    """Double the quotes of a cell; those behind a backslash lose it where all of them have one."""
    bare = inner.replace(b"\\" + quote, b"")
    if quote not in bare:
        return inner.replace(b"\\" + quote, quote + quote)
    return re.sub(re.escape(quote) + b"{1,2}", quote + quote, inner)


def quote_cells(raw: bytes, record: Record, shape: Shape) -> bytes:
    """Put every cell that holds a quote or a carriage return, and is not quoted, into quotes."""
    return bytes([shape.delimiter]).join(quote_field(raw[start:end], shape) for start, end in record.fields)


def plain_quotes(body: bytes, shape: Shape) -> bytes:
    """Write plain quotes for the typographic ones at the edges of cells."""
    quote, between = bytes([shape.quote if shape.quote >= 0 else 34]), bytes([shape.delimiter])
    return between.join(_EITHER.sub(quote, field) for field in body.split(between))


def without_blanks_before(body: bytes, shape: Shape) -> bytes:
    """Take out the blanks between a delimiter and an opening quote."""
    quote, between = re.escape(bytes([max(shape.quote, 0)])), re.escape(bytes([shape.delimiter]))
    return re.sub(rb"(^|" + between + rb")[ \t]+(?=" + quote + rb")", rb"\1", body)
