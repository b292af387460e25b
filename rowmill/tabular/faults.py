"""Judges single records around a fault: is it a row, a blank line, a footer, or broken, and by what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from rowmill.tabular.ledger import Short
from rowmill.tabular.marks import CLOSING, OPENING, Mark
from rowmill.tabular.records import NeedMore, Record, Shape, cell, quote_field, read_record
from rowmill.tabular.sums import judge_last_line

if TYPE_CHECKING:
    from rowmill.tabular.scan import Scan

_LOOK_AHEAD = 1 << 16
_ERROR_MARKS = ("nul-byte", "bad-encoding", "bom-in-middle")
_OTHERS = ((b",", "commas"), (b";", "semicolons"), (b"\t", "tabs"), (b"|", "bars"))
_RUNS = ((re.compile(rb"[0-9]+"), b"9"), (re.compile(rb"[A-Za-z\x80-\xff]+"), b"a"), (re.compile(rb" +"), b" "))


def outline(value: bytes) -> bytes:
    """Give the shape of a cell: runs of digits as 9, of letters as a, the rest as it is."""
    for pattern, sign in _RUNS:
        value = pattern.sub(sign, value)
    return value[:16]


class Profile:
    """What the cells of each column look like, from a sample of rows of equal width; None where they look like anything.

    It is learnt when it is first asked for: a sound file has no need of it.
    """

    def __init__(self, rows: Iterable[Sequence[bytes]] = ()) -> None:
        self._rows = rows

    @cached_property
    def columns(self) -> list[frozenset[bytes] | None]:
        """Give the shapes of each column."""
        columns: list[frozenset[bytes] | None] = []
        for cells in zip(*self._rows, strict=True):
            counts = Counter(map(outline, cells))
            # What stands once among many may be the very row that is broken.
            shapes = frozenset(s for s, n in counts.items() if n > 1 or len(cells) < 10)
            # A remark may begin with a dash; a number, a date, a code always has its sign.
            telling = any(shapes) and all(any(sign in s for sign in (b"9", b"-", b"/", b"@")) for s in shapes if s)
            columns.append(shapes if telling and len(shapes) <= max(3, len(cells) // 4) else None)
        self._rows = ()
        return columns

    @property
    def tells(self) -> bool:
        """Say whether any column has a shape of its own."""
        return any(c is not None for c in self.columns)

    def fits(self, cells: Sequence[bytes]) -> bool:
        """Tell whether cells could be a row: most of the columns with a shape of their own have it."""
        telling = [(s, c) for s, c in zip(self.columns, cells, strict=False) if s is not None]
        if not telling:
            return True
        return sum(outline(c.strip()) in s for s, c in telling) >= 0.6 * len(telling)


def settle_record(scan: Scan, data: bytes, record: Record, final: bool) -> int:
    """Enter one record into the account and give where the next begins; what is no plain row is listed as a break."""
    ledger, start = scan.ledger, scan.offset(record.start)
    line, rows = ledger.line, ledger.rows
    reached = _settle(scan, data, record, final)
    is_row = ledger.rows > rows
    if ledger.held is not None and ledger.held.start == start:
        held = ledger.held
        ledger.breaks.add(held.code, line, start, scan.offset(reached), column=held.column, at=held.byte)
        return reached
    code, column, at = ledger.notes.last
    if at is not None and start <= at < scan.offset(reached):
        ledger.breaks.add(code, line, start, scan.offset(reached), column=column, at=at, row=is_row)
    return reached


def _settle(scan: Scan, data: bytes, record: Record, final: bool) -> int:
    """Enter one record into the account and give where the next begins."""
    shape = scan.shape
    if record.fault is not None:
        return _settle_broken_quote(scan, data, record, final)
    marks = scan.marks_in(scan.offset(record.start), scan.offset(record.end))
    body = data[record.start : record.end - len(record.newline)]
    if _is_blank(body, shape):
        return _settle_blank(scan, record, marks)
    if record.newline == (b"\n" if shape.newline == b"\r" else b"\r"):
        record = _rejoin(data, record, shape, final)
    if swallowed := _swallowed(scan.profile, data, record, shape):
        return _settle_swallowed(scan, data, record, swallowed)
    lines = _lines(data, record.start, record.end - len(record.newline), shape) + 1
    if any(m.code in _ERROR_MARKS for m in marks):
        return _settle_bad_bytes(scan, record, marks, lines)
    if any(m.code == "repeated-header" and m.at == scan.offset(record.start) for m in marks):
        scan.ledger.notes.add("repeated-header", line=scan.ledger.line, byte=scan.offset(record.start))
        scan.ledger.take_header(lines)
        scan.clean.begin()
        return record.end
    if not _has_right_width(data, record, shape):
        return _settle_wrong_width(scan, data, record, lines)
    if (last := _judge_last_line(scan, data, record, marks)) == "sums":
        scan.ledger.notes.add("footer", line=scan.ledger.line, byte=scan.offset(record.start))
        scan.ledger.take_left_out(lines)
        scan.clean.begin()
        return record.end
    if record.bare_quote is not None and (other := _is_of_another(body, data, record, scan)):
        return _enter_fault(scan, data, record.start, "other-delimiter", 1, record.start, other=other)
    scan.ledger.release()
    if last == "doubt":
        scan.ledger.notes.add(
            "footer-maybe", line=scan.ledger.line, row=scan.ledger.record, byte=scan.offset(record.start)
        )
    _note_oddities(scan, data, record, marks)
    scan.ledger.take_row(lines)
    _write_row(scan, data, record)
    return record.end


def _is_blank(body: bytes, shape: Shape) -> bool:
    """Tell whether a line holds nothing: white space at most, or the old end-of-file mark."""
    return shape.delimiter not in body and not body.strip(b" \t\x0b\x0c\x1a")


def _lines(data: bytes, start: int, end: int, shape: Shape) -> int:
    """Count the physical line ends between two places."""
    return data.count(shape.line_end, start, end)


def _judge_last_line(scan: Scan, data: bytes, record: Record, marks: list[Mark]) -> str:
    """Say whether a record is a line of sums at the file's end, a row, or in doubt."""
    marked = any(m.code == "total-line" and m.at == scan.offset(record.start) for m in marks)
    if not marked or data[record.end :].strip():
        return "row"
    return judge_last_line([cell(data, s, scan.shape) for s in record.fields], scan.header, scan.shape.delimiter)


