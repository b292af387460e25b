"""In the limited child, or in the worker where a file is small: compares the rows of a whole file as `groups` has written it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from rowmill.merging.room import open_duck
from rowmill.tabular.load import quote_text
from rowmill.tabular.reading import Limits

MEMORY = "160MB"
JOINED_CELLS, JOINED_BYTES = 250_000, 16_000_000
_TABLES = ("suspects", "keyed", "twice", "linked", "maybe", "raw", "joined", "members")
Tell = Callable[[dict[str, Any]], None]


def compare_in_child(request: Mapping[str, Any], limits: Limits, tell: Tell) -> dict[str, Any]:
    """Compare, and put both files where they are wanted. `request`: as `compare` has it, with "special_to" and "joined_to".

    What a comparison takes of memory goes with the child; a worker would keep most of it.
    """
    temp = Path(request["temp"])
    with open_duck(MEMORY, temp / "duck") as con:
        compare(con, request, temp / "special", temp / "joined")
    shutil.move(temp / "joined", request["joined_to"])
    shutil.move(temp / "special", request["special_to"])
    return {}


def compare(con: duckdb.DuckDBPyConnection, told: Mapping[str, Any], special: Path, joined: Path) -> None:
    """Write both files of a comparison.

    `told`: the SQL that makes the tables `members` (n, key, shared, winner) and `named` ("begin"), gives the special rows
    ("special"), the rows as written of the members ("raw"), the bytes of one ("row_bytes"), and one row for each thing that
    rows of `part` are about ("joined", and "joined_cut" where some cell has a blank at an end, as "edged" tells); how many
    "columns" the file has. All of it is ours, none of it a cell.
    Raises: duckdb.OutOfMemoryException; `drop_tables` then frees what is left.
    """
    for sql in told["begin"]:
        con.execute(sql)
    _write(con, special, told["special"])
    drop_tables(con, keep=("members",))
    sizes = con.execute("SELECT winner, count(*) FROM members GROUP BY winner ORDER BY winner").fetchall()
    con.execute("CREATE OR REPLACE TEMP TABLE joined AS SELECT 0 AS row_number WHERE false")
    if sizes:
        con.execute(f"CREATE OR REPLACE TEMP TABLE raw AS {told['raw']}")
        edged = con.execute("SELECT 1 FROM raw WHERE edged LIMIT 1").fetchall()
        into, query = "CREATE OR REPLACE TEMP TABLE joined AS", told["joined_cut" if edged else "joined"]
        for winners in _stretches(sizes, _rows_at_once(con, told)):
            _join_what_fits(con, f"{into} {query}", f"INSERT INTO joined {query}", winners)
            into = "INSERT INTO joined"
    _write(con, joined, "FROM joined")
    drop_tables(con)


def drop_tables(con: duckdb.DuckDBPyConnection, keep: Sequence[str] = ()) -> None:
    """Free the memory of what is not needed any more."""
    con.execute("DROP VIEW IF EXISTS named; DROP VIEW IF EXISTS part")
    for table in _TABLES:
        if table not in keep:
            con.execute(f"DROP TABLE IF EXISTS {table}")


def _rows_at_once(con: duckdb.DuckDBPyConnection, told: Mapping[str, Any]) -> int:
    """Give how many rows are joined at a time."""
    row_bytes: int = con.execute(f"SELECT coalesce(avg({told['row_bytes']}), 0)::BIGINT FROM raw").fetchall()[0][0]
    return min(JOINED_CELLS // int(told["columns"]), JOINED_BYTES // max(1, row_bytes))


def _join_what_fits(con: duckdb.DuckDBPyConnection, sql: str, more: str, winners: Sequence[int]) -> None:
    """Join the rows of some winners by `sql`, half by half where all of them take more memory than there is: then by `more`."""
    _take_part(con, winners[0], winners[-1])
    try:
        con.execute(sql)
    except duckdb.OutOfMemoryException:
        if len(winners) == 1:
            raise
        middle = len(winners) // 2
        _join_what_fits(con, sql, more, winners[:middle])
        _join_what_fits(con, more, more, winners[middle:])


def _take_part(con: duckdb.DuckDBPyConnection, first: int, last: int) -> None:
    """Say which rows are joined next."""
    con.execute(f"CREATE OR REPLACE TEMP VIEW part AS SELECT * FROM raw WHERE winner BETWEEN {first} AND {last}")


def _stretches(sizes: list[tuple[int, int]], wanted: int) -> Iterator[list[int]]:
    """Part winners, in their order and each with its number of rows, such that no part has many more rows than wanted."""
    winners: list[int] = []
    rows = 0
    for winner, size in sizes:
        winners.append(winner)
        rows += size
        if rows >= wanted:
            yield winners
            winners, rows = [], 0
    if winners:
        yield winners


def _write(con: duckdb.DuckDBPyConnection, path: Path, query: str) -> None:
    """Write a file of a query."""
    con.execute(f"COPY ({query}) TO {quote_text(str(path))} (FORMAT parquet, ROW_GROUP_SIZE_BYTES '16MB')")
