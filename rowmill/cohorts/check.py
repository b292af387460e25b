"""The second step of a cohort table: judges its file, checks its IDs against the patient file, keeps it as a database.

It runs under the upload's own lease: whoever claims the upload of one that died begins anew, and nothing is half-done.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from rowmill import audit
from rowmill.cohorts.files import DATABASE, IDS, hold_file, keep_unknown, publish_file, remove_derived
from rowmill.cohorts.following import check_anew
from rowmill.cohorts.intake import ID_MEND, NEW_FILE
from rowmill.cohorts.submissions import patient_table_of
from rowmill.contracts import Column, Finding, Inspection
from rowmill.doorbell import INTERACTIVE, ring
from rowmill.errors import ChildError, LostLease, ObjectChanged, StorageFault
from rowmill.faults import fault_point
from rowmill.models import SubmissionTable, TableState, UnknownIds, Upload, UploadState
from rowmill.registry import get_kind
from rowmill.tabular.child import run_in_child
from rowmill.uploads.inspect import (
    cannot_be_read,
    find_other_bytes,
    mend_bytes,
    need_hash,
    refuse_unread,
    renew_lease,
    write_verdict,
)
from rowmill.uploads.mending import needs_bytes
from rowmill.uploads.places import get_storage, hash_file, hold_original, original_key, publish_original
from rowmill.uploads.purge import purge_unless_copied
from rowmill.uploads.rules import child_limits, make_scratch, rules_of_upload

log = structlog.get_logger("rowmill.cohorts")
MALFORMED = "File appears invalid. Use Precheck Validation for diagnostics."
KEPT_UNKNOWN = 1000


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the child found, and the patient file that it was held against."""

    inspection: Inspection
    found: dict[str, Any]
    known: Upload | None
    seconds: float

    @property
    def malformed(self) -> bool:
        """Tell whether the file is no sound table; one bad row is enough."""
        return self.inspection.verdict != "sound" or self.inspection.rejected_rows > 0

    @property
    def accepted(self) -> bool:
        """Tell whether nothing is wrong with it."""
        return not self.malformed and not self.found.get("unknown_count")


def check_table_file(upload: Upload, usual: Callable[[Upload], Upload]) -> Upload:
    """Judge the CHECKING upload of a cohort table that this caller holds: READY with its database, or REJECTED.

    A file of the kind that is no table's, such as one that was prechecked and mended, is judged as is `usual`.

    Raises: LostLease where another took it over, or its table is gone; StorageFault; FileNotFoundError where its bytes
    are nowhere. Again: yes, by whoever claims it; what a dead one left of derived files goes first.
    """
    _adopt(upload)
    table = _find_table(upload)
    if table is None:
        return usual(upload)
    _remove_unkept(upload, table)
    if (
        table.state != TableState.VALIDATING
    ):  # where the file is checked anew, it is not converted again before one's eyes
        _move(upload, table, state=TableState.CONVERTING)
    scratch = make_scratch()
    try:
        if (stopped := _make_mended(upload, table, scratch)) is not None:
            return _refuse_unread(upload, table, stopped)
        need_hash(upload)
        if (wrong := find_other_bytes(upload, upload.sha256)) is not None:
            return _refuse_unread(upload, table, wrong)
        while not _check_once(upload, table, scratch):  # the patient file was replaced meanwhile
            _remove_unkept(upload, table)
    except (LostLease, SubmissionTable.DoesNotExist) as lost:  # the latter where the whole submission is gone
        if Upload.objects.filter(pk=upload.pk, purged_at__isnull=False).exists():
            remove_derived(upload)  # deleted while it was checked: what was made since then goes too
        raise LostLease("The table of this file was deleted, or another took it over.") from lost
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    upload.refresh_from_db()
    return upload


def _adopt(upload: Upload) -> None:
    """Make a mended copy of a table's refused file that table's latest file. Again: yes."""
    if upload.parent_id is not None:
        refused = SubmissionTable.objects.filter(upload=upload.parent_id, state=TableState.REJECTED)
        refused.update(upload=upload, **NEW_FILE)