def _settle_blank(scan: Scan, record: Record, marks: list[Mark]) -> int:
    """Leave a blank line out. The last line of a file may be nothing at all."""
    at = scan.offset(record.start)
    for mark in marks[:1]:
        scan.ledger.notes.add(mark.code, line=scan.ledger.line, byte=mark.at)
    if not marks:
        scan.ledger.notes.add("blank-line", line=scan.ledger.line, byte=at)
    scan.ledger.take_blank()
    scan.clean.begin()
    return record.end


def _rejoin(data: bytes, record: Record, shape: Shape, final: bool) -> Record:
    """Decide what a lone CR is: a line's end where it parts two rows, else a part of its cell."""
    joined = read_record(data, record.start, shape, final=final, keep_cr=True)
    if joined.fault is not None or len(joined.fields) != shape.columns:
        return record
    rest = read_record(data, record.end, shape, final=final) if record.end < len(data) else None
    parted = rest is None or (rest.fault is None and len(rest.fields) == shape.columns)
    return record if parted and len(record.fields) == shape.columns else joined


def _has_right_width(data: bytes, record: Record, shape: Shape) -> bool:
    """Tell whether a record has as many fields as it should."""
    count = len(record.fields)
    if not shape.trailing:
        return count == shape.columns
    if count == shape.columns - 1:
        return True
    return count == shape.columns and record.fields[-1][0] == record.fields[-1][1]


