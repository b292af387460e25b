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
from django.utils import timezone

from rowmill import audit
from rowmill.cohorts.files import DATABASE, IDS, hold_file, keep_unknown, publish_file, remove_derived
from rowmill.cohorts.intake import ID_MEND, NEW_FILE
from rowmill.cohorts.submissions import patient_table_of
from rowmill.contracts import Column, Finding, Inspection
from rowmill.errors import ChildError, LostLease
from rowmill.faults import fault_point
from rowmill.models import SubmissionTable, TableState, Upload
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
from rowmill.uploads.purge import purge_upload
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
    table = SubmissionTable.objects.select_related("org", "submission").filter(upload=upload).first()
    if table is None:
        return usual(upload)
    remove_derived(upload)
    _move(upload, table, state=TableState.CONVERTING)
    scratch = make_scratch()
    try:
        if (stopped := _make_mended(upload, table, scratch)) is not None:
            return refuse_unread(upload, stopped)
        need_hash(upload)
        if (wrong := find_other_bytes(upload, upload.sha256)) is not None:
            return refuse_unread(upload, wrong)
        while not _check_once(upload, table, scratch):  # the patient file was replaced meanwhile
            remove_derived(upload)
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


def _check_once(upload: Upload, table: SubmissionTable, scratch: Path) -> bool:
    """Check a file against the patient file as it is now. Gives False where that is another one by the end."""
    judged = _judge(upload, table, scratch)
    fault_point("ids_checked")
    renew_lease(upload)
    publish_original(upload)
    files = {}
    if judged.accepted:
        files = {IDS: publish_file(upload, IDS, scratch / "ids")} if table.is_patient_table else {}
        files[DATABASE] = publish_file(upload, DATABASE, scratch / "database")
        fault_point("table_kept")
    old = _write(upload, table, judged, files)
    fault_point("table_judged")
    if old is None:
        return False
    _tell(upload, table, judged)
    for replaced in old:
        purge_upload(replaced)
    return True


def _move(upload: Upload, table: SubmissionTable, **changes: Any) -> None:
    """Say on the table how far its file is, under the fence. Raises: LostLease."""
    renew_lease(upload)
    if not SubmissionTable.objects.filter(pk=table.pk, upload=upload).update(**changes):
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


def _judge(upload: Upload, table: SubmissionTable, scratch: Path) -> _Judged:
    """Run the child; where it dies, the file is refused in words."""
    begun = time.perf_counter()
    known = None if table.is_patient_table else patient_table_of(table.submission).accepted
    request = _request(upload, table) | {
        "ids_out": str(scratch / "ids"),
        "database_out": str(scratch / "database"),
        "table": table.name,
        "unknown_limit": KEPT_UNKNOWN,
        "known": "",
    }
    try:
        with ExitStack() as held:
            request["path"] = str(held.enter_context(hold_original(upload)))
            if known is not None:
                request["known"] = str(held.enter_context(hold_file(patient_table_of(table.submission), IDS)))
            found = _run("check-ids", request, scratch, upload, table)
    except ChildError as error:
        log.warning("cohort check died", upload_id=str(upload.public_id), error_type=type(error).__name__)
        return _Judged(cannot_be_read(str(error)), {}, known, round(time.perf_counter() - begun, 3))
    inspection = Inspection.from_json(found["inspection"])
    return _Judged(inspection, found, known, round(time.perf_counter() - begun, 3))


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
        request["known"] = str(held.enter_context(hold_file(patient_table_of(table.submission), IDS)))
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
    if judged.known is not None and judged.accepted:
        patients = SubmissionTable.objects.select_for_update().get(submission=table.submission, is_patient_table=True)
        if patients.accepted_id != judged.known.pk:
            return None
    write_verdict(upload, _as_verdict(judged), {})
    fault_point("table_judging")
    current = SubmissionTable.objects.select_related("accepted").filter(pk=table.pk, upload=upload).first()
    if current is None:
        raise LostLease("The table of this file was deleted.")
    old = (current.accepted,) if judged.accepted and current.accepted is not None else ()
    changes = _changes(upload, judged)
    if judged.accepted:
        changes |= {"accepted": upload, "accepted_at": timezone.now(), "accepted_rows": judged.inspection.row_count}
        changes |= {"accepted_ids": judged.found["ids"], "files": files, "checked_against": judged.known}
    SubmissionTable.objects.filter(pk=table.pk).update(**changes)
    if judged.found.get("unknown_count"):
        keep_unknown(upload, judged.found["unknown"])
    Upload.objects.filter(pk__in=[one.pk for one in old]).update(purge_after=timezone.now())
    verb = "table.accept" if judged.accepted else "table.refuse"
    audit.record(
        upload.org, None, verb, "upload", upload.public_id,
        table=table.name, unknown=judged.found.get("unknown_count", 0), derived_files=len(files),
    )  # fmt: skip
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
