"""The second step: inspects a file in a limited child and says READY or REJECTED with what is wrong, where."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from rowmill import audit
from rowmill.contracts import Balance, Finding, Inspection
from rowmill.errors import ChildError, LostLease
from rowmill.faults import fault_point
from rowmill.models import FindingRecord, Upload, UploadSession, UploadState
from rowmill.models.text import storable, without_nul
from rowmill.registry import get_kind
from rowmill.storage import open_assembly
from rowmill.tabular.child import inspect_in_child
from rowmill.uploads.mending import make_bytes, needs_bytes
from rowmill.uploads.places import get_storage, hold_original, original_key, publish_original, publish_table
from rowmill.uploads.purge import purge_upload
from rowmill.uploads.receive import inspect_lease, is_for_precheck
from rowmill.uploads.remembered import mapped_as_before
from rowmill.uploads.rules import child_limits, make_scratch, rules_of_upload

log = structlog.get_logger("rowmill.uploads")
REFUSED_KEPT = timedelta(hours=24)
KEPT_FINDINGS = 1000
IMPORT_SECONDS = 1.0  # most small imports are over by then; starting a child takes a core a third of a second


def claim_upload(upload_id: int) -> Upload | None:
    """Take an upload that has no inspector yet, or whose inspector died. Gives None where somebody else has it."""
    changed = Upload.objects.filter(pk=upload_id, state=UploadState.CHECKING, lease_until__lt=Now()).update(
        claims=F("claims") + 1, lease_until=Now() + inspect_lease()
    )
    return Upload.objects.select_related("org", "created_by").get(pk=upload_id) if changed else None


def claim_due_upload() -> Upload | None:
    """Take the upload that waits longest for an inspector. Gives None where none does.

    Cost: one read of an index where nothing is due.
    """
    for _ in range(3):  # another may have been faster
        due = Upload.objects.filter(state=UploadState.CHECKING, lease_until__lt=Now()).order_by("lease_until")
        upload_id = due.values_list("pk", flat=True).first()
        if upload_id is None:
            return None
        if (upload := claim_upload(upload_id)) is not None:
            return upload
    return None


def inspect_upload(upload: Upload) -> Upload:
    """Judge a CHECKING upload that this caller holds: READY with its columnar copy, or REJECTED with its findings.

    The verdict is written when what it speaks of is durable in the storage: the original, and the copy of a sound file.
    Raises: LostLease where another took it over meanwhile (nothing is written then); StorageFault; FileNotFoundError
    where the original is neither in the storage nor in this machine's spool.
    A mended copy gets its bytes first. Again: yes, by whoever claims it.
    """
    if needs_bytes(upload) and (stopped := mend_bytes(upload)) is not None:
        return refuse_unread(upload, stopped)
    need_hash(upload)
    if (wrong := find_other_bytes(upload, upload.sha256)) is not None:
        return refuse_unread(upload, wrong)
    scratch = make_scratch()
    try:
        inspection = _look(upload, scratch / "table.parquet")
        fault_point("inspected")
        renew_lease(upload)
        publish_original(upload)
        table: dict[str, str] = {}
        if inspection.verdict == "sound":
            table = publish_table(upload, scratch / "table.parquet")
            fault_point("copied")
        write_verdict(upload, inspection, table, keep=not is_for_precheck(upload.intent))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    fault_point("judged")
    upload.refresh_from_db()
    return upload


def mend_bytes(upload: Upload) -> Finding | None:
    """Make a mended copy's bytes and write down what they are. Gives why not, where it cannot be. Raises: LostLease."""
    made = make_bytes(upload)
    if isinstance(made, Finding):
        return made
    with transaction.atomic():
        renew_lease(upload, **made)
        done = made["inspection"]["mended"]
        counts = {"places": sum(done["applied"].values()), "left_out": done["left_out"]}
        audit.record(upload.org, None, "upload.mended", "upload", upload.public_id, **counts)
    upload.refresh_from_db()
    return None


def need_hash(upload: Upload) -> None:
    """Hash a file whose bytes nobody here has seen yet, while it is fetched. Raises: LostLease, FileNotFoundError."""
    if not upload.sha256:
        upload.sha256 = open_assembly(get_storage()).digest(original_key(upload), _keeper(upload))
        renew_lease(upload, sha256=upload.sha256)


def _keeper(upload: Upload) -> Callable[[], None]:
    """Give what renews the lease on the way: a large file may take longer than one lasts."""
    step = inspect_lease().total_seconds() / 3
    due = time.monotonic() + step

    def keep() -> None:
        nonlocal due
        if time.monotonic() > due:
            due = time.monotonic() + step
            renew_lease(upload)

    return keep


def find_other_bytes(upload: Upload, sha256: str) -> Finding | None:
    """Give the finding for a file that is not what its sender said it would be."""
    declared = UploadSession.objects.filter(upload=upload).values_list("sha256", flat=True).first()
    if not declared or declared == sha256:
        return None
    return Finding(
        code="hash_mismatch",
        severity="error",
        message="What arrived is not the file that was announced: its SHA-256 is another one.",
        mend="Send the file again, from its start.",
    )


