"""After the verdict: a map of the whole file, one letter for each stretch of it, that shows where it is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rowmill.contracts import Finding, Inspection
from rowmill.tabular.bad_rows import BadRows
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.load import Bad
from rowmill.tabular.reading import Reading

STRETCHES = 200
_APART_BYTES = 1 << 20
_LETTERS = np.frombuffer(b".weE", np.uint8)
_MOSTLY = 0.5
_LEVEL = {"warning": 1, "error": 2}

Ints = npt.NDArray[np.int64]


def draw_map(reading: Reading, stretches: int = STRETCHES) -> str:
    """Draw the file in equal stretches of its bytes: "." sound, "w" warnings only, "e" an error, "E" half of it or more
    in error; "" where all is sound.

    Units: bytes of the text that was read (unpacked, decoded). A break of the structure is placed to the byte. Of a row
    with a bad cell, and of a finding that tells a line only, the bytes are not known: it is placed by its line's share of
    the way between the breaks or marks before and after it, which is exact for lines of equal length.
    Cost: nothing where nothing was found.
    """
    inspection, ledger = reading.inspection, reading.ledger
    if ledger is None or not reading.text_bytes or not (inspection.findings or len(ledger.breaks)):
        return ""
    lines = Lines(ledger, reading.text_bytes)
    strip = _Strip(np.zeros(stretches, np.uint8), reading.text_bytes, lines, np.zeros(stretches))
    unlisted = _unlisted(reading.bad, inspection.findings)
    for severity, level in _LEVEL.items():
        strip.colour(*ledger.breaks.spans(severity), level)  # type: ignore[arg-type]
        told = [f for f in inspection.findings if f.line and f.severity == severity]
        lines_told = np.array([f.line for f in told], np.int64)
        # What is among the breaks, or is counted with the rows below, is not counted twice.
        alone = np.array(
            [f.byte is None and not _labels(f) & {one.label for one in unlisted} for f in told], np.float64
        )
        strip.colour_lines(lines_told, lines_told, level, alone)
    if reading.listed is not None:
        _colour_rows(strip, reading.listed, ledger, unlisted)
    return strip.letters()


def with_map(reading: Reading) -> Inspection:
    """Give what is known of a file with its map, and with where to look first in each stretch that is not sound."""
    damage = draw_map(reading)
    total, ledger = reading.text_bytes, reading.ledger
    marks = ledger.marks(max(_APART_BYTES, total // STRETCHES)) if ledger is not None and total else []
    return replace(reading.inspection, damage=damage, places=tuple(_places(reading, damage)), marks=tuple(marks))


def _places(reading: Reading, damage: str) -> Iterator[tuple[int, int, int | None]]:
    """Yield (stretch, line, byte or None) of the first trouble in each stretch: a break, else a line that is told or a bad row."""
    ledger, total, count = reading.ledger, reading.text_bytes, len(damage)
    if ledger is None or not count:
        return
    lines, breaks = Lines(ledger, total), ledger.breaks
    starts, told = breaks.starts(), {f.line for f in reading.inspection.findings if f.line}
    if reading.listed is not None:
        labels = {label for finding in reading.inspection.findings for label in _labels(finding)}
        rows = [row for block in reading.listed.blocks(labels, max(1, ledger.rows // (4 * count))) for row in block[:2]]
        told |= {line for line, _ in ledger.places(rows)}
    told_lines = np.array(sorted(told), np.int64)
    begins = lines.begin(told_lines)
    for stretch in (i for i, letter in enumerate(damage) if letter != "."):
        start, end = total * stretch // count, total * (stretch + 1) // count
        index = int(np.searchsorted(starts, start))
        near = [breaks[i] for i in (index - 1, index) if 0 <= i < len(breaks)]
        hit = next((one for one in near if one.start < end and one.end > start), None)
        at = int(np.searchsorted(begins, start))
        if hit is not None:
            yield stretch, hit.line, hit.at
        elif at < len(begins) and begins[at] < end:
            yield stretch, int(told_lines[at]), None
        else:
            yield stretch, lines.around(start), None


@dataclass(slots=True)
class _Strip:
    """The map while it is drawn: the worst thing met in each stretch, and how many of its bytes are in error."""

    worst: npt.NDArray[np.uint8]
    total: int
    lines: Lines
    in_error: npt.NDArray[np.float64]

    def colour(self, starts: Ints, ends: Ints, level: int, share: npt.NDArray[np.float64] | None = None) -> None:
        """Colour the stretches that bytes [start, end) touch. `share` is how much of each is meant, all of it if None."""
        if not len(starts):
            return
        if level == _LEVEL["error"]:
            self._count_errors(starts, ends, np.ones(len(starts)) if share is None else share)
        count = len(self.worst)
        first = np.clip(starts, 0, self.total - 1) * count // self.total
        last = np.clip(np.maximum(ends, starts + 1) - 1, 0, self.total - 1) * count // self.total
        change = np.bincount(first, minlength=count + 1) - np.bincount(last + 1, minlength=count + 1)
        touched = np.cumsum(change)[:count] > 0
        np.maximum(self.worst, level * touched.astype(np.uint8), out=self.worst)

    def _count_errors(self, starts: Ints, ends: Ints, share: npt.NDArray[np.float64]) -> None:
        """Add to each stretch the bytes of it that are in error."""
        order = np.argsort(starts, kind="stable")
        starts, ends, share = starts[order], ends[order], share[order]
        starts = np.maximum(starts, np.concatenate(([0], np.maximum.accumulate(ends)[:-1])))
        ends = np.maximum(starts, ends)
        bytes_each = (ends - starts) * share
        through = np.cumsum(bytes_each)
        places = np.column_stack((starts, ends)).ravel()
        sums = np.column_stack((through - bytes_each, through)).ravel()
        edges = np.linspace(0, self.total, len(self.worst) + 1)
        self.in_error += np.diff(np.interp(edges, places, sums))

    def colour_lines(self, first: Ints, last: Ints, level: int, share: npt.NDArray[np.float64] | None = None) -> None:
        """Colour the stretches of physical lines first..last."""
        if len(first):
            self.colour(self.lines.begin(first), self.lines.begin(last + 1), level, share)

    def letters(self) -> str:
        """Give the map, "" where nothing is coloured."""
        self.worst[(self.worst == 2) & (self.in_error >= _MOSTLY * self.total / len(self.worst))] = 3
        return _LETTERS[self.worst].tobytes().decode() if self.worst.any() else ""


class Lines:
    """Tells where a line begins: known at every break and every mark of the scan, in proportion between them."""

    def __init__(self, ledger: Ledger, total: int) -> None:
        breaks = ledger.breaks
        lines = np.concatenate(([1], breaks.lines(), ledger.mark_lines, [ledger.line]))
        starts = np.concatenate(([0], breaks.starts(), ledger.mark_bytes, [total]))
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
            labels |= _labels(finding)
    return [one for one in bad if one.label in labels]


def _labels(finding: Finding) -> set[str]:
    """Give the labels that the condition behind a finding may have."""
    return {f"{finding.code}:{finding.column_name or ''}", f"{finding.code}:{finding.column}"}


def _colour_rows(strip: _Strip, listed: BadRows, ledger: Ledger, bad: Sequence[Bad]) -> None:
    """Colour the stretches of bad rows, counted off in blocks of a quarter of a stretch."""
    if not bad or not ledger.rows:
        return
    block = max(1, ledger.rows // (4 * len(strip.worst)))
    found = listed.blocks([one.label for one in bad], block)
    for rejected, level in ((False, 1), (True, 2)):
        spans = [span for span in found if bool(span[2]) is rejected]
        first = np.array([line for line, _ in ledger.places([a for a, _, _ in spans])], np.int64)
        last = np.array([line for line, _ in ledger.places([b for _, b, _ in spans])], np.int64)
        share = np.array([count / (b - a + 1) for a, b, count in spans])
        strip.colour_lines(first, last, level, share)
