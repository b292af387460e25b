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
    """The loader's pass, in a thread beside the scan; begun anew where the scan finds that a clean copy is needed."""

    def __init__(self, con: duckdb.DuckDBPyConnection, bad: Sequence[Bad]) -> None:
        self.con, self.bad = con, bad
        self.source: str | None = None
        self.count, self.rejected, self.counts = 0, 0, [0] * len(bad)
        self.failed, self.short = False, False
        self._thread: threading.Thread | None = None

    @property
    def found(self) -> list[Bad]:
        """Give the conditions that some row meets; where the pass failed, all but those over all rows, for want of counts."""
        if self.failed:
            return [one for one in self.bad if not one.over_all]
        return [one for one, count in zip(self.bad, self.counts, strict=True) if count]

    def start(self, source: str) -> None:
        """Begin in a thread."""
        self._thread = threading.Thread(target=self.run, args=(source,), daemon=True)
        self._thread.start()

    def run(self, source: str) -> None:
        """Count rows and bad rows."""
        self.source, self.failed, self.short = source, False, False
        try:
            self.count, self.rejected, self.counts = load.count_rows(self.con, source, self.bad)
        except duckdb.Error as error:
            # DuckDB's message may hold cells; it is not kept. The scan says what is wrong and where.
            self.failed = True
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
