"""The loader: DuckDB reads the file strictly, every cell as text, runs all checks in that one scan and writes the copy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from rowmill.tabular.records import Shape

# A text that no cell holds: without it DuckDB would turn empty cells into NULL.
_NO_NULL = "\x02\x15rowmill\x15\x02"
# True for a cell with nothing but white space. The comparison comes first: it settles nearly every cell, and trim() with a
# list of characters costs more than reading the file (measured: 0.37 s against 0.22 s of CPU for 1.1 million rows).
BLANK = "CASE WHEN {column} >= '!' AND {column} < '\u00a0' THEN false ELSE trim({column}, E' \\t\\r\\n\u00a0') = '' END"

# DuckDB's own longest row; it would hold 16 of them in each of several buffers, which takes 100 MB more and is no faster.
_USUAL_ROW_BYTES = 2_000_000

TELL_STEPS = "PRAGMA enable_profiling='no_output'"  # what `kept_order` asks for
_ORDERED = ["RESULT_COLLECTOR", "BATCH_CREATE_TABLE_AS"]

DISTINCT_IDS, _MORE_IDS = "distinct_ids", "more_ids"
TEXTS = "texts"


def quote_text(text: str) -> str:
    """Write an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """Write an SQL name."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Bad:
    """One check put on one column: its condition, true for a bad row, and whether that rejects the row.

    `cell`: the one cell that the condition looks at, "" where it may look at several.
    """

    label: str
    condition: str
    rejects: bool
    cell: str = ""

    @property
    def over_all(self) -> bool:
        """Tell whether the condition looks at all rows of the table, which stand for `{*}` in it."""
        return "{*}" in self.condition

    @property
    def listed(self) -> str:
        """Give the name of the table that holds the bad rows' numbers, where the condition looks at all rows."""
        return quote_name(f"bad {self.label}")

    def met_by(self, number: str) -> str:
        """Give the condition for the row whose number stands in the column `number`."""
        return f"{number} IN (SELECT n FROM {self.listed})" if self.over_all else self.condition


_opened: list[duckdb.DuckDBPyConnection] = []


def open_ahead() -> None:
    """Open the DuckDB that the next `connect` takes: opening takes as long as judging a small file."""
    _opened.append(duckdb.connect())


def connect(allowed: Sequence[Path], temp: Path, memory_bytes: int, threads: int = 0) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB that may touch these files and this directory, and nothing else, with its settings locked."""
    con = _opened.pop() if _opened else duckdb.connect()
    if threads:
        con.execute(f"SET threads={threads}")
    con.execute(f"SET memory_limit='{memory_bytes // 1_000_000}MB'")
    con.execute(f"SET temp_directory={quote_text(str(temp))}")
    con.execute(TELL_STEPS)
    con.execute("SET autoinstall_known_extensions=false; SET autoload_known_extensions=false")
    paths = ", ".join(quote_text(str(p)) for p in allowed)
    con.execute(f"SET allowed_paths=[{paths}]; SET allowed_directories=[{quote_text(str(temp))}]")
    con.execute("SET enable_external_access=false; SET lock_configuration=true")
    return con


def plain_header(shape: Shape) -> bytes:
    """Give a first line for a clean copy: c1..cN in the pinned dialect."""
    names = (f"c{i}".encode() for i in range(1, shape.columns + 1))
    return bytes([shape.delimiter]).join(names) + shape.newline


def csv_source(paths: Sequence[Path], shape: Shape, *, longest_row_bytes: int = 0) -> str:
    """Give the SQL that reads files in their pinned dialect: columns c1..cN, all VARCHAR, auto-detection off."""
    files = ", ".join(quote_text(str(path)) for path in paths)
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(1, shape.columns + 1))
    quote = chr(shape.quote) if shape.quote >= 0 else ""
    longest = max(_USUAL_ROW_BYTES, 2 * longest_row_bytes)
    return (
        f"read_csv([{files}], auto_detect=false, header=true, strict_mode=true,"
        f" delim={quote_text(chr(shape.delimiter))}, quote={quote_text(quote)}, escape={quote_text(quote)},"
        f" nullstr={quote_text(_NO_NULL)}, columns={{{columns}}}, max_line_size={longest}, buffer_size={4 * longest})"
    )


def count_rows(
    con: duckdb.DuckDBPyConnection,
    source: str,
    bad: Sequence[Bad],
    id_cell: str = "",
    *,
    more: bool = False,
    looks: Sequence[str] = (),
) -> tuple[int, int, list[int], list[int]]:
    """Count rows, rejected rows and the rows that each check finds bad, in one scan.

    Where a condition over all rows finds some, their numbers are listed for those who ask afterwards.
    `id_cell`: the same scan gathers what stands in that cell in the table DISTINCT_IDS: `id`, and how many `times`.
    `more`: behind what is gathered there already; `join_ids` brings the parts together. `looks`: conditions on cells that
    are counted too where no IDs are gathered; their counts come last.
    """
    rejecting = "false"
    if flags := [f"b{place}" for place, one in enumerate(bad) if one.rejects]:
        # Written with OR, DuckDB works every condition out a second time.
        rejecting = f"greatest({', '.join(flags)})"
    wanted = [rejecting, *(f"b{place}" for place in range(len(bad)))]
    conditions = (one.condition.replace("{*}", source) for one in bad)
    worked_out = ", ".join(f"({condition}) AS b{place}" for place, condition in enumerate(conditions)) or "1"
    if id_cell:
        by_id = all(one.cell == id_cell and not one.over_all for one in bad)
        target = _MORE_IDS if more else DISTINCT_IDS
        sql = (_gather_then_check if by_id else _check_then_gather)(con, source, wanted, worked_out, id_cell, target)
    else:
        counts = "".join(f", count_if({flag})" for flag in (*wanted, *looks))
        cells = ", *" if looks else ""
        sql = f"SELECT count(*){counts} FROM (SELECT {worked_out}{cells} FROM {source})"
    found = con.execute(sql).fetchall()[0]
    if id_cell and more:
        con.execute(f"INSERT INTO {DISTINCT_IDS} FROM {_MORE_IDS}")
    counted, looked = list(found[2 : 2 + len(bad)]), list(found[2 + len(bad) :])
    _list_bad_rows(con, source, [one for one, count in zip(bad, counted, strict=True) if count and one.over_all])
    return found[0], found[1], counted, looked


def _gather_then_check(
    con: duckdb.DuckDBPyConnection, source: str, wanted: Sequence[str], worked_out: str, id_cell: str, target: str
) -> str:
    """Gather the IDs; gives the SQL that counts by them. For conditions over the ID alone: each is asked once for each ID."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {target} AS SELECT {id_cell} AS id, count(*) AS times FROM {source} GROUP BY {id_cell}"
    )
    sums = "".join(f", coalesce(sum(times) FILTER ({flag}), 0)::BIGINT" for flag in wanted)
    flagged = f"SELECT times, {worked_out} FROM (SELECT times, id AS {id_cell} FROM {target})"
    return f"SELECT coalesce(sum(times), 0)::BIGINT{sums} FROM ({flagged})"


