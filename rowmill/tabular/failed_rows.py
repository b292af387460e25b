"""The failing rows of a file alone, as a CSV file that a person can mend and send again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rowmill.contracts import NO_RULES, Rules
from rowmill.errors import InputError
from rowmill.tabular.inspect import open_table
from rowmill.tabular.mend_text import lay_out
from rowmill.tabular.reading import DEFAULT_LIMITS, Limits
from rowmill.tabular.unfinished import whole_or_not
from rowmill.tabular.walk import Walked, walk
from rowmill.tabular.writers import write_csv

LINE, WRONG, FURTHER = "Line", "What is wrong", "Further cells"


def write_failed_rows(
    path: Path,
    out: Path,
    rules: Rules = NO_RULES,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> int:
    """Write the rows that are broken or rejected: line, what is wrong, then the cells as far as they can be told.

    Gives how many they are. Cells that a spreadsheet would run get an apostrophe. Cells beyond the header's width stand in
    one last column. Raises: InputError where the file cannot be read as a table at all.
    """
    with open_table(path, rules, table_out=out, limits=limits) as reading:
        layout = lay_out(reading, even_if_lossy=True)
        if layout is None:
            raise InputError("This file cannot be read as a table, so no row of it can be told.")
        names = list(reading.inspection.header)
        count = 0

        def lines() -> Iterator[list[str]]:
            nonlocal count
            for one in walk(reading, layout):
                if one.failed:
                    count += 1
                    yield _line(one, len(names))

        with whole_or_not(out) as unfinished, unfinished.open("wb") as target:
            target.writelines(write_csv([LINE, WRONG, *names, FURTHER], lines()))
    return count


def say_troubles(one: Walked) -> str:
    """Put what is wrong with a record into one text."""
    return " ".join(_sentence(trouble.words) for trouble in one.troubles)


def _sentence(words: str) -> str:
    """End words with a full stop."""
    return words if words.endswith(".") else words + "."


def _line(one: Walked, width: int) -> list[str]:
    """Give one line: the cells below their names, what is too much behind them."""
    cells = one.cells()
    shown = cells[:width] + [""] * (width - len(cells))
    return [str(one.line), say_troubles(one), *shown, " | ".join(cells[width:])]
