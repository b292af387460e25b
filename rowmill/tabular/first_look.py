"""The first look at every cell for what a spreadsheet may have damaged: taken in the loader's own pass where that can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rowmill.tabular.column_names import fixed_width, is_date, is_phone, words_of

CELL_CHARACTERS = 32_767
_SAMPLE_ROWS = 2_000
_AT_ONCE = 500  # columns
_MOST_LOOKS = 400  # that are counted one beside the other
_STRETCH = 16_000  # two of them are shorter than the shortest cell that may have been cut
_BLOCK = 128 * _STRETCH

# True for a cell that may be damaged. Measured on 1,000,000 x 48 cells, reading them costs 1.6 s of CPU
# and each CASE over all columns 0.6 s: so one for all kinds of damage, and what settles most cells comes first.
_LONG = f"strlen({{c}}) >= {CELL_CHARACTERS}"
_ODD = (
    f"CASE WHEN strlen({{c}}) < 5 THEN false WHEN strlen({{c}}) < 7 THEN contains({{c}}, '-') OR contains({{c}}, 'E+')"
    " WHEN strlen({c}) < 16 THEN contains({c}, 'E+') WHEN strlen({c}) < 31 THEN suffix({c}, '0') OR contains({c}, 'E+')"
    f" ELSE {_LONG} END"
)
_ODD_DATE = (
    "CASE WHEN strlen({c}) = 5 THEN true WHEN strlen({c}) < 7 OR strlen({c}) = 10 OR strlen({c}) > 17 THEN false"
    " ELSE substr({c}, 6, 1) = '.' END"
)
DATE = "regexp_matches({c}, '^\\s*(\\d{{4}}-\\d\\d?-\\d\\d?|\\d\\d?[/.-]\\d\\d?[/.-]\\d{{2,4}})')"
DIGITS = "regexp_full_match({c}, '\\d+')"
_SPACED = "contains(trim({c}), ' ')"
# The looks at a cell v of a column whose numbers should have w digits.
_APART = {
    "date": _ODD_DATE.format(c="v"),
    "odd": _ODD.format(c="v"),
    "short": "strlen(v) BETWEEN 1 AND w - 1",
    "kept": "strlen(v) = w AND v < '1'",
}
DECIMAL = "regexp_full_match({c}, '\\s*[-+(]?[$€£]?\\s?[\\d,]*\\.\\d+(e[-+]?\\d+|E-?\\d+)?\\)?%?\\s*')"


@dataclass(slots=True)
class Column:
    """One column: its place, its name in words, and what the first rows show of it."""

    place: int
    words: frozenset[str]
    filled: int = 0
    digits: int = 0
    dates: int = 0
    decimals: int = 0
    spaced: int = 0
    width: int = 0

    @property
    def known_width(self) -> int:
        """How many digits a number of such a name has, 0 where that is not known."""
        return fixed_width(self.words)

    @property
    def digits_wanted(self) -> int:
        """How many digits a number in it should have, 0 where that is not known."""
        return self.known_width or self.width

    @property
    def cell(self) -> str:
        """Its name in SQL."""
        return f"c{self.place}"

    def mostly(self, count: int) -> bool:
        """Tell whether at least half of the filled cells are so; of a column that begins empty anything may be."""
        return self.filled < 5 or 2 * count >= self.filled


class FirstLook:
    """Counts the cells that may be damaged, column by column, part of the rows by part.

    What is looked for depends on what the first rows show. `ask` and `add` are called for each part, in their order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.begin()

    def begin(self) -> None:
        """Count from nothing."""
        self.columns = [Column(i, words_of(name)) for i, name in enumerate(self._names, 1)]
        self._looks: list[tuple[Column, str, str]] = []
        self._counts: list[int] = []
        self._sampled, self._parts, self._added = 0, 0, 0

    def ask(self, con: Any, source: str) -> list[str]:
        """Give the conditions to count over the cells of a part; the first part teaches what to look for."""
        if not self._parts:
            self._learn(con, source)
        self._parts += 1
        return [] if self._is_wide else [sql.format(c=column.cell) for column, _, sql in self._looks]

    def add(self, numbers: Sequence[int | None]) -> None:
        """Take what was counted of a part. Of no rows at all DuckDB counts NULL."""
        if not self._is_wide:
            self._counts = [count + (number or 0) for count, number in zip(self._counts, numbers, strict=True)]
        self._added += 1

    def counts(self, con: Any, source: str, *, may_be_cut: bool) -> dict[tuple[int, str], int]:
        """Give how many cells of a column may be damaged, by its place and what was looked for.

        `may_be_cut`: some row is as long as a cell that was cut. Cost: nothing where all parts were counted and no row is
        that long, else one scan for each; of a wide file one more for each _AT_ONCE columns.
        """
        if not self._is_whole:
            self.begin()
            self.add(_count(con, source, self.ask(con, source)))
        if self._is_wide:
            self._counts = self._count_apart(con, source)
        counts = {(column.place, name): n for (column, name, _), n in zip(self._looks, self._counts, strict=True)}
        left = [column for column in self.columns if (column.place, "odd") not in counts]
        cut = _count(con, source, [_LONG.format(c=column.cell) for column in left]) if may_be_cut else [0] * len(left)
        return counts | {(column.place, "odd"): number or 0 for column, number in zip(left, cut, strict=True)}

    @property
    def _is_whole(self) -> bool:
        """Tell whether every part was counted, and the first held as many rows as there were to learn from."""
        return 0 < self._parts == self._added and (self._parts == 1 or self._sampled == _SAMPLE_ROWS)

    @property
    def _is_wide(self) -> bool:
        """Tell whether there are so many looks that DuckDB would take seconds and hundreds of megabytes to plan them."""
        return len(self._looks) > _MOST_LOOKS

    def _learn(self, con: Any, source: str) -> None:
        """Look at the first rows: what each column is made of, and the commonest length of its numbers.

        Cells are put below each other, so that a few counts do for all columns: each count takes its time to be planned,
        and each commonest value megabytes, whatever the number of rows.
        """
        for start in range(0, len(self.columns), _AT_ONCE):
            self._learn_of(con, source, self.columns[start : start + _AT_ONCE])
        self._looks = [look for column in self.columns for look in _looks(column)]
        self._counts = [0] * len(self._looks)

    def _learn_of(self, con: Any, source: str, columns: Sequence[Column]) -> None:
        """Look at the first rows of some columns."""
        counts = ", ".join(f"count_if({one.format(c='v')})" for one in ("{c} <> ''", DIGITS, DATE, DECIMAL, _SPACED))
        cells = _below_each_other(columns, f"(SELECT * FROM {source} LIMIT {_SAMPLE_ROWS})")
        found = con.execute(
            f"SELECT place, count(*), {counts}, mode(strlen(v)) FILTER (WHERE v <> '' AND {DIGITS.format(c='v')}) "
            f"FROM {cells} GROUP BY place"
        ).fetchall()
        for place, rows, *numbers in found:
            column = self.columns[place - 1]
            self._sampled = rows
            column.filled, column.digits, column.dates, column.decimals, column.spaced, column.width = (
                number or 0 for number in numbers
            )

    def _count_apart(self, con: Any, source: str) -> list[int]:
        """Count what is looked for in scans of its own, cells below each other, in the order of the looks."""
        found: dict[tuple[int, str], int] = {}
        for start in range(0, len(self.columns), _AT_ONCE):
            columns = self.columns[start : start + _AT_ONCE]
            told = con.execute(
                f"SELECT place, {', '.join(f'count_if({sql})' for sql in _APART.values())} "
                f"FROM {_below_each_other(columns, source)} GROUP BY place"
            ).fetchall()
            found |= {(place, name): n for place, *counts in told for name, n in zip(_APART, counts, strict=True)}
        return [found.get((column.place, name), 0) for column, name, _ in self._looks]


