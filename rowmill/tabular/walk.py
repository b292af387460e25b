"""A judged file walked through once more, record by record, each with its line and with what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from rowmill.contracts import Finding, Severity
from rowmill.tabular.breaks import Break
from rowmill.tabular.causes_words import say_cause
from rowmill.tabular.fields import restore
from rowmill.tabular.load import Bad, quote_text
from rowmill.tabular.marks import BOM
from rowmill.tabular.mend_records import split_newline
from rowmill.tabular.mend_text import Layout, iter_records, open_text
from rowmill.tabular.reading import Reading
from rowmill.tabular.records import Shape, cell, read_record

_FETCH = 2_000


class Trouble(NamedTuple):
    """One thing that is wrong with a record: in words, at a 1-based column or None for the record as a whole."""

    words: str
    column: int | None
    severity: Severity


@dataclass(slots=True)
class Walked:
    """One record: its physical line, its bytes, and what is wrong with it. `broken`: it is no row."""

    line: int
    raw: bytes
    troubles: list[Trouble]
    shape: Shape
    broken: bool = False
    sheet: bool = False

    @property
    def failed(self) -> bool:
        """Tell whether it is broken, or a row that a bad cell rejects."""
        return any(trouble.severity == "error" for trouble in self.troubles)

    def cells(self) -> list[str]:
        """Give its cells, as far as they can be told: a broken quote counts as a letter."""
        body = self.raw.rstrip(b"\r\n")
        record = read_record(body, 0, self.shape, final=True, keep_cr=True)
        if record.fault is None and record.end == len(body):
            cells = [cell(body, span, self.shape) for span in record.fields]
        else:
            cells = body.split(bytes([self.shape.delimiter]))
        if self.sheet:
            cells = [restore(one) for one in cells]
        return [one.decode("utf-8", "replace") for one in cells]


def walk(reading: Reading, layout: Layout) -> Iterator[Walked]:
    """Yield every record below the header in the order of the file. Cost: one pass, flat memory."""
    bad = _BadRows(reading)
    shape, sheet = layout.shape, layout.sheet
    row, line, at = 0, count_lines(layout.head_raw, shape) + 1, layout.head_end
    with open_text(layout) as file:
        top = file.read(layout.head_start)
        line += top.removeprefix(BOM).count(shape.line_end)
        for one in (*layout.breaks, None):
            if one is not None and one.start < layout.head_end:
                continue
            for raw in iter_records(file, at, one.start if one else layout.size, shape):
                row += 1
                yield Walked(line, raw, bad.troubles(row), shape, False, sheet)
                line += count_lines(raw, shape)
            if one is None:
                break
            raw = _read(file, one)
            troubles = [_trouble(one)]
            if one.row:
                row += 1
                troubles += bad.troubles(row)
            yield Walked(one.line, raw, troubles, shape, not one.row, sheet)
            line, at = one.line + count_lines(raw, shape), one.end


def count_lines(raw: bytes, shape: Shape) -> int:
    """Count the physical lines of a record, whatever the last of them ends in."""
    return split_newline(raw)[0].count(shape.line_end) + 1


def _read(file: BinaryIO, one: Break) -> bytes:
    """Give the bytes of a break."""
    file.seek(one.start)
    return file.read(one.end - one.start)


def _trouble(one: Break) -> Trouble:
    """Say what is wrong with the record of a break."""
    words = {"line": f"{one.line:,}", "last": "", "other": "another delimiter", "swallowed": "other"}
    text = say_cause(one.code, "", block=False, count=1, about=False, words=dict(words))
    return Trouble(text or one.code.replace("-", " "), one.column or None, one.severity)


class _BadRows:
    """The rows with bad cells, in rising order, and what is wrong with each. Asked for rows in rising order."""

    def __init__(self, reading: Reading) -> None:
        self._told = _told(reading)
        self._rows = self._select(reading)
        self._next = next(self._rows, None)

    def _select(self, reading: Reading) -> Iterator[tuple[int, str]]:
        """Yield (row, numbers of the conditions it breaks)."""
        if not self._told or reading.con is None or reading.rows_sql is None:
            return
        hit = [f"CASE WHEN {bad.met_by('n')} THEN {quote_text(str(i))} END" for i, (bad, _) in enumerate(self._told)]
        any_of = " OR ".join(f"({bad.met_by('n')})" for bad, _ in self._told)
        order = " ORDER BY n" if any(bad.over_all for bad, _ in self._told) else ""
        numbered = f"(SELECT row_number() OVER () AS n, * FROM {reading.rows_sql})"
        found = reading.con.execute(f"SELECT n, concat_ws(' ', {', '.join(hit)}) FROM {numbered} WHERE {any_of}{order}")
        while rows := found.fetchmany(_FETCH):
            yield from rows

    def troubles(self, row: int) -> list[Trouble]:
        """Give what is wrong with the cells of a row."""
        while self._next is not None and self._next[0] < row:
            self._next = next(self._rows, None)
        if self._next is None or self._next[0] != row:
            return []
        return [self._told[int(number)][1] for number in self._next[1].split()]


def _told(reading: Reading) -> list[tuple[Bad, Trouble]]:
    """Give each condition that some row breaks, with the words of its findings."""
    told: list[tuple[Bad, Trouble]] = []
    for bad in reading.bad:
        first = next((f for f in reading.inspection.findings if _is_of(bad, f)), None)
        if first is not None:
            words = first.message.partition(": ")[2] or first.message
            name = f"{first.column_name}: " if first.column_name else ""
            told.append((bad, Trouble(name + words, first.column, first.severity)))
    return told


def _is_of(bad: Bad, finding: Finding) -> bool:
    """Tell whether a finding comes of a condition."""
    slug, _, name = bad.label.partition(":")
    return finding.code == slug and name in (finding.column_name or "", str(finding.column or ""))
