"""The fourth step, the engine: runs one claimed batch. Resume, retry and recovery are the same: do the rows without a result."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection, Iterator

import structlog
from django.db import InterfaceError, OperationalError, connection, connections
from duckdb import OutOfMemoryException

from rowmill.contracts import BatchInfo, JobInfo, Kind, Outcome, Row
from rowmill.doorbell import ring
from rowmill.errors import LostLease, Snooze, TableGone, TooMuch
from rowmill.jobs.bring import bring_table, storage_told
from rowmill.jobs.checkpoint import settle_batch, write_checkpoint
from rowmill.jobs.claim import is_cancelling, lease_length, release_batch, renew_lease
from rowmill.jobs.halve import give_up_attempt
from rowmill.jobs.hold import free_connection
from rowmill.jobs.info import job_info
from rowmill.jobs.settle import settle_job
from rowmill.jobs.whole import run_whole
from rowmill.models import Batch, Result
from rowmill.registry import get_kind
from rowmill.tabular.rows import read_rows
from rowmill.uploads.places import hold_table

log = structlog.get_logger("rowmill.jobs")
GATHER_SECONDS = 0.2
CANCEL_LOOK_SECONDS = 0.5
DATABASE_AWAY_SECONDS = 30.0
DATABASE_LOOK_SECONDS = 0.5
STATEMENT_TOOK_TOO_LONG = "57014"
_DONE = object()


def run_batch(batch: Batch, stopping: threading.Event | None = None) -> str:
    """Do a claimed batch's rows that have no settled result, then let go of it.

    Shape: a word for what happened: done, snoozed, released, cancelled, lost or failed.
    Raises: nothing of the work's own; whatever the kind throws costs the batch an attempt.
    """
    kind = get_kind(batch.job.kind)
    try:
        word = _run(batch, kind, stopping or threading.Event())
    except LostLease:
        word = "lost"
    except Snooze as snooze:
        word = _let_go(batch, snooze)
    except Exception as error:
        word = _give_back(batch) if is_database_away(error) else _fail(batch, kind, error)
    log.info("batch ended", batch_id=batch.pk, job_id=str(batch.job.public_id), outcome=word, claims=batch.claims)
    settle_job(batch.job_id)
    return word


def _run(batch: Batch, kind: Kind, stopping: threading.Event) -> str:
    """Run the kind and write what it yields, checkpoint by checkpoint."""
    if batch.attempts > kind.max_attempts:
        raise RuntimeError("attempts spent")  # claims that never came back: the worker died each time
    todo = rows_without_result(batch)
    watch = _Watch(batch, kind)
    if todo and not bring_table(batch.job.upload, lambda: watch.look() and not stopping.is_set()):
        if not stopping.is_set():
            return settle_batch(batch)
        release_batch(batch)
        return "released"
    info = job_info(batch.job)
    if batch.first_row == 1:
        kind.open(info)
    if kind.merges and todo:
        return run_whole(batch, kind)
    work = _Work(kind, batch, info, todo, read_todo(batch, todo))
    try:
        for outcomes in work.gathered(kind.checkpoint_rows, stopping):
            if write_checkpoint(batch, kind, outcomes) == "cancelled":
                return "cancelled"
            todo.difference_update(outcome.row_number for outcome in outcomes)
    finally:
        work.stop()
    if work.error is not None:
        raise work.error
    if work.cancelled:
        return settle_batch(batch)
    if stopping.is_set() and todo:
        release_batch(batch)
        return "released"
    if todo:
        raise RuntimeError("rows left without an outcome")
    return settle_batch(batch)


def rows_without_result(batch: Batch) -> set[int]:
    """Give the numbers of the batch's rows that are still to do."""
    done = Result.objects.filter(job_id=batch.job_id, row_number__range=(batch.first_row, batch.last_row))
    return set(range(batch.first_row, batch.last_row + 1)) - set(done.values_list("row_number", flat=True))


def read_todo(batch: Batch, todo: Collection[int]) -> list[Row]:
    """Read the rows to do from the columnar copy. Raises: TableGone; Snooze while the storage does not give it."""
    if not todo:
        return []
    upload = batch.job.upload
    only = None if len(todo) == batch.row_count else todo
    columns = [column.name for column in get_kind(batch.job.kind).columns]
    with storage_told(), hold_table(upload) as path:
        return read_rows(
            path, upload.header, upload.mapping, batch.first_row, batch.last_row, only=only, columns=columns
        )


def is_database_away(error: BaseException) -> bool:
    """Tell whether the database went away, refused us for now, or broke off what stood in another's way.

    SQLite cannot go away, and calls a wrong statement by the same class.
    """
    if connection.vendor != "postgresql" or not isinstance(error, OperationalError | InterfaceError):
        return False
    return getattr(error.__cause__, "sqlstate", None) != STATEMENT_TOOK_TOO_LONG


