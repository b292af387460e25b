"""Kinds for the cluster's tests: one whose rows take their time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from rowmill.contracts import BatchInfo, Column, Kind, Outcome, Row


class Slow(Kind):
    """Each row takes a tenth of a second; it gives up when told to."""

    slug = "slow"
    label = "Slow"
    columns = (Column("id", required=True),)
    batch_rows = 10
    checkpoint_rows = 1
    lease_seconds = 30
    row_seconds = 0.1

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        for row in rows:
            if batch.stopping():
                return
            time.sleep(self.row_seconds)
            yield Outcome(row.number, "ok")


class Deaf(Slow):
    """Its one batch takes longer than any stop and hears nothing: no stop, no cancel."""

    slug = "deaf"
    label = "Deaf"

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        time.sleep(600)
        for row in rows:
            yield Outcome(row.number, "ok")
