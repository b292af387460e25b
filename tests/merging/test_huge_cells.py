"""Cells so large that a batch of them does not fit into DuckDB's memory: it is halved at once, and no sound row is blamed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import duckdb
import pytest
from django.conf import settings

from rowmill.jobs.submit import take_file
from rowmill.kinds import bulk_kind
from rowmill.merging import comparing, groups
from rowmill.merging.batches import MEMORY, connect_duck
from rowmill.merging.preview import preview_import
from rowmill.models import Batch, Contact, Result, Upload
from tests.merging.conftest import as_csv
from tests.merging.test_merge import counts

pytestmark = pytest.mark.django_db
ROWS, CHARACTERS = 300, 24_000
HEADER = ("email", "title", "Note")


def rows(*, twice: bool = False) -> list[tuple[str, str, str]]:
    """Make rows with cells in which nothing repeats itself."""
    letters = random.Random(6)
    people = range(0, ROWS, 2) if twice else range(ROWS)
    return [(f"p{n}@b.co", "x", letters.randbytes(CHARACTERS // 2).hex()) for n in people for _ in range(1 + twice)]


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave so little that the rows do not fit at once, and make one batch of them all the same."""
    monkeypatch.setattr(bulk_kind, "MOST_BYTES", 10**9)
    con = connect_duck(settings.SCRATCH_DIR)
    con.execute("SET GLOBAL memory_limit='16MB'")
    yield
    con.execute(f"SET GLOBAL memory_limit='{MEMORY}'")


@pytest.mark.usefixtures("little_memory")
def test_a_batch_too_large_for_the_memory_is_halved_at_once(import_rows):
    job = import_rows(HEADER, rows())
    batches = list(Batch.objects.filter(job=job))
    assert len(batches) > 1
    assert {batch.last_error for batch in batches} == {"OutOfMemoryException"}
    for batch in batches:  # one claim for each time that it was halved, and the last one
        assert batch.claims <= 1 + math.ceil(math.log2(ROWS / batch.row_count)) + 1, batch
    assert counts(job)["inserted"] == ROWS
    assert not Result.objects.filter(job=job).exists()
    assert len(Contact.objects.get(email="p7@b.co").extra["Note"]) == CHARACTERS


@pytest.mark.usefixtures("little_memory")
def test_rows_about_the_same_thing_are_joined_as_many_at_a_time_as_fit(import_rows, monkeypatch):
    monkeypatch.setattr(comparing, "JOINED_BYTES", 10**9)
    job = import_rows(HEADER, rows(twice=True))
    assert (counts(job)["inserted"], counts(job)["duplicates"]) == (ROWS // 2, ROWS // 2)


@pytest.mark.usefixtures("little_memory")
def test_the_effect_of_large_cells_is_worked_out_half_by_half(alice):
    take_file(alice, "contact_import", "huge.csv", [as_csv(HEADER, rows())], intent={"review": True})
    upload = Upload.objects.get()
    heard: list[int] = []
    effect = preview_import(upload, {}, on_progress=heard.append)
    assert (effect.inserted, effect.rejected, heard) == (ROWS, 0, [ROWS])


def test_where_the_rows_cannot_be_compared_none_of_them_is_blamed(import_rows, monkeypatch):
    def too_much(*_: object) -> None:
        raise duckdb.OutOfMemoryException

    with monkeypatch.context() as patched:
        patched.setattr(groups, "compare", too_much)
        job = import_rows(HEADER, [("a@b.co", "x", ""), ("b@b.co", "x", "")], "FAILED")
    assert [batch.last_error for batch in Batch.objects.filter(job=job)] == ["TooMuch"]
    assert not Result.objects.filter(job=job).exists()


def test_cells_of_twenty_thousand_letters_make_smaller_batches():
    kind = bulk_kind.BulkKind()
    assert [kind.rows_per_batch(48, size) for size in (1_000, 20_000, 1_000_000, 10**9)] == [10_000, 800, 16, 1]
