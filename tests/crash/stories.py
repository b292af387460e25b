"""Stories for the crash tests: each can be cut anywhere and told again from where the database says it stands."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import connection

from rowmill import audit, faults, registry
from rowmill.contracts import Outcome
from rowmill.errors import TableError
from rowmill.jobs import checkpoint, halve
from rowmill.jobs.arrive import complete_upload, inspect_due
from rowmill.jobs.checkpoint import write_checkpoint
from rowmill.jobs.claim import claim_batch
from rowmill.jobs.run import run_batch
from rowmill.jobs.runner import Runner
from rowmill.jobs.steer import cancel_job, delete_job, retry_job
from rowmill.jobs.submit import submit_job, take_file
from rowmill.jobs.sweep import recover_after_start, sweep
from rowmill.models import (
    FINAL_STATES,
    AuditEvent,
    Batch,
    IdempotencyKey,
    Job,
    Org,
    SessionState,
    Upload,
    UploadSession,
    User,
)
from rowmill.orgs import Caller, add_member, create_org, find_caller
from rowmill.registry import get_kind
from rowmill.uploads import receive
from rowmill.uploads.chunks import missing_chunks, put_chunk
from rowmill.uploads.inspect import inspect_upload
from rowmill.uploads.mending import mend_upload
from rowmill.uploads.places import get_storage, original_key
from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole
from rowmill.uploads.sessions import cancel_session, open_session
from tests.crash.cohort_story import prepare_cohort, prepare_recheck, tell_cohort, tell_recheck
from tests.crash.merge_story import BULK_STORIES, effect_alone, prepare_merge, tell_effect, tell_merge, tell_poison
from tests.probe import Probe

registry.extend({"probe": "tests.probe.Probe"}, {}, {})
ROWS, FEW_ROWS = 24, 8


def table(rows: int) -> bytes:
    """Give a sound file."""
    return ("id,note\n" + "".join(f"{n:04d},note {n}\n" for n in range(1, rows + 1))).encode()


BROKEN = b'id,note\n1,"never closed\n2,x\n'
BLOCK = b"id,note\n1,a\n2;b\n3;c\n4,d,e,f\n5,e\n"
MENDED = b"id,note\n1,a\n2,b\n3,c\n5,e\n"
SECONDS = 120.0


def prepare(story: str) -> None:
    """Make what a story begins with: an org, a person and, except for the doors, a READY upload."""
    from rowmill.cli.serving import prepare_database

    prepare_database()
    caller = find_caller(add_member(create_org("acme"), "alice@acme.test", "admin", None))
    if story == "mended":
        upload = begin_upload(caller, "probe", "broken.csv", {"mark": 1})
        inspect_upload(finish_upload(upload, *receive_whole(upload, [BLOCK], 1 << 20)))
    elif story == "cohort":
        prepare_cohort(caller)
    elif story in BULK_STORIES:
        upload = begin_upload(caller, "contact_import", "contacts.csv")
        inspect_upload(finish_upload(upload, *receive_whole(upload, [prepare_merge(story)], 1 << 20)))
    elif story == "rechecked":
        prepare_recheck(caller)
    elif story not in ("intake", "refused", "chunked"):
        upload = begin_upload(caller, "probe", "probe.csv")
        inspect_upload(
            finish_upload(upload, *receive_whole(upload, [table(FEW_ROWS if story == "poison" else ROWS)], 1 << 20))
        )


def caller() -> Caller:
    """Give the one person there is."""
    return find_caller(User.objects.get(email="alice@acme.test"))


def restart() -> None:
    """Do what a start of Rowmill does before its threads begin."""
    Probe.reset()
    recover_after_start()


def run_out() -> None:
    """Work and sweep, over back-offs too, until every job has ended."""
    until = time.monotonic() + SECONDS
    while Job.objects.exclude(state__in=FINAL_STATES).exists():
        assert time.monotonic() < until, "a job does not come to its end"
        while (batch := claim_batch("story")) is not None:
            run_batch(batch)
        sweep()
        Batch.objects.filter(state="waiting").update(available_at="2000-01-01T00:00:00+00:00")


def only_job() -> Job:
    """Give the job over the prepared upload, made now where there is none."""
    job = Job.objects.first() or submit_job(Upload.objects.get(), None, {})
    return Job.objects.select_related("upload", "org").get(pk=job.pk)


def done(verb: str) -> bool:
    """Tell whether the trail has it."""
    return AuditEvent.objects.filter(verb=verb).exists()


def note(data: dict[str, object]) -> None:
    """Write down, synced, what a client was told; beside the data directory."""
    path = Path(str(settings.DATA_DIR) + ".told")
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(data) + "\n")
        file.flush()
        os.fsync(file.fileno())


# ------------------------------------------------------------------------------------------------ the stories


def intake() -> None:
    """A POST with an Idempotency-Key, repeated by a client that got no answer, then worked to the end."""
    restart()
    for _ in range(2):
        taken = take_file(
            caller(), "probe", "probe.csv", [table(FEW_ROWS)], intent={"mark": 1}, idempotency_key="key-1"
        )
        note({"job": str(taken.job.public_id), "key": "key-1", "rows": FEW_ROWS})
    assert Job.objects.count() == 1, f"one key made {Job.objects.count()} jobs"
    assert IdempotencyKey.objects.get().job_id == taken.job.pk
    run_out()


def chunked() -> None:
    """A file in chunks, sent on by a client that was told nothing; beside it one that is given up."""
    restart()
    data, length = table(FEW_ROWS), 70
    kept = session_of("kept", data, length)
    if kept.state == SessionState.OPEN:
        for index in (1, *missing_chunks(kept)):
            send_chunk(kept, index, data[index * length : (index + 1) * length])
    assert complete_upload(caller(), kept).sha256 == hashlib.sha256(data).hexdigest()
    while inspect_due():
        pass
    with get_storage().open(original_key(kept.upload)) as file:
        assert file.read() == data
    assert Job.objects.count() == 1, f"one file made {Job.objects.count()} jobs"
    dropped = session_of("dropped", data + b"9,x\n", length)
    if dropped.state == SessionState.OPEN and not dropped.parts.exists():
        send_chunk(dropped, 0, data[:length])
    cancel_session(caller(), dropped)
    sweep()
    run_out()
    assert Upload.objects.filter(state="ABORTED", purged_at__isnull=False).count() == 1
    assert not UploadSession.objects.exclude(state=SessionState.CLOSED).exists()


def session_of(word: str, data: bytes, length: int) -> UploadSession:
    """Give the session that the client began, begun now where there is none."""
    found = UploadSession.objects.select_related("upload").filter(fingerprint=word).first()
    return found or open_session(
        caller(),
        "probe",
        "big.csv",
        door="chunks",
        size_bytes=len(data),
        chunk_count=-(-len(data) // length),
        fingerprint=word,
        intent={},
    )


def send_chunk(session: UploadSession, index: int, data: bytes) -> None:
    """Send one chunk; what was acknowledged must be there from then on."""
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=settings.SCRATCH_DIR, prefix="receive-") as file:
        file.write(data)
        file.flush()
        put_chunk(session, index, Path(file.name))
    note({"chunk": index, "session": session.pk})


def refused() -> None:
    """A broken file is refused, the same each time, and its bytes go with their time."""
    restart()
    for _ in range(2):
        with pytest.raises(TableError):
            take_file(caller(), "probe", "broken.csv", [BROKEN], intent={}, idempotency_key="key-1")
    assert not IdempotencyKey.objects.exists()
    Upload.objects.filter(state="REJECTED", purged_at=None).update(purge_after="2000-01-01T00:00:00+00:00")
    sweep()
    assert not Upload.objects.filter(purged_at=None).exists()


def mended() -> None:
    """A refused file is mended, asked for by a client that got no answer; the copy's job runs, the original stays."""
    restart()
    parent = Upload.objects.get(parent=None)
    copies = {mend_upload(caller(), parent, ["delimiter", "without-broken-rows"]).pk for _ in range(2)}
    assert len(copies) == 1, "asked twice, two copies were made"
    while inspect_due():
        pass
    copy = Upload.objects.exclude(parent=None).get()
    for upload, data in ((parent, BLOCK), (copy, MENDED)):
        with get_storage().open(original_key(upload)) as file:
            assert file.read() == data, "other bytes than were made"
    assert copy.inspection["mended"]["left_out"] == 1
    run_out()
    assert Job.objects.get().upload_id == copy.pk
    assert AuditEvent.objects.filter(verb="upload.mended").count() == 1


