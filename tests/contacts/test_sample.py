"""The sample of contacts: the same bytes again, and a book that an import agrees with to the row."""

from __future__ import annotations

import io
import json

import pytest

from rowmill.contacts.sample import make_contacts
from rowmill.jobs.results import iter_results
from rowmill.jobs.submit import take_file
from rowmill.kinds.contact_import import ContactImport
from rowmill.models import Contact, Job, Result
from rowmill.orgs import find_caller
from tests.jobs.conftest import work_until_final
from tests.merging.test_merge import counts


def made(rows: int, seed: int) -> tuple[bytes, list[dict], dict[str, int]]:
    out, book = io.BytesIO(), io.BytesIO()
    told = make_contacts(rows, seed, out, book)
    return out.getvalue(), [json.loads(line) for line in book.getvalue().splitlines()], dict(told)


def test_the_same_seed_gives_the_same_bytes():
    data, book, told = made(300, 7)
    assert data == made(300, 7)[0]
    assert data != made(300, 8)[0]
    assert told == {"inserted": 285, "duplicate": 9, "rejected": 6}
    assert [line["row"] for line in book] == list(range(1, 301))
    out = io.BytesIO()
    make_contacts(300, 7, out)
    assert out.getvalue() == data


@pytest.mark.django_db
def test_an_import_comes_to_what_the_book_says(people, monkeypatch):
    monkeypatch.setattr(ContactImport, "batch_rows", 150)
    data, book, told = made(400, 3)
    taken = take_file(find_caller(people.alice), "contact_import", "c.csv", [data], intent={})
    job = Job.objects.select_related("upload", "org").get(pk=taken.job.pk)
    assert len(job.upload.mapping) == 47
    assert work_until_final(job) == "COMPLETED"
    assert counts(job) == {
        "inserted": told["inserted"], "updated": 0, "unchanged": told["duplicate"], "duplicates": told["duplicate"],
        "rejected": told["rejected"],
    }  # fmt: skip
    results = {result.row_number: result for result in Result.objects.filter(job=job)}
    assert set(results) == {line["row"] for line in book if line["expect"] != "inserted"}
    for line in book:
        if line["expect"] == "duplicate":
            assert f"Row {line['of']:,} of this file" in results[line["row"]].message
        if line["expect"] == "rejected":
            fields = [reason.split(":")[1] for reason in line["reasons"]]
            assert sorted(part.split(":")[0] for part in results[line["row"]].message.split("; ")) == sorted(fields)
    ids = {line["contact_id"] for line in book if line["expect"] == "inserted"}
    assert set(Contact.objects.values_list("contact_id", flat=True)) == ids
    colours = {tuple(extra.items()) for extra in Contact.objects.values_list("extra", flat=True)}
    assert colours == {(), (("Favourite Colour", "blue"),), (("Favourite Colour", "green, mostly"),)}
    assert sum(1 for _ in iter_results(job)[1]) == 400
