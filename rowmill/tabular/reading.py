"""A file that has been judged, with the loader still open on its rows, and the columnar copy that is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from rowmill.contracts import Inspection
from rowmill.tabular import load
from rowmill.tabular.bad_rows import BadRows
from rowmill.tabular.first_look import FirstLook
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.load import Bad
from rowmill.tabular.records import Shape
from rowmill.tabular.unfinished import whole_or_not

WIDE = 1_000  # columns


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one file may cost. Units: bytes of memory for the loader, seconds, threads (0 = one per core)."""

    memory_bytes: int = 512_000_000
    seconds: float = 600.0
    threads: int = 0

    def narrowed(self, columns: int) -> Limits:
        """Give the limits for a file of so many columns: each thread holds some tens of kilobytes for every one of them.

        Of a wide file what is besides the loader has fewer rows to keep, so that one may have half as much again.
        """
        return self if columns <= WIDE else replace(self, threads=1, memory_bytes=self.memory_bytes * 3 // 2)


MOST_GROUP_ROWS, LEAST_GROUP_ROWS = 20_480, 2_048
GROUP_BYTES, GROUP_CELLS = 48_000_000, 1_000_000
DEFAULT_LIMITS = Limits()


@dataclass(slots=True)
class Reading:
    """A file that has been judged, with the loader still open on its rows.

    `rows_sql` reads the rows (c1..cN, all VARCHAR) in file order; None where nothing can be read. `text_path` is the text
    that was read, in its pinned `shape`: the file itself, or what it was unpacked or decoded to, which goes with the
    temporary folder; `text_bytes` is how long it is. `trusted`: the header is sound and both counts agree, so that the
    rows hold even where others are broken. `listed` are the rows that meet the conditions `bad`. `ids_of`: the column (1-based)
    whose distinct values the loader has gathered. `look`: the first look at its cells, where the loader has taken it.
    """

    inspection: Inspection
    con: duckdb.DuckDBPyConnection | None = None
    rows_sql: str | None = None
    bad: Sequence[Bad] = ()
    ledger: Ledger | None = None
    text_bytes: int = 0
    trusted: bool = False
    text_path: Path | None = None
    shape: Shape | None = None
    listed: BadRows | None = None
    ids_of: int | None = None
    look: FirstLook | None = None


def write_copy(reading: Reading, table_out: Path) -> None:
    """Write the columnar copy under a temporary name and move it into place."""
    assert reading.con is not None
    assert reading.rows_sql is not None
    assert reading.ledger is not None
    assert reading.listed is not None
    shifts, rows = reading.ledger.shifts_of_rows(), reading.ledger.rows
    rejecting = [one.label for one in reading.bad if one.rejects]
    problems = reading.listed.problems(rejecting, rows)
    columns, group_rows = len(reading.inspection.header), rows_of_a_group(reading)
    with whole_or_not(table_out) as unfinished:
        load.write_copy(reading.con, reading.rows_sql, unfinished, columns, shifts, problems, group_rows)


def rows_of_a_group(reading: Reading) -> int:
    """Give how many rows of the copy are written at a time: fewer where they are long or wide, for a group is held in memory."""
    row_bytes = reading.text_bytes // max(1, reading.inspection.row_count)
    rows = max(LEAST_GROUP_ROWS, min(MOST_GROUP_ROWS, GROUP_BYTES // max(1, row_bytes)))
    return min(rows, GROUP_CELLS // max(1, len(reading.inspection.header)))
