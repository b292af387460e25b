"""Part of the results: rows that a bulk kind did well have no Result; their batch is done, and that tells it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rowmill.contracts import Outcome
from rowmill.models import BatchMerge, Job


def add_silent(job: Job, numbers: Collection[int], found: dict[int, Outcome]) -> dict[int, Outcome]:
    """Add an ok for each of these rows that was merged and has no result of its own."""
    if not numbers:
        return found
    for first, last in _merged_ranges(job, min(numbers), max(numbers)):
        for number in numbers:
            if first <= number <= last and number not in found:
                found[number] = Outcome(number, "ok")
    return found


def silent_rows(job: Job, told: Collection[int]) -> Iterator[int]:
    """Give the rows that were merged without a result, ascending; `told` are those that have one."""
    for first, last in _merged_ranges(job, 1, job.total_rows):
        yield from (number for number in range(first, last + 1) if number not in told)


def _merged_ranges(job: Job, first: int, last: int) -> list[tuple[int, int]]:
    """Give the ranges of the merged batches that have rows in first..last."""
    merged = BatchMerge.objects.filter(job=job, batch__last_row__gte=first, batch__first_row__lte=last)
    return list(merged.order_by("batch__first_row").values_list("batch__first_row", "batch__last_row"))
