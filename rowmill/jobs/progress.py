"""How far a job is: one grouped query over its batches, the rate, the time left, and the balance of every row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db.models import Count, F, Max, Min, Sum
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.contracts import OUTCOMES
from rowmill.models import FINAL_STATES, Batch, BatchState, Job, JobState, Result
from rowmill.uploads.mending import left_out_rows
from rowmill.uploads.places import has_room

RATE_WINDOW = timedelta(seconds=60)
LINE_WORDS = (
    ("header", "header"),
    ("rows", "rows"),
    ("blank", "blank"),
    ("continuation", "continuation"),
    ("preamble_footer", "before and after the table"),
    ("broken", "broken"),
)
ROW_WORDS = (
    ("ok", "ok"),
    ("not_found", "not found"),
    ("rejected", "rejected"),
    ("failed", "failed"),
    ("unprocessed", "not processed"),
)
log = structlog.get_logger("rowmill.jobs")
NO_ROOM = "The disk is almost full. The job goes on by itself once there is room."


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. Units: rows; rows per minute over the last minute; seconds_left as (at best, at worst)."""

    state: str
    total_rows: int
    outcomes: dict[str, int]
    rows_per_minute: float | None = None
    seconds_left: tuple[int, int] | None = None
    waiting_reason: str = ""
    balance: dict[str, Any] = field(default_factory=dict)

    @property
    def processed_rows(self) -> int:
        """Count the rows that have a result."""
        return self.total_rows - self.outcomes["unprocessed"]

    @property
    def success_rows(self) -> int:
        """Count the rows that are ok."""
        return self.outcomes["ok"]

    @property
    def failed_rows(self) -> int:
        """Count the rows that have a result and are not ok."""
        return self.processed_rows - self.success_rows

    @property
    def percent(self) -> float:
        """Give the share of rows with a result; an empty job is at 100."""
        return round(100.0 * self.processed_rows / self.total_rows, 1) if self.total_rows else 100.0

    @property
    def final(self) -> bool:
        """Tell whether nothing more happens by itself."""
        return self.state in FINAL_STATES


def read_progress(job: Job) -> Progress:
    """Give one job's progress. Cost: three queries; for a final job a count of its results as well."""
    return read_many([job])[job.pk]


def read_many(jobs: Iterable[Job]) -> dict[int, Progress]:
    """Give the progress of many jobs by primary key. Cost: a few grouped queries, however many jobs."""
    jobs = list(jobs)
    ids = [job.pk for job in jobs]
    counts = {row["job_id"]: row for row in _sums(ids)}
    live = [job.pk for job in jobs if job.state not in FINAL_STATES]
    rates, waits = _rates(live), _waits(live)
    written = _results_written([job.pk for job in jobs if job.state in FINAL_STATES and job.deleted_at is None])
    room = has_room() if live else True
    found = {
        job.pk: _progress(
            job, counts.get(job.pk, {}), rates.get(job.pk), waits.get(job.pk, ""), written.get(job.pk), room
        )
        for job in jobs
    }
    for job in jobs:
        if job.state in FINAL_STATES and not found[job.pk].balance["rows_balance"]:
            log.error("job does not balance", job_id=str(job.public_id), state=job.state, rows=job.total_rows)
    return found


def list_account(job: Job) -> list[tuple[str, str]]:
    """Give the account of a job's file and rows as lines of two cells, for a sheet beside the results."""
    progress = read_progress(job)
    balance, outcomes = progress.balance, progress.outcomes
    lines = [("Physical lines", balance.get("lines", 0))]
    lines += [(f"  {words}", balance.get(name, 0)) for name, words in LINE_WORDS]
    rows = [("Rows", progress.total_rows), *((f"  {words}", outcomes[name]) for name, words in ROW_WORDS)]
    return [
        ("File", job.upload.name),
        ("Job", f"{job.public_id} ({job.state})"),
        *((words, f"{count:,}") for words, count in lines),
        ("The lines", _say_balance(balance.get("balances"), "this file")),
        *((words, f"{count:,}") for words, count in rows),
        ("The rows", _say_balance(balance["rows_balance"], "these results")),
    ]


def _say_balance(balances: object, what: str) -> str:
    """Say whether an account adds up."""
    if balances:
        return "balance."
    return f"do not balance: do not rely on {what}, and tell whoever runs this installation."


