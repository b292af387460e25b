"""Beside a cohort table's flow: what its upload's turns mean for the table, and when its file is to be checked anew."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from rowmill import audit
from rowmill.models import WORKING_STATES, Submission, SubmissionTable, TableState, Upload, UploadState

# What a table's row says of its latest file.
OF_THE_FILE = (
    "state",
    "row_count",
    "id_count",
    "unknown_count",
    "unknown_rows",
    "causes",
    "code",
    "message",
    "seconds",
)
NOT_ARRIVED = "The last file did not arrive whole, so nothing of it was kept. Send it again."
NOT_FITTING = "The file of this table does not fit the patient file any more."
LOST = "The file of this table is not in the storage any more. Send it again."
JUDGED = (UploadState.READY, UploadState.REJECTED)


def note_before(table: SubmissionTable) -> dict[str, Any]:
    """Give what a table's row says of its file, as JSON types: it stands there again if the next one does not arrive."""
    checked_at = table.checked_at.isoformat() if table.checked_at else None
    return {"upload": table.upload_id, "checked_at": checked_at, **{name: getattr(table, name) for name in OF_THE_FILE}}


def follow_upload(upload: Upload, state: str) -> None:
    """Say on the table whose file this is that it is all here, or will never be; call it in that transaction. Again: yes."""
    mine = SubmissionTable.objects.filter(upload=upload)
    if state == UploadState.CHECKING:
        mine.filter(state=TableState.UPLOADING).update(state=TableState.CONVERTING)
        return
    in_use = SubmissionTable.objects.filter(accepted=upload)  # its bytes were lost before it was checked anew
    in_use.update(accepted=None, accepted_at=None, accepted_rows=None, accepted_ids=None, files={})
    table = mine.select_related("submission").filter(state__in=WORKING_STATES).first()
    if table is not None:
        _go_back(table, upload)


def _go_back(table: SubmissionTable, upload: Upload) -> None:
    """Bring a table back to what it was before a file that did not arrive."""
    before = dict(Upload.objects.get(pk=upload.pk).inspection.get("before") or {})
    changes: dict[str, Any] = {"state": TableState.READY if table.accepted_id else TableState.EMPTY}
    if before and Upload.objects.filter(pk=before["upload"]).exclude(state=UploadState.ABORTED).exists():
        at = before.pop("checked_at")
        changes |= {"upload_id": before.pop("upload"), "checked_at": parse_datetime(at) if at else None, **before}
        if changes["state"] == TableState.READY and changes["upload_id"] != table.accepted_id:
            # Refused against a new patient file while the other one came in: it is judged anew, to say why.
            changes |= {"state": TableState.REJECTED, "code": "unknown_ids", "message": NOT_FITTING}
    else:
        changes |= {"row_count": table.accepted_rows, "id_count": table.accepted_ids, "unknown_count": 0}
    if changes["state"] != TableState.REJECTED:
        changes |= {"message": NOT_ARRIVED if before else LOST, "code": "not_arrived"}
    SubmissionTable.objects.filter(pk=table.pk, upload=upload).update(**changes)
    transaction.on_commit(partial(_check_anew_alone, table))  # the patient file may be another one by now


def _check_anew_alone(table: SubmissionTable) -> None:
    """Do so in a transaction of its own: the one before it holds locks in another order."""
    with transaction.atomic():
        check_anew(table.submission, only=table)


# ------------------------------------------------------------------------------------------------ checking anew


def check_anew(submission: Submission, only: SubmissionTable | None = None) -> list[Upload]:
    """Have the files checked anew that were compared with another patient file than the one in use; call it in a transaction.

    Of each table that is its latest file where unknown IDs had it refused, and the file in use. Whoever claims such an
    upload judges it as any that came in; the table waits in VALIDATING. Gives the uploads that are due. Again: yes.
    """
    tables = SubmissionTable.objects.select_related("accepted", "upload", "org").filter(submission=submission)
    patients = tables.filter(is_patient_table=True).first()
    if patients is None or patients.accepted is None:
        return []
    others = tables.filter(is_patient_table=False).order_by("pk")
    due = []
    for table in others if only is None else others.filter(pk=only.pk):
        due += [upload for upload in _stale(table, patients) if _make_due(upload, table, patients.accepted)]
    return due


def _stale(table: SubmissionTable, patients: SubmissionTable) -> list[Upload]:
    """Give the uploads of a table that stand there by the word of another patient file."""
    found, latest = [], table.upload
    refused = table.state == TableState.REJECTED and table.code == "unknown_ids"
    checked_at, replaced_at = table.checked_at, patients.accepted_at
    if refused and latest is not None and checked_at and replaced_at and replaced_at > checked_at:
        found.append(latest)
    if table.accepted is not None and table.checked_against_id != patients.accepted_id:
        found.append(table.accepted)
    return found


def _make_due(upload: Upload, table: SubmissionTable, patients: Upload) -> bool:
    """Let a judged upload wait for an inspector again, where its bytes are here. Gives False where they are not."""
    here = Upload.objects.filter(pk=upload.pk, state__in=JUDGED, purged_at=None)
    alive = here.filter(Q(purge_after=None) | Q(purge_after__gt=timezone.now()))
    if not alive.update(state=UploadState.CHECKING, lease_until=Now() - timedelta(seconds=1), purge_after=None):
        return False
    latest = SubmissionTable.objects.filter(pk=table.pk, upload=upload)
    latest.filter(state__in=[TableState.READY, TableState.REJECTED]).update(
        state=TableState.VALIDATING, message="", code="", unknown_count=0, unknown_rows=0, causes={}
    )
    audit.record(
        upload.org, None, "table.recheck", "upload", upload.public_id,
        table=table.name, patients=str(patients.public_id),
    )  # fmt: skip
    return True