def _settle_wrong_width(scan: Scan, data: bytes, record: Record, lines: int) -> int:
    """Hold back a record with too few or too many fields."""
    shape, found = scan.shape, len(record.fields)
    wanted = shape.columns - shape.trailing
    code, words = ("too-few-fields" if found < wanted else "too-many-fields"), {"found": found, "wanted": wanted}
    body = data[record.start : record.end - len(record.newline)]
    column: int | None = None if found < wanted else wanted + 1
    byte = scan.offset(record.start)
    if found < wanted and (other := _other_delimiter(body, shape, scan.profile)):
        code, words = "other-delimiter", {"other": other}  # type: ignore[dict-item]
        column = 1
    elif record.bare_quote is not None and found > wanted:
        column = record.bare_quote[0]
        byte = scan.offset(record.bare_quote[1])
    first = cell(data, record.fields[0], shape)
    start = scan.offset(record.start)
    scan.ledger.hold(Short(code, scan.ledger.line, lines, byte, words, column, first, not record.newline, False, start))
    scan.clean.begin()
    return record.end


def _other_delimiter(body: bytes, shape: Shape, profile: Profile, *, strict: bool = False) -> str:
    """Name the delimiter that would make this line a row, if one does; `strict`: one that looks like the others."""
    for delimiter, name in _OTHERS:
        if delimiter[0] == shape.delimiter or not 0 < shape.columns - 1 <= body.count(delimiter):
            continue
        other = Shape(delimiter[0], shape.quote, shape.newline, shape.columns)
        record = read_record(body, 0, other, final=True)
        if record.fault is not None or len(record.fields) != shape.columns - shape.trailing:
            continue
        # Two columns are soon made by any comma.
        if not (strict or shape.columns == 2) or profile.fits([cell(body, span, other) for span in record.fields]):
            return name
    return ""


def _is_of_another(body: bytes, data: bytes, record: Record, scan: Scan) -> str:
    """Name the delimiter of a line that has the right width by chance: its quotes and its cells make sense with that one."""
    if not scan.profile.tells or scan.profile.fits([cell(data, span, scan.shape) for span in record.fields]):
        return ""
    return _other_delimiter(body, scan.shape, scan.profile, strict=True)


def _settle_bad_bytes(scan: Scan, record: Record, marks: list[Mark], lines: int) -> int:
    """Enter a record with bytes that no text may hold as broken, told at the first of them."""
    mark = next(m for m in marks if m.code in _ERROR_MARKS)
    at = mark.at - scan.offset(0)
    column = next((i for i, (_, end) in enumerate(record.fields, 1) if at < end + 1), None)
    code = mark.code
    if code == "bad-encoding" and scan.first_bad_is_mixed:
        code, scan.first_bad_is_mixed = "mixed-encodings", False
    line = scan.ledger.line + _lines_before(record, at, scan)
    scan.ledger.release()
    scan.ledger.notes.add(
        code, line=line, row=scan.ledger.record, column=column, byte=mark.at, encoding=scan.encoding_label
    )
    scan.ledger.take_broken(lines)
    scan.clean.begin()
    return record.end


def _lines_before(record: Record, at: int, scan: Scan) -> int:
    """Count the physical lines of a record that end before a place in it."""
    return _lines(scan.data, record.start, at, scan.shape)


