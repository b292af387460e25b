"""After an import: takes it back, batch by batch, each with its marker in one transaction; a cut one loses and doubles nothing."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from rowmill import audit
from rowmill.errors import LostLease
from rowmill.faults import fault_point
from rowmill.merging.merge import hold_table_alone
from rowmill.merging.passing_on import find_gone, pass_new_rows_on, pass_old_rows_on
from rowmill.merging.target import Target
from rowmill.merging.undo import LEASE, MOST_ATTEMPTS, put_undo_off
from rowmill.models import Job, Merged, OldRow, Undo, UndoStage, UndoState, UndoWhat
from rowmill.registry import get_kind

log = structlog.get_logger("rowmill.merging")
BATCH_ROWS = 5000
SLICE_SECONDS = 2.0  # then it is the turn of whatever else waits for this thread
LISTED = 1000  # ids of rows that were kept
_VERBS = {UndoWhat.UNDO: "job.undone", UndoWhat.REMOVAL: "job.removed"}
GAVE_UP = (
    f"The same batch failed {MOST_ATTEMPTS} times, so it is not tried again by itself. What was taken back by then stays so. "
    "Start it again; if that fails too, tell whoever runs this installation."
)


@dataclass(slots=True)
class _Step:
    """What one batch came to. `after` is its last row, None where the stage has no more. Units: rows."""

    after: int | None
    done: int = 0
    removed: int = 0
    restored: int = 0
    kept: int = 0
    kept_ids: list[int] = field(default_factory=list)


def run_undo(undo: Undo) -> bool:
    """Go on with an undo that this caller holds, for a while. Gives whether it has ended; else it is due again at once.

    Raises: LostLease where another took it over, and whatever the database raises; nothing of that batch is written then.
    Again: yes, by whoever claims it.
    """
    if undo.attempts > MOST_ATTEMPTS:
        _fail(undo)
        return True
    until = time.monotonic() + SLICE_SECONDS
    while not _run_batch(undo):
        if time.monotonic() >= until:
            put_undo_off(undo)
            return False
    return True


def _run_batch(undo: Undo) -> bool:
    """Take a batch back and move the marker, in one transaction. Gives whether it was the last."""
    begun = time.monotonic()
    with transaction.atomic():
        mine = Undo.objects.filter(pk=undo.pk, state=UndoState.RUNNING, claims=undo.claims)
        now = mine.select_for_update(no_key=True).first()
        if now is None:
            raise LostLease
        hold_table_alone(undo.org_id, long=True)
        fault_point("undo_held")
        target: Target = get_kind(undo.job.kind).target  # type: ignore[attr-defined]
        taking = _Taking(undo.job, target, now.after_id, whole=now.what == UndoWhat.UNDO)
        step = taking.restore() if now.stage == UndoStage.RESTORE else taking.remove()
        fault_point("undo_effect")
        _note(now, step, time.monotonic() - begun)
        ended = step.after is None and now.stage == UndoStage.REMOVE
        if ended:
            _end(undo, now)
        fault_point("undo_marked")
    fault_point("undo_batch")
    if ended:
        log.info("undo ended", job_id=str(undo.job.public_id), what=now.what, removed=now.removed, restored=now.restored,
                 kept=now.kept)  # fmt: skip
    return ended


def _note(now: Undo, step: _Step, seconds: float) -> None:
    """Write down what a batch came to, and where the next one begins."""
    now.rows_done += step.done
    now.rows = max(now.rows, now.rows_done)
    now.removed += step.removed
    now.restored += step.restored
    now.kept += step.kept
    now.kept_ids = (now.kept_ids + step.kept_ids)[:LISTED]
    now.seconds += seconds
    now.after_id = step.after or 0
    stage = UndoStage.REMOVE if step.after is None else now.stage
    Undo.objects.filter(pk=now.pk).update(
        rows=now.rows, rows_done=now.rows_done, removed=now.removed, restored=now.restored, kept=now.kept,
        kept_ids=now.kept_ids, seconds=now.seconds, after_id=now.after_id, stage=stage, attempts=0,
        touched_at=Now(), lease_until=Now() + LEASE,
    )  # fmt: skip


def _end(undo: Undo, now: Undo) -> None:
    """Close it; the trail tells what it came to."""
    Undo.objects.filter(pk=now.pk).update(
        state=UndoState.DONE, undone_at=Now(), lease_until=None, kept_ids=sorted(now.kept_ids)
    )
    audit.record(
        undo.job.org, None, _VERBS[UndoWhat(now.what)], "job", undo.job.public_id,
        removed=now.removed, restored=now.restored, kept=now.kept,
    )  # fmt: skip


def _fail(undo: Undo) -> None:
    """Give it up, until a person starts it again."""
    mine = Undo.objects.filter(pk=undo.pk, state=UndoState.RUNNING, claims=undo.claims)
    if not mine.update(state=UndoState.FAILED, lease_until=None, error=GAVE_UP[:300]):
        raise LostLease
    log.error("undo given up", job_id=str(undo.job.public_id), what=undo.what, rows_done=undo.rows_done)


@dataclass(frozen=True, slots=True)
class _Taking:
    """The effect of one batch: the rows of the table after `after`, in the order of their ids.

    `whole`: the import is taken back, so whoever changed its rows later is told what to go back to.
    """

    job: Job
    target: Target
    after: int
    whole: bool

    @property
    def job_id(self) -> int:
        """Give the job's number."""
        return int(self.job.pk)

    # ---------------------------------------------------------------------------------------- old values

    def restore(self) -> _Step:
        """Put the next old values back; first, so that what the job both inserted and changed is then what it inserted."""
        olds = OldRow.objects.filter(job_id=self.job_id, target=self.target.table, target_id__gt=self.after)
        ids = list(olds.order_by("target_id").values_list("target_id", flat=True)[:BATCH_ROWS])
        if not ids:
            return _Step(None)
        last = ids[-1]
        batch = olds.filter(target_id__lte=last)
        step = _Step(last)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":  # which knows nothing of the size of tables that were just filled
                for name in ("enable_hashjoin", "enable_mergejoin", "enable_material", "enable_sort", "jit"):
                    cursor.execute(f"SET LOCAL {name} = off")
            step.removed += self._remove_gone(last) + self._free_keys(cursor, last)
            cursor.execute(self._restore_sql(), self._range(last))
            cursor.execute(self._became_sql(), [self.job_id, *self._range(last)])
            became = cursor.fetchall()
            if any(word != "restored" for _, word in became):
                pass_old_rows_on(self.job, self.target.table, self.after, last)
        told = Counter(word for _, word in became)
        step.done, step.restored, step.kept = len(became), told["restored"], told["kept"]
        step.kept_ids = [row_id for row_id, word in became if word == "kept"][:LISTED]
        batch.delete()
        return step

    def _remove_gone(self, last: int) -> int:
        """Remove what another import had put in and this one changed last: that one was taken back before. Gives how many."""
        gone = find_gone(self.job, self.target.table, self.after, last)
        removed, _ = self.target.model._default_manager.filter(pk__in=gone).delete() if gone else (0, {})
        return removed

    def _range(self, last: int) -> list[Any]:
        return [self.job_id, self.target.table, self.after, last]

    def _free_keys(self, cursor: Any, last: int) -> int:
        """Remove the rows that have the old key of another one, where the job itself inserted them. Gives how many.

        They would go in any case; as long as they are there, the other one cannot have its key back.
        """
        cursor.execute(
            f"SELECT {_old('match_key')} FROM rowmill_oldrow AS o, {self.target.table} AS c {_THESE} "
            f"AND c.revision = o.revision AND c.match_key <> {_old('match_key')}",
            self._range(last),
        )
        keys = [row[0] for row in cursor.fetchall()]
        removed, _ = self._inserted().filter(revision=1, match_key__in=keys).delete() if keys else (0, {})
        return removed

    def _became_sql(self) -> str:
        """Write the query for what became of the rows: restored, kept, the job's own (told later), gone before."""
        return (
            f"SELECT o.target_id, CASE WHEN c.id IS NULL THEN 'gone' WHEN c.created_job_id = %s THEN 'own' "
            f"WHEN c.revision = CAST({_old('revision')} AS integer) THEN 'restored' ELSE 'kept' END "
            f"FROM rowmill_oldrow AS o LEFT JOIN {self.target.table} AS c ON c.id = o.target_id "
            "WHERE o.job_id = %s AND o.target = %s AND o.target_id > %s AND o.target_id <= %s ORDER BY o.target_id"
        )

    def _restore_sql(self) -> str:
        """Write the statement that puts old values back where nobody has changed the row, nor taken its old key, since."""
        table = self.target.table
        columns = [field.column for field in self.target.model._meta.concrete_fields if not field.primary_key]
        # As a value, who has the old key is looked up in the index, row by row, whatever the planner thinks.
        key = _old("match_key")
        there, order = f"d.match_key = {key}", ""
        if connection.vendor == "postgresql":  # written as `Statements` seeks keys
            there, order = f"d.match_key >= {key} AND d.match_key <= {key}", " ORDER BY d.org_id, d.match_key"
        holder = f"SELECT d.id FROM {table} AS d WHERE d.org_id = c.org_id AND {there}{order}"
        where = f"{_THESE} AND c.revision = o.revision AND COALESCE(({holder} LIMIT 1), c.id) = c.id"
        if connection.vendor == "postgresql":
            sets = ", ".join(f"{name} = r.{name}" for name in columns)
            return (
                f"UPDATE {table} AS c SET {sets} FROM rowmill_oldrow AS o, "
                f"LATERAL jsonb_populate_record(NULL::{table}, o.old) AS r {where}"
            )
        sets = ", ".join(f"{name} = {_old(str(name))}" for name in columns)
        return f"UPDATE {table} AS c SET {sets} FROM rowmill_oldrow AS o {where}"

    # ---------------------------------------------------------------------------------------- new rows

    def remove(self) -> _Step:
        """Remove what the job inserted and nobody changed, of the table's next rows, whosoever they are."""
        rows = self.target.model._default_manager.filter(pk__gt=self.after).order_by("pk")
        ids = list(rows.values_list("pk", flat=True)[:BATCH_ROWS])
        if not ids:
            return _Step(None)
        last = ids[-1]
        found = self._inserted().filter(pk__gt=self.after, pk__lte=last)
        removed, _ = found.filter(revision=1).delete()
        kept = list(found.order_by("pk").values_list("pk", flat=True))
        if self.whole:
            pass_new_rows_on(self.job, self.target.table, kept)
        return _Step(last, removed + len(kept), removed, 0, len(kept), kept[:LISTED])

    def _inserted(self) -> QuerySet[Merged]:
        """Give what the job inserted."""
        return self.target.model._default_manager.filter(org_id=self.job.org_id, created_job_id=self.job_id)


# The old rows of a batch, each with its row of the table.
_THESE = "WHERE o.job_id = %s AND o.target = %s AND o.target_id > %s AND o.target_id <= %s AND c.id = o.target_id"


def _old(name: str) -> str:
    """Give a column of a row as it was."""
    return f"(o.old ->> '{name}')" if connection.vendor == "postgresql" else f"json_extract(o.old, '$.{name}')"