def _sums(ids: list[int]) -> Any:
    """Add up the batches' counters and ranges."""
    return (
        Batch.objects.filter(job_id__in=ids)
        .order_by()
        .values("job_id")
        .annotate(
            **{f"rows_{word}": Sum(word) for word in OUTCOMES},
            covered=Sum(F("last_row") - F("first_row") + 1),
            first=Min("first_row"),
            last=Max("last_row"),
        )
    )


def _rates(ids: list[int]) -> dict[int, tuple[int, datetime | None]]:
    """Count results of the last minute. Shape: job -> (count, the first of them)."""
    if not ids:
        return {}
    rows = (
        Result.objects.filter(job_id__in=ids, written_at__gte=Now() - RATE_WINDOW)
        .order_by()
        .values("job_id")
        .annotate(count=Count("id"), first=Min("written_at"))
    )
    return {row["job_id"]: (row["count"], row["first"]) for row in rows}


def _waits(ids: list[int]) -> dict[int, str]:
    """Put into words why jobs wait, where no batch of theirs is running."""
    if not ids:
        return {}
    rows = (
        Batch.objects.filter(job_id__in=ids, state=BatchState.WAITING)
        .exclude(waiting_reason="")
        .order_by()
        .values("job_id")
        .annotate(
            reason=Max("waiting_reason"),
            rows=Sum(F("last_row") - F("first_row") + 1 - F("ok") - F("not_found") - F("rejected") - F("failed")),
            due=Min("available_at"),
        )
    )
    return {row["job_id"]: _wait_words(row["reason"], row["rows"], row["due"]) for row in rows}


def _wait_words(reason: str, rows: int, due: datetime) -> str:
    """Say why, how many rows wait, and when the next try is."""
    seconds = max(0, round((due - timezone.now()).total_seconds()))
    when = f"next try in {seconds} s" if seconds else "next try now"
    return f"{reason} {rows:,} {'row waits' if rows == 1 else 'rows wait'}, {when}."


def _results_written(ids: list[int]) -> dict[int, int]:
    """Count the results themselves, to hold against the counters."""
    rows = Result.objects.filter(job_id__in=ids).order_by().values("job_id").annotate(count=Count("id"))
    return {**dict.fromkeys(ids, 0), **{row["job_id"]: row["count"] for row in rows}}


def _progress(
    job: Job, sums: dict[str, Any], rate: tuple[int, datetime | None] | None, wait: str, written: int | None, room: bool
) -> Progress:
    """Put one job's numbers together."""
    outcomes: dict[str, int] = {word: sums.get(f"rows_{word}") or 0 for word in OUTCOMES}
    settled = sum(outcomes.values())
    outcomes["unprocessed"] = job.total_rows - settled
    per_minute = _per_minute(rate)
    return Progress(
        state=job.state,
        total_rows=job.total_rows,
        outcomes=outcomes,
        rows_per_minute=per_minute,
        seconds_left=_time_left(outcomes["unprocessed"], per_minute) if job.state == JobState.PROCESSING else None,
        waiting_reason=wait if room or job.state in FINAL_STATES else NO_ROOM,
        balance=_balance(job, sums, settled, written),
    )


def _per_minute(rate: tuple[int, datetime | None] | None) -> float | None:
    """Turn a count and its span into rows per minute."""
    if rate is None or rate[1] is None or rate[0] < 2:
        return None
    span = max(1.0, (timezone.now() - rate[1]).total_seconds())
    return round(rate[0] * 60.0 / span, 1)


def _time_left(rows: int, per_minute: float | None) -> tuple[int, int] | None:
    """Give a range, since the rate of the last minute is a guess at the next."""
    if not per_minute or rows <= 0:
        return None
    seconds = rows * 60.0 / per_minute
    return max(1, round(seconds * 0.85)), max(1, round(seconds * 1.3))


def _balance(job: Job, sums: dict[str, Any], settled: int, written: int | None) -> dict[str, Any]:
    """Account for every line and every row: the file's lines, the batches' ranges, the counters, the results themselves."""
    lines = dict(job.upload.inspection.get("balance") or {})
    covered = sums.get("covered") or 0
    rows_balance = (
        covered == job.total_rows == job.upload.row_count == lines.get("rows")
        and (job.total_rows == 0 or (sums.get("first"), sums.get("last")) == (1, job.total_rows))
        and (settled == job.total_rows if job.state == JobState.COMPLETED else settled <= job.total_rows)
        and (written is None or written == settled)
    )
    return {
        **lines,
        "rows_settled": settled,
        "rows_balance": bool(rows_balance),
        "left_out": left_out_rows(job.upload),
    }
