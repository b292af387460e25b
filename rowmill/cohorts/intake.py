"""The first step of a cohort table: takes its file in, or has a mended copy made of the one that was refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from rowmill import audit
from rowmill.cohorts.following import note_before
from rowmill.doorbell import INTERACTIVE, ring
from rowmill.errors import InputError, OutOfSpace, StateError, StorageFault
from rowmill.faults import fault_point
from rowmill.models import WORKING_STATES, SessionState, SubmissionTable, TableState, Upload, UploadSession
from rowmill.orgs import Caller
from rowmill.uploads.mending import mended_name
from rowmill.uploads.places import publish_original
from rowmill.uploads.receive import abandon_upload, begin_upload, clean_name, finish_upload, receive_whole
from rowmill.uploads.sessions import cancel_session

log = structlog.get_logger("rowmill.cohorts")
KIND = "cohort_table"
LARGE_BYTES = 500_000_000
LARGE = (
    "This file is larger than 500 MB. It is read from the disk in pieces, so memory stays as it is, but it takes longer: "
    "count on some seconds for each 100 MB."
)
ID_MEND = "id-"  # what the mends of IDs begin with, in `Upload.mends`
# What a table's row says of a file of which nothing is known yet.
NEW_FILE: dict[str, Any] = {
    "state": TableState.CONVERTING, "row_count": None, "id_count": None, "unknown_count": 0, "unknown_rows": 0,
    "causes": {}, "code": "", "message": "", "checked_at": None, "seconds": None,
}  # fmt: skip
# What can be mended without guessing: each unknown ID has exactly one known ID that it can have been.
MENDABLE = ("leading-zeros", "spaces", "case", "decimal", "signs", "swapped", "near")


def most_bytes() -> int:
    """Give the most that a whole POST of a cohort table may weigh: what its kind is set to, else what any door takes."""
    of_kinds: dict[str, int] = settings.ROWMILL_KIND_UPLOAD_BYTES
    most: int = settings.ROWMILL_MAX_FILE_BYTES
    return of_kinds.get(KIND, most)


def need_takable(table: SubmissionTable) -> None:
    """Raises: StateError while a file of this table comes in or is checked, and while the patient table has no file yet."""
    if table.state == TableState.UPLOADING:
        raise StateError(
            "A file of this table is coming in. Wait until it is here, or cancel it on the table's page.",
            code="in_progress",
        )
    if table.state in WORKING_STATES:
        raise StateError("A file of this table is being checked. Wait until it is done.", code="in_progress")
    if not table.is_patient_table and not _has_patients(table):
        raise StateError(
            "There is no patient file yet. Send it first: it says which patient IDs there are.", code="no_patient_file"
        )


def _has_patients(table: SubmissionTable) -> bool:
    """Tell whether the submission's patient IDs are registered."""
    return table.submission.tables.filter(is_patient_table=True).exclude(accepted=None).exists()


def take_table_file(caller: Caller, table: SubmissionTable, name: str, chunks: Iterable[bytes]) -> SubmissionTable:
    """Take a whole file for a table and have a worker check it; the file in use stays in use until the new one is accepted.

    Raises: NotAllowed; StateError in_progress, no_patient_file; InputError too_large, empty_file; OutOfSpace,
    StorageFault.
    """
    caller.need_write()
    need_takable(table)
    upload = begin_upload(caller, KIND, name)
    _begin(caller, table, upload)
    size, sha256 = receive_whole(upload, chunks, most_bytes())
    try:
        publish_original(upload)  # whichever machine checks it finds it there
        with transaction.atomic():
            finish_upload(upload, size, sha256, leased=False)
            _advance(table, upload, TableState.CONVERTING)
    except (StorageFault, OutOfSpace, StateError):
        abandon_upload(upload)
        raise
    fault_point("table_taken")
    ring(INTERACTIVE)
    table.refresh_from_db()
    return table


