"""A cohort table's file is accepted with its database, or refused with nothing left of it but the original."""

from __future__ import annotations

import duckdb
import pytest

from rowmill.cohorts.files import DATABASE, hold_file, read_unknown
from rowmill.cohorts.intake import mend_table, take_table_file
from rowmill.cohorts.submissions import delete_submission, delete_table, fetch_table
from rowmill.errors import InputError, NotAllowed, StateError
from rowmill.jobs.arrive import inspect_due
from rowmill.models import AuditEvent, SubmissionTable, TableState, UnknownIds, Upload, UploadState
from rowmill.orgs import find_caller
from rowmill.uploads.mending import mend_upload
from rowmill.uploads.places import folder_key, get_storage
from rowmill.uploads.purge import purge_upload
from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole
from tests.cohorts.conftest import BROKEN, DAMAGED, LABS, PATIENTS, stored

pytestmark = pytest.mark.django_db
MALFORMED = "File appears invalid. Use Precheck Validation for diagnostics."


def test_the_patient_table_registers_its_ids_and_another_table_is_kept_as_a_database(send):
    patients = send("patient", PATIENTS)
    assert (patients.state, patients.id_count, patients.accepted_rows) == (TableState.READY, 4, 4)
    assert stored(patients.upload) == {"original", "ids", "database"}
    labs = send("labs", LABS)
    assert (labs.state, labs.id_count, labs.row_count, labs.unknown_count) == (TableState.READY, 2, 3, 0)
    assert (labs.accepted, labs.checked_against, labs.upload.state) == (
        labs.upload,
        patients.accepted,
        UploadState.READY,
    )
    assert stored(labs.upload) == {"original", "database"}
    with hold_file(labs, DATABASE) as path, duckdb.connect(str(path), read_only=True) as con:
        rows = con.execute("SELECT * FROM labs ORDER BY row_number").fetchall()
    assert rows == [(1, "1", "0001", "7"), (2, "2", "0002", "9"), (3, "3", "0001", "8")]


def test_unknown_ids_stop_the_whole_table_and_leave_only_the_original(send):
    send("patient", PATIENTS)
    labs = send("labs", DAMAGED)
    assert (labs.state, labs.code, labs.unknown_count) == (TableState.REJECTED, "unknown_ids", 5)
    assert labs.message == "File contains 5 patient IDs not in patient file."
    assert labs.causes == {"leading-zeros": 1, "spaces": 1, "case": 1, "swapped": 1, "absent": 1}
    assert (labs.accepted, labs.files) == (None, {})
    assert stored(labs.upload) == {"original"}
    assert labs.upload.state == UploadState.REJECTED
    assert labs.upload.purge_after is not None
    found = {one.id: (one.cause, one.known, one.rows, one.line) for one in read_unknown(labs.upload)}
    assert found["2"] == ("leading-zeros", "0002", 2, 3)
    assert found["ZZ99"] == ("absent", None, 1, 7)
    assert b"ZZ99" not in bytes(UnknownIds.objects.get().sealed)
    finding = labs.upload.findings.get(code="unknown-id")
    assert (finding.line, finding.count, "ZZ99" in finding.message) == (3, 6, False)


@pytest.mark.parametrize("data", [BROKEN, b"lab,patient_id\n1,\n", b"lab,value\n1,2\n", b"\x00\x01", b"PK\x03\x04junk"])
def test_a_malformed_file_is_refused_in_the_agreed_words(send, data):
    send("patient", PATIENTS)
    labs = send("labs", data)
    assert (labs.state, labs.code, labs.message) == (TableState.REJECTED, "malformed", MALFORMED)
    assert stored(labs.upload) == {"original"}
    assert labs.upload.findings.exists()


def test_the_column_of_ids_may_have_any_header(send):
    send("patient", PATIENTS)
    labs = send("labs", b"nr;Who is it\n1;0001\n", id_column="Who is it")
    assert (labs.state, labs.id_count) == (TableState.READY, 1)


def test_mending_makes_a_copy_with_the_known_ids_and_leaves_the_refused_file_alone(send, alice):
    send("patient", PATIENTS)
    refused = send("labs", DAMAGED)
    original = refused.upload
    with pytest.raises(InputError):
        mend_table(alice, refused, ["absent"])
    mend_table(alice, refused, ["leading-zeros", "spaces", "case"])
    assert inspect_due()
    labs = fetch_table(alice, refused.submission.public_id, "labs")
    assert (labs.state, labs.unknown_count, labs.causes) == (TableState.REJECTED, 2, {"swapped": 1, "absent": 1})
    assert (labs.upload.parent, labs.upload.mends) == (
        original,
        ["id-leading-zeros", "id-spaces", "id-case"],
    )
    with get_storage().open(f"{folder_key(labs.upload)}/original") as file:
        assert file.read() == (
            b"lab,patient_id,value\n1,0001,7\n2,0002,9\n3,0001,8\n4,P-0003,1\n5,1074,2\n6,ZZ99,3\n7,0002,4\n"
        )
    with get_storage().open(f"{folder_key(original)}/original") as file:
        assert file.read() == DAMAGED


def test_a_mended_copy_without_unknown_ids_is_accepted(send, alice):
    send("patient", PATIENTS)
    refused = send("labs", b"patient_id,v\n1,2\n0002,3\n")
    original = refused.upload
    mend_table(alice, refused, ["leading-zeros"])
    assert inspect_due()
    labs = fetch_table(alice, refused.submission.public_id, "labs")
    assert (labs.state, labs.id_count, labs.upload.parent) == (TableState.READY, 2, original)


