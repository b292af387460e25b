"""A kind for tests: does to each row what the test's plan says, and notes what it was asked."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

from rowmill.contracts import BatchInfo, Column, JobInfo, Kind, Outcome, Row


class Probe(Kind):
    """Yields ok for every row unless `plan` says otherwise: it gets the batch and the row, and may raise or wait."""

    slug = "probe"
    label = "Probe"
    columns = (Column("id", required=True, filled=True), Column("note"))
    batch_rows = 10
    checkpoint_rows = 4
    lease_seconds = 60
    max_attempts = 3
    result_header = ("row", "id", "success", "error")

    plan: ClassVar[Callable[[BatchInfo, Row], Outcome | None]]
    asked: ClassVar[Counter[int]] = Counter()
    opened: ClassVar[list[JobInfo]] = []
    closed: ClassVar[list[JobInfo]] = []
    lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def reset(cls) -> None:
        cls.plan = staticmethod(lambda batch, row: Outcome(row.number, "ok", answer={"id": row.cells["id"]}))
        cls.asked = Counter()
        cls.opened, cls.closed = [], []

    def open(self, job: JobInfo) -> None:
        Probe.opened.append(job)

    def close(self, job: JobInfo) -> None:
        Probe.closed.append(job)

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        for row in rows:
            if batch.stopping():
                return
            with Probe.lock:
                Probe.asked[row.number] += 1
            outcome = Probe.plan(batch, row)
            if outcome is not None:
                yield outcome

    def result_cells(self, row, result, options):
        cells = super().result_cells(row, result, options)
        return (cells[0], row.cells["id"], *cells[1:])


Probe.reset()


class Nothing(Kind):
    """Does nothing, as fast as it can: measures the engine alone."""

    slug = "nothing"
    label = "Nothing"
    columns = (Column("id", required=True),)
    batch_rows = 5000
    checkpoint_rows = 2500

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        for row in rows:
            yield Outcome(row.number, "ok")


def slowly(seconds: float) -> Callable[[BatchInfo, Row], Outcome | None]:
    """Make a plan in which every row takes so long."""

    def plan(batch: BatchInfo, row: Row) -> Outcome | None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if batch.stopping():
                return None
            time.sleep(0.01)
        return Outcome(row.number, "ok")

    return plan