def begin_sending(caller: Caller, table: SubmissionTable, open_session: Callable[[], UploadSession]) -> UploadSession:
    """Open a session by which a table's file comes in, in pieces; the table is UPLOADING until all of it is here.

    One that the same person began for this table and did not finish gives way, as nobody can finish both.
    Raises: NotAllowed; StateError in_progress, no_patient_file; all that `open_session` raises. Again: gives the same
    where `open_session` does.
    """
    caller.need_write()
    mine = find_sending(table).filter(created_by=caller.user).first()
    if mine is None:
        need_takable(table)
    session = open_session()
    if session.upload_id == table.upload_id:
        return session
    try:
        if mine is not None:
            cancel_session(caller, mine)
            table.refresh_from_db()
        _begin(caller, table, session.upload)
    except StateError:
        cancel_session(caller, session)
        raise
    fault_point("table_sending")
    return session


def find_sending(table: SubmissionTable) -> QuerySet[UploadSession]:
    """Find the session by which a table's latest file is coming in."""
    under_way = UploadSession.objects.exclude(state=SessionState.CLOSED).select_related("upload", "org", "created_by")
    return under_way.filter(upload=table.upload, org_id=table.org_id) if table.upload_id else under_way.none()


def cancel_sending(caller: Caller, table: SubmissionTable) -> None:
    """Give up the file that is coming in, whoever sends it; the table is again as it was before. Again: yes.

    Raises: NotAllowed; StateError where all of it is here already.
    """
    caller.need_write()
    for session in find_sending(table):
        cancel_session(caller, session)


def mend_table(caller: Caller, table: SubmissionTable, causes: Sequence[str]) -> SubmissionTable:
    """Have a copy made of a refused file in which the IDs of these causes are the known ones; it is checked as any file.

    The refused file stays as it is. Raises: NotAllowed; InputError no_cause; StateError where there is nothing to mend (any more).
    """
    caller.need_write()
    chosen = [cause for cause in MENDABLE if cause in causes and table.causes.get(cause)]
    if not chosen:
        raise InputError("Tick at least one cause that can be mended.", code="no_cause", field="cause")
    parent = table.upload
    if table.state != TableState.REJECTED or parent is None or parent.purged_at is not None:
        raise StateError("The refused file is not here any more. Send it again.")
    need_takable(table)
    with transaction.atomic():
        upload = Upload.objects.create(
            org=caller.org,
            kind=KIND,
            name=clean_name(mended_name(parent.name)),
            created_by=caller.user,
            parent=parent,
            mends=[ID_MEND + cause for cause in chosen],
        )
        audit.record(
            caller.org, caller.user, "upload.begin", "upload", upload.public_id, kind=KIND, parent=str(parent.public_id)
        )
        _begin(caller, table, upload)
        finish_upload(upload, 0, "", leased=False)  # whoever checks it makes its bytes first
        _advance(table, upload, TableState.CONVERTING)
    fault_point("table_mending")
    ring(INTERACTIVE)
    table.refresh_from_db()
    return table


def _begin(caller: Caller, table: SubmissionTable, upload: Upload) -> None:
    """Make an upload the table's latest. Raises: StateError where another one came first."""
    with transaction.atomic():
        held = SubmissionTable.objects.select_for_update().filter(pk=table.pk, upload=table.upload_id).first()
        changed = held is not None and held.state not in WORKING_STATES
        if held is not None and changed:
            upload.inspection = {"before": note_before(held)}
            upload.save(update_fields=["inspection"])
            SubmissionTable.objects.filter(pk=held.pk).update(
                upload=upload, **NEW_FILE | {"state": TableState.UPLOADING}
            )
            audit.record(
                caller.org, caller.user, "table.upload", "submission", table.submission.public_id,
                table=table.name, upload=str(upload.public_id),
            )  # fmt: skip
    if not changed:
        abandon_upload(upload)
        raise StateError("A file of this table is being checked. Wait until it is done.", code="in_progress")
    table.refresh_from_db()


def _advance(table: SubmissionTable, upload: Upload, state: str) -> None:
    """Say how far it is. Raises: StateError where the table went away meanwhile."""
    if not SubmissionTable.objects.filter(pk=table.pk, upload=upload).update(state=state):
        raise StateError("This table was deleted meanwhile.")