def _check_then_gather(
    con: duckdb.DuckDBPyConnection, source: str, wanted: Sequence[str], worked_out: str, id_cell: str, target: str
) -> str:
    """Gather the IDs with the counts of their rows; gives the SQL that adds them up."""
    counts = "".join(f", count_if({flag})::BIGINT AS n{place}" for place, flag in enumerate(wanted))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {target} AS SELECT id, count(*) AS times{counts} "
        f"FROM (SELECT {id_cell} AS id, {worked_out} FROM {source}) GROUP BY id"
    )
    sums = "".join(f", coalesce(sum(n{place}), 0)::BIGINT" for place in range(len(wanted)))
    return f"SELECT coalesce(sum(times), 0)::BIGINT{sums} FROM {target}"


def join_ids(con: duckdb.DuckDBPyConnection) -> None:
    """Bring together the IDs that were gathered part by part, once after the last."""
    joined = f"SELECT id, sum(times)::BIGINT AS times FROM {DISTINCT_IDS} GROUP BY id"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {DISTINCT_IDS} AS {joined}")


def count_ids(con: duckdb.DuckDBPyConnection) -> int:
    """Count the IDs that `count_rows` has gathered, blank ones left out."""
    blank = BLANK.replace("{column}", "id")
    return int(con.execute(f"SELECT count(*) FROM {DISTINCT_IDS} WHERE NOT ({blank})").fetchall()[0][0])


def kept_order(con: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether the table that was just made surely has its rows in the order of the file: by what DuckDB has done for it.

    It keeps the order of what is read and looked at row by row; a join, which is also made of a list of values, keeps none.
    """
    told = json.loads(con.get_profiling_information(format="json"))
    steps: list[str] = []
    below = told.get("operator", [])
    while len(below) == 1:
        steps.append(below[0]["type"])
        below = below[0].get("children", [])
    return not below and steps[:2] == _ORDERED and all(step == "PROJECTION" for step in steps[2:-1])


def number_rows(source: str) -> str:
    """Give the SQL that reads the rows with their number in the table."""
    return f"(SELECT row_number() OVER () AS n, * FROM {source})"


def _list_bad_rows(con: duckdb.DuckDBPyConnection, source: str, bad: Sequence[Bad]) -> None:
    """List the rows that conditions over all rows find bad: worked out once, then looked up by number."""
    for one in bad:
        condition = one.condition.replace("{*}", source)
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {one.listed} AS SELECT n FROM {number_rows(source)} WHERE {condition}"
        )


def write_copy(
    con: duckdb.DuckDBPyConnection,
    source: str,
    target: Path,
    columns: int,
    shifts: int | npt.NDArray[np.int32],
    problems: npt.NDArray[np.uint32] | None,
    group_rows: int,
) -> None:
    """Write the columnar copy: row_number, line_number, c1..cN as written, problems.

    `group_rows`: so many rows are held in memory at a time. `shifts`: what to add to a row's number to get its line; for
    every row where that is not one number. `problems`: the code of each row's problems in the table TEXTS, 0 for none.
    """
    cells = ", ".join(f"c{i}" for i in range(1, columns + 1))
    rows, line, problem = number_rows(source), "n", "NULL"
    # What is known of each row lies beside it in the same order: looking it up by the row's number costs far more.
    beside: dict[str, npt.NDArray[Any]] = {}
    if isinstance(shifts, int):
        line = f"n + {shifts}"
    else:
        beside["shift"], line = shifts, "n + shift"
    if problems is not None:
        beside["code"] = problems
        # A variable is a constant; for a list from a query in its place DuckDB would hold all rows in memory.
        con.execute(f"SET VARIABLE texts = (SELECT list(text ORDER BY code) FROM {TEXTS})")
        problem = "getvariable('texts')[code]"
    if beside:
        con.register("beside", beside)
        rows = f"({rows} POSITIONAL JOIN beside)"
    con.execute(
        f"COPY (SELECT n AS row_number, ({line})::BIGINT AS line_number, {cells}, ({problem})::VARCHAR AS problems FROM {rows}"
        f") TO {quote_text(str(target))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group_rows})"
    )


OutOfMemory = duckdb.OutOfMemoryException


def is_out_of_space(error: BaseException) -> bool:
    """Tell whether the disk was full."""
    return (isinstance(error, OSError) and error.errno == 28) or "No space left" in str(error)
