"""The first half of a merge: one batch made ready, its values typed, to be written as the database takes them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import duckdb
import numpy as np
import numpy.typing as npt

from rowmill.contracts import Outcome, Problem
from rowmill.errors import NotFound
from rowmill.merging.groups import AMBIGUOUS, DUPLICATE, JOINED, SHARED, Groups
from rowmill.merging.reader import Reader
from rowmill.merging.room import open_duck
from rowmill.merging.target import Plan
from rowmill.registry import get_check
from rowmill.tabular.load import quote_name, quote_text

MEMORY = "160MB"
DUPLICATE_WORDS = "Row {winner:,} of this file is about the same one; it stands for both."
AMBIGUOUS_WORDS = "Rows of this file with different IDs have this key, so nobody can tell which one is meant."
FindGroups = Callable[[bool], Groups | None]  # told not to wait, it gives None while another thread finds them
_local = threading.local()
_lock = threading.Lock()
_opened: dict[int, duckdb.DuckDBPyConnection] = {}  # by process: a fork has no use for its parent's
# What DuckDB hands to Python; SQLite is given texts, as Django would write them.
_PLAIN = {"BIGINT", "VARCHAR"}
NO_BLANKS: Mapping[str, str] = {}


@dataclass(slots=True)
class Prepared:
    """A batch ready to be merged: `rows` of it are the table `typed` of this thread's DuckDB, with the reader's columns.

    `outcomes` are the rows that are not merged, `duplicates` of these gave way to others.
    """

    reader: Reader
    con: duckdb.DuckDBPyConnection
    scratch: Path
    rows: int
    outcomes: list[Outcome]
    old: int = 0

    @property
    def plan(self) -> Plan:
        """Give the plan by which it is merged."""
        return self.reader.plan

    @property
    def duplicates(self) -> int:
        """Count the rows that gave way to others."""
        return sum(one.code == "DUPLICATE_ROW" for one in self.outcomes)

    def tell_keys(self) -> str:
        """Give what may be in the table already, as JSON: a list of {n: row_number, a: first that names it, b: second key}.

        There is no second key where nobody asks for it: in a row with the first one that adopts nothing.
        """
        keys, second = self.plan.target.keys, "NULL"
        if len(keys) > 1 and keys[1][1] in self.plan.columns:
            wanted = f"adopts OR starts_with(match_key, '{keys[1][0]}:')"
            second = f"CASE WHEN {wanted} THEN {quote_name(keys[1][1])} END"
        told = f"to_json(list({{'n': row_number, 'a': match_key, 'b': {second}}}))::VARCHAR"
        return str(self.con.execute(f"SELECT coalesce({told}, '[]') FROM typed").fetchall()[0][0])

    def set_apart(self, numbers: Sequence[int]) -> int:
        """Note which rows are old, by row number; all others are new. Gives how many are new."""
        self.old = len(numbers)
        if 0 < self.old < self.rows:
            self.con.execute("CREATE OR REPLACE TEMP TABLE old AS SELECT unnest(?::BIGINT[]) AS n", [list(numbers)])
        return self.rows - self.old

    def _among(self, old: bool) -> str:
        """Write the condition for the old rows, or for the new ones."""
        if self.old in (0, self.rows):
            return str((self.old > 0) == old)
        return f"row_number {'' if old else 'NOT '}IN (SELECT n FROM old)"

    def read_values(
        self, columns: Sequence[str], *, old: bool, blanks: Mapping[str, str] = NO_BLANKS
    ) -> Iterator[tuple[Any, ...]]:
        """Give columns of the old or the new rows as SQLite stores them. `blanks`: what stands for no value, as SQL."""
        told = []
        for place, name in enumerate(columns):
            value = _as_text(quote_name(name), self.reader.type_of(name))
            told.append(f"{f'coalesce({value}, {blanks[name]})' if name in blanks else value} AS v{place}")
        found = self.con.execute(f"SELECT {', '.join(told)} FROM typed WHERE {self._among(old)}").fetchnumpy()
        return zip(*map(_as_list, found.values()), strict=True)  # row by row it would take twice as long

    @contextmanager
    def write_csv(self, values: Iterable[str], *, old: bool) -> Iterator[IO[bytes]]:
        """Write SQL values of the old or the new rows as CSV, as COPY takes it. The file goes with the `with`."""
        self.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        query = f"SELECT {', '.join(values)} FROM typed WHERE {self._among(old)}"
        with TemporaryFile(prefix="merge-", dir=self.scratch) as file:  # no name: a kill leaves nothing
            self.con.execute(
                f"COPY ({query}) TO '/dev/fd/{file.fileno()}' (FORMAT csv, HEADER false, USE_TMP_FILE false)"
            )
            file.seek(0)
            yield file


def connect_duck(scratch: Path) -> duckdb.DuckDBPyConnection:
    """Give this thread's DuckDB: a cursor of the one of this process, which all share the memory of.

    It reads our own copies only, but no more memory than it is allowed.
    """
    # The scratch folder is cleared now and then; what is put off to disk needs its folder there.
    _put_off(scratch).mkdir(parents=True, exist_ok=True, mode=0o700)
    mine: dict[int, duckdb.DuckDBPyConnection] = _local.__dict__.setdefault("opened", {})
    if (con := mine.get(os.getpid())) is None:
        con = mine[os.getpid()] = _open_duck(scratch).cursor()
    return con


def _put_off(scratch: Path) -> Path:
    """Give the folder for what does not fit into DuckDB's memory."""
    return scratch / "duck"


