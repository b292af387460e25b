"""In the limited child, or in the worker where a file is small: compares the rows of a whole file as `groups` has written it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from rowmill.merging.room import open_duck
from rowmill.tabular.load import quote_text
from rowmill.tabular.reading import Limits

MEMORY = "160MB"
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

    `told`: the SQL that makes the tables `members` (n, key, shared, winner) and `named` ("begin"), writes the special rows
    ("special"), drops what is not needed any more ("between"), gives the rows as written of some members ("raw") and
    makes one row of several in `part` ("joined"); and how many rows go together ("rows"). All of it is ours, none a cell.
    """
    for sql in told["begin"]:
        con.execute(sql)
    _write(con, special, told["special"])
    for sql in told["between"]:
        con.execute(sql)
    sizes = con.execute("SELECT winner, count(*) FROM members GROUP BY winner ORDER BY winner").fetchall()
    con.execute("CREATE OR REPLACE TEMP TABLE joined AS SELECT 0 AS row_number WHERE false")
    if sizes:
        con.execute(f"CREATE OR REPLACE TEMP TABLE raw AS {told['raw']}")
    for number, (first, last) in enumerate(_stretches(sizes, told["rows"])):
        con.execute(f"CREATE OR REPLACE TEMP VIEW part AS SELECT * FROM raw WHERE winner BETWEEN {first} AND {last}")
        begin = "INSERT INTO joined" if number else "CREATE OR REPLACE TEMP TABLE joined AS"
        con.execute(f"{begin} {told['joined']}")
    _write(con, joined, "FROM joined")
    con.execute("DROP VIEW IF EXISTS part; DROP TABLE IF EXISTS raw; DROP TABLE joined; DROP TABLE members")


def _stretches(sizes: list[tuple[int, int]], wanted: int) -> Iterator[tuple[int, int]]:
    """Part winners, in their order and each with its number of rows, such that no part has many more rows than wanted."""
    first = rows = 0
    for place, (winner, size) in enumerate(sizes):
        first, rows = (winner, size) if rows == 0 else (first, rows + size)
        if rows >= wanted or place == len(sizes) - 1:
            yield first, winner
            rows = 0


def _write(con: duckdb.DuckDBPyConnection, path: Path, query: str) -> None:
    """Write a file of a query."""
    con.execute(f"COPY ({query}) TO {quote_text(str(path))} (FORMAT parquet)")
