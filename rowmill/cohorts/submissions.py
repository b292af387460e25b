"""The cohort line's own things: makes, finds and removes cohorts, submissions and their tables."""

from __future__ import annotations

import re
from uuid import UUID

from django.db import IntegrityError, transaction

from rowmill import audit
from rowmill.errors import InputError, NotFound, StateError
from rowmill.models import (
    Cohort,
    SessionState,
    Submission,
    SubmissionTable,
    Upload,
    UploadSession,
    UploadState,
)
from rowmill.models.text import without_nul
from rowmill.orgs import Caller, fetch, own
from rowmill.uploads.purge import purge_upload
from rowmill.uploads.receive import abandon_upload
from rowmill.uploads.sessions import cancel_session

TABLE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}\Z")
RESERVED = frozenset({"upload", "delete", "tables", "status"})  # words of our own addresses


def create_cohort(caller: Caller, name: str) -> Cohort:
    """Make a cohort. Raises: NotAllowed; InputError bad_name, name_taken."""
    caller.need_write()
    try:
        with transaction.atomic():
            cohort = Cohort.objects.create(org=caller.org, name=_clean(name), created_by=caller.user)
            audit.record(caller.org, caller.user, "cohort.create", "cohort", cohort.public_id)
    except IntegrityError:
        raise InputError("There is a cohort of this name already.", code="name_taken", field="name") from None
    return cohort


def create_submission(caller: Caller, cohort: Cohort, name: str, patient_table: str = "patient") -> Submission:
    """Make a submission, with its patient table. Raises: NotAllowed; InputError bad_name, name_taken."""
    caller.need_write()
    try:
        with transaction.atomic():
            submission = Submission.objects.create(
                org=caller.org, cohort=cohort, name=_clean(name), created_by=caller.user
            )
            audit.record(caller.org, caller.user, "submission.create", "submission", submission.public_id)
            add_table(caller, submission, patient_table, is_patient_table=True)
    except IntegrityError:
        raise InputError(
            "There is a submission of this name in the cohort already.", code="name_taken", field="name"
        ) from None
    return submission


def add_table(
    caller: Caller, submission: Submission, name: str, id_column: str = "", *, is_patient_table: bool = False
) -> SubmissionTable:
    """Add a table. `id_column`: the header of its patient IDs, where that is no usual spelling of patient_id.

    Raises: NotAllowed; InputError bad_name, name_taken.
    """
    caller.need_write()
    name = name.strip().lower().replace(" ", "_")
    if not TABLE_NAME.match(name) or name in RESERVED:
        raise InputError(
            "A table's name is a word of small letters, digits, - and _ that begins with a letter, such as lab_results.",
            code="bad_name",
            field="name",
        )
    try:
        with transaction.atomic():
            table = SubmissionTable.objects.create(
                org=caller.org,
                submission=submission,
                name=name,
                id_column=without_nul(id_column).strip()[:120],
                is_patient_table=is_patient_table,
            )
            audit.record(caller.org, caller.user, "table.create", "submission", submission.public_id, table=name)
    except IntegrityError:
        raise InputError("There is a table of this name already.", code="name_taken", field="name") from None
    return table


def _clean(name: str) -> str:
    """Give a name as it is kept. Raises: InputError bad_name."""
    kept = "".join(char for char in name if char.isprintable()).strip()
    if not kept or len(kept) > 120:
        raise InputError("A name has 1 to 120 characters.", code="bad_name", field="name")
    return kept


# ------------------------------------------------------------------------------------------------ find


def fetch_submission(caller: Caller, public_id: UUID | str) -> Submission:
    """Give one submission of the caller's org. Raises: NotFound."""
    return fetch(caller, own(caller, Submission).select_related("cohort", "org"), public_id)


def fetch_table(caller: Caller, public_id: UUID | str, name: str) -> SubmissionTable:
    """Give one table of a submission of the caller's org. Raises: NotFound."""
    submission = fetch_submission(caller, public_id)
    tables = own(caller, SubmissionTable).select_related("org", "submission__cohort", "upload__created_by", "accepted")
    table = tables.filter(submission=submission, name=name).first()
    if table is None:
        raise NotFound("There is no such table in this submission.")
    return table


def patient_table_of(submission: Submission) -> SubmissionTable:
    """Give the table that registers a submission's patient IDs."""
    return SubmissionTable.objects.select_related("accepted").get(submission=submission, is_patient_table=True)


# ------------------------------------------------------------------------------------------------ remove


def delete_table(caller: Caller, table: SubmissionTable) -> None:
    """Remove a table with all its files. Raises: NotAllowed; StateError for a patient table that others rely on."""
    caller.need_write()
    if table.is_patient_table and table.submission.tables.exclude(pk=table.pk).exists():
        raise StateError("The other tables rely on the patient table. Delete them first, or the whole submission.")
    _remove([table], caller)


def delete_submission(caller: Caller, submission: Submission) -> None:
    """Remove a submission with all its tables and files; who touched them stays in the trail. Raises: NotAllowed."""
    caller.need_write()
    while not _drop_empty(submission, caller):  # somebody may add a table meanwhile
        _remove(list(submission.tables.select_related("org", "submission", "upload", "accepted")), caller)


@transaction.atomic
def _drop_empty(submission: Submission, caller: Caller) -> bool:
    """Remove a submission that has no table (any more), so that no file is left that belongs to none."""
    Submission.objects.select_for_update().filter(pk=submission.pk).first()  # nobody adds one from here on
    if submission.tables.exists():
        return False
    audit.record(caller.org, caller.user, "submission.delete", "submission", submission.public_id)
    submission.delete()
    return True


def delete_cohort(caller: Caller, cohort: Cohort) -> None:
    """Remove a cohort that has no submission. Raises: NotAllowed, StateError."""
    caller.need_write()
    with transaction.atomic():
        Cohort.objects.select_for_update().filter(pk=cohort.pk).first()  # nobody adds a submission from here on
        if cohort.submissions.exists():
            raise StateError("This cohort has submissions. Delete them first.")
        audit.record(caller.org, caller.user, "cohort.delete", "cohort", cohort.public_id)
        cohort.delete()


def _remove(tables: list[SubmissionTable], caller: Caller) -> None:
    """Remove tables, then their bytes: a file that is still being checked loses its table first, so that nothing comes of it."""
    for table in tables:
        with transaction.atomic():
            held = SubmissionTable.objects.select_for_update(of=("self",)).select_related("upload", "accepted")
            now = held.filter(pk=table.pk).first()  # a file may have come meanwhile
            if now is None:
                continue
            uploads = [upload for upload in (now.upload, now.accepted) if upload is not None]
            name = f"{table.submission.public_id}"
            audit.record(caller.org, caller.user, "table.delete", "submission", name, table=table.name)
            table.delete()
        for upload in {upload.pk: upload for upload in uploads}.values():
            remove_upload(upload, caller)


def remove_upload(upload: Upload, caller: Caller) -> None:
    """Remove a file and all that was made of it, whatever state it is in. Again: yes."""
    session = (
        UploadSession.objects.select_related("upload", "org").filter(upload=upload, state=SessionState.OPEN).first()
    )
    if session is not None:
        cancel_session(caller, session)
    elif upload.state in (UploadState.RECEIVING, UploadState.CHECKING):
        abandon_upload(upload)
    purge_upload(upload, caller.user)
