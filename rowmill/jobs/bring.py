"""The engine's first step with a batch: brings its file's columnar copy to this machine, the lease kept alive meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from duckdb import Error as DuckError

from rowmill.errors import OutOfSpace, Snooze, StorageFault, TableGone
from rowmill.models import Upload
from rowmill.uploads.places import get_storage, hold_table, table_key

AWAY_SECONDS = (8.0, 16.0)  # spread, so that those who wait do not all come back at once
LOOK_SECONDS = 0.5
NO_ROOM = "This worker's disk is too full for a copy of the file. Make room, or lower ROWMILL_SCRATCH_BYTES."


@contextmanager
def storage_told() -> Iterator[None]:
    """Say what a storage's trouble means for a batch: it waits, whatever the outage's length; what is gone fails it.

    Raises: Snooze with the cause in words, TableGone.
    """
    try:
        yield
    except StorageFault as fault:
        raise Snooze(random.uniform(*AWAY_SECONDS), str(fault)) from fault
    except OutOfSpace as full:
        raise Snooze(random.uniform(*AWAY_SECONDS), NO_ROOM) from full
    except (OSError, DuckError) as error:
        raise TableGone from error


def bring_table(upload: Upload, go_on: Callable[[], bool]) -> bool:
    """Fetch the columnar copy into scratch, if it is not here. Gives False where `go_on` said stop first.

    `go_on` is asked twice a second; it renews the lease. A fetch that is given up goes on for whoever comes next.
    Raises: Snooze, TableGone, and what `go_on` raises.
    """
    storage = get_storage()
    if storage.near or table_key(upload) in storage.copies():
        return True
    fetch = _Fetch(upload)
    fetch.start()
    while not fetch.ended.wait(LOOK_SECONDS):
        if not go_on():
            return False
    with storage_told():
        if fetch.error is not None:
            raise fetch.error
    return True


class _Fetch(threading.Thread):
    """One fetch in a thread of its own; it touches the storage only, never the database."""

    def __init__(self, upload: Upload) -> None:
        super().__init__(name="fetch", daemon=True)
        self._held = hold_table(upload)
        self.error: Exception | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        """Fetch; the error is kept for the engine."""
        try:
            with self._held:
                pass
        except Exception as error:
            self.error = error
        self.ended.set()
