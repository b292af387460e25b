"""A second declaration on the same base: one key, few columns, nothing gathered; and what a job leaves in scratch."""

from __future__ import annotations

import pytest
from django.conf import settings

from rowmill import registry
from rowmill.contracts import Column
from rowmill.jobs.submit import submit_job, take_file
from rowmill.kinds.bulk_kind import BulkKind
from rowmill.merging.target import Target, TargetField
from rowmill.models import Contact, Job, Result, Upload
from rowmill.orgs import find_caller
from tests.jobs.conftest import work_until_final
from tests.merging.conftest import as_csv
from tests.merging.test_merge import counts

pytestmark = pytest.mark.django_db


class Companies(BulkKind):
    """Companies by their account ID, kept in the columns of a contact's company."""

    slug = "companies"
    label = "Companies"
    columns = (
        Column("account", "Account", help="The ID.", required=True, filled=True),
        Column("name", "Name", help="The name."),
        Column("staff", "Staff", help="How many.", checks=("count-written",)),
    )
    batch_rows = 3
    target = Target(
        model_name="Contact",
        fields=(
            TargetField("account_id", source="account"),
            TargetField("company", source="name"),
            TargetField("employees", "count", "staff"),
        ),
        keys=(("a", "account_id"),),
        extra="",
    )


@pytest.fixture
def import_companies(people, monkeypatch):
    monkeypatch.setitem(registry.KINDS, "companies", "tests.merging.test_other_kind.Companies")
    registry.get_kind.cache_clear()

    def run(rows) -> Job:
        caller = find_caller(people.alice)
        data = as_csv(("account", "name", "staff", "remark"), rows)
        job = take_file(caller, "companies", "c.csv", [data], intent={"go_ahead": True}, confirm_duplicate=True).job
        job = Job.objects.select_related("upload", "org").get(pk=job.pk)
        assert work_until_final(job) == "COMPLETED"
        return job

    yield run
    registry.get_kind.cache_clear()


def test_another_table_is_one_declaration(import_companies):
    job = import_companies(
        [("1", "Acme", "5", "x"), ("2", "Globex", "", ""), ("", "Nobody", "", ""), ("1", "Acme Inc", "", ""), ("3", "", "few", "")]
    )  # fmt: skip
    assert counts(job) == {"inserted": 2, "updated": 0, "unchanged": 1, "duplicates": 1, "rejected": 2}
    assert list(Contact.objects.order_by("match_key").values_list("match_key", "company", "employees", "extra")) == [
        ("a:1", "Acme Inc", 5, {}),
        ("a:2", "Globex", None, {}),
    ]
    assert list(Result.objects.filter(job=job).order_by("row_number").values_list("row_number", "outcome")) == [
        (1, "ok"), (3, "rejected"), (5, "rejected"),
    ]  # fmt: skip
    again = import_companies([("1", "Acme Inc", "5", ""), ("2", "Globex", "7", "")])
    assert counts(again) == {"inserted": 0, "updated": 1, "unchanged": 1, "duplicates": 0, "rejected": 0}


def test_another_mapping_asks_for_the_same(import_companies, people):
    data = as_csv(
        ("account", "name", "staff", "remark"),
        [("1", "x", "5", "Acme"), (" ", "y", "", "Nobody"), ("3", "", "\t", "Hooli")],
    )
    upload = take_file(find_caller(people.alice), "companies", "c.csv", [data], intent={"review": True}).upload
    Upload.objects.filter(pk=upload.pk).update(mapping={"account": 1, "name": 4, "staff": 3})
    upload.refresh_from_db()
    job = submit_job(upload, None, {})
    assert work_until_final(job) == "COMPLETED"
    assert counts(job) == {"inserted": 2, "updated": 0, "unchanged": 0, "duplicates": 0, "rejected": 1}
    assert set(Contact.objects.values_list("match_key", "company")) == {("a:1", "Acme"), ("a:3", "Hooli")}


def in_scratch() -> set[str]:
    return {
        path.name for path in settings.SCRATCH_DIR.glob("*") if path.name.lstrip(".").startswith(("groups", "merge"))
    }


def test_a_job_leaves_nothing_in_scratch(import_companies):
    before = in_scratch()
    import_companies([("1", "Acme", "5", ""), ("1", "Acme", "5", "")])
    assert in_scratch() == before
