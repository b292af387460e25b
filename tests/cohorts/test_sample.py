"""The sample cohort: the same bytes each time, and the check names every damaged ID as its book does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from rowmill.cohorts.files import read_unknown
from rowmill.cohorts.intake import MENDABLE, mend_table
from rowmill.cohorts.sample import make_cohort, patients_path
from rowmill.cohorts.submissions import fetch_table
from rowmill.jobs.arrive import inspect_due
from rowmill.tabular.known_ids import compare_ids


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / f"{name}.csv"
        make_cohort(200, seed, out, tmp_path / name)
        made.append((out.read_bytes(), patients_path(out).read_bytes(), (tmp_path / name).read_bytes()))
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_damaged_id_is_named_as_the_book_says(tmp_path: Path, seed: int) -> None:
    out, book = tmp_path / "labs.csv", tmp_path / "book"
    counts = make_cohort(2000, seed, out, book)
    pages = [json.loads(line) for line in book.read_text().splitlines()]
    told = {page["written"]: (page["cause"], page["patient_id"]) for page in pages if page["cause"]}
    account = compare_ids(out, patients_path(out), "patient_id")
    found = {one.id: (one.cause, one.known or told[one.id][1]) for one in account.unknown_ids}
    assert found == told
    assert Counter(account.causes) == Counter(counts)
    assert len(counts) == 7


@pytest.mark.django_db
def test_mending_leaves_only_what_is_absent(tmp_path: Path, send, alice) -> None:
    out = tmp_path / "labs.csv"
    counts = make_cohort(400, 5, out)
    send("patient", patients_path(out).read_bytes())
    refused = send("labs", out.read_bytes())
    assert refused.unknown_count == sum(counts.values()) == len(read_unknown(refused.upload))
    mend_table(alice, refused, MENDABLE)
    assert inspect_due()
    labs = fetch_table(alice, refused.submission.public_id, "labs")
    assert labs.causes == {"absent": counts["absent"]}
