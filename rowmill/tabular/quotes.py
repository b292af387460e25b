"""Looks at the quotes of a buffer line by line, each line by itself: which are in order, which are broken, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rowmill.tabular.structure import LF_OR_CR, Block, Bools, Ints, View

TEXT_AFTER, NOT_ESCAPED, NOT_CLOSED = 1, 2, 3
_MOST_QUOTES = 64
_LOOK_AHEAD = 4096


@dataclass(slots=True)
class Quotes:
    """What is wrong with the quotes of each line, if it begins outside of them.

    `precise`: the line ends inside quotes and it is not plain why, or holds a stray line end. `fault`: TEXT_AFTER,
    NOT_ESCAPED or NOT_CLOSED, in which column and where. `bare_at`: the first quote inside an unquoted field of a line
    without a fault, -1 for none; `bare`: all of them.
    """

    precise: Bools
    fault: npt.NDArray[np.uint8]
    column: Ints
    at: Ints
    bare_at: Ints
    bare_column: Ints
    bare: Ints


def view_lines(block: Block) -> tuple[View, Quotes]:
    """View every physical line of a block as a record of its own."""
    starts, ends = block.line_starts, block.line_ends
    count = len(ends)
    quotes = block.quotes[: np.searchsorted(block.quotes, ends[-1])]
    line = np.searchsorted(ends, quotes)
    low, high = np.searchsorted(quotes, starts), np.searchsorted(quotes, ends)
    opening = (np.arange(len(quotes)) - low[line]) & 1 == 0
    next_to = np.diff(quotes, append=np.int64(-1)) == 1
    behind = np.concatenate((np.zeros(1, np.bool_), next_to[:-1]))[: len(quotes)]
    may_open, may_close = block.may_open(quotes), block.may_close(quotes)
    wrong = np.where(opening, ~may_open & ~behind, ~may_close & ~next_to)
    odd = (high - low) & 1 == 1
    odd[line[wrong]] = True
    whole = ~odd[line]
    pairs = quotes[whole]
    widths = np.diff(block.delimiters.before(ends), prepend=0)
    inside = np.bincount(line[whole][0::2], weights=block.delimiters_inside(pairs), minlength=count)
    widths = widths - inside.astype(np.int64)
    found = Quotes(
        _lines_with_strays(block, ends),
        np.zeros(count, np.uint8),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.full(count, -1, np.int64),
        np.zeros(count, np.int64),
        quotes[:0],
    )
    if odd.any():
        walk = _Walk(block, found, quotes, may_open, may_close, next_to)
        widths[odd] -= walk.go(np.flatnonzero(odd), low[odd], high[odd])
    good = (widths == block.shape.columns - 1) & ~odd
    view = View(starts, ends, widths, good, np.arange(1, count + 1), pairs, quotes[:0])
    block.judge_ends(view)
    return view, found


def _lines_with_strays(block: Block, ends: Ints) -> Bools:
    """Tell which lines hold a line end of another kind than the pinned one, wherever it stands."""
    found = np.zeros(len(ends), np.bool_)
    if block.has_other_ends:
        a = block.a
        at = np.flatnonzero(a == LF_OR_CR[block.shape.line_end])
        if block.shape.line_end == 10:
            at = at[a[np.minimum(at + 1, len(a) - 1)] != 10]
        lines = np.searchsorted(ends, at)
        found[lines[lines < len(ends)]] = True
    return found


class _Walk:
    """Goes from quote to quote through all odd lines at once, a step at a time."""

    def __init__(
        self, block: Block, found: Quotes, quotes: Ints, may_open: Bools, may_close: Bools, next_to: Bools
    ) -> None:
        self.block, self.found, self.quotes = block, found, quotes
        self.may_open, self.may_close, self.next_to = may_open, may_close, next_to
        self.ranks = block.delimiters.before(quotes)
        self.bare: list[Ints] = []

    def go(self, lines: Ints, low: Ints, high: Ints) -> Ints:
        """Walk through lines whose quotes are those from `low` to `high`; gives the delimiters inside quotes of each."""
        self.lines, self.here, self.high = lines, low.copy(), high
        self.is_open = np.zeros(len(lines), np.bool_)
        self.opened = np.zeros(len(lines), np.int64)
        self.inside = np.zeros(len(lines), np.int64)
        self.first = self.block.delimiters.before(self.block.line_starts[lines])
        for _ in range(_MOST_QUOTES):
            going = np.flatnonzero(self.here < self.high)
            if not len(going):
                break
            is_open = self.is_open[going]
            self._step_outside(going[~is_open])
            self._step_inside(going[is_open])
        found = self.found
        self._settle_open()
        found.precise[lines[self.is_open | (self.here < self.high)]] = True
        broken = lines[found.fault[lines] > 0]
        found.precise[broken] = _lines_with_strays(self.block, self.block.line_ends)[broken]
        found.bare_at[broken] = -1
        found.bare = np.sort(np.concatenate(self.bare)) if self.bare else found.bare
        return self.inside

    def _settle_open(self) -> None:
        """Enter the lines whose quote was never meant to close: they are rows without it, and the next quote ends no cell."""
        block, found, last = self.block, self.found, len(self.quotes) - 1
        stands = np.flatnonzero(self.is_open & (self.here == self.high) & (self.high <= last))
        following = self.high[stands]
        stands = stands[~(self.next_to[following] | self.may_close[following])]
        lines = self.lines[stands]
        literal = block.delimiters.before(block.line_ends[lines]) - self.first[stands]
        stands = stands[literal == block.shape.columns - 1]
        lines, opened = self.lines[stands], self.opened[stands]
        found.fault[lines], found.at[lines] = NOT_CLOSED, self.quotes[opened]
        found.column[lines] = self.ranks[opened] - self.first[stands] - self.inside[stands] + 1
        self.is_open[stands] = False

    def _step_outside(self, going: Ints) -> None:
        """Take the next quote of lines that are outside quotes: it opens a cell, or stands bare in one."""
        quote = self.here[going]
        opens = self.may_open[quote]
        opening = going[opens]
        self.opened[opening], self.is_open[opening] = quote[opens], True
        bare, at = going[~opens], quote[~opens]
        if len(bare):
            self.bare.append(self.quotes[at])
            fresh = self.found.bare_at[self.lines[bare]] < 0
            bare, at = bare[fresh], at[fresh]
            self.found.bare_at[self.lines[bare]] = self.quotes[at]
            self.found.bare_column[self.lines[bare]] = self.ranks[at] - self.first[bare] - self.inside[bare] + 1
        self.here[going] += 1

    def _step_inside(self, going: Ints) -> None:
        """Take the next quote of lines that are inside quotes: a doubled one, a closing one, or a fault."""
        quote = self.here[going]
        doubled = self.next_to[quote]
        self.here[going] += 1 + doubled
        closes = ~doubled & self.may_close[quote]
        closing = going[closes]
        self.inside[closing] += self.ranks[quote[closes]] - self.ranks[self.opened[closing]]
        self.is_open[closing] = False
        faulty = ~doubled & ~closes
        if faulty.any():
            self._break(going[faulty], quote[faulty])

    def _break(self, broken: Ints, quote: Ints) -> None:
        """Enter lines with text behind a closing quote; another quote in that text says that the first should be doubled."""
        block, found, lines = self.block, self.found, self.lines[broken]
        at = self.quotes[quote] + 1
        stop = block.line_ends[lines]
        if block.shape.line_end == 10:
            stop = stop - (block.a[np.maximum(stop - 1, 0)] == 13)
        places = block.delimiter_places
        if len(places):
            nearest = np.searchsorted(places, at)
            delimiter = places[np.minimum(nearest, len(places) - 1)]
            stop = np.where((nearest < len(places)) & (delimiter < stop), delimiter, stop)
        following = np.minimum(quote + 1, len(self.quotes) - 1)
        another = (following > quote) & (self.quotes[following] < np.minimum(stop, at + _LOOK_AHEAD))
        found.fault[lines] = np.where(another, NOT_ESCAPED, TEXT_AFTER)
        found.at[lines] = at - another
        found.column[lines] = self.ranks[self.opened[broken]] - self.first[broken] - self.inside[broken] + 1
        self.is_open[broken] = False
        self.here[broken] = self.high[broken]