def _find_table(upload: Upload) -> SubmissionTable | None:
    """Find the table whose latest file this is, or whose file in use, which is checked anew."""
    tables = SubmissionTable.objects.select_related("org", "submission")
    return tables.filter(upload=upload).first() or tables.filter(accepted=upload).first()


def _is_kept(upload: Upload, table: SubmissionTable) -> bool:
    """Tell whether this is the file in use, its database still there: it is checked anew and need not be made again."""
    database = table.files.get(DATABASE)
    return table.accepted_id == upload.pk and bool(database) and get_storage().stat(database["key"]) is not None


def _remove_unkept(upload: Upload, table: SubmissionTable) -> None:
    """Remove what a dead inspector, or an earlier round, made of this file; what is in use stays."""
    if not _is_kept(upload, table):
        remove_derived(upload)


def _check_once(upload: Upload, table: SubmissionTable, scratch: Path) -> bool:
    """Check a file against the patient file as it is now. Gives False where that is another one by the end."""
    kept = _is_kept(upload, table)
    judged = _judge(upload, table, scratch, kept=kept)
    fault_point("ids_checked")
    if kept and not judged.found:  # the child died: that is no word against a file that was accepted
        _leave(upload, table)
        return True
    renew_lease(upload)
    publish_original(upload)
    files = table.files if kept else {}
    if kept and not judged.accepted:
        remove_derived(upload)  # before the verdict, so that a crash in between leaves none of them behind
        fault_point("table_dropped")
    if judged.accepted and not kept:
        files = {IDS: publish_file(upload, IDS, scratch / "ids")} if table.is_patient_table else {}
        files[DATABASE] = publish_file(upload, DATABASE, scratch / "database")
        fault_point("table_kept")
    old = _write(upload, table, judged, files)
    fault_point("table_judged")
    if old is None:
        return False
    _tell(upload, table, judged)
    for replaced in old:
        purge_unless_copied(replaced)
    ring(INTERACTIVE)  # a new patient file has others checked anew
    return True


@transaction.atomic
def _leave(upload: Upload, table: SubmissionTable) -> None:
    """Leave a file in use as it is, compared with an earlier patient file; the page says so. Raises: LostLease."""
    renew_lease(upload)
    Upload.objects.filter(pk=upload.pk).update(state=UploadState.READY, lease_until=None)
    waiting = SubmissionTable.objects.filter(pk=table.pk, upload=upload)
    waiting.update(state=TableState.READY, row_count=table.accepted_rows, id_count=table.accepted_ids)
    audit.record(
        upload.org, None, "table.recheck", "upload", upload.public_id, table=table.name, outcome="not compared"
    )


def _refuse_unread(upload: Upload, table: SubmissionTable, finding: Finding) -> Upload:
    """Refuse a file unread; its table says so first, so that a crash in between leaves none that waits for ever."""
    _move(
        upload, table, state=TableState.REJECTED, message=finding.message, code="not_arrived", checked_at=timezone.now()
    )
    fault_point("table_judging")
    return refuse_unread(upload, finding)


def _move(upload: Upload, table: SubmissionTable, **changes: Any) -> None:
    """Say on the table how far its latest file is, under the fence. Raises: LostLease."""
    renew_lease(upload)
    latest = SubmissionTable.objects.filter(pk=table.pk, upload=upload).update(**changes)
    if not latest and not SubmissionTable.objects.filter(pk=table.pk, accepted=upload).exists():
        raise LostLease("The table of this file was deleted.")


# ------------------------------------------------------------------------------------------------ judge


def columns_of(table: SubmissionTable) -> tuple[Column, ...]:
    """Give the kind's columns, the IDs' one under the header that this table was set up with."""
    columns = get_kind("cohort_table").columns
    if not table.id_column:
        return columns
    return (replace(columns[0], aliases=(table.id_column,)), *columns[1:])


