"""Several worker processes on one Postgres, over jobs that somebody cancels and retries all the time.

python -m tests.crash.crowd prepare DATA_DIR JOBS ROWS     (DATABASE_URL says where)
python -m tests.crash.crowd work DATA_DIR                  until no job has a row to do and nobody steers any more
python -m tests.crash.crowd steer DATA_DIR SECONDS SEED    cancels and retries, then sees to it that all go to the end
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rowmill.contracts import BatchInfo, Column, Kind, Outcome, Row

STEERED = "steered"  # the file beside the data directory that says that the steering has ended


class Crowd(Kind):
    """Does nothing, in batches of a hundred."""

    slug = "crowd"
    label = "Crowd"
    columns = (Column("id", required=True), Column("note"))
    batch_rows = 100
    checkpoint_rows = 50
    lease_seconds = 6
    max_attempts = 5

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Give every row its outcome, not too fast to be cancelled."""
        for row in rows:
            if row.number % 25 == 0:
                time.sleep(0.01)
            yield Outcome(row.number, "ok", answer={"id": row.cells["id"]})


def prepare(jobs: str, rows: str) -> None:
    """Make the tables, an org, a person and the jobs."""
    from rowmill.cli.serving import prepare_database

    prepare_database()
    from rowmill.jobs.submit import submit_job
    from rowmill.orgs import add_member, create_org, find_caller
    from rowmill.uploads.inspect import inspect_upload
    from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole
    from tests.crash.stories import table

    caller = find_caller(add_member(create_org("crowd"), "alice@acme.test", "admin", None))
    for _ in range(int(jobs)):
        upload = begin_upload(caller, "crowd", "crowd.csv")
        upload = inspect_upload(finish_upload(upload, *receive_whole(upload, [table(int(rows))], 1 << 24)))
        submit_job(upload, None, {})


def work() -> None:
    """Run four batches at a time until there is nothing to do any more."""
    from django.conf import settings

    from rowmill.jobs.runner import Runner

    runner = Runner(4, alone=False)
    insist(runner.start)
    steered = Path(settings.DATA_DIR).parent / STEERED
    while not steered.exists() or insist(unfinished):
        time.sleep(0.2)
    runner.stop()


def steer(seconds: str, seed: str) -> None:
    """Cancel and retry at random; then retry what is not COMPLETED until no job has a row to do."""
    from django.conf import settings

    from rowmill.errors import StateError
    from rowmill.jobs.steer import cancel_job, retry_job
    from rowmill.models import FINAL_STATES, Job
    from tests.crash.stories import caller

    dice, until, did = random.Random(int(seed)), time.monotonic() + float(seconds), {"cancel": 0, "retry": 0}

    def change(verb: str) -> None:
        alice = caller()
        job = dice.choice(list(Job.objects.select_related("org", "upload").order_by("pk")))
        try:
            cancel_job(alice, job) if verb == "cancel" else retry_job(alice, job)
            did[verb] += 1
        except StateError:
            return

    while time.monotonic() < until:
        insist(lambda: change(dice.choice(["cancel", "retry", "retry"])))
        time.sleep(dice.uniform(0.0, 0.3))
    until = time.monotonic() + 400
    while insist(unfinished):
        assert time.monotonic() < until, f"a job does not come to its end: {describe_unfinished()}"
        if insist(lambda: Job.objects.filter(state__in=FINAL_STATES).exclude(state="COMPLETED").exists()):
            insist(lambda: change("retry"))
        time.sleep(0.1)
    (Path(settings.DATA_DIR).parent / STEERED).touch()
    print(f"{did['cancel']} cancels, {did['retry']} retries")


def unfinished() -> bool:
    """Tell whether a job has rows to do. One that was cancelled after its last row was saved has none, and no retry."""
    from rowmill.models import Job, Result

    return any(
        job.state != "CANCELLED" or Result.objects.filter(job=job, outcome="ok").count() < job.total_rows
        for job in Job.objects.exclude(state="COMPLETED")
    )


def describe_unfinished() -> str:
    """Say what keeps the jobs from their end: states, leases and numbers only."""
    from rowmill.models import Batch, Job

    fields = ("id", "job_id", "state", "claims", "attempts", "lease_until", "available_at", "owner", "last_error")
    jobs = list(Job.objects.exclude(state="COMPLETED").values_list("id", "state"))
    return f"{jobs}, {list(Batch.objects.exclude(state='done').values_list(*fields)[:20])}"


def insist(function: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Try again while the database is away, as a person does who is told to try again."""
    from django.db import InterfaceError, OperationalError

    from rowmill.jobs.hold import free_connection

    until = time.monotonic() + seconds
    while True:
        try:
            return function()
        except (OperationalError, InterfaceError) as error:
            if "deadlock" in str(error) or time.monotonic() > until:
                raise
            free_connection()
            time.sleep(0.2)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # says where each thread is
    os.environ |= {"ROWMILL_LOG_LEVEL": "CRITICAL", "ROWMILL_MIN_FREE_BYTES": "0", "ROWMILL_SWEEP_SECONDS": "0.5"}
    from rowmill.cli.serving import set_up_django

    set_up_django(Path(sys.argv[2]))
    from rowmill import registry

    registry.extend({"crowd": "tests.crash.crowd.Crowd"}, {}, {})
    {"prepare": prepare, "work": work, "steer": steer}[sys.argv[1]](*sys.argv[3:])
