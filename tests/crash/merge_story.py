"""The stories of an import into contacts: cut, cancelled, taken up again, taken back; one with a row that breaks each merge."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.db import connection

from rowmill.jobs import halve
from rowmill.jobs.arrive import effect_due, submit_intended
from rowmill.jobs.claim import claim_batch
from rowmill.jobs.progress import read_progress
from rowmill.jobs.run import run_batch
from rowmill.jobs.steer import cancel_job, retry_job
from rowmill.jobs.sweep import sweep
from rowmill.jobs.undoing import undo_due
from rowmill.kinds.bulk_kind import BulkKind
from rowmill.kinds.contact_import import ContactImport
from rowmill.merging import preview, takeback
from rowmill.merging.effects import request_effect
from rowmill.merging.undo import undo_job
from rowmill.models import AuditEvent, BatchMerge, Contact, ImportEffect, Job, Org, Undo, Upload
from rowmill.orgs import Caller
from rowmill.registry import get_kind

BULK_STORIES = ("merge", "merge_poison", "effect")
ROWS, BATCH, POISONED = 8, 4, 2
SECONDS = 60.0
WHAT = ("contact_id", "first_name", "email", "employees", "match_key", "revision", "created_job_id", "import_job_id")
# Two are there and change, one is there and stays, one breaks a check, one stands twice, the others are new.
LINES = ("A1,Anna,,5", "A2,Ben,,", "A3,Cleo,bad,", "A4,Dan,,", "A4,Dana,,", "A6,Fay,f@x.test,", "A7,P7,,", "A8,Al,,")
HEADER = "contact_id,first_name,email,employees"
THERE = (("A1", "Ann", None), ("A2", "Bo", 7), ("A7", "P7", 9))
TOLD = {"inserted": 3, "updated": 2, "unchanged": 2, "duplicates": 1, "rejected": 1}


def prepare_merge(story: str) -> bytes:
    """Make what is there before the import; give the file."""
    org = Org.objects.get()
    for number, name, staff in THERE:
        Contact.objects.create(
            org=org, contact_id=number, first_name=name, employees=staff, match_key=f"i:{number}", revision=3
        )
    lines = LINES[:BATCH] if story == "merge_poison" else LINES
    return "".join(f"{line}\n" for line in (HEADER, *lines)).encode()


def in_table() -> list[tuple[Any, ...]]:
    """Give the table, all that tells one contact from another."""
    return sorted(Contact.objects.values_list(*WHAT), key=repr)


def tell_merge(caller: Caller, make_job: Callable[[], Job], run_out: Callable[[], None]) -> None:
    """One batch whole, a cancel while the second is at work, a retry to the end; then the import is taken back."""
    ContactImport.batch_rows = BATCH
    job = make_job()
    if not _done("job.cancel"):
        _merge_a_little_and_cancel(caller, job)
    elif job.state == "CANCELLING":
        sweep()
    job.refresh_from_db()
    if not _done("job.retry"):
        assert job.state == "CANCELLED", job.state
        merged = BatchMerge.objects.filter(job=job).count()
        assert retry_job(caller, job) == ROWS - BATCH * merged
    run_out()
    job.refresh_from_db()
    assert job.state == "COMPLETED"
    progress = read_progress(job)
    assert progress.merged == TOLD, progress.merged
    assert progress.balance["rows_balance"] is True
    if not Undo.objects.exists():
        assert len(in_table()) == len(THERE) + TOLD["inserted"]
        assert Contact.objects.get(contact_id="A4").first_name == "Dana"
    takeback.BATCH_ROWS = 2  # several batches of each stage
    undo = undo_job(caller, job)
    until = time.monotonic() + SECONDS
    while undo.state != "DONE":  # by itself: nobody asks for it again
        assert time.monotonic() < until, "the undo does not come to its end"
        undo_due()
        sweep()
        undo.refresh_from_db()
    assert (undo.removed, undo.restored, undo.kept) == (TOLD["inserted"], TOLD["updated"], 0)
    assert in_table() == sorted(
        ((n, name, "", staff, f"i:{n}", 3, None, None) for n, name, staff in THERE), key=repr
    ), "the undo did not restore the table"


def _merge_a_little_and_cancel(caller: Caller, job: Job) -> None:
    if not BatchMerge.objects.exists() and (first := claim_batch("story")) is not None:
        run_batch(first)
    second = claim_batch("story")
    cancel_job(caller, job)
    if second is not None:
        assert run_batch(second) in ("cancelled", "done")
    sweep()


def tell_poison(caller: Caller, make_job: Callable[[], Job], run_out: Callable[[], None]) -> None:
    """One row breaks the merge each time; halving finds it, the others go in."""
    ContactImport.batch_rows, ContactImport.max_attempts = BATCH, 2
    job = make_job()
    real = BulkKind.merge

    def merge(kind: BulkKind, info: Any, prepared: Any) -> Any:
        told = real(kind, info, prepared)
        if info.first_row <= POISONED <= info.last_row:
            raise RuntimeError("poison")
        return told

    BulkKind.merge = merge  # type: ignore[method-assign]
    halve.backoff_seconds = lambda attempts: 0.0  # type: ignore[assignment]
    run_out()
    failed = _failed(job)
    if failed > {POISONED}:  # a row that two deaths in a row fell upon counts as poisonous too; its retry clears it
        retry_job(caller, job)
        run_out()
        failed = _failed(job)
    assert failed == {POISONED}, f"failed by themselves: {failed}"
    assert read_progress(job).balance["rows_balance"] is True
    names = dict(Contact.objects.values_list("contact_id", "first_name"))
    assert names == {"A1": "Anna", "A2": "Bo", "A7": "P7", "A4": "Dan"}


def _failed(job: Job) -> set[int]:
    return set(job.results.filter(outcome="failed").values_list("row_number", flat=True))


def tell_effect(caller: Caller, upload: Upload) -> None:
    """Its effect is worked out in stretches and the import starts by itself; should workers die of it, a person asks anew."""
    ContactImport.batch_rows, preview.STRETCH_ROWS = BATCH, 2
    Org.objects.filter(pk=caller.org.pk).update(go_ahead_percent=40)
    Upload.objects.filter(pk=upload.pk).update(intent={"duplicates": "update"})
    upload.refresh_from_db()
    before, until = in_table(), time.monotonic() + SECONDS
    if not upload.jobs.exists():
        submit_intended(upload)
    while not Job.objects.exists():
        assert time.monotonic() < until, "the effect does not come to its end"
        effect_due()
        sweep()
        effect = ImportEffect.objects.get()
        if effect.state == "FAILED":
            request_effect(upload, "update", caller.user)
        elif effect.state == "DONE" and not Job.objects.exists():
            submit_intended(upload)  # as the sweeper does after two minutes
    effect = ImportEffect.objects.get()
    assert {name: getattr(effect, name) for name in TOLD} == TOLD
    if not BatchMerge.objects.exists():
        assert in_table() == before, "working the effect out wrote something"


def _done(verb: str) -> bool:
    return AuditEvent.objects.filter(verb=verb).exists()


def effect_alone() -> None:
    """A batch's effect is committed before its marker."""
    kind: Any = get_kind("contact_import")
    real = kind.merge

    def merge(info: Any, prepared: Any) -> Any:
        told = real(info, prepared)
        if connection.vendor == "sqlite":
            connection.cursor().execute("COMMIT")
            connection.cursor().execute("BEGIN IMMEDIATE")
        else:
            connection.connection.commit()  # behind Django's back, which refuses it inside `atomic`
        return told

    kind.merge = merge