def _give_back(batch: Batch) -> str:
    """Put a batch back without an attempt spent, as soon as the database is there again.

    Whether the COMMIT that got no answer went through is told by the fence: nothing is written anew. Where the database
    stays away, the lease runs out.
    """
    until = time.monotonic() + DATABASE_AWAY_SECONDS
    while True:
        free_connection()
        try:
            release_batch(batch)
        except LostLease:
            return "lost"
        except (OperationalError, InterfaceError):
            if time.monotonic() > until:
                raise
            time.sleep(DATABASE_LOOK_SECONDS)
            continue
        return "released"


def _let_go(batch: Batch, snooze: Snooze) -> str:
    """Put a snoozing batch back, with its reason in words."""
    try:
        release_batch(batch, snooze.seconds, snooze.reason)
    except LostLease:
        return "lost"
    return "snoozed"


def _fail(batch: Batch, kind: Kind, error: Exception) -> str:
    """Spend an attempt; halve or give up where they are all spent."""
    log.warning("batch failed", batch_id=batch.pk, attempts=batch.attempts, exc_info=error)
    try:
        give_up_attempt(
            batch,
            kind,
            type(error).__name__,
            divisible=not isinstance(error, TableGone | TooMuch),
            too_large=isinstance(error, MemoryError | OutOfMemoryException),
        )
    except LostLease:
        return "lost"
    ring(batch.lane)
    return "failed"


class _Work:
    """The kind at work in a thread of its own, so that outcomes are written and the lease renewed while it waits."""

    def __init__(self, kind: Kind, batch: Batch, info: JobInfo, todo: Collection[int], rows: list[Row]) -> None:
        self.kind = kind
        self.batch = batch
        self.todo = frozenset(todo)
        self._rows = rows
        self.error: Exception | None = None
        self.cancelled = False
        self._stop = threading.Event()
        self._yielded: queue.Queue[object] = queue.Queue(maxsize=4096)
        self._info = BatchInfo(batch.pk, info, batch.first_row, batch.last_row, self._stop.is_set, batch.lane)
        self._thread = threading.Thread(target=self._produce, name=f"batch-{batch.pk}", daemon=True)

    def stop(self) -> None:
        """Tell the kind to give up what it has under way."""
        self._stop.set()

    def _produce(self) -> None:
        """Run the kind to its end; its error is kept for the engine."""
        try:
            for outcome in self.kind.process(self._info, self._rows):
                self._hand_over(outcome)
        except Exception as error:
            self.error = error
        finally:
            connections.close_all()  # else what the kind asked the database with is lost to the pool
        self._hand_over(_DONE)

    def _hand_over(self, thing: object) -> None:
        """Put it in the queue, unless nobody listens any more."""
        while True:
            try:
                return self._yielded.put(thing, timeout=0.5)
            except queue.Full:
                if self._stop.is_set():
                    return None

    def gathered(self, most: int, stopping: threading.Event) -> Iterator[list[Outcome]]:
        """Yield outcomes as they come, those within GATHER_SECONDS of each other together."""
        self._thread.start()
        watch = _Watch(self.batch, self.kind)
        while True:
            free_connection()
            outcomes, ended = self._gather(most)
            if outcomes:
                yield outcomes
                watch.renewed()
            if ended:
                return
            if stopping.is_set():
                self.stop()
            if not outcomes and not watch.look():
                self.cancelled = True
                return

    def _gather(self, most: int) -> tuple[list[Outcome], bool]:
        """Collect until the time is over, enough are there, or the kind has ended."""
        outcomes: dict[int, Outcome] = {}
        until = time.monotonic() + GATHER_SECONDS
        while len(outcomes) < most:
            try:
                thing = self._yielded.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return list(outcomes.values()), False
            if thing is _DONE:
                return list(outcomes.values()), True
            if isinstance(thing, Outcome) and thing.row_number in self.todo:
                outcomes.setdefault(thing.row_number, thing)
        return list(outcomes.values()), False


class _Watch:
    """Keeps the lease alive and looks for a cancel while no outcome comes."""

    def __init__(self, batch: Batch, kind: Kind) -> None:
        self._batch = batch
        self._every = lease_length(kind).total_seconds() / 3
        self.renewed()

    def renewed(self) -> None:
        """Note a checkpoint: it renewed the lease."""
        self._lease_at = self._looked_at = time.monotonic()

    def look(self) -> bool:
        """Tell whether to go on. Raises: LostLease. Cost: a query every half second at most."""
        now = time.monotonic()
        if now - self._lease_at >= self._every:
            self._lease_at = self._looked_at = now
            return renew_lease(self._batch)
        if now - self._looked_at >= CANCEL_LOOK_SECONDS:
            self._looked_at = now
            return not is_cancelling(self._batch)
        return True
