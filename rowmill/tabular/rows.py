"""Rows from the columnar copy: any batch in milliseconds, or all of them in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from rowmill.contracts import Problem, Row
from rowmill.tabular.load import quote_text

_FETCH = 2000
_BEFORE_CELLS = 3
_local = threading.local()


def _connection() -> duckdb.DuckDBPyConnection:
    """Give this thread's connection. The copies are our own files, so one plain connection serves them all."""
    con: duckdb.DuckDBPyConnection | None = getattr(_local, "con", None)
    if con is None:
        con = duckdb.connect(config={"threads": 1})
        con.execute("SET memory_limit='256MB'")
        con.execute("SET autoinstall_known_extensions=false; SET autoload_known_extensions=false")
        _local.con = con
    return con


def read_rows(
    table: Path,
    header: Sequence[str],
    mapping: Mapping[str, int],
    first_row: int,
    last_row: int,
    *,
    only: Collection[int] | None = None,
    columns: Sequence[str] = (),
) -> list[Row]:
    """Read rows first..last, both inclusive, in file order; of them only those in `only` where it is given.

    `columns` names the kind's columns: those that the file lacks come as "".
    Cost: a few milliseconds for a batch, whatever the table's size. Thread-safe.
    """
    if only is not None and not only:
        return []
    condition = f"row_number BETWEEN {int(first_row)} AND {int(last_row)}"
    if only is not None:
        condition += f" AND row_number IN ({', '.join(str(int(n)) for n in only)})"
    found = _connection().execute(_select(table, header, condition)).fetchall()
    make = _maker(header, mapping, columns)
    return [make(values) for values in found]


def iter_rows(
    table: Path,
    header: Sequence[str],
    mapping: Mapping[str, int],
    *,
    first_row: int = 1,
    last_row: int | None = None,
    columns: Sequence[str] = (),
) -> Iterator[Row]:
    """Read all rows in file order, a stretch at a time: memory stays flat."""
    last = count_rows(table) if last_row is None else last_row
    for start in range(first_row, last + 1, _FETCH):
        yield from read_rows(table, header, mapping, start, min(start + _FETCH - 1, last), columns=columns)


def find_rows(table: Path, text: str) -> list[int]:
    """Give the numbers of the rows with a cell that holds the text, whatever its case, ascending.

    Cost: reads the whole copy once.
    """
    source = f"read_parquet({quote_text(str(table))})"
    cells = "concat_ws(chr(31), *COLUMNS('^c[0-9]+$'))"
    query = f"SELECT row_number FROM {source} WHERE contains(lower({cells}), lower(?)) ORDER BY row_number"
    return [int(number) for (number,) in _connection().execute(query, [text]).fetchall()]


def count_rows(table: Path) -> int:
    """Count the rows of a copy. Cost: reads its footer only."""
    found = _connection().execute(f"SELECT count(*) FROM read_parquet({quote_text(str(table))})").fetchall()
    return int(found[0][0])


def _select(table: Path, header: Sequence[str], condition: str) -> str:
    """Write the query for rows of a copy."""
    cells = ", ".join(f"c{i}" for i in range(1, len(header) + 1))
    source = f"read_parquet({quote_text(str(table))})"
    return f"SELECT row_number, line_number, problems, {cells} FROM {source} WHERE {condition} ORDER BY row_number"


def _maker(
    header: Sequence[str], mapping: Mapping[str, int], columns: Sequence[str]
) -> Callable[[tuple[Any, ...]], Row]:
    """Give what makes a Row of one line of the copy."""
    absent = {name: "" for name in columns if name not in mapping}
    known = {name: place + _BEFORE_CELLS - 1 for name, place in mapping.items()}
    taken = set(mapping.values())
    others = [(n, i + _BEFORE_CELLS - 1) for i, n in enumerate(name_columns(header), 1) if i not in taken]

    def make(values: tuple[Any, ...]) -> Row:
        cells = {name: values[place] for name, place in known.items()} | absent
        return Row(values[0], values[1], cells, {n: values[p] for n, p in others}, _problems(values[2]))

    return make


def name_columns(header: Sequence[str]) -> list[str]:
    """Give each column a name of its own: an empty one becomes column_4, a doubled one name_2."""
    names: list[str] = []
    seen: set[str] = set()
    for place, written in enumerate(header, 1):
        wanted = written.strip() or f"column_{place}"
        name, count = wanted, 1
        while name.casefold() in seen:
            count += 1
            name = f"{wanted}_{count}"
        seen.add(name.casefold())
        names.append(name)
    return names


def _problems(text: str | None) -> tuple[Problem, ...]:
    """Read back what the loader wrote: check:column;check:column."""
    if not text:
        return ()
    return tuple(Problem(*part.split(":", 1)) for part in text.split(";"))
