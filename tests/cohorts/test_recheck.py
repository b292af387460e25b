"""A patient file that is replaced has the other tables checked anew; what they say is true of the new one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from rowmill.cohorts import check
from rowmill.cohorts.files import DATABASE, hold_file, read_unknown
from rowmill.cohorts.intake import _begin, mend_table
from rowmill.cohorts.submissions import fetch_table
from rowmill.errors import ChildError
from rowmill.jobs.arrive import inspect_due
from rowmill.models import AuditEvent, SubmissionTable, TableState, Upload, UploadState
from rowmill.uploads.purge import purge_upload
from rowmill.uploads.receive import abandon_upload, begin_upload
from tests.cohorts.conftest import BROKEN, DAMAGED, LABS, PATIENTS, stored

pytestmark = pytest.mark.django_db
FEWER = b"patient_id,sex\n0001,F\n"
MORE = PATIENTS + b"ZZ99,F\n2,M\n 0001,F\np-0003,F\n1074,F\n"


@pytest.fixture
def table(alice, submission):
    """Give a table as it stands."""
    return lambda name: fetch_table(alice, submission.public_id, name)


def work() -> int:
    """Let a worker do all that is due; gives how much that was."""
    count = 0
    while inspect_due():
        count += 1
    return count


def test_a_table_that_names_an_id_that_is_gone_is_refused_and_leaves_no_database(send, table):
    send("patient", PATIENTS)
    labs = send("labs", LABS)
    send("patient", FEWER)
    waiting = table("labs")
    assert (waiting.state, waiting.message) == (TableState.VALIDATING, "")
    assert work() == 1
    refused = table("labs")
    assert (refused.state, refused.code, refused.upload) == (TableState.REJECTED, "unknown_ids", labs.upload)
    assert refused.message == "File contains 1 patient ID not in patient file."
    assert (refused.accepted, refused.files, stored(labs.upload)) == (None, {}, {"original"})
    assert [one.id for one in read_unknown(labs.upload)] == ["0002"]
    labs.upload.refresh_from_db()
    assert (labs.upload.state, labs.upload.purge_after is not None) == (UploadState.REJECTED, True)
    verbs = AuditEvent.objects.filter(target_id=str(labs.upload.public_id)).values_list("verb", flat=True)
    assert [verb for verb in verbs.order_by("position") if verb.startswith(("table", "file"))] == [
        "file.create",
        "table.accept",
        "table.recheck",
        "file.remove",
        "table.refuse",
    ]


def test_the_right_patient_file_brings_it_back(send, table):
    send("patient", PATIENTS)
    labs = send("labs", LABS)
    send("patient", FEWER)
    work()
    patients = send("patient", PATIENTS)
    assert work() == 1
    back = table("labs")
    assert (back.state, back.accepted, back.checked_against) == (TableState.READY, labs.upload, patients.upload)
    with hold_file(back, DATABASE) as path:
        assert path.stat().st_size > 0
    labs.upload.refresh_from_db()
    assert (labs.upload.state, labs.upload.purge_after) == (UploadState.READY, None)
    assert not read_unknown(labs.upload)


def test_a_table_that_still_fits_keeps_its_database(send, table):
    send("patient", PATIENTS)
    labs = send("labs", LABS)
    patients = send("patient", PATIENTS + b"2000,F\n")
    assert work() == 1
    after = table("labs")
    assert (after.state, after.checked_against, after.files) == (TableState.READY, patients.upload, labs.files)
    assert (after.accepted_at, after.row_count, after.id_count) == (labs.accepted_at, 3, 2)
    assert stored(labs.upload) == {"original", "database"}


def test_a_refused_table_is_accepted_once_its_ids_are_known(send, table):
    send("patient", PATIENTS)
    refused = send("labs", DAMAGED)
    send("patient", MORE)
    assert work() == 1
    after = table("labs")
    assert (after.state, after.accepted, after.unknown_count) == (TableState.READY, refused.upload, 0)
    assert stored(refused.upload) == {"original", "database"}
    assert not read_unknown(refused.upload)


def test_the_file_in_use_and_a_refused_one_after_it_are_both_checked_anew(send, table):
    send("patient", PATIENTS)
    used, refused = send("labs", LABS), send("labs", DAMAGED)
    send("patient", FEWER)
    assert work() == 2
    after = table("labs")
    assert (after.state, after.upload, after.accepted) == (TableState.REJECTED, refused.upload, None)
    assert "leading-zeros" in refused.causes
    assert "leading-zeros" not in after.causes  # 0002 is no patient any more
    assert (stored(used.upload), stored(refused.upload)) == ({"original"}, {"original"})


def test_a_malformed_one_keeps_its_message_while_the_file_in_use_is_checked_anew(send, table):
    send("patient", PATIENTS)
    used, malformed = send("labs", LABS), send("labs", BROKEN)
    patients = send("patient", PATIENTS + b"2000,F\n")
    assert work() == 1
    after = table("labs")
    assert (after.code, after.message, after.upload) == ("malformed", malformed.message, malformed.upload)
    assert (after.accepted, after.checked_against) == (used.upload, patients.upload)


def test_a_file_on_its_way_is_held_against_the_new_patients_and_the_one_before_it_too(send, table):
    send("patient", PATIENTS)
    used = send("labs", LABS)
    send("labs", DAMAGED, check=False)
    send("patient", FEWER, check=False)
    Upload.objects.filter(name="patient.csv", state="CHECKING").update(lease_until="2000-01-01T00:00:00Z")
    work()
    after = table("labs")
    assert (after.state, after.unknown_count, after.accepted) == (TableState.REJECTED, 5, None)
    assert "leading-zeros" not in after.causes
    assert stored(used.upload) == {"original"}


def test_a_child_that_dies_is_no_word_against_a_file_in_use(send, table, monkeypatch):
    send("patient", PATIENTS)
    labs = send("labs", LABS)
    send("patient", FEWER)

    def die(*_arguments, **_more):
        raise ChildError("It took too much memory.")

    monkeypatch.setattr(check, "run_in_child", die)
    assert work() == 1
    after = table("labs")
    assert (after.state, after.accepted, after.row_count) == (TableState.READY, labs.upload, 3)
    assert stored(labs.upload) == {"original", "database"}
    assert after.checked_against != table("patient").accepted


def test_a_refused_table_whose_bytes_are_gone_stays_as_it_is(send, table):
    send("patient", PATIENTS)
    refused = send("labs", DAMAGED)
    assert purge_upload(refused.upload)
    send("patient", MORE)
    assert work() == 0
    assert (table("labs").state, table("labs").message) == (TableState.REJECTED, refused.message)


def test_a_table_refused_anew_is_mended_as_any(send, table, alice):
    send("patient", PATIENTS)
    send("labs", b"patient_id,v\n0001,1\n1047,2\n")
    send("patient", b"patient_id,sex\n00001,F\n01047,F\n")
    work()
    refused = table("labs").upload
    assert table("labs").causes == {"leading-zeros": 2}
    mend_table(alice, table("labs"), ["leading-zeros"])
    work()
    assert (table("labs").state, table("labs").upload.parent) == (TableState.READY, refused)


def test_the_page_and_the_api_say_that_it_is_checked_anew(send, table, client, people, submission):
    send("patient", PATIENTS)
    send("labs", LABS)
    send("patient", FEWER)
    client.force_login(people.alice)
    address = f"/submissions/{submission.public_id}/labs"
    page = client.get(address).content.decode()
    assert "checked anew" in page
    assert "hx-trigger" in page
    told = client.get(f"{address}/status").json()
    assert (told["state"], told["final"], "checked anew" in told["warning"]) == ("VALIDATING", False, True)
    work()
    told = client.get(f"{address}/status").json()
    assert (told["code"], told["accepted"], told["warning"]) == ("unknown_ids", None, "")
    assert SubmissionTable.objects.get(name="labs").state == "REJECTED"


@pytest.mark.parametrize("checked", [True, False])
def test_a_file_refused_while_the_next_came_in_is_not_ready_when_that_never_arrives(
    send, table, alice, checked, django_capture_on_commit_callbacks
):
    send("patient", PATIENTS)
    labs = send("labs", LABS)
    first, upload = labs.upload, begin_upload(alice, "cohort_table", "next.csv")
    _begin(alice, labs, upload)
    send("patient", FEWER)
    if checked:
        assert work() == 1
    with django_capture_on_commit_callbacks(execute=True):
        abandon_upload(upload)
    assert work() == 1
    back = table("labs")
    assert (back.state, back.code, back.upload, back.accepted) == (TableState.REJECTED, "unknown_ids", first, None)
    assert (back.message, back.unknown_count) == ("File contains 1 patient ID not in patient file.", 1)


def test_known_ids_that_are_gone_are_no_word_against_the_file_that_is_compared(send, table, monkeypatch):
    """As where the patient file is replaced once more between the look at its row and the opening of its IDs."""
    send("patient", PATIENTS)
    labs = send("labs", LABS)
    send("patient", FEWER)

    def gone(*told):
        raise FileNotFoundError("ids")

    with monkeypatch.context() as patched:
        patched.setattr(check, "hold_file", gone)
        assert inspect_due()
    waiting = table("labs")
    assert (waiting.state, waiting.accepted, waiting.upload.state) == (TableState.VALIDATING, labs.upload, "CHECKING")
    assert stored(labs.upload) == {"original", "database"}
    Upload.objects.filter(pk=labs.upload.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert work() == 1
    assert table("labs").code == "unknown_ids"
