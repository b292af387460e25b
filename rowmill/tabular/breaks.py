"""Where the file is not as it should be: one entry for each record that is no plain sound row, in the order of the file."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rowmill.contracts import Severity
from rowmill.tabular.wording import WORDING

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Break:
    """A record that is broken, left out, or sound with something odd in it.

    Units: `start`, `end` and `at` are byte offsets in the text that was read (the UTF-8 copy where the file was
    transcoded or unpacked); `at` is the place of the fault. `line` is physical, 1-based; `column` 1-based, 0 for none.
    `row`: it is a sound row all the same.
    """

    code: str
    line: int
    start: int
    end: int
    column: int
    at: int
    row: bool

    @property
    def severity(self) -> Severity:
        """Give what its code weighs."""
        return WORDING[self.code].severity


@dataclass(slots=True)
class Breaks:
    """A compact list of breaks: as many as the file has, about fifty bytes each."""

    _codes: list[str] = field(default_factory=list)
    _code: array[int] = field(default_factory=lambda: array("H"))
    _line: array[int] = field(default_factory=lambda: array("q"))
    _start: array[int] = field(default_factory=lambda: array("q"))
    _end: array[int] = field(default_factory=lambda: array("q"))
    _column: array[int] = field(default_factory=lambda: array("i"))
    _at: array[int] = field(default_factory=lambda: array("q"))
    _row: array[int] = field(default_factory=lambda: array("B"))

    def add(
        self, code: str, line: int, start: int, end: int, *, column: int | None = None, at: int, row: bool = False
    ) -> None:
        """Enter one."""
        self._code.append(self._number(code))
        self._line.append(line)
        self._start.append(start)
        self._end.append(end)
        self._column.append(column or 0)
        self._at.append(at)
        self._row.append(row)

    def extend(
        self, codes: Sequence[str], code: Bytes, line: Ints, start: Ints, end: Ints, column: Ints, at: Ints, row: Bools
    ) -> None:
        """Enter many; `code` are places in `codes`."""
        own = np.zeros(len(codes), np.uint16)
        for number in np.unique(code).tolist():
            own[number] = self._number(codes[number])
        self._code.frombytes(own[code].tobytes())
        self._column.frombytes(column.astype(np.int32).tobytes())
        self._row.frombytes(row.astype(np.uint8).tobytes())
        for mine, more in ((self._line, line), (self._start, start), (self._end, end), (self._at, at)):
            mine.frombytes(more.astype(np.int64).tobytes())

    def relabel(self, start: int, code: str) -> None:
        """Change the code of the entry that begins at an offset, one of the last: the file's end tells what it was."""
        for index in range(len(self._start) - 1, -1, -1):
            if self._start[index] == start:
                self._code[index] = self._number(code)
                return
            if self._start[index] < start:
                return

    def _number(self, code: str) -> int:
        """Give the number of a code."""
        if code not in self._codes:
            self._codes.append(code)
        return self._codes.index(code)

    def __len__(self) -> int:
        return len(self._start)

    def __iter__(self) -> Iterator[Break]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Break:
        return Break(
            self._codes[self._code[index]],
            self._line[index],
            self._start[index],
            self._end[index],
            self._column[index],
            self._at[index],
            bool(self._row[index]),
        )

    def starts(self, severity: Severity | None = None) -> npt.NDArray[np.int64]:
        """Give where they begin, in bytes; of one severity, or all."""
        starts = np.frombuffer(self._start, np.int64) if len(self) else np.empty(0, np.int64)
        if severity is None:
            return starts
        return self.spans(severity)[0]

    def spans(self, severity: Severity) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Give where those of one severity begin and where they end, in bytes."""
        if not len(self):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        weighs = np.array([WORDING[code].severity == severity for code in self._codes], np.bool_)
        wanted = weighs[np.frombuffer(self._code, np.uint16)]
        return np.frombuffer(self._start, np.int64)[wanted], np.frombuffer(self._end, np.int64)[wanted]

    def ends(self) -> Ints:
        """Give where they end, in bytes."""
        return np.frombuffer(self._end, np.int64) if len(self) else np.empty(0, np.int64)

    def rows(self) -> Bools:
        """Tell which are sound rows all the same."""
        return np.frombuffer(self._row, np.bool_) if len(self) else np.empty(0, np.bool_)

    def lines(self) -> npt.NDArray[np.int64]:
        """Give the line that each is on."""
        return np.frombuffer(self._line, np.int64) if len(self) else np.empty(0, np.int64)

    def by_code(self) -> dict[str, npt.NDArray[np.int64]]:
        """Give the indices of the entries of each code, in the order of the file."""
        codes = np.frombuffer(self._code, np.uint16) if len(self) else np.empty(0, np.uint16)
        return {code: np.flatnonzero(codes == number) for number, code in enumerate(self._codes)}