def cohort() -> None:
    """A table of a cohort is refused for lost IDs, mended and kept."""
    restart()
    tell_cohort(caller())


def rechecked() -> None:
    """The patient file is replaced under a table that was accepted."""
    restart()
    tell_recheck(caller())


def work() -> None:
    """The runner with its threads, until the job has ended."""
    Probe.reset()
    runner = Runner(concurrency=2)
    runner.start()
    job, until = only_job(), time.monotonic() + SECONDS
    while Job.objects.get(pk=job.pk).state not in FINAL_STATES:
        assert time.monotonic() < until, "the job does not come to its end"
        time.sleep(0.02)
    runner.stop()
    assert Job.objects.get(pk=job.pk).state == "COMPLETED"


def stop() -> None:
    """The same, but told to stop at the fault point instead of being killed, as SIGTERM does; then started again."""
    Probe.reset()
    job = only_job()
    runner = Runner(concurrency=2)
    faults._strike = runner.stopping.set
    runner.start()
    until = time.monotonic() + SECONDS
    while not runner.stopping.is_set() and Job.objects.get(pk=job.pk).state not in FINAL_STATES:
        assert time.monotonic() < until
        time.sleep(0.02)
    struck = runner.stopping.is_set()
    runner.stop()
    assert not Batch.objects.filter(state="running").exists(), "a batch was not given back"
    assert not Batch.objects.filter(state="waiting", attempts__gt=1).exists(), "a stop was counted as an attempt"
    faults._AT = 0
    run_out()
    assert Job.objects.get(pk=job.pk).state == "COMPLETED"
    if struck:
        os._exit(STRUCK)


