"""Keys are looked up in the index of that key, also where Postgres believes that the table is empty."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.db import connection

from rowmill.jobs.submit import take_file
from rowmill.jobs.undoing import undo_due
from rowmill.merging.undo import undo_job
from rowmill.models import Contact, Job
from tests.early import ON_POSTGRES
from tests.jobs.conftest import alice, work_until_final
from tests.merging.conftest import as_csv

__all__ = ["alice"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not ON_POSTGRES, reason="speaks of a Postgres server: make test-postgres"),
]
HEADER = ("contact_id", "email", "first_name", "last_name", "company")
ROWS = 3000


def take(alice, name: str, *, named: bool) -> Job:
    people = (
        (f"A{n:05d}" if named else "", f"p{n}@example.org", name, f"Last {n}", f"Company {n}") for n in range(ROWS)
    )
    data = as_csv(HEADER, people)
    made = take_file(alice, "contact_import", "c.csv", [data], intent={"go_ahead": True}, confirm_duplicate=True)
    job = Job.objects.select_related("org").get(pk=made.job.pk)
    assert work_until_final(job) == "COMPLETED"
    return job


def take_back(alice, job: Job) -> None:
    undo_job(alice, job)
    while undo_due():
        pass


def nodes(plan: dict) -> Iterator[dict]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


class Explained:
    """Has Postgres explain every statement about contacts before it runs. `used`: how each finds them."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def __call__(self, execute, sql, params, many, context):
        if "rowmill_contact AS" in sql and not sql.startswith("COPY"):
            with connection.connection.cursor() as cursor:
                told = cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params).fetchone()[0]
            plan = told if isinstance(told, list) else json.loads(told)
            for node in nodes(plan[0]["Plan"]):
                if node.get("Relation Name") == "rowmill_contact" and node["Node Type"] != "ModifyTable":
                    self.used.add(node.get("Index Name", node["Node Type"]))
        return execute(sql, params, many, context)


def test_a_table_that_was_analysed_when_it_was_empty(alice) -> None:
    take_back(alice, take(alice, "a", named=False))
    assert not Contact.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE rowmill_contact")
    explained = Explained()
    with connection.execute_wrapper(explained):
        take(alice, "b", named=False)
        take(alice, "c", named=True)
        changed = take(alice, "d", named=True)
        take_back(alice, changed)
    assert Contact.objects.filter(first_name="c").count() == ROWS
    assert {"contact_once", "contact_email"} <= explained.used
    assert explained.used <= {"contact_once", "contact_email", "contact_by_mail", "rowmill_contact_pkey"}
