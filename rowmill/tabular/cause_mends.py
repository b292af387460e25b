"""The broken records of a cause sorted by the mend that repairs them: a few are tried, the others counted by their outlines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from rowmill.tabular.breaks import Break
from rowmill.tabular.mend_records import BY_BYTES, depends_on_text, mend_break, other_delimiter, split_newline
from rowmill.tabular.mend_text import SHORT_CODES, Layout
from rowmill.tabular.outlines import Outliner

Ints = npt.NDArray[np.int64]
# So many records, spread over the file, are tried before it is asked whether any mend helps; where none does, so many more.
_FIRST_LOOK, _SECOND_LOOK = 48, 128
# Of so many outlines one record each is tried.
_MOST_OUTLINES = 256
# Records of so many bytes are read for their outlines, or this part of the file where that is more.
_LEAST_BYTES, _PART = 8 << 20, 16
# A group of thousands has three digits.
_DIGITS = {"too-many-fields": 4}
# A row may have several oddities: which mend is the one for a code.
_OWN = {"quote-in-unquoted": "quote-cells", "mixed-newlines": "newlines"}
_OTHER_NAMES = {44: "commas", 59: "semicolons", 9: "tabs", 124: "bars"}
_UNKNOWN = -1


class Answer(NamedTuple):
    """What becomes of a record: its mend, "" for none, and the name of the delimiter it is written with, "" if its own."""

    mend: str
    other: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """The places that share an answer: how many, the first and the last. `about`: the number is reckoned from a sample."""

    answer: Answer
    count: int
    first: Break
    last: Break
    about: bool = False


@dataclass(slots=True)
class MendFinder:
    """Tries mends on the breaks of a file."""

    layout: Layout
    file: BinaryIO
    _left: int = 0
    _tried: dict[int, Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._left = max(_LEAST_BYTES, self.layout.size // _PART)

    def sort(self, code: str, codes: Sequence[str]) -> list[Part]:
        """Sort the breaks of `codes`, told as one `code`, by what becomes of them, the commonest first.

        The numbers are exact unless they say "about": then the outlines of the places were too many, or too long to read.
        Where no mend helps any of a sample, none is offered for the whole.
        """
        groups = [self.layout.groups[c] for c in codes if c in self.layout.groups]
        indices = np.sort(np.concatenate(groups)) if groups else np.empty(0, np.int64)
        self._tried = {}
        if not len(indices):
            return []
        rows = self.layout.breaks.rows()[indices]
        if not any(depends_on_text(c, row=bool(row)) for c in codes for row in np.unique(rows)):
            return [self._part(self._try(code, int(indices[0])), indices, len(indices))]
        seen = self._look(code, indices, _FIRST_LOOK)
        if not any(answer.mend for answer in seen):
            seen = self._look(code, indices, _SECOND_LOOK)
        legend = list(dict.fromkeys(self._tried.values()))
        if len(self._tried) == len(indices):
            answers = np.array([legend.index(self._tried[i]) for i in indices.tolist()], np.int64)
            return self._parts(indices, answers, legend)
        if len(seen) == 1 and not any(answer.mend for answer in seen):
            return [self._part(next(iter(seen)), indices, len(indices))]
        return self._parts(indices, self._by_outline(code, indices, legend), legend)

    def _look(self, code: str, indices: Ints, most: int) -> Counter[Answer]:
        """Try all of some breaks, or so many spread over the whole file. Gives how often each answer came."""
        if len(indices) > most:
            indices = indices[np.linspace(0, len(indices) - 1, most).astype(np.int64)]
        return Counter(self._try(code, index) for index in indices.tolist())

    def _try(self, code: str, index: int) -> Answer:
        """Try the mends on one break."""
        if index not in self._tried:
            layout, one = self.layout, self.layout.breaks[index]
            raw = layout.read(self.file, one)
            steps = mend_break(one.code, raw, layout.table, row=one.row, broken_after=layout.broken_after(index, one))
            own = _OWN.get(code, code)
            mend = own if any(step.slug == own for step in steps) else steps[0].slug if steps else ""
            other = ""
            if code == "other-delimiter":
                other = _OTHER_NAMES.get(other_delimiter(split_newline(raw)[0], layout.table), "another delimiter")
            self._tried[index] = Answer(mend, other)
        return self._tried[index]

    def _by_outline(self, code: str, indices: Ints, legend: list[Answer]) -> Ints:
        """Give the place of each break's answer in the legend, which grows; _UNKNOWN for what is not proved."""
        answers = np.full(len(indices), _UNKNOWN, np.int64)
        breaks = self.layout.breaks
        starts, ends = breaks.starts()[indices], breaks.ends()[indices]
        read = int((ends - starts).sum())
        if read > self._left:
            return answers
        self._left -= read
        outliner = Outliner(self.layout.shape, each_byte=code in BY_BYTES, digits=_DIGITS.get(code, 1))
        outlines = outliner.outline(self.file, starts, ends)
        numbers: dict[tuple[bytes, int], int] = {}
        around = self._circumstances(indices).tolist()
        kind = np.array([numbers.setdefault(key, len(numbers)) for key in zip(outlines, around, strict=True)])
        first = np.unique(kind, return_index=True)[1]
        found = np.full(len(numbers), _UNKNOWN, np.int64)
        for one in np.argsort(-np.bincount(kind), kind="stable")[:_MOST_OUTLINES].tolist():
            answer = self._try(code, int(indices[first[one]]))
            if answer not in legend:
                legend.append(answer)
            found[one] = legend.index(answer)
        answers = np.asarray(found[kind], np.int64)
        # Two records of one outline with two answers: then outlines prove nothing here.
        for index, answer in self._tried.items():
            at = int(np.searchsorted(indices, index))
            if answers[at] != _UNKNOWN and legend[answers[at]] != answer:
                answers[kind == kind[at]] = _UNKNOWN
        return answers

    def _circumstances(self, indices: Ints) -> Ints:
        """Give a number for what counts beside a record's own text: whether it is a row, and what stands below it."""
        layout, breaks = self.layout, self.layout.breaks
        below = np.minimum(indices + 1, len(breaks) - 1)
        short = np.zeros(len(breaks), np.bool_)
        for code in SHORT_CODES:
            short[layout.groups.get(code, np.empty(0, np.int64))] = True
        followed = short[below] & (breaks.starts()[below] == breaks.ends()[indices])
        numbers: Ints = followed * 2 + breaks.rows()[indices]
        return numbers

    def _parts(self, indices: Ints, answers: Ints, legend: Sequence[Answer]) -> list[Part]:
        """Count the answers; what is not known is shared out as the sample says."""
        unknown = int((answers == _UNKNOWN).sum())
        tried = Counter(self._tried.values())
        parts = []
        for place, answer in enumerate(legend):
            mine = indices[answers == place]
            own = np.array(sorted(i for i, a in self._tried.items() if a == answer), np.int64)
            count = len(mine) + round(unknown * tried[answer] / len(self._tried))
            if len(mine) or len(own):
                parts.append(self._part(answer, np.union1d(mine, own), max(count, 1), about=unknown > 0))
        return sorted(parts, key=lambda part: -part.count)

    def _part(self, answer: Answer, indices: Ints, count: int, *, about: bool = False) -> Part:
        """Make a part."""
        breaks = self.layout.breaks
        return Part(answer, count, breaks[int(indices[0])], breaks[int(indices[-1])], about)
