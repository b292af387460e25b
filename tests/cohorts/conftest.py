"""A submission with its patient table, and a worker that is called by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rowmill.cohorts.intake import take_table_file
from rowmill.cohorts.submissions import add_table, create_cohort, create_submission, fetch_table
from rowmill.jobs.arrive import inspect_due
from rowmill.models import Submission, SubmissionTable, Upload
from rowmill.orgs import Caller, find_caller
from rowmill.uploads.places import folder_key, get_storage

PATIENTS = b"patient_id,sex\n0001,F\n0002,M\nP-0003,F\n1047,F\n"
LABS = b"lab,patient_id,value\n1,0001,7\n2,0002,9\n3,0001,8\n"
DAMAGED = b"lab,patient_id,value\n1,0001,7\n2,2,9\n3, 0001,8\n4,p-0003,1\n5,1074,2\n6,ZZ99,3\n7,2,4\n"
BROKEN = b'lab,patient_id,value\n1,0001,"7\n2,0002,9\n'


@pytest.fixture
def alice(people) -> Caller:
    return find_caller(people.alice)


@pytest.fixture
def submission(alice: Caller) -> Submission:
    return create_submission(alice, create_cohort(alice, "Heart"), "Spring 2026")


@pytest.fixture
def send(alice: Caller, submission: Submission) -> Callable[..., SubmissionTable]:
    """Give what sends a file to a table, making it where it is new, and has it checked."""

    def send(name: str, data: bytes, *, check: bool = True, id_column: str = "") -> SubmissionTable:
        if not submission.tables.filter(name=name).exists():
            add_table(alice, submission, name, id_column)
        take_table_file(alice, fetch_table(alice, submission.public_id, name), f"{name}.csv", [data])
        if check:
            assert inspect_due()
        return fetch_table(alice, submission.public_id, name)

    return send


def stored(upload: Upload) -> set[str]:
    """Give the kinds of files that lie beside an upload."""
    keys = get_storage().keys(folder_key(upload))
    return {key.rsplit("/", 1)[1].split("-", 1)[0] for key in keys}