def _request(upload: Upload, table: SubmissionTable) -> dict[str, Any]:
    """Give what every errand of the child needs."""
    return {"rules": replace(rules_of_upload(upload), columns=columns_of(table)).to_json()}


def _judge(upload: Upload, table: SubmissionTable, scratch: Path, *, kept: bool) -> _Judged:
    """Run the child; where it dies, the file is refused in words. `kept`: its database is there and is not made again."""
    begun = time.perf_counter()
    known = None if table.is_patient_table else patient_table_of(table.submission).accepted
    request = _request(upload, table) | {
        "ids_out": str(scratch / "ids"),
        "database_out": "" if kept else str(scratch / "database"),
        "table": table.name,
        "unknown_limit": KEPT_UNKNOWN,
        "known": "",
    }
    try:
        with ExitStack() as held:
            request["path"] = str(held.enter_context(hold_original(upload)))
            if known is not None:
                request["known"] = str(_hold_known(held, table))
            found = _run("check-ids", request, scratch, upload, table)
    except ChildError as error:
        log.warning("cohort check died", upload_id=str(upload.public_id), error_type=type(error).__name__)
        return _Judged(cannot_be_read(str(error)), {}, known, round(time.perf_counter() - begun, 3))
    inspection = Inspection.from_json(found["inspection"])
    return _Judged(inspection, found, known, round(time.perf_counter() - begun, 3))


def _hold_known(held: ExitStack, table: SubmissionTable) -> Path:
    """Hold the IDs of the patient file. Raises: StorageFault where they are not there, or others: this file is not to blame.

    Most likely the patient file was replaced just now: the check is put off, and the next one reads those in use then.
    """
    try:
        return held.enter_context(hold_file(patient_table_of(table.submission), IDS))
    except (FileNotFoundError, ObjectChanged) as gone:
        raise StorageFault("The known IDs are not there just now.") from gone


def _run(op: str, request: dict[str, Any], scratch: Path, upload: Upload, table: SubmissionTable) -> dict[str, Any]:
    """Send the child on an errand; the table's row says how far it is."""

    def hear(told: dict[str, Any]) -> None:
        names = {"stage": "state", "rows": "row_count", "ids": "id_count"}
        _move(upload, table, **{names[name]: value for name, value in told.items() if name in names})

    return run_in_child(op, request, beside=scratch, on_told=hear, **child_limits())


def _make_mended(upload: Upload, table: SubmissionTable, scratch: Path) -> Finding | None:
    """Make the bytes of a mended copy of its parent's, where they are not made yet. Gives why not, where it cannot be.

    Raises: FileNotFoundError where the parent is gone.
    """
    if not needs_bytes(upload) or upload.parent is None:
        return None
    if not upload.mends[0].startswith(ID_MEND):
        return mend_bytes(upload)
    out = scratch / "mended"
    causes = [mend.removeprefix(ID_MEND) for mend in upload.mends]
    with ExitStack() as held:
        request = _request(upload.parent, table) | {"causes": causes, "out": str(out)}
        request["path"] = str(held.enter_context(hold_original(upload.parent)))
        request["known"] = str(_hold_known(held, table))
        found = _run("mend-ids", request, scratch, upload, table)
    upload.sha256, upload.size_bytes = hash_file(out), out.stat().st_size
    audit.record(
        upload.org, upload.created_by, "upload.mend", "upload", upload.public_id,
        parent=str(upload.parent.public_id), ids=found["ids"], rows=found["rows"],
    )  # fmt: skip
    get_storage().put_file(original_key(upload), out)
    fault_point("mended_made")
    renew_lease(upload, sha256=upload.sha256, size_bytes=upload.size_bytes)
    return None


# ------------------------------------------------------------------------------------------------ write


