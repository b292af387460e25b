"""The lines down to the header: entered into the account, and looked at for bytes that no header may hold."""

from __future__ import annotations

from collections.abc import Sequence

from rowmill.tabular.dialect import SampleRow
from rowmill.tabular.faults import is_in_typographic
from rowmill.tabular.header import Header
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.marks import Marked, find_marks
from rowmill.tabular.notes import Notes
from rowmill.tabular.records import Shape, read_record
from rowmill.tabular.scan import NotUtf8


def enter_top(ledger: Ledger, rows: Sequence[SampleRow], header: Header) -> None:
    """Account for the lines down to the header."""
    for row in rows[: header.index]:
        if row.blank:
            ledger.notes.add("blank-line", line=ledger.line, byte=row.start)
            ledger.breaks.add("blank-line", ledger.line, row.start, row.end, at=row.start)
            ledger.take_blank()
        else:
            ledger.notes.add("preamble", line=ledger.line, byte=row.start)
            ledger.breaks.add("preamble", ledger.line, row.start, row.end, at=row.start)
            ledger.take_left_out(row.lines)
    head = rows[header.index]
    if header.broken:
        ledger.broken += head.lines
        ledger.line += head.lines
    else:
        ledger.take_header(head.lines)


def check_top(
    top: bytes, head: SampleRow, shape: Shape, notes: Notes, tolerate: bool, unreadable: Sequence[int] = ()
) -> None:
    """Look for bytes that no header may or should hold. Raises: NotUtf8, unless bad bytes are tolerated.

    `unreadable` are places where the original could not be decoded.
    """

    def note(code: str, at: int, column: int | None = None) -> None:
        line = top.count(shape.line_end, 0, at) + 1
        notes.add(code, line=line, byte=at, column=column, encoding="UTF-8")

    if (at := top.find(b"\x00")) >= 0:
        note("nul-byte", at)
    try:
        top.decode()
    except UnicodeDecodeError as error:
        if not tolerate:
            raise NotUtf8(error.start) from None
        note("bad-encoding", error.start)
    for at in unreadable:
        note("bad-encoding", at)
    told = {"nul-byte"}
    marked = Marked()
    marked.add(find_marks(b"", top[head.start : head.end], head.start, b"", shape, final=False))
    for mark in marked.listed():
        if mark.code == "typographic-quotes" and not any(map(is_in_typographic, head.cells)):
            continue
        if mark.code not in told:
            told.add(mark.code)
            note(mark.code, mark.at)
    record = read_record(top, head.start, shape, final=True)
    if record.fault is None and record.bare_quote is not None:
        note("quote-in-unquoted", record.bare_quote[1], record.bare_quote[0])
