"""A kind that does nothing, as fast as it can: what is left is the engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rowmill.contracts import BatchInfo, Column, Kind, Outcome, Row


class Nothing(Kind):
    """Yields ok for every row."""

    slug = "nothing"
    label = "Nothing"
    columns = (Column("id", required=True),)
    batch_rows = 5000
    checkpoint_rows = 2500

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Give every row its outcome."""
        for row in rows:
            yield Outcome(row.number, "ok")
