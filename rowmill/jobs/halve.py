"""The engine's answer to a batch that keeps failing: halve it until the one poisonous row stands alone, fail that, go on."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from rowmill.contracts import Kind, Outcome
from rowmill.faults import fault_point
from rowmill.jobs.checkpoint import count_outcomes, save_results, stored_row
from rowmill.jobs.claim import backoff_seconds, hold_batch, job_state_held
from rowmill.models import Batch, BatchState, JobState, Result

POISON = "POISON_ROW"
AGAIN_WORDS = "The last try failed."
POISON_WORDS = "This row stopped the work each time it was tried, so it was left out. Look at its cells, then retry."


def give_up_attempt(
    batch: Batch, kind: Kind, error_type: str, *, divisible: bool = True, too_large: bool = False
) -> None:
    """Close a failed attempt: wait and try again, or with all attempts spent, halve the batch or fail its last row.

    Not `divisible`: no row is to blame, so the whole batch fails, and its rows stay not processed. `too_large`: as it is it
    would fail again, so it is halved at once; a row by itself gets all its attempts, since others may have had the memory.
    Raises: LostLease.
    """
    with transaction.atomic():
        hold_batch(batch)
        if job_state_held(batch) != JobState.PROCESSING:
            Batch.objects.filter(pk=batch.pk).update(state=BatchState.CANCELLED, owner="", lease_until=None)
        elif batch.attempts < kind.max_attempts and not (divisible and too_large and batch.row_count > 1):
            _wait(batch, error_type, backoff_seconds(batch.attempts))
        elif divisible:
            _divide(batch, kind, error_type)
        else:
            Batch.objects.filter(pk=batch.pk).update(
                state=BatchState.FAILED, owner="", lease_until=None, last_error=error_type[:200]
            )
    fault_point("attempt_failed")


def _wait(batch: Batch, error_type: str, seconds: float) -> None:
    """Put the batch back, due after the back-off."""
    Batch.objects.filter(pk=batch.pk).update(
        state=BatchState.WAITING,
        owner="",
        lease_until=None,
        available_at=Now() + timedelta(seconds=seconds),
        last_error=error_type[:200],
        waiting_reason=AGAIN_WORDS,
    )


def _divide(batch: Batch, kind: Kind, error_type: str) -> None:
    """Split the rows still to do in two; with one left, fail it."""
    done = set(
        Result.objects.filter(job_id=batch.job_id, row_number__range=(batch.first_row, batch.last_row)).values_list(
            "row_number", flat=True
        )
    )
    todo = [number for number in range(batch.first_row, batch.last_row + 1) if number not in done]
    fault_point("dividing")
    if len(todo) > 1:
        _halve(batch, kind, todo[len(todo) // 2], error_type)
        return
    for number in todo:
        _fail_row(batch, kind, number)
    Batch.objects.filter(pk=batch.pk).update(
        state=BatchState.DONE, owner="", lease_until=None, last_error=error_type[:200], **count_outcomes(batch)
    )


def _halve(batch: Batch, kind: Kind, start_of_second: int, error_type: str) -> None:
    """Make two batches of one. Each half gets few tries, so that the poison is found soon; a row alone gets all of them,
    since a few deaths of the process by chance must not make it look poisonous."""
    second = Batch(
        org_id=batch.org_id,
        job_id=batch.job_id,
        lane=batch.lane,
        first_row=start_of_second,
        last_row=batch.last_row,
        attempts=_tries_spent(kind, batch.last_row - start_of_second + 1),
        claims=batch.claims,
        last_error=error_type[:200],
    )
    batch.last_row = start_of_second - 1
    Batch.objects.filter(pk=batch.pk).update(
        last_row=batch.last_row, attempts=_tries_spent(kind, batch.row_count), **count_outcomes(batch)
    )
    _wait(batch, error_type, 0.0)
    for word, count in count_outcomes(second).items():
        setattr(second, word, count)
    second.save(force_insert=True)


def _tries_spent(kind: Kind, rows: int) -> int:
    """Give how many attempts a half begins with."""
    return max(0, kind.max_attempts - 2) if rows > 1 else 0


def _fail_row(batch: Batch, kind: Kind, number: int) -> None:
    """Give the one poisonous row its result."""
    outcome = Outcome(number, "failed", POISON, POISON_WORDS, attempts=batch.attempts)
    save_results(kind, [stored_row(batch, outcome)], [outcome])
