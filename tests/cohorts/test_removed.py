"""What is removed while a file of it is on its way leaves no byte behind, whoever writes last."""

from __future__ import annotations

import pytest

from rowmill.cohorts import check, submissions
from rowmill.cohorts.submissions import add_table, delete_submission, delete_table, fetch_table
from rowmill.jobs.arrive import inspect_due
from rowmill.models import AuditEvent, Submission, SubmissionTable, Upload
from tests.cohorts.conftest import LABS, PATIENTS, stored

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("point", ["ids_checked", "table_kept"])
def test_a_submission_deleted_under_its_checkers_hands_leaves_no_file(send, alice, submission, monkeypatch, point):
    send("patient", PATIENTS)
    labs = send("labs", LABS, check=False)

    def delete(name: str) -> None:
        if name == point:
            monkeypatch.setattr(check, "fault_point", lambda _name: None)
            delete_submission(alice, submission)

    monkeypatch.setattr(check, "fault_point", delete)
    assert inspect_due()
    assert not Submission.objects.exists()
    upload = Upload.objects.get(pk=labs.upload.pk)
    assert upload.state == "ABORTED"
    assert stored(upload) == set()
    last = AuditEvent.objects.filter(target_id=str(upload.public_id)).order_by("-position").first()
    assert last is not None
    assert last.verb in ("upload.abandon", "file.remove")


def test_a_table_added_while_a_submission_is_deleted_takes_no_file_with_it(send, alice, submission, monkeypatch):
    patients = send("patient", PATIENTS)
    remove, sent = submissions._remove, []

    def slow(tables, caller) -> None:
        remove(tables, caller)
        if not sent:
            table = add_table(alice, submission, "patients2", is_patient_table=True)
            SubmissionTable.objects.filter(pk=table.pk).update(name="patient")
            sent.append(send("patient", PATIENTS).accepted)

    monkeypatch.setattr(submissions, "_remove", slow)
    delete_submission(alice, submission)
    assert not Submission.objects.exists()
    for upload in (patients.upload, sent[0]):
        assert stored(upload) == set()


def test_a_file_that_came_after_the_table_was_read_goes_with_it(send, alice, submission):
    read_before = fetch_table(alice, submission.public_id, "patient")
    later = send("patient", PATIENTS)
    delete_table(alice, read_before)
    assert stored(later.upload) == set()