@transaction.atomic
def _write(upload: Upload, table: SubmissionTable, judged: _Judged, files: dict[str, Any]) -> tuple[Upload, ...] | None:
    """Write the verdict on the upload and on its table together. Gives the uploads that are of no use any more.

    None where the patient file is no longer the one that was compared with: nothing is written then. Raises: LostLease.
    """
    if judged.known is not None:
        patients = SubmissionTable.objects.select_for_update().get(submission=table.submission, is_patient_table=True)
        if patients.accepted_id != judged.known.pk:
            return None
    write_verdict(upload, _as_verdict(judged), {})
    fault_point("table_judging")
    of_this = Q(upload=upload) | Q(accepted=upload)
    current = SubmissionTable.objects.select_related("accepted").filter(of_this, pk=table.pk).first()
    if current is None:
        raise LostLease("The table of this file was deleted.")
    before = current.accepted
    old = (before,) if judged.accepted and before is not None and before.pk != upload.pk else ()
    changes = _changes(upload, judged) if current.upload_id == upload.pk else {}
    if judged.accepted:
        changes |= {"accepted": upload, "accepted_rows": judged.inspection.row_count, "files": files}
        changes |= {"accepted_ids": judged.found["ids"], "checked_against": judged.known}
        changes |= {"accepted_at": timezone.now()} if before is None or before.pk != upload.pk else {}
    elif before is not None and before.pk == upload.pk:  # it fits the patient file no more
        changes |= {"accepted": None, "accepted_rows": None, "files": {}, "accepted_ids": None, "accepted_at": None}
    SubmissionTable.objects.filter(pk=table.pk).update(**changes)
    if judged.found.get("unknown_count"):
        keep_unknown(upload, judged.found["unknown"])
    else:
        UnknownIds.objects.filter(upload=upload).delete()  # of an earlier patient file
    let_go = Upload.objects.filter(pk__in=[one.pk for one in old])
    let_go.filter(state=UploadState.CHECKING).update(
        state=UploadState.READY, lease_until=None
    )  # nobody needs its check
    let_go.update(purge_after=timezone.now())
    verb = "table.accept" if judged.accepted else "table.refuse"
    audit.record(
        upload.org, None, verb, "upload", upload.public_id,
        table=table.name, unknown=judged.found.get("unknown_count", 0), derived_files=len(files) if judged.accepted else 0,
    )  # fmt: skip
    if judged.accepted if table.is_patient_table else not judged.accepted:
        check_anew(table.submission, None if table.is_patient_table else table)
    return old


def _as_verdict(judged: _Judged) -> Inspection:
    """Give the inspection with what the cohort adds: one bad row, or an unknown ID, rejects the file."""
    if judged.accepted:
        return judged.inspection
    more = (Finding(**judged.found["finding"]),) if "finding" in judged.found else ()
    return replace(judged.inspection, verdict="unsound", findings=(*more, *judged.inspection.findings))


def _changes(upload: Upload, judged: _Judged) -> dict[str, Any]:
    """Give what the table's row says of its latest file."""
    found = judged.found
    message, code = "", ""
    if judged.malformed:
        message, code = MALFORMED, "malformed"
    elif not judged.accepted:
        message, code = str(found["finding"]["message"]), "unknown_ids"
    return {
        "state": TableState.READY if judged.accepted else TableState.REJECTED,
        "row_count": judged.inspection.row_count,
        "id_count": found.get("ids"),
        "unknown_count": found.get("unknown_count", 0),
        "unknown_rows": found.get("unknown_rows", 0),
        "causes": found.get("causes", {}),
        "message": message,
        "code": code,
        "checked_at": timezone.now(),
        "seconds": judged.seconds,
    }


def _tell(upload: Upload, table: SubmissionTable, judged: _Judged) -> None:
    """Log what became of a file, in ids and counts: the shares of accepted and refused ones come from here."""
    log.info(
        "cohort table judged",
        kind=upload.kind,
        upload_id=str(upload.public_id),
        outcome="accepted" if judged.accepted else "malformed" if judged.malformed else "unknown_ids",
        bytes=upload.size_bytes,
        rows=judged.inspection.row_count,
        count=judged.found.get("unknown_count", 0),
        seconds=judged.seconds,
    )
