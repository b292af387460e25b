"""One DuckDB for many small files: opening one takes longer than judging a file of twenty rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from rowmill.tabular import load


@contextmanager
def one_database() -> Iterator[None]:
    """Let every reading of the block share one DuckDB, each by a connection of its own.

    It is not fenced in as the product's is: what a file may reach is proven elsewhere (tests/tabular/test_child.py).
    """
    database = duckdb.connect(config={"threads": 1})
    own = load.connect

    def connect(allowed: Sequence[Path], temp: Path, memory_bytes: int, threads: int = 0) -> duckdb.DuckDBPyConnection:
        cursor = database.cursor()
        cursor.execute(load.TELL_STEPS)
        return cursor

    load.connect = connect
    try:
        yield
    finally:
        load.connect = own
        database.close()