def refuse_unread(upload: Upload, finding: Finding) -> Upload:
    """Refuse a file unread, and remove its bytes: they are nobody's."""
    write_verdict(upload, Inspection(verdict="unsound", dialect=None, balance=Balance(), findings=(finding,)), {})
    upload.refresh_from_db()
    purge_upload(upload)
    upload.refresh_from_db()
    return upload


def note_lost(upload: Upload, message: str) -> None:
    """Write down why an upload that this caller holds cannot be judged, before it is abandoned."""
    finding = Finding("cannot_be_read", "error", message, mend="Send the file again.")
    with transaction.atomic():
        if Upload.objects.filter(pk=upload.pk, state=UploadState.CHECKING, claims=upload.claims).exists():
            FindingRecord.objects.filter(upload=upload).delete()
            _as_record(upload, 0, finding).save()
            audit.record(upload.org, None, "upload.lost", "upload", upload.public_id)


def renew_lease(upload: Upload, **learnt: Any) -> None:
    """Hold the upload for as long as the next step may take, and write down what was learnt. Raises: LostLease."""
    if not Upload.objects.filter(pk=upload.pk, state=UploadState.CHECKING, claims=upload.claims).update(
        lease_until=Now() + inspect_lease(), **learnt
    ):
        raise LostLease


def _look(upload: Upload, table_out: Path) -> Inspection:
    """Run the child; where it dies, refuse the file in words."""
    try:
        with hold_original(upload) as path:
            rules, limits = rules_of_upload(upload), child_limits()
            limits["rest_seconds"] = IMPORT_SECONDS if upload.kind and get_kind(upload.kind).merges else 0.0
            return inspect_in_child(path, rules, table_out=table_out, on_verdict=partial(note_found, upload), **limits)
    except ChildError as error:
        log.warning("inspection died", upload_id=str(upload.public_id), error_type=type(error).__name__)
        return cannot_be_read(str(error))


def note_found(upload: Upload, inspection: Inspection) -> None:
    """Write down that a file is sound before its copy is made, which takes longer than judging it. Raises: LostLease."""
    if inspection.verdict == "sound":
        found = {"rows": inspection.row_count, "columns": len(inspection.header)}
        renew_lease(upload, inspection=upload.inspection | {"found": found})


def cannot_be_read(words: str) -> Inspection:
    """Give the verdict on a file that could not be read to its end."""
    mend = "Save the file again as CSV in UTF-8 from the program that made it, or split it, and send that."
    finding = Finding("cannot_be_read", "error", words, mend=mend)
    return Inspection(verdict="unsound", dialect=None, balance=Balance(), findings=(finding,))


@transaction.atomic
def write_verdict(upload: Upload, inspection: Inspection, table: dict[str, str], *, keep: bool = True) -> None:
    """Write state, facts and findings together, if the upload is still ours.

    Not `keep`: its bytes are due to go like a refused file's, even if it is sound. Raises: LostLease.
    """
    sound = inspection.verdict == "sound"
    facts = replace(inspection, findings=()).to_json()
    facts.pop("findings")
    if mended := upload.inspection.get("mended"):
        facts["mended"] = mended
    if table:
        facts["table"] = table
    changed = Upload.objects.filter(pk=upload.pk, state=UploadState.CHECKING, claims=upload.claims).update(
        state=UploadState.READY if sound else UploadState.REJECTED,
        header=storable(inspection.header),
        **storable(mapped_as_before(upload, inspection.header, inspection.mapping)),
        inspection=storable(facts),
        row_count=inspection.row_count,
        checked_at=timezone.now(),
        lease_until=None,
        purge_after=None if sound and keep else timezone.now() + REFUSED_KEPT,
    )
    if changed != 1:
        raise LostLease
    fault_point("judging")
    FindingRecord.objects.filter(upload=upload).delete()
    FindingRecord.objects.bulk_create(
        _as_record(upload, position, finding) for position, finding in enumerate(inspection.findings[:KEPT_FINDINGS])
    )
    verb = "upload.ready" if sound else "upload.rejected"
    audit.record(upload.org, None, verb, "upload", upload.public_id, rows=inspection.row_count)
    log.info(
        "upload judged",
        upload_id=str(upload.public_id),
        kind=upload.kind,
        outcome=inspection.verdict,
        seconds=inspection.seconds,
        bytes=upload.size_bytes,
        rows=inspection.row_count,
        count=len(inspection.findings),
    )


def _as_record(upload: Upload, position: int, finding: Finding) -> FindingRecord:
    """Turn a finding into its row."""
    return FindingRecord(
        org_id=upload.org_id,
        upload=upload,
        position=position,
        code=finding.code,
        severity=finding.severity,
        message=without_nul(finding.message),
        line=finding.line,
        row=finding.row,
        column=finding.column,
        column_name=without_nul(finding.column_name or "")[:300],
        byte=finding.byte,
        mend=without_nul(finding.mend),
        count=finding.count,
    )


def as_finding(record: FindingRecord) -> Finding:
    """Turn a row back into a finding."""
    return Finding(
        code=record.code,
        severity="error" if record.severity == "error" else "warning",
        message=record.message,
        line=record.line,
        row=record.row,
        column=record.column,
        column_name=record.column_name or None,
        byte=record.byte,
        mend=record.mend,
        count=record.count,
    )