def may_hold(text: Path, line_end: int) -> bool:
    """Tell whether a line may be as long as a cell that was cut: some stretch of the text has no end of a line."""
    sign = bytes([line_end])
    with text.open("rb") as file:
        while block := file.read(_BLOCK):
            for begin in range(0, len(block) - _STRETCH + 1, _STRETCH):
                if block.find(sign, begin, begin + _STRETCH) < 0:
                    return True
            if len(block) < _BLOCK:
                return False
    return False


def _below_each_other(columns: Sequence[Column], source: str) -> str:
    """Give the cells of some columns as rows: `place` of the column, `w` digits that its numbers should have, the cell `v`."""
    told = [column.place for column in columns], [column.digits_wanted for column in columns]
    cells = ", ".join(column.cell for column in columns)
    return f"(SELECT unnest({told[0]}) AS place, unnest({told[1]}) AS w, unnest([{cells}]) AS v FROM {source})"


def _count(con: Any, source: str, looks: Sequence[str]) -> list[int | None]:
    """Count the cells that meet conditions, in a scan of their own."""
    if not looks:
        return []
    shown = ", ".join(f"count_if({one})" for one in looks)
    return list(con.execute(f"SELECT {shown} FROM {source}").fetchone())


def _looks(column: Column) -> Iterator[tuple[Column, str, str]]:
    """Yield what is counted in a column, by what its first rows are made of; of words and dates, cut cells are looked for last."""
    dated = column.mostly(column.dates)
    if dated or is_date(column.words):
        yield column, "date", _ODD_DATE
    wordy = column.filled >= 5 and (2 * column.decimals >= column.filled or 5 * column.spaced >= column.filled)
    if wordy or (dated and column.filled >= 5):
        return
    yield column, "odd", _ODD
    width = column.digits_wanted
    if column.mostly(column.digits) and width > 1 and not is_phone(column.words) and not is_date(column.words):
        yield column, "short", f"strlen({{c}}) BETWEEN 1 AND {width - 1}"
        yield column, "kept", f"strlen({{c}}) = {width} AND {{c}} < '1'"
