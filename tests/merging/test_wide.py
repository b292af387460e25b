"""Wide files: as many columns as a table may have go through the mapping's page and the import, in the memory that there is."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from rowmill.jobs.submit import take_file
from rowmill.kinds.contact_import import ContactImport
from rowmill.merging import reader
from rowmill.merging.batches import connect_duck
from rowmill.merging.statements import Statements
from rowmill.merging.target import plan_merge
from rowmill.models import Batch, Contact, Upload
from tests.merging.conftest import as_csv
from tests.merging.test_merge import counts

pytestmark = pytest.mark.django_db
WIDE = 2_000  # as many as a table may have


def test_a_wide_file_has_smaller_batches():
    assert [ContactImport().rows_per_batch(columns) for columns in (1, 50, 500, 2_000)] == [10_000, 10_000, 1_000, 250]


@pytest.mark.parametrize(("expressions", "at_once"), [(0, 1), (0, 2), (0, 300), (150, 300)])
def test_many_unknown_columns_are_kept_as_few_are(import_rows, monkeypatch, expressions, at_once):
    monkeypatch.setattr(reader, "_EXPRESSIONS", expressions)
    monkeypatch.setattr(reader, "_AT_ONCE", at_once)
    import_rows(("email", 'si"ze', "Note", "Ort"), [("a@b.co", '4"2', "\\", ""), ("b@b.co", "", "", "")])
    assert [one.extra for one in Contact.objects.order_by("id")] == [{'si"ze': '4"2', "Note": "\\"}, {}]


@pytest.mark.slow
def test_two_thousand_columns_are_mapped_and_imported(people, alice, import_rows):
    header = ("email", *(f"ours {n}" for n in range(1, WIDE)))
    rows = [(f"p{n}@b.co", *("x" for _ in range(1, WIDE))) for n in range(3)]
    take_file(alice, "contact_import", "wide.csv", [as_csv(header, rows)], intent={"review": True})
    browser = Client()
    browser.force_login(people.alice)
    address = reverse("upload-mapping", args=[Upload.objects.get().public_id])
    said = {f"c{n}": "Keep as extra" for n in range(2, WIDE + 1)} | {"c1": "E-mail", "do": "save"}
    assert browser.post(address, said).status_code == 303
    job = import_rows(header, rows)
    assert (counts(job)["inserted"], Batch.objects.get(job=job).attempts) == (3, 1)
    assert len(Contact.objects.first().extra) == WIDE - 1
    job = import_rows(header, [*rows, *rows])
    assert (counts(job)["unchanged"], counts(job)["duplicates"]) == (6, 3)


def test_what_does_not_fit_into_memory_has_its_folder_also_after_scratch_was_cleared(tmp_path):
    for _ in range(2):
        connect_duck(tmp_path)
        (tmp_path / "duck").rmdir()  # as it is when a runner starts; fails where it is not there


@pytest.mark.skipif(connection.vendor != "sqlite", reason="Postgres has no rule of its own for such an index")
def test_both_keys_are_looked_up_in_an_index_on_sqlite_too():
    kind = ContactImport()
    plan = plan_merge(kind.target, tuple(column.name for column in kind.columns), "update", frozenset(), True)
    statements = Statements(plan, 1, 1, kind.slug)
    for sql, told in ((statements.find_old(), ["[]"]), (statements.join_second(), [])):
        with connection.cursor() as cursor:
            for table in statements.stage():
                cursor.execute(table)
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", told)
            steps = [row[3] for row in cursor.fetchall() if " c USING " in row[3]]
        assert any("contact_email (org_id=? AND email=?)" in step for step in steps), steps
        assert not [step for step in steps if step.endswith("(org_id=?)")], steps
