"""Whose turn it is: in which order the jobs of a lane are looked at for a batch, so that none waits behind a big one."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import count
from time import monotonic

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Now

from rowmill.doorbell import BULK, INTERACTIVE
from rowmill.models import Batch, BatchState, Job, JobState
from rowmill.registry import KINDS

INTERACTIVE_ROWS = 25
MANY_JOBS = 100
REMEMBER_SECONDS = 0.25
MOST_REMEMBERED = 20_000


def lane_for(rows: int) -> str:
    """Give the lane of a job: small ones go through the interactive lane, which bulk work never fills."""
    return INTERACTIVE if rows <= INTERACTIVE_ROWS else BULK


def jobs_in_turn(lane: str) -> list[int]:
    """List the jobs of a lane that have a due batch, whose turn it is first.

    First the org with the fewest batches running, of these the one that this process served longest ago; within the org
    its jobs in the same manner. Cost: a probe of one index for each live job of the lane, a few times a second where
    these are many, and the batches that run.
    """
    waiting = _turns.recall(lane)
    if waiting is None:
        waiting = _read_waiting(lane)
        _turns.remember(lane, waiting)
    if len(waiting) < 2:
        return [job_id for _, job_id in waiting]
    return _turns.order(lane, waiting, _count_running(lane))


def _read_waiting(lane: str) -> list[tuple[int, int]]:
    """Read which jobs have a due batch. Shape: (org, job)."""
    due = Batch.objects.filter(job_id=OuterRef("pk"), state=BatchState.WAITING, available_at__lte=Now())
    # A subquery with a LIMIT is probed job by job; of an EXISTS Postgres makes a join over all waiting batches.
    probe = Subquery(due.order_by("available_at", "id").values("pk")[:1])
    live = Job.objects.filter(lane=lane, state__in=[JobState.PENDING, JobState.PROCESSING], kind__in=list(KINDS))
    return list(live.alias(due=probe).filter(due__isnull=False).order_by().values_list("org_id", "pk"))


def note_served(lane: str, org_id: int, job_id: int) -> None:
    """Note that a batch of this job was claimed."""
    _turns.note(lane, org_id, job_id)


def note_empty(lane: str, job_id: int) -> None:
    """Note that a job had no due batch any more."""
    _turns.drop(lane, job_id)


def _count_running(lane: str) -> dict[int, tuple[int, int]]:
    """Count the running batches. Shape: job -> (its org, how many)."""
    running = Batch.objects.filter(state=BatchState.RUNNING, lane=lane)
    counted = running.order_by().values_list("job_id", "org_id").annotate(running=Count("pk"))
    return {job_id: (org_id, number) for job_id, org_id, number in counted}


class Turns:
    """Remembers in which order this process served orgs and jobs. Forgetting costs nothing but a turn out of order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = count(1)
        self._served: dict[tuple[str, str, int], int] = {}
        self._waiting: dict[str, tuple[float, list[tuple[int, int]]]] = {}

    def recall(self, lane: str) -> list[tuple[int, int]] | None:
        """Give the many jobs that were found waiting a moment ago, None where they must be looked for."""
        until, waiting = self._waiting.get(lane, (0.0, []))
        return waiting if waiting and monotonic() < until else None

    def remember(self, lane: str, waiting: list[tuple[int, int]]) -> None:
        """Keep what was found, where to look for it again at each claim would cost too much."""
        if len(waiting) >= MANY_JOBS:
            self._waiting[lane] = (monotonic() + REMEMBER_SECONDS, waiting)

    def drop(self, lane: str, job_id: int) -> None:
        """Take out a job that turned out to have nothing due."""
        until, waiting = self._waiting.get(lane, (0.0, []))
        self._waiting[lane] = (until, [place for place in waiting if place[1] != job_id])

    def note(self, lane: str, org_id: int, job_id: int) -> None:
        """Put an org and a job at the end of the line."""
        with self._lock:
            if len(self._served) > MOST_REMEMBERED:
                self._served.clear()
            self._served[lane, "org", org_id] = self._served[lane, "job", job_id] = next(self._next)

    def order(self, lane: str, waiting: Sequence[tuple[int, int]], running: Mapping[int, tuple[int, int]]) -> list[int]:
        """Sort jobs, given as (org, job), by whose turn it is."""
        of_org: dict[int, int] = {}
        for org_id, number in running.values():
            of_org[org_id] = of_org.get(org_id, 0) + number
        served = self._served

        def turn(place: tuple[int, int]) -> tuple[int, int, int, int, int]:
            org_id, job_id = place
            in_job = running.get(job_id, (org_id, 0))[1]
            org_at, job_at = served.get((lane, "org", org_id), 0), served.get((lane, "job", job_id), 0)
            return of_org.get(org_id, 0), org_at, in_job, job_at, job_id

        return [job_id for _, job_id in sorted(waiting, key=turn)]


_turns = Turns()
