"""After the verdict: a map of the whole file, one letter for each stretch of it, that shows where it is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rowmill.contracts import Finding
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.load import Bad, number_rows
from rowmill.tabular.reading import Reading

STRETCHES = 200
_LETTERS = np.frombuffer(b".we", np.uint8)
_LEVEL = {"warning": 1, "error": 2}

Ints = npt.NDArray[np.int64]


def draw_map(reading: Reading, stretches: int = STRETCHES) -> str:
    """Draw the file in equal stretches of its bytes: "." sound, "w" warnings only, "e" an error; "" where all is sound.

    Units: bytes of the text that was read (unpacked, decoded). A break of the structure is placed to the byte. Of a row
    with a bad cell, and of a finding that tells a line only, the bytes are not known: it is placed by its line's share of
    the way between the breaks before and after it (or the file's ends), which is exact for lines of equal length.
    Cost: nothing where nothing was found. One more reading of the rows where a check found more places than are listed.
    """
    inspection, ledger = reading.inspection, reading.ledger
    if ledger is None or not reading.text_bytes or not (inspection.findings or len(ledger.breaks)):
        return ""
    strip = _Strip(np.zeros(stretches, np.uint8), reading.text_bytes, Lines(ledger, reading.text_bytes))
    for severity, level in _LEVEL.items():
        strip.colour(*ledger.breaks.spans(severity), level)  # type: ignore[arg-type]
        lines = np.array([f.line for f in inspection.findings if f.line and f.severity == severity], np.int64)
        strip.colour_lines(lines, lines, level)
    if reading.con is not None and reading.rows_sql is not None:
        _colour_rows(strip, reading, ledger, _unlisted(reading.bad, inspection.findings))
    return strip.letters()


@dataclass(slots=True)
class _Strip:
    """The map while it is drawn: the worst thing met in each stretch."""

    worst: npt.NDArray[np.uint8]
    total: int
    lines: Lines

    def colour(self, starts: Ints, ends: Ints, level: int) -> None:
        """Colour the stretches that bytes [start, end) touch."""
        if not len(starts):
            return
        count = len(self.worst)
        first = np.clip(starts, 0, self.total - 1) * count // self.total
        last = np.clip(np.maximum(ends, starts + 1) - 1, 0, self.total - 1) * count // self.total
        change = np.bincount(first, minlength=count + 1) - np.bincount(last + 1, minlength=count + 1)
        touched = np.cumsum(change)[:count] > 0
        np.maximum(self.worst, level * touched.astype(np.uint8), out=self.worst)

    def colour_lines(self, first: Ints, last: Ints, level: int) -> None:
        """Colour the stretches of physical lines first..last."""
        if len(first):
            self.colour(self.lines.begin(first), self.lines.begin(last + 1), level)

    def letters(self) -> str:
        """Give the map, "" where nothing is coloured."""
        return _LETTERS[self.worst].tobytes().decode() if self.worst.any() else ""


class Lines:
    """Tells where a line begins: known at every break and at the ends of the file, in proportion between them."""

    def __init__(self, ledger: Ledger, total: int) -> None:
        breaks = ledger.breaks
        lines = np.concatenate(([1], breaks.lines(), [ledger.line]))
        starts = np.concatenate(([0], breaks.starts(), [total]))
        order = np.argsort(lines, kind="stable")
        self._lines, self._starts = lines[order], starts[order]

    def begin(self, lines: Ints) -> Ints:
        """Give the byte where each line begins, as near as it is known."""
        return np.interp(lines, self._lines, self._starts).astype(np.int64)

    def around(self, byte: int) -> int:
        """Give the line that a byte is on, as near as it is known."""
        return int(np.interp(byte, self._starts, self._lines))


def _unlisted(bad: Sequence[Bad], findings: Iterable[Finding]) -> list[Bad]:
    """Give the conditions that have more bad rows than the findings list one by one."""
    labels: set[str] = set()
    for finding in findings:
        if finding.count > 1:
            labels |= {f"{finding.code}:{finding.column_name or ''}", f"{finding.code}:{finding.column}"}
    return [one for one in bad if one.label in labels]


def _colour_rows(strip: _Strip, reading: Reading, ledger: Ledger, bad: Sequence[Bad]) -> None:
    """Colour the stretches of bad rows: one reading of the rows, counted off in blocks of a quarter of a stretch."""
    if not bad or reading.con is None or reading.rows_sql is None or not ledger.rows:
        return
    block = max(1, ledger.rows // (4 * len(strip.worst)))
    rejects = " OR ".join(f"({one.met_by('n')})" for one in bad if one.rejects) or "false"
    anything = " OR ".join(f"({one.met_by('n')})" for one in bad)
    found = reading.con.execute(
        f"SELECT (n - 1) // {block} AS block, min(n), max(n), bool_or({rejects}) FROM {number_rows(reading.rows_sql)}"
        f" WHERE {anything} GROUP BY block"
    ).fetchall()
    for rejected, level in ((False, 1), (True, 2)):
        spans = [(first, last) for _, first, last, worst in found if worst is rejected]
        first = np.array([line for line, _ in ledger.places([a for a, _ in spans])], np.int64)
        last = np.array([line for line, _ in ledger.places([b for _, b in spans])], np.int64)
        strip.colour_lines(first, last, level)
