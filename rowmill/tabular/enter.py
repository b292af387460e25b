"""Enters records that were judged together: into the account, the findings, the list of breaks and the clean copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rowmill.tabular.bulk import CODES, NUMBER, OTHERS, Table
from rowmill.tabular.ledger import BLANK, BROKEN, HELD, ROW, SHORT, Short
from rowmill.tabular.records import cell, read_record
from rowmill.tabular.structure import Block, Ints

if TYPE_CHECKING:
    from rowmill.tabular.scan import Scan

_FEW_PIECES = 64
_SHORT_CODES = (NUMBER["too-few-fields"], NUMBER["too-many-fields"], NUMBER["other-delimiter"])


def enter_table(scan: Scan, block: Block, table: Table, first: int, last: int, offset: int) -> None:
    """Enter records [first, last) of a table. `offset` is where the buffer lies in the file."""
    ledger, here = scan.ledger, slice(first, last)
    kinds, lines = table.kinds[here], table.lines[here]
    if not (kinds.any() or table.codes[here].any()) and (table.other_end is None or not table.other_end[here].any()):
        ledger.take_rows(lines.cumsum())
        _keep(scan, block, table, first, last, offset)
        return
    releasing = np.flatnonzero(kinds <= BROKEN)
    tail = int(releasing[-1]) + 1 if len(releasing) else 0
    if tail:
        ledger.release()
    shorts = np.flatnonzero(kinds[tail:] == SHORT) + tail
    held = len(ledger.held_back)
    stay = (held + len(shorts)) % (HELD + 1)
    if held + len(shorts) > HELD:
        ledger.release()
    staying = shorts[len(shorts) - stay + (0 if held + len(shorts) > HELD else held) :]
    records = ledger.record + np.cumsum(kinds <= SHORT) - (kinds <= SHORT)
    at_lines = ledger.line + lines.cumsum() - lines
    told = np.flatnonzero(table.codes[here] > 0)
    _list_breaks(scan, table, told, first, at_lines, offset)
    told = np.setdiff1d(told, staying, assume_unique=True)
    _note(scan, table, told, first, at_lines, records, offset)
    after_blank = _blank_before(kinds, staying, tail, ledger.after_blank)
    ledger.take_many(kinds, lines, at_lines, records, staying)
    for index, blank in zip(staying.tolist(), after_blank, strict=True):
        ledger.held_back.append(_short(scan, block, table, first + index, int(at_lines[index]), offset, blank))
    _write(scan, block, table, first, last, offset)


def _blank_before(kinds: Any, staying: Ints, tail: int, carried: bool) -> list[bool]:
    """Tell of each record that is held back whether a blank line stands between it and the last row."""
    blanks = np.flatnonzero(kinds[tail:] == BLANK) + tail
    first = int(blanks[0]) if len(blanks) else len(kinds)
    before = carried and tail == 0
    return [before or first < index for index in staying.tolist()]


def _words(scan: Scan, table: Table, record: int) -> dict[str, Any]:
    """Give what fills the wording of a record's code."""
    code = int(table.codes[record])
    if CODES[code] == "other-delimiter":
        return {"other": OTHERS[table.other[record]][1]}
    if code in _SHORT_CODES:
        return {"found": int(table.fields[record]), "wanted": scan.shape.columns - scan.shape.trailing}
    return {"encoding": scan.encoding_label}


def _short(scan: Scan, block: Block, table: Table, record: int, line: int, offset: int, after_blank: bool) -> Short:
    """Make what is held back of a record of the wrong width."""
    start = int(table.starts[record])
    fields = read_record(block.data, start, scan.shape, final=True).fields
    return Short(
        CODES[table.codes[record]],
        line,
        int(table.lines[record]),
        offset + int(table.at[record]),
        _words(scan, table, record),
        int(table.columns[record]) or None,
        cell(block.data, fields[0], scan.shape),
        False,
        after_blank,
        offset + start,
    )


def _note(scan: Scan, table: Table, told: Ints, first: int, at_lines: Ints, records: Ints, offset: int) -> None:
    """Note the places, the first hundred of each code and column one by one."""
    notes = scan.ledger.notes
    keys = table.codes[told + first].astype(np.int64) << 32 | table.columns[told + first]
    for key in np.unique(keys).tolist():
        places = told[keys == key]
        code, column = CODES[key >> 32], (key & 0xFFFFFFFF) or None
        numbered = code not in ("blank-line", "repeated-header")
        single = places[: notes.room(code, column)]
        for index in single.tolist():
            notes.add(
                code,
                line=int(at_lines[index]),
                row=int(records[index]) if numbered else None,
                column=column,
                byte=offset + int(table.at[first + index]),
                **_words(scan, table, first + index),
            )
        notes.add_more(code, column, len(places) - len(single))


