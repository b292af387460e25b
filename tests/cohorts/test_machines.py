"""A cohort table's file on two machines that share a bucket and no disk, and a table that goes away under its file."""

from __future__ import annotations

import pytest

from rowmill.cohorts.intake import take_table_file
from rowmill.cohorts.submissions import delete_table, fetch_table
from rowmill.errors import StateError, StorageFault
from rowmill.jobs.arrive import inspect_due
from rowmill.models import SubmissionTable, Upload
from rowmill.uploads.places import folder_key, get_storage
from tests.cohorts.conftest import PATIENTS
from tests.storage.conftest import s3_servers  # noqa: F401
from tests.uploads.test_bucket import machines  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.mark.slow
def test_what_one_machine_takes_another_checks(alice, submission, machines):  # noqa: F811
    take_table_file(alice, fetch_table(alice, submission.public_id, "patient"), "p.csv", [PATIENTS])
    machines.on("worker")
    assert inspect_due()
    table = fetch_table(alice, submission.public_id, "patient")
    assert (table.state, table.message) == ("READY", "")


def test_a_table_deleted_while_its_file_comes_in_leaves_no_bytes(alice, submission):
    table = fetch_table(alice, submission.public_id, "patient")

    def chunks():
        yield PATIENTS
        SubmissionTable.objects.all().delete()  # as somebody does who had read the table just before

    with pytest.raises(StateError, match="deleted meanwhile"):
        take_table_file(alice, table, "p.csv", chunks())
    upload = Upload.objects.get()
    assert (upload.state, upload.purged_at is not None) == ("ABORTED", True)
    assert list(get_storage().keys(folder_key(upload))) == []


def test_a_storage_that_is_away_takes_no_table(alice, submission, monkeypatch):
    def away(_upload):
        raise StorageFault("The storage does not answer.")

    monkeypatch.setattr("rowmill.cohorts.intake.publish_original", away)
    with pytest.raises(StorageFault):
        take_table_file(alice, fetch_table(alice, submission.public_id, "patient"), "p.csv", [PATIENTS])
    assert Upload.objects.get().state == "ABORTED"
    table = fetch_table(alice, submission.public_id, "patient")
    assert (table.state, table.code) == ("EMPTY", "not_arrived")
    delete_table(alice, table)
    assert not inspect_due()