def test_a_mended_copy_of_a_malformed_file_becomes_the_tables_file(send, alice):
    send("patient", PATIENTS)
    refused = send("labs", b"patient_id,v\n0001,1\n0002;2\n1047;3\n")
    assert refused.code == "malformed"
    copy = mend_upload(alice, refused.upload, ["delimiter"])
    assert inspect_due()
    labs = fetch_table(alice, refused.submission.public_id, "labs")
    assert (labs.state, labs.id_count, labs.upload) == (TableState.READY, 3, copy)


def test_a_file_of_the_kind_that_is_no_tables_is_judged_as_any(alice):
    upload = begin_upload(alice, "cohort_table", "x.csv")
    finish_upload(upload, *receive_whole(upload, [LABS], 1 << 20), leased=False)
    assert inspect_due()
    upload.refresh_from_db()
    assert (upload.state, stored(upload)) == (UploadState.READY, {"original", "table.parquet"})


def test_a_new_file_replaces_the_old_one_only_when_it_is_accepted(send):
    send("patient", PATIENTS)
    first = send("labs", LABS)
    refused = send("labs", DAMAGED)
    assert (refused.state, refused.accepted) == (TableState.REJECTED, first.upload)
    assert stored(first.upload) == {"original", "database"}
    third = send("labs", LABS + b"4,0002,1\n")
    assert (third.state, third.accepted, third.accepted_rows) == (TableState.READY, third.upload, 4)
    first.upload.refresh_from_db()
    assert first.upload.purged_at is not None
    assert stored(first.upload) == set()


def test_a_patient_file_that_is_replaced_meanwhile_counts(send, monkeypatch):
    send("patient", PATIENTS)
    struck = []

    def replace_patients(name: str) -> None:
        if name == "table_kept" and not struck:
            struck.append(name)
            send("patient", b"patient_id\n0001\n")

    monkeypatch.setattr("rowmill.cohorts.check.fault_point", replace_patients)
    labs = send("labs", LABS)
    assert (labs.state, labs.unknown_count, labs.accepted) == (TableState.REJECTED, 1, None)
    assert stored(labs.upload) == {"original"}


def test_nothing_is_taken_before_the_patient_file_nor_while_a_file_is_checked(send, alice):
    with pytest.raises(StateError, match="no patient file yet"):
        send("labs", LABS)
    send("patient", PATIENTS, check=False)
    with pytest.raises(StateError, match="being checked"):
        send("patient", PATIENTS)
    assert Upload.objects.count() == 1


def test_an_auditor_sends_and_deletes_nothing(send, people):
    table = send("patient", PATIENTS)
    ada = find_caller(people.ada)
    for attempt in (
        lambda: take_table_file(ada, table, "x.csv", [LABS]),
        lambda: delete_table(ada, table),
        lambda: delete_submission(ada, table.submission),
        lambda: mend_table(ada, table, ["case"]),
    ):
        with pytest.raises(NotAllowed):
            attempt()


def test_a_file_too_large_or_empty_leaves_the_table_as_it_was(send, alice, settings):
    table = send("patient", PATIENTS)
    settings.ROWMILL_KIND_UPLOAD_BYTES = {"cohort_table": 10}
    for data in (b"", PATIENTS):
        with pytest.raises(InputError):
            take_table_file(alice, table, "x.csv", [data])
        table = fetch_table(alice, table.submission.public_id, "patient")
        assert (table.state, table.code, table.accepted_rows) == (TableState.READY, "not_arrived", 4)


def test_unknown_ids_go_with_the_bytes(send):
    send("patient", PATIENTS)
    labs = send("labs", DAMAGED)
    assert purge_upload(labs.upload)
    assert not UnknownIds.objects.exists()
    assert read_unknown(labs.upload) == []


def test_deleting_removes_every_byte_even_of_a_file_that_is_being_checked(send, alice, submission):
    patients, labs = send("patient", PATIENTS), send("labs", LABS)
    with pytest.raises(StateError, match="rely on the patient table"):
        delete_table(alice, fetch_table(alice, submission.public_id, "patient"))
    refused = send("labs", DAMAGED, check=False)
    delete_submission(alice, submission)
    assert not SubmissionTable.objects.exists()
    for upload in (patients.upload, labs.upload, refused.upload):
        assert stored(upload) == set()
        upload.refresh_from_db()
        assert upload.purged_at is not None
    assert not inspect_due()


def test_a_table_that_is_deleted_while_its_database_is_made_leaves_nothing(send, alice, submission, monkeypatch):
    send("patient", PATIENTS)
    table = send("labs", LABS, check=False)

    def delete(name: str) -> None:
        if name == "table_kept":
            delete_table(alice, fetch_table(alice, submission.public_id, "labs"))

    monkeypatch.setattr("rowmill.cohorts.check.fault_point", delete)
    assert inspect_due()
    assert stored(table.upload) == set()
    table.upload.refresh_from_db()
    assert table.upload.state == UploadState.ABORTED


def test_no_file_is_without_its_event(send, alice, submission):
    send("patient", PATIENTS)
    send("labs", LABS)
    send("labs", DAMAGED)
    send("labs", LABS)
    told, purged = set(), set()
    for event in AuditEvent.objects.order_by("position"):
        if event.verb in ("upload.begin", "file.create"):
            told.add((event.target_id, event.details.get("file", "original")))
        if event.verb == "file.remove":
            told.discard((event.target_id, event.details["file"]))
        if event.verb in ("upload.purge", "upload.abandon"):
            purged.add(event.target_id)
    mine = {str(upload.public_id) for upload in Upload.objects.all()}
    there = {tuple(key.split("/")[3:5]) for key in get_storage().keys("org")}
    there = {one for one in there if one[0] in mine}
    assert len(there) == 6
    assert there == {one for one in told if one[0] not in purged}
