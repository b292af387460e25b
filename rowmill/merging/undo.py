"""After an import: takes it back. What it inserted goes, what it changed gets its old values; what was changed since stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from rowmill import audit
from rowmill.errors import StateError
from rowmill.faults import fault_point
from rowmill.merging.merge import hold_table_alone
from rowmill.merging.target import Target
from rowmill.models import FINAL_STATES, Job, OldRow, Undo
from rowmill.orgs import Caller
from rowmill.registry import get_kind

log = structlog.get_logger("rowmill.merging")
UNDO_DAYS = 30
LISTED = 1000  # ids of rows that were kept


def undo_job(caller: Caller, job: Job) -> Undo:
    """Take an import back, in one transaction. Again: gives what the first time came to.

    Raises: NotAllowed; StateError while the job is at work, for a kind that merges nothing, and after 30 days.
    Cost: about that of the import.
    """
    caller.need_write()
    kind: Any = get_kind(job.kind)
    if not kind.merges:
        raise StateError("This kind of job writes nothing that could be taken back.")
    target: Target = kind.target
    with transaction.atomic():
        held = Job.objects.select_for_update(no_key=True, of=("self",)).get(pk=job.pk)
        done = Undo.objects.filter(job=held).first()
        if done is not None:
            return done
        _need_undoable(held)
        undo = _take_back(caller, held, target)
        audit.record(
            caller.org, caller.user, "job.undo", "job", job.public_id,
            removed=undo.removed, restored=undo.restored, kept=undo.kept,
        )  # fmt: skip
        fault_point("undoing")
    log.info("job undone", job_id=str(job.public_id), removed=undo.removed, restored=undo.restored, kept=undo.kept)
    return undo


def may_undo(job: Job) -> bool:
    """Tell whether an import can be taken back."""
    try:
        _need_undoable(job)
    except StateError:
        return False
    return get_kind(job.kind).merges and not Undo.objects.filter(job=job).exists()


def drop_old_rows() -> int:
    """Remove the old values that are past their time: that of their job, since an undo needs all of it or none.

    Gives how many. Again: yes.
    """
    past = Now() - timedelta(days=UNDO_DAYS)
    gone, _ = OldRow.objects.filter(kept_at__lt=past, job__completed_at__lt=past).delete()
    return gone


def _need_undoable(job: Job) -> None:
    """Raises: StateError."""
    if job.state not in FINAL_STATES:
        raise StateError("This import is still at work. Wait until it has ended, or cancel it first.")
    if job.completed_at is not None and job.completed_at < timezone.now() - timedelta(days=UNDO_DAYS):
        raise StateError(f"This import ended more than {UNDO_DAYS} days ago, so its old values are gone.")


def _take_back(caller: Caller, job: Job, target: Target) -> Undo:
    """Do it: old values first, so that a row which the job both inserted and changed is then one that it inserted."""
    hold_table_alone(job.org_id, long=True)
    olds = OldRow.objects.filter(job=job, target=target.table)
    with connection.cursor() as cursor:
        cursor.execute(_restore(target), [job.pk, target.table])
        restored = cursor.rowcount
        cursor.execute(_not_restored(target), [job.pk, target.table])
        changed = [row[0] for row in cursor.fetchall()]
    inserted = target.model._default_manager.filter(org_id=job.org_id, created_job=job)
    removed, _ = inserted.filter(revision=1).delete()
    kept = list(inserted.order_by("pk").values_list("pk", flat=True))
    olds.delete()
    ids = sorted({*kept, *changed})
    return Undo.objects.create(
        org_id=job.org_id,
        job=job,
        removed=removed,
        restored=restored,
        kept=len(ids),
        kept_ids=ids[:LISTED],
        undone_by=caller.user,
    )


def _not_restored(target: Target) -> str:
    """Write the query for rows that are not as they were: somebody changed or removed them since, or has their old key."""
    return (
        f"SELECT o.target_id FROM rowmill_oldrow AS o LEFT JOIN {target.table} AS c ON c.id = o.target_id "
        f"WHERE o.job_id = %s AND o.target = %s AND (c.revision IS NULL OR c.revision <> CAST({_old('revision')} AS integer))"
    )


def _old(name: str) -> str:
    """Give a column of a row as it was."""
    return f"(o.old ->> '{name}')" if connection.vendor == "postgresql" else f"json_extract(o.old, '$.{name}')"


def _restore(target: Target) -> str:
    """Write the statement that puts old values back where nobody has changed the row, nor taken its old key, since."""
    columns = [field.column for field in target.model._meta.concrete_fields if not field.primary_key]
    # As a value, who has the old key is looked up in the index, row by row, whatever the planner thinks of a table just filled.
    holder = f"SELECT d.id FROM {target.table} AS d WHERE d.org_id = c.org_id AND d.match_key = {_old('match_key')}"
    where = (
        "WHERE o.job_id = %s AND o.target = %s AND c.id = o.target_id AND c.revision = o.revision "
        f"AND COALESCE(({holder} LIMIT 1), c.id) = c.id"
    )
    if connection.vendor == "postgresql":
        sets = ", ".join(f"{name} = r.{name}" for name in columns)
        return (
            f"UPDATE {target.table} AS c SET {sets} FROM rowmill_oldrow AS o, "
            f"LATERAL jsonb_populate_record(NULL::{target.table}, o.old) AS r {where}"
        )
    sets = ", ".join(f"{name} = {_old(str(name))}" for name in columns)
    return f"UPDATE {target.table} AS c SET {sets} FROM rowmill_oldrow AS o {where}"
