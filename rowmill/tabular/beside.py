"""What runs in threads beside the scan: the hash of the file, and the loader's own reading of it."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb

from rowmill.tabular import load
from rowmill.tabular.bad_rows import BadRows, kept_bytes, may_take
from rowmill.tabular.first_look import FirstLook
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.load import Bad
from rowmill.tabular.notes import Notes

_BLOCK = 1 << 20
_MOST_KEPT = 64_000_000  # bytes, of what rows meet


class Digest:
    """The hash of the file, taken in a thread of its own beside the reading: hashlib gives up the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                block = bytearray(_BLOCK)
                while count := file.readinto(block):
                    self._hash.update(memoryview(block)[:count])
        except Exception as error:
            self._error = error  # whatever it is: half a hash is none

    def hexdigest(self) -> str:
        """Wait for the end and give the hash."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._hash.hexdigest()


class Loader:
    """The loader's pass, in a thread beside the scan; begun anew on the parts of a clean copy where the scan needs one.

    What goes wrong in the thread, but for DuckDB's own errors, is raised by `join`.
    `ids_of`: the column (1-based) whose distinct values the same pass is to gather, None for none. `look`: the first look
    at the cells, which it takes where it gathers no such values. `rows_about`: how many rows there may be.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        bad: Sequence[Bad],
        ids_of: int | None = None,
        look: FirstLook | None = None,
        rows_about: int = 0,
    ) -> None:
        self.rows_about, self._may_take = rows_about, may_take(bad)
        self.con, self.bad, self.ids_of, self.look = con, bad, ids_of, look
        self.source: str | None = None
        self.count, self.rejected, self.counts = 0, 0, [0] * len(bad)
        self.distinct_ids: int | None = None
        self.failed, self.short = False, False
        self.listed = BadRows(con)
        self._list = 0
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._parts: queue.SimpleQueue[str | None] | None = None

    @property
    def by_parts(self) -> bool:
        """Tell whether parts of the rows can be checked by themselves."""
        return not any(one.over_all for one in self.bad)

    @property
    def gathered(self) -> int | None:
        """Give the column whose distinct values are at hand."""
        return None if self.distinct_ids is None else self.ids_of

    @property
    def found(self) -> list[Bad]:
        """Give the conditions that some row meets; where the pass failed, all but those over all rows, for want of counts."""
        if self.failed:
            return [one for one in self.bad if not one.over_all]
        return [one for one, count in zip(self.bad, self.counts, strict=True) if count]

    def start(self, source: str) -> None:
        """Begin in a thread."""
        self._thread = threading.Thread(target=self._keep_error, args=(self.run, source), daemon=True)
        self._thread.start()

    def run(self, source: str) -> None:
        """Count rows and bad rows, and list the bad ones."""
        self.source = source
        self._begin()
        self._add(source, self._count)
        self._count_ids(parts=1)

    def follow(self) -> None:
        """Stop the pass that has become pointless; from now on read the parts that `take` tells of."""
        first, self._parts = self._thread, queue.SimpleQueue()
        if first is not None and first.is_alive():
            self.con.interrupt()
        self._thread = threading.Thread(
            target=self._keep_error, args=(self._run_parts, first, self._parts), daemon=True
        )
        self._thread.start()

    def _keep_error(self, run: Callable[..., None], *told: Any) -> None:
        """Run in the thread; an error that nobody catches there, such as for want of memory, is for who waits."""
        try:
            run(*told)
        except Exception as error:
            self._error = error

    def take(self, source: str) -> None:
        """Hear of a part that can be read."""
        if self._parts is not None:
            self._parts.put(source)

    def stop(self) -> None:
        """End what is running: nobody wants to know any more."""
        self._end_parts()
        self.con.interrupt()
        if self._thread is not None:
            self._thread.join()

    def join(self) -> None:
        """Wait for the pass in the thread, and for the parts that were told. Raises: what went wrong there."""
        self._end_parts()
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _end_parts(self) -> None:
        """Say that there is no further part."""
        if self._parts is not None:
            self._parts.put(None)

    def _run_parts(self, first: threading.Thread | None, parts: queue.SimpleQueue[str | None]) -> None:
        """Read part after part."""
        if first is not None:
            first.join()
        self._error = None  # of the pass that nobody wants any more
        self._begin()
        told = 0
        while (source := parts.get()) is not None:
            if self.by_parts and not self.failed:
                self._add(source, self._count_and_list)
                told += 1
        self._count_ids(told)

    def _begin(self) -> None:
        """Count from nothing."""
        self.count, self.rejected, self.counts = 0, 0, [0] * len(self.bad)
        self.distinct_ids = None
        self.failed, self.short = False, False
        self.listed.clear()
        if self.look is not None:
            self.look.begin()

    def _add(self, source: str, count_rows: Callable[[str], tuple[int, int, list[int]]]) -> None:
        """Count the rows of a source on top of what is counted."""
        try:
            if not self.count:
                self._list = self.listed.begin(self.bad)
            count, rejected, counts = count_rows(source)
        except duckdb.Error as error:
            # DuckDB's message may hold cells; it is not kept. The scan says what is wrong and where.
            self.failed = True
            # What compares all rows needs memory that reading them does not: then the file is not to blame.
            self.short = isinstance(error, load.OutOfMemory) and any(one.over_all for one in self.bad)
            return
        # Of no rows at all DuckDB counts NULL.
        self.count, self.rejected = self.count + count, self.rejected + (rejected or 0)
        self.counts = [a + (b or 0) for a, b in zip(self.counts, counts, strict=True)]

    def _count(self, source: str) -> tuple[int, int, list[int]]:
        """Count the rows of a source, then list the bad ones: of a file that is read whole, mostly none are.

        Its IDs are gathered too; the verdict does not hang on whether there is memory for those. Where what its rows meet can
        be held until all are read, both are done in one reading.
        """
        if (
            self.ids_of is None
            and kept_bytes(self.bad) * self.rows_about <= _MOST_KEPT
            and (told := self._take(source))
        ):
            return told
        found = self._count_with_ids(source)
        if found is None:
            found = load.count_rows(self.con, source, self.bad, looks=self._ask(source))
            self._look_at(found[3])
        count, rejected, counts, _ = found
        self.listed.add(self._list, source, counts, self.count)
        return count, rejected, counts

    def _count_and_list(self, source: str) -> tuple[int, int, list[int]]:
        """Count the rows of a part and list the bad ones in one reading: where some rows are broken, others have bad cells."""
        if self.ids_of is not None:
            return self._count(source)
        if told := self._take(source):
            return told
        try:
            count, rejected, counts, looked = self.listed.count(self._list, source, self._ask(source), self.count)
        except load.OutOfMemory:
            return self._count(source)
        self._look_at(looked)
        return count, rejected, counts

    def _take(self, source: str) -> tuple[int, int, list[int]] | None:
        """Count the rows of a source and list the bad ones by what is kept of each; None where that cannot be."""
        if self.look is None and self._may_take:
            with suppress(load.OutOfMemory):
                told = self.listed.take(self._list, source, self.count)
                self._may_take = told is not None
                return told
        return None

    def _count_with_ids(self, source: str) -> tuple[int, int, list[int], list[int]] | None:
        """Count the rows of a source and gather its IDs; None where that is not asked for, or needs too much memory."""
        if self.ids_of is not None:
            try:
                return load.count_rows(self.con, source, self.bad, f"c{self.ids_of}", more=self.count > 0)
            except load.OutOfMemory:
                self.ids_of = None
        return None

    def _ask(self, source: str) -> list[str]:
        """Give what the first look counts of a source."""
        return [] if self.look is None else self.look.ask(self.con, source)

    def _look_at(self, looked: Sequence[int]) -> None:
        """Take what the first look has counted."""
        if self.look is not None:
            self.look.add(looked)

    def _count_ids(self, parts: int) -> None:
        """Count the IDs of all parts together, where they were gathered to the end."""
        if self.ids_of is None or self.failed or not parts:
            return
        try:
            if parts > 1:
                load.join_ids(self.con)
            self.distinct_ids = load.count_ids(self.con)
        except load.OutOfMemory:
            self.ids_of = None
        except duckdb.Error:
            self.failed = True


def compare_counts(loader: Loader, ledger: Ledger, notes: Notes) -> None:
    """Hold the loader's count against the independent one. Raises: MemoryError where a check needs more than it may."""
    if loader.failed:
        if loader.short and not notes.has_errors:
            raise MemoryError
        if not notes.has_errors:
            notes.add("loader-refuses")
    elif loader.count != ledger.rows or not ledger.balance().balances:
        notes.add("loader-disagrees", loaded=loader.count, counted=ledger.rows)
