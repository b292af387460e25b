"""Fixtures of the engine's tests: jobs of the probe kind, made through the real door."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rowmill import registry
from rowmill.jobs.claim import claim_batch
from rowmill.jobs.run import run_batch
from rowmill.jobs.submit import take_file
from rowmill.models import Batch, Job
from rowmill.orgs import find_caller
from tests.probe import Probe

registry.extend({"probe": "tests.probe.Probe", "nothing": "tests.probe.Nothing"}, {}, {})


@pytest.fixture(autouse=True)
def _fresh_probe() -> Iterator[None]:
    Probe.reset()
    yield
    Probe.reset()


def table(rows: int, salt: str = "") -> list[bytes]:
    """Give a file of so many rows, in two chunks."""
    text = "id,note\n" + "".join(f"{number:04d},{salt}note {number}\n" for number in range(1, rows + 1))
    data = text.encode()
    return [data[:7], data[7:]]


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


@pytest.fixture
def make_job(alice) -> Callable[..., Job]:
    def make(rows: int = 25, kind: str = "probe", **options) -> Job:
        made = take_file(alice, kind, "probe.csv", table(rows, f"{time.monotonic_ns()} "), intent=options)
        return Job.objects.select_related("upload", "org").get(pk=made.job.pk)

    return make


def work(limit: int = 1000, owner: str = "test") -> list[str]:
    """Claim and run due batches until none is due. Gives what became of each run."""
    words = []
    while len(words) < limit:
        batch = claim_batch(owner)
        if batch is None:
            return words
        words.append(run_batch(batch))
    raise AssertionError("the engine does not come to an end")


def work_until_final(job: Job, seconds: float = 180.0) -> str:
    """Work, over back-offs too, until the job has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        work()
        job.refresh_from_db()
        if job.state in ("COMPLETED", "FAILED", "CANCELLED"):
            return job.state
        Batch.objects.filter(job=job, state="waiting").update(available_at="2000-01-01T00:00:00+00:00")
    raise AssertionError(f"the job is still {job.state}")


def in_thread(function: Callable[[], object]) -> threading.Thread:
    """Run in a thread that closes its own connection."""
    from django.db import connections

    def run() -> None:
        try:
            function()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