def _open_duck(scratch: Path) -> duckdb.DuckDBPyConnection:
    """Give the DuckDB of this process."""
    with _lock:
        if (con := _opened.get(os.getpid())) is None:
            con = open_duck(MEMORY, _put_off(scratch))
            # What is freed goes back to the system within seconds.
            con.execute("SET GLOBAL allocator_background_threads=true")
            # It looks for lists that would be quicker joined; ours are short, and looking takes a sixth of a plan's time.
            con.execute("SET GLOBAL disabled_optimizers='in_clause'")
            _opened[os.getpid()] = con
        return con


@contextmanager
def prepare_batch(reader: Reader, find: FindGroups, first: int, last: int, scratch: Path) -> Iterator[Prepared]:
    """Read rows first..last, both inclusive, and make them typed; what is written for it goes with the `with`.

    Cost: about 0.2 s for 10,000 rows of 48 columns.
    """
    con = connect_duck(scratch)
    between = f"row_number BETWEEN {int(first)} AND {int(last)}"
    try:
        groups = find(False)  # where another thread is at it, this one has its own rows to clean meanwhile
        con.execute(f"CREATE OR REPLACE TEMP TABLE batch AS {_raw(reader, between)}")
        con.execute(f"CREATE OR REPLACE TEMP TABLE typed AS {_typed(reader, con)}")
        outcomes = list(_bad(con))
        con.execute("DROP TABLE batch")
        outcomes += _apply_groups(reader, con, groups or find(True), between)
        rows = con.execute("SELECT count(*) FROM typed").fetchall()[0][0]
        yield Prepared(reader, con, scratch, rows, outcomes)
    finally:
        for name in ("batch", "typed", "special", "old"):
            con.execute(f"DROP TABLE IF EXISTS {name}")


def _raw(reader: Reader, where: str) -> str:
    """Write the query for rows as written, and of each whether some cell has a blank at an end."""
    places = reader.needed_places()
    return f"SELECT *, {reader.edged(places)} AS edged FROM ({reader.merged_rows(where)})"


def _typed(reader: Reader, con: duckdb.DuckDBPyConnection) -> str:
    """Write the query for the rows without problems.

    Making a plan takes a good part of a batch's time: what no row of this batch needs is left out.
    """
    rows = "SELECT * FROM batch WHERE problem IS NULL"
    if con.execute("SELECT 1 FROM batch WHERE edged LIMIT 1").fetchall():
        rows = reader.cut(rows, reader.needed_places())
    return reader.typed(rows)


def _bad(con: duckdb.DuckDBPyConnection) -> Iterator[Outcome]:
    """Give the rows that break checks."""
    bad = con.execute("SELECT row_number, problem FROM batch WHERE problem IS NOT NULL ORDER BY row_number").fetchall()
    for number, problem in bad:
        yield reject_problems(number, problem)


def _apply_groups(
    reader: Reader, con: duckdb.DuckDBPyConnection, groups: Groups | None, between: str
) -> Iterator[Outcome]:
    """Put one row for several that are about the same thing. Gives those that give way, and those that nobody can place."""
    assert groups is not None
    con.execute(
        "CREATE OR REPLACE TEMP TABLE special AS SELECT n AS row_number, code, winner "
        f"FROM read_parquet({_file(groups.special)}) WHERE {between.replace('row_number', 'n', 1)}"
    )
    special = con.execute("SELECT row_number, code, winner FROM special ORDER BY row_number").fetchall()
    codes = {code for _, code, _ in special}
    if SHARED in codes:
        which = f"SELECT row_number FROM special WHERE code = '{SHARED}'"
        con.execute(f"UPDATE typed SET adopts = false WHERE row_number IN ({which})")
    if codes - {SHARED}:
        con.execute(f"DELETE FROM typed WHERE row_number IN (SELECT row_number FROM special WHERE code <> '{SHARED}')")
    if JOINED in codes:
        names = ", ".join(quote_name(name) for name in reader.names)
        con.execute(f"INSERT INTO typed SELECT {names} FROM read_parquet({_file(groups.joined)}) WHERE {between}")
    for number, code, winner in special:
        if code == DUPLICATE:
            yield Outcome(number, "ok", "DUPLICATE_ROW", DUPLICATE_WORDS.format(winner=winner))
        elif code == AMBIGUOUS:
            yield Outcome(number, "rejected", "AMBIGUOUS_KEY", AMBIGUOUS_WORDS)
        else:
            assert code in (JOINED, SHARED)


def reject_problems(number: int, problems: str) -> Outcome:
    """Give the outcome of a row that breaks checks: every check, on which column, never a value."""
    told = []
    for part in problems.split(";"):
        problem = Problem(*part.split(":", 1))
        try:
            title = get_check(problem.check).title
        except NotFound:
            title = problem.check
        told.append(f"{problem.column}: {title}" if problem.column else title)
    return Outcome(number, "rejected", "INVALID_INPUT", "; ".join(dict.fromkeys(told)))


def _as_text(column: str, kind: str) -> str:
    """Write one column as SQLite stores it."""
    if kind in _PLAIN:
        return column
    if kind == "BOOLEAN":
        return f"{column}::TINYINT"
    if kind == "TIMESTAMP":
        return f"strftime({column}, '%Y-%m-%d %H:%M:%S')"
    return f"{column}::VARCHAR"


def _as_list(values: npt.NDArray[Any]) -> list[Any]:
    """Give one column as Python has it."""
    plain: list[Any] = values.data.tolist() if isinstance(values, np.ma.MaskedArray) else values.tolist()
    if isinstance(values, np.ma.MaskedArray):
        return [None if blank else one for one, blank in zip(plain, np.ma.getmaskarray(values).tolist(), strict=True)]
    return plain


def _file(path: Path) -> str:
    return quote_text(str(path))
