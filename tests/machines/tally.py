"""A kind for the restore test that works in bulk: its own `save` writes effects, a log and the marker together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from django.db import connection

from rowmill.contracts import BatchInfo, Column, JobInfo, Kind, Outcome, Row
from rowmill.jobs.checkpoint import stored_row
from rowmill.jobs.upsert import upsert_results
from rowmill.models import Batch

TABLES = """
    CREATE TABLE IF NOT EXISTS tally_effect (job uuid, row bigint, note text, PRIMARY KEY (job, row));
    CREATE TABLE IF NOT EXISTS tally_log (job uuid, row bigint);
"""


class Tally(Kind):
    """Upserts each row's note, and adds a line for it to a log that forbids nothing: there a second effect would show."""

    slug = "tally"
    label = "Tally"
    columns = (Column("id", required=True, filled=True), Column("note"))
    batch_rows = 50
    checkpoint_rows = 10
    seconds_per_row: ClassVar[float] = 0.1

    def open(self, job: JobInfo) -> None:
        """Make the tables. Again: yes."""
        with connection.cursor() as cursor:
            cursor.execute(TABLES)

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Yield the rows, each with what `save` must know."""
        for row in rows:
            if batch.stopping():
                return
            time.sleep(self.seconds_per_row)
            yield Outcome(
                row.number,
                "ok",
                answer={"batch": batch.id, "job": str(batch.job.id), "note": row.cells["note"]},
            )

    def save(self, outcomes: Sequence[Outcome]) -> None:
        """Write effects and results; the engine's transaction is around it."""
        batch = Batch.objects.select_related("job").get(pk=outcomes[0].answer["batch"])
        keys = [(outcome.answer["job"], outcome.row_number) for outcome in outcomes]
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO tally_effect VALUES (%s, %s, %s) ON CONFLICT (job, row) DO UPDATE SET note = excluded.note",
                [(*key, outcome.answer["note"]) for key, outcome in zip(keys, outcomes, strict=True)],
            )
            cursor.executemany("INSERT INTO tally_log VALUES (%s, %s)", keys)
        upsert_results([stored_row(batch, replace(outcome, answer={})) for outcome in outcomes])
