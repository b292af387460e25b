"""Negative controls on Postgres: each story goes by the book, and again with one guard taken away; then it must be caught.

    DATABASE_URL=postgres://... python -m tests.crash.cluster_controls DATA_DIR STORY [off]

Prints JSON: what is broken at the end. Each story is one fixed order of events, so it is caught every time.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS = 500
LONG_AGO = "2000-01-01T00:00:00+00:00"


class Death(BaseException):
    """The worker dies here: nothing after it runs, and its transaction is rolled back."""


def a_job() -> Any:
    """Make two orgs and a job of the tally for the first of them."""
    from rowmill.jobs.submit import take_file
    from rowmill.orgs import add_member, create_org, find_caller
    from tests.crash.plugins import tally_file

    add_member(create_org("other"), "charlie@other.test", "admin", "correct-horse")
    caller = find_caller(add_member(create_org("acme"), "alice@acme.test", "admin", "correct-horse"))
    return caller, take_file(caller, "tally", "t.csv", [tally_file(1, ROWS)], intent={}).job


def outcomes(batch: Any, first: int, last: int) -> list[Any]:
    """Give good outcomes for some rows, as the tally does."""
    from rowmill.contracts import Outcome

    return [Outcome(row, "ok", answer={"batch": batch.pk, "amount": row}) for row in range(first, last + 1)]


def run_out(job: Any) -> None:
    """Let leases end, and a sound worker do the rest."""
    from rowmill.jobs.claim import claim_batch
    from rowmill.jobs.run import run_batch
    from rowmill.jobs.sweep import sweep
    from rowmill.models import Batch

    Batch.objects.filter(job=job, state="running").update(lease_until=LONG_AGO)
    sweep()
    while (batch := claim_batch("sound")) is not None:
        run_batch(batch)
    sweep()


def fence(off: bool) -> None:
    """A worker sleeps past its lease, another begins anew, the first wakes and writes."""
    from rowmill.errors import LostLease
    from rowmill.jobs import checkpoint
    from rowmill.jobs.claim import claim_batch
    from rowmill.jobs.sweep import take_back_leases
    from rowmill.models import Batch
    from rowmill.registry import get_kind

    if off:
        checkpoint.hold_batch = lambda batch: None  # type: ignore[assignment]
    _, job = a_job()
    first = claim_batch("first")
    assert first is not None
    Batch.objects.filter(pk=first.pk).update(lease_until=LONG_AGO)
    take_back_leases()
    second = claim_batch("second")
    assert second is not None
    checkpoint.write_checkpoint(second, get_kind("tally"), outcomes(second, 1, 100))
    try:
        checkpoint.write_checkpoint(first, get_kind("tally"), outcomes(first, 1, 100))
    except LostLease:
        assert not off
    run_out(job)


def one_transaction(off: bool) -> None:
    """A worker dies between its effect and the result that marks it as done."""
    from django.db import connection

    from rowmill.jobs import checkpoint
    from rowmill.jobs.claim import claim_batch
    from rowmill.registry import get_kind
    from tests.crash import plugins

    def die(name: str) -> None:
        if off:
            connection.connection.commit()
        raise Death

    _, job = a_job()
    batch = claim_batch("dying")
    assert batch is not None
    plugins.fault_point = die
    try:
        checkpoint.write_checkpoint(batch, get_kind("tally"), outcomes(batch, 1, 100))
    except Death:
        connection.close()
    plugins.fault_point = lambda name: None
    run_out(job)


def share(off: bool) -> None:
    """A person cancels while a checkpoint is between its look at the job and its commit."""
    from django.db import connections

    from rowmill.jobs import checkpoint, claim
    from rowmill.jobs.claim import claim_batch
    from rowmill.jobs.steer import cancel_job
    from rowmill.models import Job
    from rowmill.registry import get_kind
    from tests.crash import plugins

    if off:
        claim.read_shared_state = lambda job_id: Job.objects.values_list("state", flat=True).get(pk=job_id)  # type: ignore[assignment]
    caller, job = a_job()
    batch = claim_batch("worker")
    assert batch is not None
    inside, cancelled = threading.Event(), threading.Event()

    def wait(name: str) -> None:
        inside.set()
        cancelled.wait(8.0)

    plugins.fault_point = wait

    def write() -> None:
        checkpoint.write_checkpoint(batch, get_kind("tally"), outcomes(batch, 1, 100))
        connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(60)
    cancel_job(caller, job)
    cancelled.set()
    writer.join(120)
    plugins.fault_point = lambda name: None
    run_out(job)


def org_filter(off: bool) -> list[str]:
    """A person of another org knocks at every door of a job."""
    from rowmill import orgs

    if off:
        orgs.fetch = lambda caller, queryset, public_id: queryset.get(public_id=public_id)
        orgs.own = lambda caller, model: model._default_manager.all()
    from django.test import Client

    from tests.crash.cluster_clients import DOORS
    from tests.crash.server import JOBS

    _, job = a_job()
    run_out(job)
    client = Client(HTTP_HOST="127.0.0.1", raise_request_exception=False)
    told = client.post(
        "/api/v1/auth/token/", {"email": "charlie@other.test", "password": "correct-horse"}, "application/json"
    )
    bearer = {"authorization": f"Bearer {told.json()['access']}"}
    found = []
    for method, path in DOORS:
        answer = client.generic(method, f"{JOBS}{job.public_id}/{path}", headers=bearer)
        if answer.status_code != 404:
            found.append(f"crossing: a stranger's {method} {path or 'job'} got {answer.status_code}, not 404")
    if str(job.public_id) in client.get(JOBS, headers=bearer).content.decode():
        found.append("crossing: a stranger's list names another org's job")
    return found


STORIES: dict[str, tuple[Callable[[bool], list[str] | None], str]] = {
    "fence": (fence, "twice:"),
    "one_transaction": (one_transaction, "twice:"),
    "share": (share, "cancel:"),
    "org_filter": (org_filter, "crossing:"),
}


def main(data_dir: Path, story: str, off: str = "") -> None:
    """Tell one story on an empty database, and say what is broken then."""
    os.environ |= {"ROWMILL_LOG_LEVEL": "CRITICAL", "ROWMILL_MIN_FREE_BYTES": "0", "ROWMILL_ALLOWED_HOSTS": "127.0.0.1"}
    os.environ["ROWMILL_KINDS"] = "tally=tests.crash.plugins.Tally"
    from rowmill.cli.migrating import prepare_database
    from rowmill.cli.starting import set_up_django

    set_up_django(data_dir)
    prepare_database()
    from tests.crash import history
    from tests.crash.plugins import TALLY_TABLE

    url = os.environ["DATABASE_URL"]
    history.install(url, TALLY_TABLE)
    found = STORIES[story][0](bool(off)) or []
    print(json.dumps(found + history.find_broken(url)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
