"""After an import: somebody has it taken back; what it inserted goes, what it changed is as before, later changes stay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.utils import timezone

from rowmill import audit
from rowmill.doorbell import INTERACTIVE, ring
from rowmill.errors import StateError
from rowmill.faults import fault_point
from rowmill.models import FINAL_STATES, BatchMerge, Job, OldRow, Undo, UndoStage, UndoState, UndoWhat
from rowmill.orgs import Caller
from rowmill.registry import get_kind

log = structlog.get_logger("rowmill.merging")
UNDO_DAYS = 30
LEASE = timedelta(seconds=120)  # renewed by each batch
MOST_ATTEMPTS = 3  # claims in a row of which not one batch came
AT_WORK = (UndoState.WAITING, UndoState.RUNNING)
_VERBS = {UndoWhat.UNDO: "job.undo", UndoWhat.REMOVAL: "job.remove"}


# ------------------------------------------------------------------------------------------------ asking


def undo_job(caller: Caller, job: Job) -> Undo:
    """Have an import taken back in the background. Again: gives the undo that there is; one that failed goes on.

    Raises: NotAllowed; StateError while the job is at work, for a kind that merges nothing, and after 30 days.
    """
    return _ask(caller, job, UndoWhat.UNDO)


def remove_inserted(caller: Caller, job: Job) -> Undo:
    """Have what an import inserted and nobody changed since removed in the background, at any time; all else stays.

    Raises: NotAllowed; StateError while the job is at work, and for a kind that merges nothing.
    Again: gives the one that is at work; after its end it looks anew.
    """
    return _ask(caller, job, UndoWhat.REMOVAL)


def may_undo(job: Job) -> bool:
    """Tell whether an import can be taken back."""
    try:
        _need_undoable(job)
    except StateError:
        return False
    return get_kind(job.kind).merges and find_undo(job) is None


def find_undo(job: Job, what: str = UndoWhat.UNDO) -> Undo | None:
    """Give what is known of an import's undo, or of its removal."""
    return Undo.objects.select_related("undone_by").filter(job=job, what=what).first()


def need_no_undo(job: Job) -> None:
    """Raises: StateError where a job's rows are not to be tried again: what they would bring, nobody could take back."""
    if find_undo(job) is not None:
        raise StateError("This import was taken back, so its rows are not tried again. Send the file once more.")
    if Undo.objects.filter(job=job, state__in=AT_WORK).exists():
        raise StateError("What this import brought is being removed. Wait until that has ended.")


def is_at_work(undo: Undo | None) -> bool:
    """Tell whether an undo has not ended yet."""
    return undo is not None and undo.state in AT_WORK


def pace_of(undo: Undo) -> tuple[float | None, tuple[int, int] | None]:
    """Give how fast an undo is. Shape: rows per minute, and (at best, at worst) the seconds left; None while nobody knows."""
    if not is_at_work(undo) or not undo.seconds or not undo.rows_done:
        return None, None
    per_second = undo.rows_done / undo.seconds
    left = max(undo.rows - undo.rows_done, 0) / per_second
    return round(per_second * 60, 1), (max(1, round(left * 0.85)), max(1, round(left * 1.3)))


def drop_old_rows() -> int:
    """Remove the old values that are past their time: that of their job, since an undo needs all of it or none.

    Those of an undo that has not ended are left to it. Gives how many. Again: yes.
    """
    past = Now() - timedelta(days=UNDO_DAYS)
    begun = Undo.objects.filter(what=UndoWhat.UNDO).exclude(state=UndoState.DONE).values("job_id")
    due = OldRow.objects.filter(kept_at__lt=past, job__completed_at__lt=past).exclude(job_id__in=begun)
    gone, _ = due.delete()
    return gone


def _ask(caller: Caller, job: Job, what: UndoWhat) -> Undo:
    """Note that it is wanted, and ring."""
    caller.need_write()
    if not get_kind(job.kind).merges:
        raise StateError("This kind of job writes nothing that could be taken back.")
    with transaction.atomic():
        held = Job.objects.select_for_update(no_key=True, of=("self",)).get(pk=job.pk)
        undo = find_undo(held, what)
        if undo is not None and (undo.state in AT_WORK or (undo.state == UndoState.DONE and _is_all(undo, held))):
            return undo
        if undo is None and what == UndoWhat.UNDO:
            _need_undoable(held)
        else:
            _need_final(held)
        if undo is None:
            undo = _begin(caller, held, what)
        else:
            _begin_again(caller, undo)
        audit.record(caller.org, caller.user, _VERBS[what], "job", job.public_id)
        fault_point("undo_asking")
    fault_point("undo_asked")
    ring(INTERACTIVE)
    log.info("undo asked for", job_id=str(job.public_id), what=str(what), rows=undo.rows)
    return undo


