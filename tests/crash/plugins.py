"""Kinds for the cluster's crash tests: claims with short time-outs, and a bulk kind that writes into a table of its own.

The bulk kind's table has no unique key on purpose: an effect that is committed twice stands there twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from rowmill.claims.workflow import WorkflowEngine
from rowmill.contracts import BatchInfo, Column, Kind, Outcome, PayerProfile, Row
from rowmill.faults import fault_point
from rowmill.kinds.claim_status import ClaimStatus

CONNECT_SECONDS, READ_SECONDS = 1.0, 5.0
TALLY_TABLE = """
CREATE TABLE IF NOT EXISTS nemesis_tally (
    job_id bigint NOT NULL, row_number bigint NOT NULL, amount bigint NOT NULL, claims bigint NOT NULL, org_id bigint NOT NULL
)
"""
STAGING = "CREATE TEMPORARY TABLE IF NOT EXISTS tally_staging (LIKE nemesis_tally) ON COMMIT DELETE ROWS"
PIECE_ROWS, PIECE_SECONDS = 100, 0.02


class HastyEngine(WorkflowEngine):
    """Gives up a call soon, so that what a killed worker had in flight is soon given to others."""

    @property
    def profile(self) -> PayerProfile:
        """Open the account, with shorter time-outs."""
        given = super().profile
        limits = replace(given.limits, connect_timeout_seconds=CONNECT_SECONDS, read_timeout_seconds=READ_SECONDS)
        return replace(given, limits=limits)


class HastyClaims(ClaimStatus):
    """Claim status as it is, with the hasty engine."""

    def make_engine(self, *args: Any, **options: Any) -> WorkflowEngine:
        """Make the engine that asks."""
        return HastyEngine(*args, **options)


class Tally(Kind):
    """Adds up amounts in bulk: COPY into a temporary table, then INSERT ... SELECT, in the checkpoint's transaction."""

    slug = "tally"
    label = "Tally"
    columns = (Column("id", required=True, filled=True), Column("amount"))
    batch_rows = 1000
    checkpoint_rows = 250
    lease_seconds = 60
    max_attempts = 10_000  # never halved: the outcome of a poisonous row would not say whose it is

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Take every amount that is a number; another is the row's fault."""
        for number, row in enumerate(rows):
            if number % PIECE_ROWS == 0:
                time.sleep(PIECE_SECONDS)
                if batch.stopping():
                    return
            amount = row.cells["amount"]
            if amount.isdigit():
                yield Outcome(row.number, "ok", answer={"batch": batch.id, "amount": int(amount)})
            else:
                yield Outcome(row.number, "rejected", "NO_AMOUNT", answer={"batch": batch.id})

    def save(self, outcomes: Sequence[Outcome]) -> None:
        """Write the results and the effects. Call it inside the checkpoint's transaction."""
        from django.db import connection

        from rowmill.jobs.checkpoint import stored_row
        from rowmill.jobs.upsert import upsert_results
        from rowmill.models import Batch

        if not outcomes:
            return
        batch = Batch.objects.select_related("job").get(pk=outcomes[0].answer["batch"])
        with connection.cursor() as cursor:
            cursor.execute(STAGING)
            with cursor.copy("COPY tally_staging (job_id, row_number, amount, claims, org_id) FROM STDIN") as copy:
                for outcome in outcomes:
                    if outcome.outcome == "ok":
                        amount = outcome.answer["amount"]
                        copy.write_row((batch.job_id, outcome.row_number, amount, batch.claims, batch.org_id))
            cursor.execute("INSERT INTO nemesis_tally SELECT * FROM tally_staging")
        fault_point("between_effect_and_result")
        upsert_results([stored_row(batch, outcome) for outcome in outcomes])


def tally_file(seed: int, rows: int) -> bytes:
    """Make a file for the tally: one row in fifty has no amount."""
    lines = (f"{seed}-{n:06d},{'none' if n % 50 == 0 else (n * 7919 + seed) % 1000}\n" for n in range(1, rows + 1))
    return ("id,amount\n" + "".join(lines)).encode()
