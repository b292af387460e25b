"""The invariants of a job, checked by plain SQL that shares nothing with the engine."""

from __future__ import annotations

from django.db import connection

from rowmill.models import Job


def broken_invariants(job: Job) -> list[str]:
    """Name every invariant that a job breaks (reliability.md §8); an empty list is what must be."""
    found = []
    job.refresh_from_db()
    with connection.cursor() as cursor:

        def rows(sql: str, *values: object) -> list[tuple]:
            cursor.execute(sql, values)
            return cursor.fetchall()

        batches = rows(
            "SELECT first_row, last_row, state, claims, ok, not_found, rejected, failed FROM rowmill_batch "
            "WHERE job_id = %s ORDER BY first_row",
            job.pk,
        )
        results = rows(
            "SELECT row_number, outcome, claims FROM rowmill_result WHERE job_id = %s ORDER BY row_number", job.pk
        )
    expected = 1
    for first, last, state, claims, *counts in batches:
        if first != expected:
            found.append(f"ranges: batch begins at {first}, not {expected}")
        expected = last + 1
        inside = [r for r in results if first <= r[0] <= last]
        real = [sum(1 for r in inside if r[1] == word) for word in ("ok", "not_found", "rejected", "failed")]
        if real != counts:
            found.append(f"counters: rows {first}..{last} say {counts}, results say {real}")
        if state == "done" and len(inside) != last - first + 1:
            found.append(f"marker: batch {first}..{last} is done with {len(inside)} results")
        if any(r[2] > claims for r in inside):
            found.append(f"fence: a result of {first}..{last} was written under a claim that never was")
        if job.state in ("COMPLETED", "FAILED", "CANCELLED") and state in ("waiting", "running"):
            found.append(f"limbo: batch {first}..{last} is {state} in a job that is {job.state}")
    if expected != job.total_rows + 1:
        found.append(f"ranges: batches end at {expected - 1} of {job.total_rows}")
    numbers = [r[0] for r in results]
    if len(numbers) != len(set(numbers)):
        found.append("twice: a row has two results")
    if any(not 1 <= number <= job.total_rows for number in numbers):
        found.append("stray: a result of a row that is not")
    if job.state == "COMPLETED" and len(numbers) != job.total_rows:
        found.append(f"lost: {len(numbers)} results of {job.total_rows} rows in a completed job")
    return found