def _is_all(undo: Undo, job: Job) -> bool:
    """Tell of what has ended whether nothing is left to do: a click on a page of before must not wipe what it came to."""
    if undo.what == UndoWhat.UNDO:
        return True
    target: Any = get_kind(job.kind).target  # type: ignore[attr-defined]
    return not target.model._default_manager.filter(org_id=job.org_id, created_job_id=job.pk).exists()


def _begin(caller: Caller, job: Job, what: UndoWhat) -> Undo:
    """Write it down, with about how many rows it is about."""
    merged: dict[str, Any] = BatchMerge.objects.filter(job=job).aggregate(new=Sum("inserted"), changed=Sum("updated"))
    new, changed = merged["new"] or 0, merged["changed"] or 0
    whole = what == UndoWhat.UNDO
    return Undo.objects.create(
        org_id=job.org_id, job=job, what=what, undone_by=caller.user,
        stage=UndoStage.RESTORE if whole else UndoStage.REMOVE, rows=new + changed if whole else new,
    )  # fmt: skip


def _begin_again(caller: Caller, undo: Undo) -> None:
    """Take up what failed where it stopped; a removal that has ended from the beginning, for what it kept.

    `removed` goes on from what was removed before: it is told of both together.
    """
    fields: dict[str, Any] = {"state": UndoState.WAITING, "attempts": 0, "lease_until": None, "error": ""}
    if undo.state == UndoState.DONE:
        fields |= {
            "after_id": 0, "rows": undo.kept, "rows_done": 0, "kept": 0, "kept_ids": [], "seconds": 0.0,
            "undone_at": None, "asked_at": timezone.now(), "undone_by": caller.user,
        }  # fmt: skip
    Undo.objects.filter(pk=undo.pk).update(**fields)
    undo.refresh_from_db()


def _need_final(job: Job) -> None:
    """Raises: StateError."""
    if job.state not in FINAL_STATES:
        raise StateError("This import is still at work. Wait until it has ended, or cancel it first.")


def _need_undoable(job: Job) -> None:
    """Raises: StateError."""
    _need_final(job)
    if job.completed_at is not None and job.completed_at < timezone.now() - timedelta(days=UNDO_DAYS):
        raise StateError(f"This import ended more than {UNDO_DAYS} days ago, so its old values are gone.")


# ------------------------------------------------------------------------------------------------ who does it


def due_undos() -> QuerySet[Undo]:
    """Find the undos that nobody does: new ones, and those whose worker died.

    Of an org's one at a time, in the order in which they were asked for: who takes back the newer import first wants what
    the older one changed before to be there when its turn comes.
    """
    earlier = Undo.objects.filter(org_id=OuterRef("org_id"), state__in=AT_WORK).order_by("asked_at", "pk")
    waiting = Undo.objects.filter(Q(lease_until=None) | Q(lease_until__lt=Now()), state__in=AT_WORK)
    return waiting.filter(pk=earlier.values("pk")[:1])


def claim_due_undo() -> Undo | None:
    """Take the undo that waits longest. Gives None where none is due. Cost: one read of an index then."""
    for undo_id in list(due_undos().order_by("touched_at", "pk").values_list("pk", flat=True)[:3]):
        mine = due_undos().filter(pk=undo_id)
        if mine.update(
            state=UndoState.RUNNING, claims=F("claims") + 1, attempts=F("attempts") + 1, lease_until=Now() + LEASE
        ):
            return Undo.objects.select_related("job__org", "undone_by").get(pk=undo_id)
    return None


def take_back_undos() -> None:
    """Make all due that are at work: at the start of the only process there is."""
    Undo.objects.filter(state=UndoState.RUNNING).update(lease_until=None)


def put_undo_off(undo: Undo, seconds: float = 0.0, *, attempt_spent: bool = False) -> None:
    """Let it be gone on with later, or at once, by whoever comes first. What its run may still write is refused."""
    until = Now() + timedelta(seconds=seconds) if seconds else None
    attempts = F("attempts") if attempt_spent else 0
    mine = Undo.objects.filter(pk=undo.pk, state=UndoState.RUNNING, claims=undo.claims)
    mine.update(state=UndoState.WAITING, lease_until=until, attempts=attempts)
