"""Judges records by the thousand: what each of them is, where that can be told without reading it byte by byte.

What it cannot tell for sure (`PRECISE`) is for the precise reader; what it tells is what that reader would have said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rowmill.tabular.ledger import BLANK, BROKEN, HEADER, PRECISE, ROW, SHORT
from rowmill.tabular.marks import CODES as MARK_CODES
from rowmill.tabular.marks import ERROR_CODES, Marked
from rowmill.tabular.quotes import NOT_CLOSED, NOT_ESCAPED, TEXT_AFTER, Quotes
from rowmill.tabular.structure import NONE, Block, Bools, Ints, Rank, View

CODES = (
    "",
    "too-few-fields",
    "too-many-fields",
    "other-delimiter",
    "blank-line",
    "repeated-header",
    "text-after-quote",
    "quote-not-escaped",
    "quote-not-closed",
    "quote-in-unquoted",
    *ERROR_CODES,
)
NUMBER = {code: number for number, code in enumerate(CODES)}
OTHERS = ((ord(","), "commas"), (ord(";"), "semicolons"), (ord("\t"), "tabs"), (ord("|"), "bars"))
_FAULTS = np.zeros(4, np.uint8)
_FAULTS[TEXT_AFTER], _FAULTS[NOT_ESCAPED] = NUMBER["text-after-quote"], NUMBER["quote-not-escaped"]
_FAULTS[NOT_CLOSED] = NUMBER["quote-not-closed"]
_BLANKS = (32, 9, 11, 12, 26)
_ERROR_MARKS = np.array([code in ERROR_CODES for code in MARK_CODES], np.bool_)
_HEADER_MARK = MARK_CODES.index("repeated-header")
_MARK_TO_CODE = np.array([NUMBER.get(code, 0) for code in MARK_CODES], np.uint8)


@dataclass(slots=True)
class Table:
    """What each record of a view is. Units: places are offsets in the buffer, `ends` exclusive; columns 1-based, 0 for none.

    `fields` counts those of a record of the wrong width; `other` is the number of the delimiter that it should have had.
    `bare`: every quote inside an unquoted field of a row.
    """

    starts: Ints
    ends: Ints
    lines: Ints
    kinds: npt.NDArray[np.uint8]
    codes: npt.NDArray[np.uint8]
    columns: Ints
    at: Ints
    fields: Ints
    other: npt.NDArray[np.uint8]
    other_end: Bools | None
    bare: Ints


def judge(block: Block, view: View, marked: Marked, quotes: Quotes | None = None) -> Table:
    """Say what each record of a view is. `quotes`: what is wrong with those of lines that were viewed one by one."""
    count, shape = len(view.ends), block.shape
    lines = np.diff(view.lines_through, prepend=0)
    kinds = np.where(view.good, ROW, PRECISE).astype(np.uint8)
    table = Table(
        view.starts,
        view.ends + 1,
        lines,
        kinds,
        np.zeros(count, np.uint8),
        np.zeros(count, np.int64),
        view.starts.copy(),
        view.widths + 1,
        np.zeros(count, np.uint8),
        view.other_end,
        NONE,
    )
    doubtful = ~view.good & (lines == 1)
    if len(view.stray):
        records = np.searchsorted(view.ends, view.stray)
        doubtful[records[records < count]] = False
    if quotes is not None:
        doubtful &= ~quotes.precise
        _judge_faults(block, table, quotes, doubtful)
        doubtful &= quotes.fault == 0
    _judge_blanks(block, view, table, doubtful)
    wide = doubtful & (kinds == PRECISE)
    if not shape.trailing:
        right = wide & (view.widths == shape.columns - 1)
        kinds[right] = ROW
        _judge_widths(block, view, table, wide & ~right, quotes)
    else:
        off = (view.widths != shape.columns - 2) & (view.widths != shape.columns - 1)
        _judge_widths(block, view, table, wide & off, quotes)
    if quotes is not None:
        _judge_bare(block, table, quotes)
    if len(marked.at):
        _judge_marks(block, view, table, marked, quotes)
    return table


def _judge_faults(block: Block, table: Table, quotes: Quotes, doubtful: Bools) -> None:
    """Enter lines with a broken quote as broken, unless another delimiter could make them a row."""
    broken = np.flatnonzero(doubtful & (quotes.fault > 0))
    if not len(broken):
        return
    maybe = np.zeros(len(broken), np.bool_)
    for counts in _counts_of_others(block, table, broken).values():
        maybe |= counts >= max(1, block.shape.columns - 1)
    broken = broken[~maybe]
    table.kinds[broken] = BROKEN
    table.codes[broken] = _FAULTS[quotes.fault[broken]]
    table.columns[broken] = quotes.column[broken]
    table.at[broken] = quotes.at[broken]


def _judge_blanks(block: Block, view: View, table: Table, doubtful: Bools) -> None:
    """Find the blank lines among records without a delimiter."""
    none = np.flatnonzero(doubtful & (view.widths == 0))
    if not len(none):
        return
    length = _body_ends(block, table, none) - table.starts[none]
    empty = none[length == 0]
    first = block.a[table.starts[none]]
    spaces = none[(length > 0) & np.isin(first, _BLANKS)]
    data = block.data
    blank = [i for i in spaces.tolist() if not data[table.starts[i] : table.ends[i]].strip(b" \t\x0b\x0c\x1a\r\n")]
    found = np.concatenate((empty, np.array(blank, np.int64)))
    table.kinds[found] = BLANK
    table.codes[found] = NUMBER["blank-line"]


def _body_ends(block: Block, table: Table, records: Ints) -> Ints:
    """Give where records end, their newline left out."""
    ends = table.ends[records] - 1
    if block.shape.line_end == 10:
        ends = ends - ((block.a[np.maximum(ends - 1, table.starts[records])] == 13) & (ends > table.starts[records]))
    return ends


def _judge_widths(block: Block, view: View, table: Table, wrong: Bools, quotes: Quotes | None) -> None:
    """Hold back records of the wrong width, those that another delimiter could make a row aside."""
    shape = block.shape
    wanted = shape.columns - shape.trailing
    many = np.flatnonzero(wrong & (table.fields > wanted))
    table.kinds[many], table.codes[many], table.columns[many] = SHORT, NUMBER["too-many-fields"], wanted + 1
    few = np.flatnonzero(wrong & (table.fields < wanted))
    if not len(few):
        return
    table.kinds[few], table.codes[few] = SHORT, NUMBER["too-few-fields"]
    open_ = np.ones(len(few), np.bool_)
    plain = np.ones(len(few), np.bool_)
    if len(block.quotes):
        begin, end = np.searchsorted(block.quotes, (table.starts[few], table.ends[few]))
        plain = begin == end
    for number, counts in _counts_of_others(block, table, few).items():
        enough = open_ & (counts >= shape.columns - 1)
        # Two columns are soon made by any comma: then the cells decide.
        table.kinds[few[enough & (~plain | (shape.columns == 2))]] = PRECISE
        fits = enough & plain & (counts + 1 == wanted)
        table.codes[few[fits]], table.columns[few[fits]] = NUMBER["other-delimiter"], 1
        table.other[few[fits]] = number
        open_ &= ~fits


def _counts_of_others(block: Block, table: Table, records: Ints) -> dict[int, Ints]:
    """Count the other usual delimiters in records, by their number in OTHERS."""
    counts: dict[int, Ints] = {}
    for number, (sign, _) in enumerate(OTHERS):
        if sign != block.shape.delimiter and block.data.find(sign) >= 0:
            rank = Rank(block.a == sign)
            counts[number] = rank.before(table.ends[records]) - rank.before(table.starts[records])
    return counts


def _judge_bare(block: Block, table: Table, quotes: Quotes) -> None:
    """Tell of quotes inside unquoted fields: the row stays one; a row that is too wide is told there."""
    bare = quotes.bare_at >= 0
    rows = np.flatnonzero(bare & (table.kinds == ROW))
    table.codes[rows] = NUMBER["quote-in-unquoted"]
    for counts in _counts_of_others(block, table, rows).values() if len(rows) else ():
        table.kinds[rows[counts >= max(1, block.shape.columns - 1)]] = PRECISE
    rows = rows[table.kinds[rows] == ROW]
    wide = np.flatnonzero(bare & (table.kinds == SHORT) & (table.codes == NUMBER["too-many-fields"]))
    for records in (rows, wide):
        table.columns[records], table.at[records] = quotes.bare_column[records], quotes.bare_at[records]
    if len(rows):
        of_row = np.zeros(len(table.kinds), np.bool_)
        of_row[rows] = True
        table.bare = quotes.bare[of_row[np.searchsorted(table.ends, quotes.bare, side="right")]]


def _judge_marks(block: Block, view: View, table: Table, marked: Marked, quotes: Quotes | None) -> None:
    """Enter what the marks say: bytes that no text may hold, a repeated header; other marks are for the precise reader."""
    record = np.searchsorted(table.ends, marked.at, side="right")
    inside = (record < len(table.ends)) & (marked.at >= table.starts[np.minimum(record, len(table.ends) - 1)])
    record, at, code = record[inside], marked.at[inside], marked.code[inside]
    if quotes is not None:
        unbroken = quotes.fault[record] == 0
        record, at, code = record[unbroken], at[unbroken], code[unbroken]
    error = _ERROR_MARKS[code]
    has_error = np.zeros(len(table.ends), np.bool_)
    has_error[record[error]] = True
    header = (code == _HEADER_MARK) & (at == table.starts[record]) & ~has_error[record]
    hopeless = table.lines[record] > 1
    if quotes is not None:
        hopeless |= (quotes.bare_at[record] >= 0) | quotes.precise[record]
    if len(view.stray):
        hopeless |= np.isin(record, np.searchsorted(view.ends, view.stray))
    settled = (error | header) & ~hopeless
    repeated = record[header & settled]
    others = np.setdiff1d(record[~settled], repeated)
    first, place = np.unique(record[error & settled], return_index=True)
    found = np.flatnonzero(error & settled)[place]
    table.kinds[first], table.codes[first] = BROKEN, _MARK_TO_CODE[code[found]]
    table.at[first] = at[found]
    table.columns[first] = columns_of(block, view, table.starts[first], at[found])
    table.kinds[repeated], table.codes[repeated], table.columns[repeated] = HEADER, NUMBER["repeated-header"], 0
    table.at[repeated] = table.starts[repeated]
    others = others[~(has_error[others] & (table.kinds[others] == BROKEN))]
    table.kinds[others] = PRECISE


def columns_of(block: Block, view: View, starts: Ints, at: Ints) -> Ints:
    """Give the 1-based column of places in records that hold whole quotes only."""
    if not len(view.quotes):
        return block.delimiters.before(at) - block.delimiters.before(starts) + 1
    opens, closes = view.quotes[0::2], view.quotes[1::2]
    opens = opens[: len(closes)]
    inside = np.concatenate(([0], block.delimiters_inside(view.quotes).cumsum()))
    pair = np.searchsorted(closes, at)
    opening = opens[np.minimum(pair, len(opens) - 1)] if len(opens) else at
    outer = np.where((pair < len(opens)) & (opening < at), opening, at)
    left_out = inside[pair] - inside[np.searchsorted(opens, starts)]
    columns: Ints = block.delimiters.before(outer) - block.delimiters.before(starts) - left_out + 1
    return columns
