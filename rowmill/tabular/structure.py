"""Takes a buffer of a table apart: where its lines end, where its delimiters and quotes stand, which records are sound."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rowmill.tabular.records import Shape

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
NONE: Ints = np.empty(0, np.int64)
LF_OR_CR = {10: 13, 13: 10}


def find_places(mask: Bools) -> Ints:
    """Give the set places of a mask. Cost: a third of `flatnonzero` where they are rare, for it looks at eight at a time."""
    whole = len(mask) & ~7
    words = mask[:whole].view(np.uint64)
    at = (words != 0).nonzero()[0]
    found = words[at]
    rest = found & (found - np.uint64(1))
    if 4 * np.count_nonzero(rest) > len(rest):
        return np.flatnonzero(mask)
    parts = [(at << 3) + (np.bitwise_count((found ^ rest) - np.uint64(1)) >> 3)]
    while rest.any():
        at, found = at[rest != 0], rest[rest != 0]
        rest = found & (found - np.uint64(1))
        parts.append((at << 3) + (np.bitwise_count((found ^ rest) - np.uint64(1)) >> 3))
    several = len(parts) > 1
    if whole < len(mask):
        parts.append(np.flatnonzero(mask[whole:]) + whole)
    places: Ints = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return np.sort(places, kind="stable") if several else places


class Rank:
    """Counts the set places of a mask before any place: one bit a byte, and a running sum over words of 64."""

    def __init__(self, mask: Bools) -> None:
        bits = np.packbits(mask, bitorder="little")
        padded = np.zeros(len(bits) // 8 * 8 + 8, np.uint8)
        padded[: len(bits)] = bits
        self._words = padded.view(np.uint64)
        self._sums = np.zeros(len(self._words) + 1, np.int64)
        # Wide before they are added: a sum that widens as it goes takes half as long again.
        self._sums[1:] = np.bitwise_count(self._words)
        np.add.accumulate(self._sums, out=self._sums)

    def before(self, at: Ints) -> Ints:
        """Count the set places before each place."""
        word = at >> 6
        counts: Ints = self._sums[word] + np.bitwise_count(self._words[word] & _BELOW[at & 63])
        return counts


_BELOW = (np.uint64(1) << np.arange(64, dtype=np.uint64)) - np.uint64(1)


@dataclass(slots=True)
class View:
    """Records that lie one behind the other: where they end, how many delimiters they have outside quotes, which are sound.

    `lines_through`: the physical lines from the first record through each. `quotes`: opening and closing ones in turn.
    `stray`: lone CRs outside quotes (in a CR file: LFs). `other_end`: the newline is not the pinned one.
    """

    starts: Ints
    ends: Ints
    widths: Ints
    good: Bools
    lines_through: Ints
    quotes: Ints
    stray: Ints
    other_end: Bools | None = None

    @property
    def stop(self) -> int:
        """Where the last record ends, its newline included."""
        return int(self.ends[-1]) + 1 if len(self.ends) else 0


class Block:
    """A buffer that begins where a record does."""

    def __init__(self, data: bytes, shape: Shape) -> None:
        self.data, self.shape = data, shape
        self.a = np.frombuffer(data, np.uint8)
        self.line_ends = find_places(self.a == shape.line_end)
        self.delimiters = Rank(self.a == shape.delimiter)
        quoted = shape.quote >= 0 and data.find(shape.quote) >= 0
        self.quotes = find_places(self.a == shape.quote) if quoted else NONE

    @cached_property
    def line_starts(self) -> Ints:
        """Where the physical lines begin that end in the buffer."""
        return np.concatenate((np.zeros(1, np.int64), self.line_ends[:-1] + 1))[: len(self.line_ends)]

    @cached_property
    def delimiter_places(self) -> Ints:
        """Where the delimiters are: needed around faults only."""
        return np.flatnonzero(self.a == self.shape.delimiter)

    @cached_property
    def has_other_ends(self) -> bool:
        """Tell whether any byte is one that ends lines, but not the pinned newline's last."""
        return self.data.find(LF_OR_CR[self.shape.line_end]) >= 0

    def whole(self) -> tuple[View, bool]:
        """View all records up to the buffer's last line end or its first misplaced quote; tells whether there is one."""
        line_ends, quotes, troubled = self.line_ends, self.quotes, False
        if len(quotes):
            broken_at = self._first_misplaced(quotes)
            if broken_at is not None:
                troubled = True
                quotes = quotes[: np.searchsorted(quotes, broken_at)]
                line_ends = line_ends[: np.searchsorted(line_ends, broken_at)]
        if len(quotes):
            view = self._with_quotes(line_ends, quotes)
        else:
            widths = _steps(self.delimiters.before(line_ends))
            view = self._view(line_ends, widths, np.arange(1, len(line_ends) + 1), NONE)
        return view, troubled

    def _view(self, ends: Ints, widths: Ints, lines_through: Ints, quotes: Ints) -> View:
        """Put a view together and judge its records."""
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))[: len(ends)]
        view = View(starts, ends, widths, widths == self.shape.columns - 1, lines_through, quotes, NONE)
        if len(ends):
            self.judge_ends(view)
        return view

    def _with_quotes(self, line_ends: Ints, quotes: Ints) -> View:
        """Tell record ends from line ends inside quotes."""
        if len(quotes) > len(line_ends):
            before = Rank(self.a == self.shape.quote).before(line_ends)
        else:
            before = np.bincount(np.searchsorted(line_ends, quotes), minlength=len(line_ends) + 1).cumsum()[:-1]
        outside = before & 1 == 0
        at_ends = self.delimiters.before(line_ends)
        ends, through, lines, swallowing = line_ends, at_ends, np.arange(1, len(line_ends) + 1), NONE
        if not outside.all():
            swallowing = self._may_swallow(at_ends, outside)
            ends, through, before = line_ends[outside], at_ends[outside], before[outside]
            lines = np.flatnonzero(outside) + 1
            swallowing = np.searchsorted(lines, swallowing + 1)
        inside = self.delimiters_inside(quotes)
        if inside.any():
            through = through - np.concatenate(([0], inside.cumsum()))[before // 2]
        view = self._view(ends, _steps(through), lines, quotes)
        fail(view, swallowing)
        return view

    def delimiters_inside(self, quotes: Ints) -> Ints:
        """Count the delimiters between each opening quote and its closing one."""
        at = self.delimiters.before(quotes[: len(quotes) // 2 * 2])
        return at[1::2] - at[0::2]

    def _first_misplaced(self, quotes: Ints) -> int | None:
        """Give the first place that condemns a record: a quote that may not stand where it stands.

        Quotes open and close in turn. One opens after a delimiter or line end, or right after one that closes (a doubled
        quote); one closes before a delimiter or line end. A wrong closing quote condemns from its opening quote on.
        """
        opens, closes = quotes[0::2], quotes[1::2]
        wrong, wrong_close = ~self.may_open(opens), ~self.may_close(closes)
        doubled = opens[1:] - closes[: len(opens) - 1] == 1
        wrong[1:] &= ~doubled
        wrong_close[: len(doubled)] &= ~doubled
        first = []
        if wrong.any():
            first.append(int(opens[np.argmax(wrong)]))
        if wrong_close.any():
            first.append(int(opens[np.argmax(wrong_close)]))
        return min(first) if first else None

    def may_open(self, quotes: Ints) -> Bools:
        """Tell of each quote whether it stands right behind a delimiter or a line end."""
        before = self.a[np.maximum(quotes - 1, 0)]
        fits: Bools = (before == self.shape.delimiter) | (before == self.shape.line_end) | (quotes == 0)
        return fits

    def may_close(self, quotes: Ints) -> Bools:
        """Tell of each quote whether it stands right before a delimiter or a line end; the buffer's last byte may."""
        after = self.a[np.minimum(quotes + 1, len(self.a) - 1)]
        fits: Bools = (after == self.shape.delimiter) | (after == self.shape.line_end) | (quotes >= len(self.a) - 1)
        if self.shape.line_end == 10:
            fits |= after == 13
        return fits

    def _may_swallow(self, at_ends: Ints, outside: Bools) -> Ints:
        """Give the numbers of physical lines that begin inside quotes and yet look as wide as a row."""
        if self.shape.columns == 1:
            return NONE
        wide = _steps(at_ends) == self.shape.columns - 1
        return np.flatnonzero(wide[1:] & wide[:-1] & ~outside[:-1]) + 1

    def judge_ends(self, view: View) -> None:
        """Fail the records that end another way than the pinned newline, or in a surplus field that is not empty."""
        shape, a, ends, good = self.shape, self.a, view.ends, view.good
        width = len(shape.newline)
        if self.has_other_ends:
            view.stray = self._stray_others(view.quotes)
            fail(view, np.searchsorted(ends, view.stray))
        if shape.line_end == 10 and (self.has_other_ends or width == 2):
            view.other_end = (a[np.maximum(ends - 1, view.starts)] == 13) != (width == 2)
            good &= ~view.other_end
        if shape.columns == 1:
            good &= ends - view.starts + 1 > width
            first = a[view.starts]
            good &= (first != 32) & (first != 9)
        if shape.trailing:
            good &= a[np.maximum(ends - width, 0)] == shape.delimiter

    def _stray_others(self, quotes: Ints) -> Ints:
        """Give the carriage returns outside quotes that belong to no line end (in a CR file: the line feeds)."""
        a = self.a
        at = np.flatnonzero(a == LF_OR_CR[self.shape.line_end])
        if self.shape.line_end == 13:
            # One right after a carriage return ends that record.
            at = np.concatenate((at, at[a[np.maximum(at - 1, 0)] == 13] - 1))
        else:
            at = at[(a[np.minimum(at + 1, len(a) - 1)] != 10) | (at == len(a) - 1)]
        return at[np.searchsorted(quotes, at) & 1 == 0] if len(quotes) else at


def _steps(sums: Ints) -> Ints:
    """Give what each sum adds to the one before. Cost: a third of `np.diff` with a beginning."""
    steps = sums.copy()
    steps[1:] -= sums[:-1]
    return steps


def fail(view: View, records: Ints) -> None:
    """Mark records as not sound."""
    if len(records):
        view.good[records[records < len(view.good)]] = False