def _list_breaks(scan: Scan, table: Table, told: Ints, first: int, at_lines: Ints, offset: int) -> None:
    """List what is no plain sound row."""
    where = told + first
    scan.ledger.breaks.extend(
        CODES,
        table.codes[where],
        at_lines[told],
        table.starts[where] + offset,
        table.ends[where] + offset,
        table.columns[where],
        table.at[where] + offset,
        table.kinds[where] == ROW,
    )


def _write(scan: Scan, block: Block, table: Table, first: int, last: int, offset: int) -> None:
    """Hand the rows to the clean copy: as they are, but with the pinned newline and with bare quotes put right."""
    clean, here = scan.clean, slice(first, last)
    rows = table.kinds[here] == ROW
    rewritten = rows & (table.codes[here] > 0)
    if table.other_end is not None:
        rewritten |= rows & table.other_end[here]
    if rewritten.any():
        clean.begin()
        clean.put(_rewrite(scan, block, table, first, last, rows, rewritten))
        return
    pieces = np.flatnonzero(np.diff(rows, prepend=False, append=False)).reshape(-1, 2).tolist()
    if pieces and pieces[0][0] == 0:
        _keep(scan, block, table, first, first + pieces.pop(0)[1], offset)
    if rows.all():
        return
    clean.begin()
    if len(pieces) > _FEW_PIECES:
        low = pieces[0][0]
        sizes = table.ends[first + low : last] - table.starts[first + low : last]
        text = block.a[int(table.starts[first + low]) : int(table.ends[last - 1])]
        clean.put(text[np.repeat(rows[low:], sizes)].tobytes())
        return
    for low, high in pieces:
        _keep(scan, block, table, first + low, first + high, offset)


def _keep(scan: Scan, block: Block, table: Table, first: int, last: int, offset: int) -> None:
    """Hand sound rows [first, last) to the clean copy as they are."""
    begin, end = int(table.starts[first]), int(table.ends[last - 1])
    scan.clean.keep(block.data, begin, end, offset + begin)


def _rewrite(scan: Scan, block: Block, table: Table, first: int, last: int, rows: Any, rewritten: Any) -> bytes:
    """Give the rows with the pinned newline, and with fields that hold bare quotes quoted."""
    here, shape = slice(first, last), scan.shape
    begin, end = int(table.starts[first]), int(table.ends[last - 1])
    starts, ends = table.starts[here], table.ends[here]
    kept = np.repeat(rows, ends - starts)
    places: list[Any] = []
    signs: list[Any] = []
    bare = table.bare[np.searchsorted(table.bare, begin) : np.searchsorted(table.bare, end)]
    if len(bare):
        wanted = rewritten & (table.codes[here] == NUMBER["quote-in-unquoted"])
        of_row = np.searchsorted(ends, bare, side="right")
        bare, of_row = bare[wanted[of_row]], of_row[wanted[of_row]]
        opens, closes = _fields_around(block, starts[of_row], ends[of_row], bare)
        for at in (opens, closes, bare):
            places.append(at - begin)
            signs.append(np.full(len(at), shape.quote, np.uint8))
    if table.other_end is not None:
        other = rows & table.other_end[here]
        if len(shape.newline) == 2:
            places.append(ends[other] - 1 - begin)
            signs.append(np.full(int(other.sum()), 13, np.uint8))
        else:
            kept[ends[other] - 2 - begin] = False
    text = block.a[begin:end]
    if places:
        at = np.concatenate(places)
        # A place behind what is left out moves forward by as much.
        moved = np.concatenate((np.zeros(1, np.int64), kept.cumsum()))[at]
        return bytes(np.insert(text[kept], moved, np.concatenate(signs)))
    return bytes(text[kept])


def _fields_around(block: Block, starts: Ints, ends: Ints, bare: Ints) -> tuple[Ints, Ints]:
    """Give where the unquoted fields around bare quotes begin and end, each field once."""
    places = np.concatenate(([-1], block.delimiter_places, [len(block.a)]))
    after = np.searchsorted(places, bare)
    body = ends - 1
    if block.shape.line_end == 10:
        body = body - (block.a[np.maximum(body - 1, 0)] == 13)
    opens, once = np.unique(np.maximum(places[after - 1] + 1, starts), return_index=True)
    return opens, np.minimum(places[after], body)[once]
