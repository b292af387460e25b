"""The engine's writes: outcomes, counters and lease in one transaction, refused when the batch is no longer ours."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Now

from rowmill.contracts import OUTCOMES, Kind, Outcome
from rowmill.faults import fault_point
from rowmill.jobs.claim import hold_batch, job_state_held, lease_length
from rowmill.jobs.upsert import Stored, upsert_results
from rowmill.models import Batch, BatchState, JobState, Result
from rowmill.models.text import without_nul
from rowmill.orgs import org_sealer


def write_checkpoint(batch: Batch, kind: Kind, outcomes: Sequence[Outcome]) -> str:
    """Save outcomes and renew the lease. Shape: "saved", or "cancelled" (nothing saved, the batch is closed).

    Raises: LostLease. Again: an outcome of the same row replaces the one before.
    """
    rows = [stored_row(batch, outcome) for outcome in outcomes]  # sealed before the transaction, to keep that short
    with transaction.atomic():
        hold_batch(batch)
        if job_state_held(batch) != JobState.PROCESSING:
            _close(batch, BatchState.CANCELLED)
            return "cancelled"
        fault_point("before_effect")
        save_results(kind, rows, outcomes)
        fault_point("after_effect")
        Batch.objects.filter(pk=batch.pk).update(
            lease_until=Now() + lease_length(kind), attempts=1, waiting_reason="", **count_outcomes(batch)
        )
    batch.attempts = 1
    fault_point("checkpointed")
    return "saved"


def save_results(kind: Kind, rows: Sequence[Stored], outcomes: Sequence[Outcome]) -> None:
    """Write results by upsert, in the kind's own way where it has one."""
    save = getattr(kind, "save", None)
    if save is not None:
        save(outcomes)
        return
    upsert_results(rows)


def stored_row(batch: Batch, outcome: Outcome) -> Stored:
    """Turn an outcome into what is stored of it, the answer sealed. Shape: upsert.FIELDS."""
    return (
        batch.org_id,
        batch.job_id,
        outcome.row_number,
        outcome.outcome,
        without_nul(outcome.code)[:60],
        without_nul(outcome.message)[:300],
        seal_answer(batch, outcome),
        outcome.attempts,
        batch.claims,
    )


def seal_answer(batch: Batch, outcome: Outcome) -> bytes:
    """Seal what the payer said, bound to its job and row."""
    if not outcome.answer:
        return b""
    plain = json.dumps(outcome.answer, separators=(",", ":"), default=str).encode()
    return org_sealer(batch.org_id).seal(plain, answer_place(batch.job.public_id, outcome.row_number))


def answer_place(job_public_id: object, row_number: int) -> str:
    """Name the place that a sealed answer is bound to."""
    return f"result|{job_public_id}|{row_number}"


def count_outcomes(batch: Batch) -> dict[str, int]:
    """Count the results in the batch's range by outcome."""
    counted = dict(
        Result.objects.filter(job_id=batch.job_id, row_number__range=(batch.first_row, batch.last_row))
        .order_by()
        .values_list("outcome")
        .annotate(rows=Count("id"))
    )
    return {word: counted.get(word, 0) for word in OUTCOMES}


def settle_batch(batch: Batch) -> str:
    """Close a batch: done when all its rows have a result, cancelled when its job is. Raises: LostLease."""
    with transaction.atomic():
        hold_batch(batch)
        state = BatchState.DONE if job_state_held(batch) == JobState.PROCESSING else BatchState.CANCELLED
        _close(batch, state)
        fault_point("settling")
    fault_point("settled")
    return str(state)


def _close(batch: Batch, state: str) -> None:
    """Write a batch's end, with its counters."""
    Batch.objects.filter(pk=batch.pk).update(
        state=state, owner="", lease_until=None, waiting_reason="", **count_outcomes(batch)
    )
