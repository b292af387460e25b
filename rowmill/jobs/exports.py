"""Rows to take home that take too long for a request: a workbook is asked for, made in the background, and kept for a day."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, BinaryIO

import structlog
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from rowmill import audit
from rowmill.doorbell import INTERACTIVE, ring
from rowmill.errors import Expired, NotAllowed, ObjectChanged, StateError, StorageFault
from rowmill.faults import fault_point
from rowmill.models import Export, ExportState, Job
from rowmill.orgs import Caller, hold_org, org_sealer, own
from rowmill.uploads.places import get_storage, need_room

log = structlog.get_logger("rowmill.jobs")
DIRECT_ROWS = 10_000  # up to here a workbook is made while its asker waits: some seconds
KEPT_HOURS = 24
MOST_KEPT = 20  # of an org, those under way included
LEASE = timedelta(seconds=120)  # renewed about every second
AT_WORK = (ExportState.WAITING, ExportState.RUNNING)


def request_export(caller: Caller, kind: str, asked: Mapping[str, Any], job: Job | None = None) -> Export:
    """Have a workbook made in the background. Again: gives the one that is at work, where it is asked for the same.

    `asked` is what the kind's `export_lines` understands, or which outcomes of the job's results.
    Raises: OutOfSpace; StateError too_many where the org keeps enough of them.
    """
    need_room()
    with transaction.atomic():
        hold_org(caller.org)
        kept = own(caller, Export).filter(state__in=(*AT_WORK, ExportState.DONE))
        for export in kept.filter(state__in=AT_WORK, kind=kind, job=job, asked_by=caller.user):
            if read_asked(export) == dict(asked):
                return export
        if kept.count() >= MOST_KEPT:
            words = (
                f"Your org keeps {MOST_KEPT} workbooks, which is the most. Delete one, or wait: each goes after a day."
            )
            raise StateError(words, code="too_many")
        export = Export(org=caller.org, kind=kind, job=job, asked_by=caller.user)
        export.asked = org_sealer(caller.org.pk).seal(json.dumps(dict(asked)).encode(), _place(export))
        export.save()
        audit.record(caller.org, caller.user, "export.ask", "export", export.public_id, kind=kind)
    fault_point("export_asked")
    ring(INTERACTIVE)
    return export


def read_asked(export: Export) -> dict[str, Any]:
    """Give what was asked for."""
    found: dict[str, Any] = json.loads(org_sealer(export.org_id).open(bytes(export.asked), _place(export)))
    return found


def list_exports(caller: Caller) -> QuerySet[Export]:
    """Give the workbooks of an org that are there or under way, newest first."""
    there = own(caller, Export).exclude(state=ExportState.GONE).order_by("-pk")
    return there.select_related("asked_by", "job__upload")


def is_at_work(export: Export) -> bool:
    """Tell whether it has not ended yet."""
    return export.state in AT_WORK


def kept_until(export: Export) -> Any:
    """Give when its bytes go; None while there are none."""
    return export.done_at + timedelta(hours=KEPT_HOURS) if export.state == ExportState.DONE and export.done_at else None


def seconds_left(export: Export) -> tuple[int, int] | None:
    """Give in how many seconds it may be there, at best and at worst; None while nobody knows."""
    if export.state != ExportState.RUNNING or not export.rows_done or export.begun_at is None:
        return None
    spent = (timezone.now() - export.begun_at).total_seconds()
    left = spent / export.rows_done * (export.rows - export.rows_done) + export.rows / 100_000  # and to pack it
    return max(1, round(left * 0.85)), max(2, round(left * 1.4))


def open_export(caller: Caller, export: Export) -> BinaryIO:
    """Open a finished workbook; the trail notes who took it. Raises: StateError while it is made; Expired; StorageFault."""
    deleted = export.job is not None and export.job.deleted_at is not None
    if export.state != ExportState.DONE or deleted:
        if export.state == ExportState.GONE or deleted:
            raise Expired("This workbook is not kept any more. Ask for it again.")
        raise StateError("This workbook is not ready yet. Ask again when it is.")
    try:
        with get_storage().hold(export.key, export.sha256) as path:
            file = path.open("rb")
    except (FileNotFoundError, ObjectChanged):
        raise Expired("This workbook is not kept any more. Ask for it again.") from None
    audit.record(export.org, caller.user, "export.download", "export", export.public_id, kind=export.kind)
    return file


def drop_export(caller: Caller, export: Export) -> None:
    """Stop making a workbook, or delete it. Raises: NotAllowed for an auditor who did not ask for it. Again: yes."""
    if not caller.may_write and export.asked_by_id != caller.user.pk:
        raise NotAllowed("An auditor deletes what they asked for themselves, and nothing else.")
    if _let_go(export):
        audit.record(caller.org, caller.user, "export.delete", "export", export.public_id, kind=export.kind)


def purge_due_exports(limit: int = 50) -> int:
    """Delete the workbooks that are a day old or of a deleted job, and what was asked of those that failed.

    Gives how many. Again: yes.
    """
    past = Now() - timedelta(hours=KEPT_HOURS)
    over = Export.objects.filter(state__in=(ExportState.DONE, ExportState.FAILED))
    over = over.filter(Q(done_at__lt=past) | Q(job__deleted_at__isnull=False))
    gone = 0
    for export in over.select_related("org")[:limit]:
        try:
            if _let_go(export):
                audit.record(export.org, None, "export.purge", "export", export.public_id, kind=export.kind)
                gone += 1
        except StorageFault as fault:
            log.warning("workbook not removed yet", export_id=str(export.public_id), cause=str(fault))
            break
    return gone


def _let_go(export: Export) -> bool:
    """Remove its bytes, then say so: what a crash cuts is due again. Raises: StorageFault."""
    if export.key:
        get_storage(patient=False).delete(export.key)
    there = Export.objects.filter(pk=export.pk).exclude(state=ExportState.GONE)
    return bool(there.update(state=ExportState.GONE, asked=b"", lease_until=None, done_at=timezone.now()))


# ------------------------------------------------------------------------------------------------ who makes it


def due_exports() -> QuerySet[Export]:
    """Find the workbooks that nobody makes: new ones, and those whose worker died."""
    return Export.objects.filter(Q(lease_until=None) | Q(lease_until__lt=Now()), state__in=AT_WORK)


def claim_due_export() -> Export | None:
    """Take the one that waits longest. Gives None where none is due. Cost: one read of an index then."""
    for export_id in list(due_exports().order_by("pk").values_list("pk", flat=True)[:3]):
        mine = due_exports().filter(pk=export_id)
        if mine.update(
            state=ExportState.RUNNING, claims=F("claims") + 1, attempts=F("attempts") + 1, lease_until=Now() + LEASE,
            rows=0, rows_done=0,
        ):  # fmt: skip
            return Export.objects.select_related("org", "asked_by", "job__upload", "job__org").get(pk=export_id)
    return None


def take_back_exports() -> None:
    """Make all due that are under way: at the start of the only process there is."""
    Export.objects.filter(state=ExportState.RUNNING).update(lease_until=None)


def put_export_off(export: Export, seconds: float = 0.0, *, attempt_spent: bool = False) -> None:
    """Let it be made later, or at once, by whoever comes first. What its run may still write is refused."""
    until = Now() + timedelta(seconds=seconds) if seconds else None
    attempts = F("attempts") if attempt_spent else F("attempts") - 1
    mine_of(export).update(state=ExportState.WAITING, lease_until=until, attempts=attempts)


def mine_of(export: Export) -> QuerySet[Export]:
    """Give the row for as long as it is this caller's."""
    return Export.objects.filter(pk=export.pk, state=ExportState.RUNNING, claims=export.claims)


def _place(export: Export) -> str:
    """Name what is sealed, so that it opens nowhere else."""
    return f"export|{export.public_id}"