STRUCK = 17


def poison() -> None:
    """One row breaks the kind each time; halving finds it and the others go on."""

    def plan(batch: object, row: object) -> Outcome:
        if row.number == 5:  # type: ignore[attr-defined]
            raise RuntimeError("poison")
        return Outcome(row.number, "ok")  # type: ignore[attr-defined]

    restart()
    Probe.plan = staticmethod(plan)
    halve.backoff_seconds = lambda attempts: 0.0  # type: ignore[assignment]
    job = only_job()
    run_out()
    failed = set(job.results.filter(outcome="failed").values_list("row_number", flat=True))
    if failed > {5}:  # a row that two deaths in a row fell upon counts as poisonous too; its retry clears it
        retry_job(caller(), job)
        run_out()
        failed = set(job.results.filter(outcome="failed").values_list("row_number", flat=True))
    assert failed == {5}, f"failed by themselves: {failed}"


def steer() -> None:
    """Some rows, a cancel while a batch is at work, a retry to the end, then the job is deleted."""
    restart()
    job = only_job()
    if not done("job.cancel"):
        _work_a_little_and_cancel(job)
    elif job.state == "CANCELLING":
        sweep()
    job.refresh_from_db()
    if not done("job.retry"):
        assert job.state == "CANCELLED", job.state
        kept = job.results.count()
        assert retry_job(caller(), job) == ROWS - kept
    run_out()
    job.refresh_from_db()
    assert job.state == "COMPLETED"
    delete_job(caller(), job)
    sweep()


def _work_a_little_and_cancel(job: Job) -> None:
    """One batch whole, one in part; the cancel finds the second at work."""
    if not job.results.exists() and (first := claim_batch("story")) is not None:
        run_batch(first)
    second = claim_batch("story")
    if second is not None:
        start = second.first_row
        write_checkpoint(
            second, get_kind("probe"), [Outcome(start, "ok"), Outcome(start + 1, "not_found", "NOT_FOUND")]
        )
    cancel_job(caller(), job)
    if second is not None:
        write_checkpoint(second, get_kind("probe"), [Outcome(second.first_row + 2, "ok")])
    sweep()


STORIES: dict[str, Callable[[], None]] = {
    "intake": intake,
    "chunked": chunked,
    "refused": refused,
    "mended": mended,
    "cohort": cohort,
    "merge": lambda: (restart(), tell_merge(caller(), only_job, run_out))[1],
    "merge_poison": lambda: (restart(), tell_poison(caller(), only_job, run_out))[1],
    "effect": lambda: (restart(), tell_effect(caller(), Upload.objects.get()), run_out())[2],
    "rechecked": rechecked,
    "work": work,
    "stop": stop,
    "poison": poison,
    "steer": steer,
}


# ------------------------------------------------------------------------------------------------ negative controls


def no_cancel_check() -> None:
    """Checkpoints do not look whether the job is being cancelled."""
    checkpoint.job_state_held = lambda batch: "PROCESSING"  # type: ignore[assignment]


def two_transactions() -> None:
    """Results and the batch's counters are committed one after the other."""
    if connection.vendor == "sqlite":
        checkpoint.transaction = SimpleNamespace(atomic=nullcontext)  # type: ignore[assignment]
        return
    real = checkpoint.save_results

    def save(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        connection.connection.commit()  # behind Django's back, which refuses it inside `atomic`

    checkpoint.save_results = save  # type: ignore[assignment]


def purged_first() -> None:
    """An abandoned upload says that it is purged before its bytes have gone."""
    real = receive.get_storage

    def storage(**how: bool) -> object:
        Upload.objects.filter(state="ABORTED").update(purged_at="2000-01-01T00:00:00+00:00", purge_after=None)
        faults.fault_point("purged_too_early")
        return real(**how)

    receive.get_storage = storage  # type: ignore[assignment]


CONTROLS: dict[str, Callable[[], None]] = {
    "no_cancel_check": no_cancel_check,
    "two_transactions": two_transactions,
    "purged_first": purged_first,
    "effect_alone": effect_alone,
}


def audit_is_whole() -> None:
    """Every org's trail is unbroken."""
    for org in Org.objects.all():
        assert audit.find_break(org) is None, f"the audit chain of org {org.pk} is broken"
