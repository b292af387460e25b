"""The stories of a cohort table: refused for lost IDs, mended, accepted; checked anew for other patients. Cut anywhere."""

from __future__ import annotations

import duckdb

from rowmill.cohorts.files import DATABASE, hold_file
from rowmill.cohorts.intake import mend_table, take_table_file
from rowmill.cohorts.status import is_working
from rowmill.cohorts.submissions import add_table, create_cohort, create_submission, fetch_table
from rowmill.jobs.arrive import inspect_due
from rowmill.jobs.sweep import sweep
from rowmill.models import AuditEvent, Submission, SubmissionTable, UnknownIds, Upload
from rowmill.orgs import Caller
from rowmill.uploads.places import folder_key, get_storage

PATIENTS = b"patient_id,sex\n0001,F\n0002,M\n"
LABS = b"patient_id,value\n1,7\n0002,8\n"
SOUND = b"patient_id,value\n0001,7\n0002,8\n"
FEWER = b"patient_id,sex\n0001,F\n"


def prepare_cohort(caller: Caller) -> None:
    """Make a submission with its patients."""
    submission = create_submission(caller, create_cohort(caller, "Heart"), "Spring")
    add_table(caller, submission, "labs")
    take_table_file(caller, fetch_table(caller, submission.public_id, "patient"), "patients.csv", [PATIENTS])
    assert inspect_due()


def tell_cohort(caller: Caller) -> None:
    """Send, mend, and see what came of it."""
    if not labs(caller).upload_id or not (labs(caller).accepted or labs(caller).code == "unknown_ids"):
        if not is_working(labs(caller)):
            take_table_file(caller, labs(caller), "labs.csv", [LABS])
        while inspect_due():
            pass
    if labs(caller).code == "unknown_ids":
        assert labs(caller).accepted is None
        mend_table(caller, labs(caller), ["leading-zeros"])
    while inspect_due():
        pass
    table = labs(caller)
    assert (table.state, table.unknown_count) == ("READY", 0)
    with hold_file(table, DATABASE) as path, duckdb.connect(str(path), read_only=True) as con:
        assert con.execute("SELECT * FROM labs").fetchall() == [(1, "0001", "7"), (2, "0002", "8")]
    Upload.objects.filter(state="REJECTED", purged_at=None).update(purge_after="2000-01-01T00:00:00+00:00")
    sweep()
    assert not UnknownIds.objects.exists()
    need_events()


def prepare_recheck(caller: Caller) -> None:
    """Make the same with a table that fits its patients."""
    prepare_cohort(caller)
    take_table_file(caller, labs(caller), "labs.csv", [SOUND])
    assert inspect_due()


def tell_recheck(caller: Caller) -> None:
    """Send other patients, and see that the table which fits no more is refused and leaves nothing that was made of it."""
    patients = fetch_table(caller, Submission.objects.get().public_id, "patient")
    if patients.accepted_rows == 2 and not is_working(patients):
        take_table_file(caller, patients, "fewer.csv", [FEWER])
    while inspect_due():
        pass
    table, patients = labs(caller), fetch_table(caller, patients.submission.public_id, "patient")
    assert (patients.state, patients.accepted_rows) == ("READY", 1)
    assert (table.state, table.code, table.accepted, table.files) == ("REJECTED", "unknown_ids", None, {})
    assert table.upload is not None
    assert [key.rsplit("/", 1)[1] for key in get_storage().keys(folder_key(table.upload))] == ["original"]
    rechecks = AuditEvent.objects.filter(verb="table.recheck", target_id=str(table.upload.public_id))
    assert rechecks.count() == 1
    sweep()
    need_events()


def labs(caller: Caller) -> SubmissionTable:
    """Give the table as it stands."""
    return fetch_table(caller, Submission.objects.get().public_id, "labs")


def need_events() -> None:
    """Hold the files on disk against the trail: none may be without the event of its making."""
    told = set()
    for event in AuditEvent.objects.order_by("position"):
        if event.verb in ("upload.begin", "file.create"):
            told.add((event.target_id, event.details.get("file", "original")))
        elif event.verb == "file.remove":
            told.discard((event.target_id, event.details["file"]))
        elif event.verb in ("upload.purge", "upload.abandon"):
            told = {one for one in told if one[0] != event.target_id}
    there = {tuple(key.split("/")[3:5]) for key in get_storage().keys("org")}
    assert there <= told, "a file is on disk that the trail does not know"
    assert {one for one in told - there if one[1].startswith("original")} == set(), (
        "the trail knows a file that is gone"
    )
