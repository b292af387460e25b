"""What runs in threads beside the scan: the hash of the file, and the loader's own reading of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

import duckdb

from rowmill.tabular import load
from rowmill.tabular.load import Bad

_BLOCK = 1 << 20


class Digest:
    """The hash of the file, taken in a thread of its own beside the reading: hashlib gives up the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                block = bytearray(_BLOCK)
                while count := file.readinto(block):
                    self._hash.update(memoryview(block)[:count])
        except OSError as error:
            self._error = error

    def hexdigest(self) -> str:
        """Wait for the end and give the hash."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._hash.hexdigest()


class Loader:
    """The loader's pass, in a thread beside the scan; begun anew where the scan finds that a clean copy is needed.

    `ids_of`: the column (1-based) whose distinct values the same pass is to gather, None for none.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, bad: Sequence[Bad], ids_of: int | None = None) -> None:
        self.con, self.bad, self.ids_of = con, bad, ids_of
        self.source: str | None = None
        self.count, self.rejected, self.counts = 0, 0, [0] * len(bad)
        self.distinct_ids: int | None = None
        self.failed, self.short = False, False
        self._thread: threading.Thread | None = None

    @property
    def gathered(self) -> int | None:
        """Give the column whose distinct values are at hand."""
        return None if self.distinct_ids is None else self.ids_of

    def start(self, source: str) -> None:
        """Begin in a thread."""
        self._thread = threading.Thread(target=self.run, args=(source,), daemon=True)
        self._thread.start()

    def run(self, source: str) -> None:
        """Count rows and bad rows."""
        self.source, self.failed, self.short = source, False, False
        try:
            self._count(source, self.ids_of)
        except duckdb.Error as error:
            self._fail(error, source)

    def _count(self, source: str, ids_of: int | None) -> None:
        """Count rows, bad rows and IDs."""
        cell = f"c{ids_of}" if ids_of else ""
        self.count, self.rejected, self.counts = load.count_rows(self.con, source, self.bad, cell)
        self.distinct_ids = load.count_ids(self.con) if ids_of else None

    def _fail(self, error: duckdb.Error, source: str) -> None:
        """Note that the file could not be read; where there were too many IDs for the memory, do without them.

        DuckDB's message may hold cells; it is not kept. The scan says what is wrong and where.
        """
        if self.ids_of and isinstance(error, load.OutOfMemory):
            self.ids_of = None
            self.run(source)
            return
        self.failed, self.distinct_ids = True, None
        # What compares all rows needs memory that reading them does not: then the file is not to blame.
        self.short = isinstance(error, load.OutOfMemory) and any(one.over_all for one in self.bad)

    def interrupt(self) -> None:
        """Stop a pass that has become pointless."""
        if self._thread is not None and self._thread.is_alive():
            self.con.interrupt()

    def join(self) -> None:
        """Wait for the pass in the thread."""
        if self._thread is not None:
            self._thread.join()