def _note_oddities(scan: Scan, data: bytes, record: Record, marks: list[Mark]) -> None:
    """Warn of what a sound row should not have."""
    ledger, line, row = scan.ledger, scan.ledger.line, scan.ledger.record
    for mark in marks:
        if mark.code not in ("control-z", "typographic-quotes"):
            continue
        column, span = next(
            ((i, span) for i, span in enumerate(record.fields, 1) if mark.at < scan.offset(span[1] + 1)), (None, (0, 0))
        )
        if mark.code == "control-z" or is_in_typographic(cell(data, span, scan.shape)):
            ledger.notes.add(mark.code, line=line, row=row, column=column, byte=mark.at)
            break
    if record.bare_quote is not None:
        column, at = record.bare_quote
        ledger.notes.add("quote-in-unquoted", line=line, row=row, column=column, byte=scan.offset(at))
    if record.inner_cr is not None and scan.shape.newline == b"\r":
        scan.note_mixed_newlines(line, scan.offset(record.inner_cr))
    elif record.inner_cr is not None:
        at = scan.offset(record.inner_cr)
        ledger.notes.add("lone-cr", line=line, row=row, byte=at, how="it is kept as part of the cell")
    if record.newline and record.newline != scan.shape.newline:
        at = scan.offset(record.end - len(record.newline))
        if record.newline == b"\r":
            ledger.notes.add("lone-cr", line=line, row=row, byte=at, how="it is read as the end of the line")
        scan.note_mixed_newlines(line, at)


def is_in_typographic(value: bytes) -> bool:
    """Tell whether typographic quotes stand around a cell as plain ones would, rather than around some of its words."""
    inner = value[3:-3]
    around = len(value) >= 6 and value.startswith(OPENING) and value.endswith(CLOSING)
    return around and not any(sign in inner for sign in (*OPENING, *CLOSING))


def _write_row(scan: Scan, data: bytes, record: Record) -> None:
    """Hand a sound row to the clean copy, rewritten where a plain reader could misread it."""
    shape = scan.shape
    lacks = shape.trailing and len(record.fields) == shape.columns - 1
    plain = record.bare_quote is None and record.inner_cr is None and not lacks
    if plain and record.newline == shape.newline:
        scan.clean.keep(data, record.start, record.end, scan.offset(record.start))
        return
    if plain and not record.newline:
        scan.clean.keep(data + shape.newline, record.start, record.end + len(shape.newline), scan.offset(record.start))
        return
    if plain:
        scan.clean.put(data[record.start : record.end - len(record.newline)] + shape.newline)
        return
    fields = [quote_field(data[start:end], shape) for start, end in record.fields] + [b""] * lacks
    text = bytes([shape.delimiter]).join(fields)
    scan.clean.put((text or b'""') + shape.newline)


# ---------------------------------------------------------------------------------------- broken quotes


def _settle_broken_quote(scan: Scan, data: bytes, record: Record, final: bool) -> int:
    """Say which line broke a quote, enter that line as broken, and go on at the line after it."""
    fault, shape = record.fault, scan.shape
    assert fault is not None
    if not final and data.find(shape.line_end, max(fault.opened, fault.at)) < 0:
        raise NeedMore  # where this line ends is not known yet
    opened_end = _line_stop(data, fault.opened, shape)
    same_line = fault.code != "quote-not-closed" and fault.at < opened_end
    if same_line and (other := _other_delimiter(data[record.start : opened_end].rstrip(b"\r\n"), shape, scan.profile)):
        return _enter_fault(scan, data, record.start, "other-delimiter", 1, record.start, other=other)
    if same_line:
        return _enter_fault(scan, data, record.start, fault.code, fault.column, fault.at)
    if not final and len(data) - opened_end < _LOOK_AHEAD and data.find(shape.line_end, opened_end) < 0:
        raise NeedMore  # the line below tells whether this quote was ever meant to close
    alone = _opens_row(data, fault.opened, opened_end, scan) or _stands_alone(data, opened_end, scan)
    if fault.code == "quote-not-closed" or alone:
        return _enter_fault(scan, data, record.start, "quote-not-closed", fault.column, fault.opened)
    return _enter_fault(scan, data, record.start, fault.code, fault.column, fault.at)


