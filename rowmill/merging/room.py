"""Beside the batches: a small DuckDB of a request's own, so that a page is shown while imports have all the memory of theirs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from rowmill.errors import Busy
from rowmill.tabular.load import quote_text

MEMORY = "128MB"
ROOMS = 2  # at a time, of this process: so much memory there is for all of its requests together
PATIENCE_SECONDS, AGAIN_SECONDS = 10.0, 5
_free = threading.BoundedSemaphore(ROOMS)


@contextmanager
def open_room(scratch: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB for one small read; it closes with the `with`, and no import has to do with its memory.

    `scratch`: the folder for what does not fit into memory, where files of ours are read; without it none is opened at all.
    Raises: Busy where all rooms stay taken; duckdb.OutOfMemoryException where the read is too large for any of them.
    Cost: some milliseconds.
    """
    if not _free.acquire(timeout=PATIENCE_SECONDS):
        raise Busy(retry_after_seconds=AGAIN_SECONDS)
    try:
        with open_duck(MEMORY, scratch and scratch / "duck") as con:
            yield con
    finally:
        _free.release()


def open_duck(memory: str, put_off: Path | None) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB of its own memory, for one thread or its cursors. `put_off`: the folder for what does not fit, where
    files of ours are read."""
    con = duckdb.connect(config={"threads": 1, "memory_limit": memory})
    con.execute("SET GLOBAL TimeZone='UTC'; SET GLOBAL preserve_insertion_order=false")
    if put_off is None:
        con.execute("SET enable_external_access=false")
    else:
        put_off.mkdir(parents=True, exist_ok=True, mode=0o700)
        con.execute("SET GLOBAL autoinstall_known_extensions=false; SET GLOBAL autoload_known_extensions=false")
        con.execute(f"SET GLOBAL temp_directory={quote_text(str(put_off))}")
    return con