def _enter_fault(scan: Scan, data: bytes, start: int, code: str, column: int, at: int, **words: object) -> int:
    """Enter the physical lines from the record's start through the fault's line as broken."""
    ledger, shape = scan.ledger, scan.shape
    ledger.release()
    above = _lines(data, start, at, shape)
    stop = _line_stop(data, at, shape)
    ledger.notes.add(code, line=ledger.line + above, row=ledger.record, column=column, byte=scan.offset(at), **words)
    ledger.take_broken(above + 1)
    scan.clean.begin()
    return stop


def _line_stop(data: bytes, at: int, shape: Shape) -> int:
    """Give where the physical line around a place ends, its newline included."""
    found = data.find(shape.line_end, at)
    return len(data) if found < 0 else found + 1


def _opens_row(data: bytes, opened: int, stop: int, scan: Scan) -> bool:
    """Tell whether the line of an opening quote would be a row of its own without that quote."""
    begin = data.rfind(scan.shape.line_end, 0, opened) + 1
    return len(_split_literally(data[begin:stop].rstrip(b"\r\n"), scan.shape)) == scan.shape.columns


def _stands_alone(data: bytes, start: int, scan: Scan) -> bool:
    """Tell whether the line at `start` is a row by itself: then the quote before it was never closed."""
    if start >= len(data):
        return True
    # The row may go on for several lines, but one that never ends need not be read to the end.
    record = read_record(data[start : start + _LOOK_AHEAD], 0, scan.shape, final=True)
    return record.fault is None and len(record.fields) == scan.shape.columns


def _swallowed(profile: Profile, data: bytes, record: Record, shape: Shape) -> tuple[int, int, int]:
    """Look for a quoted cell that has swallowed rows.

    Shape: (1-based column, offset of its quote, rows swallowed), or () for none: every line that the cell touches would be
    a row of its own if the quote were not there, and looks like one.
    """
    body_end = record.end - len(record.newline)
    if shape.columns == 1 or data.find(shape.line_end, record.start, body_end) < 0:
        return ()  # type: ignore[return-value]
    for column, (start, end) in enumerate(record.fields, 1):
        if shape.line_end not in data[start:end] or data[start] != shape.quote:
            continue
        # Whoever doubles quotes inside a cell has written it on purpose.
        if bytes([shape.quote]) * 2 in data[start + 1 : end - 1]:
            continue
        stop = _line_stop(data, end - 1, shape)
        first = data.rfind(bytes([shape.line_end]), record.start, start) + 1 if column > 1 else record.start
        lines = data[max(first, record.start) : stop].rstrip(b"\r\n").split(bytes([shape.line_end]))
        cells = [_split_literally(line, shape) for line in lines]
        # Without columns that have a shape of their own, two lines of text with a comma each prove nothing.
        proof = profile.tells or (shape.columns >= 4 and len(lines) >= 4)
        if proof and all(len(c) == shape.columns for c in cells) and all(profile.fits(c) for c in cells):
            return column, start, len(lines) - 1
    return ()  # type: ignore[return-value]


def _split_literally(line: bytes, shape: Shape) -> list[bytes]:
    """Split a line at its delimiters, quotes taken as any letter."""
    quote = bytes([shape.quote])
    return [c.strip(quote) for c in line.rstrip(b"\r").split(bytes([shape.delimiter]))]


def _settle_swallowed(scan: Scan, data: bytes, record: Record, swallowed: tuple[int, int, int]) -> int:
    """Enter the line whose quote swallowed rows as broken, and go on at the line after it."""
    column, at, count = swallowed
    ledger = scan.ledger
    ledger.release()
    above = _lines(data, record.start, at, scan.shape)
    ledger.notes.add(
        "quote-swallows-rows",
        line=ledger.line + above,
        row=ledger.record,
        column=column,
        byte=scan.offset(at),
        swallowed=count,
    )
    ledger.take_broken(above + 1)
    scan.clean.begin()
    return _line_stop(data, at, scan.shape)
