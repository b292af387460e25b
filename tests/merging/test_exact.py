"""The merge against a model in plain Python: random files with few keys, so that all that can meet does meet."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest

from rowmill.errors import ChildError
from rowmill.jobs.progress import read_progress
from rowmill.kinds.contact_import import ContactImport
from rowmill.merging import groups
from rowmill.models import Contact, Result
from rowmill.tabular.child import run_in_child
from tests.merging.model import BLANKS, Model
from tests.merging.test_merge import counts

pytestmark = pytest.mark.django_db
HEADER = (
    "contact_id",
    "email",
    "first_name",
    "employees",
    "keywords",
    "mobile phone",
    "Note",
    "Size",
    "last_contacted",
)
BATCH = 7


def some_row(dice: Random, keys: int) -> tuple[tuple[str, ...], dict]:
    """Make a row: its cells, and what they mean."""
    number, mail = dice.randrange(keys), dice.randrange(keys)
    row = {
        name: dict(blank) if blank == {} else list(blank) if blank == [] else blank for name, blank in BLANKS.items()
    }
    row["contact_id"] = f"C{number}" if dice.random() < 0.6 else ""
    row["email"] = f"p{mail}@example.org" if dice.random() < 0.7 or not row["contact_id"] else ""
    row["first_name"] = dice.choice(["", "Ann", "Bob", "Çelik"])
    least, most = dice.choice([(None, None), (5, None), (11, 50)])
    row["employees"], row["employees_most"] = least, most
    row["keywords"] = dice.choice([[], ["a"], ["a", "b"]])
    phone = dice.choice(["", "212-555-0123", "+44 20 7946 0958"])
    row["mobile_phone"] = phone
    if phone:
        row["phone_numbers"] = {"mobile_phone": {"2": "+12125550123", "+": "+442079460958"}[phone[0]]}
    note, size = dice.choice(["", "x", 'quo"te']), dice.choice(["", "42"])
    row["extra"] = {k: v for k, v in (("Note", note), ("Size", size)) if v}
    day = dice.choice([0, 1, 2, 3])
    row["last_contacted"] = datetime(2026, 1, day, tzinfo=UTC) if day else None
    employees = "" if least is None else f"{least}-{most}" if most else str(least)
    return (
        row["contact_id"], row["email"], row["first_name"], employees, "; ".join(row["keywords"]), phone, note, size,
        f"2026-01-{day:02d}" if day else "",
    ), row  # fmt: skip


def in_table() -> list[dict]:
    return sorted((dict(row) for row in Contact.objects.values(*BLANKS)), key=repr)


@pytest.mark.parametrize("policy", ["update", "blanks", "skip", "newest"])
@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3, 4))])
def test_every_policy_does_as_the_model_says(import_rows, monkeypatch, policy, seed):
    monkeypatch.setattr(ContactImport, "batch_rows", BATCH)
    dice, model = Random(f"{policy} {seed}"), Model()
    for _ in range(3):
        made = [some_row(dice, dice.choice([4, 12, 40])) for _ in range(dice.choice([5, 20, 45]))]
        told = model.merge([row for _, row in made], policy, BATCH)
        job = import_rows(HEADER, [cells for cells, _ in made], duplicates=policy)
        assert counts(job) == told
        assert in_table() == sorted(model.contacts, key=repr)
        assert read_progress(job).balance["rows_balance"] is True
        assert Result.objects.filter(job=job).count() == told["duplicates"] + told["rejected"]


def test_the_model_can_be_told_apart_from_a_wrong_one(import_rows, monkeypatch):
    """Negative control: the same file under another policy must not agree."""
    monkeypatch.setattr(ContactImport, "batch_rows", BATCH)
    dice, model = Random("control"), Model()
    made = [some_row(dice, 8) for _ in range(40)]
    model.merge([row for _, row in made], "blanks", BATCH)
    import_rows(HEADER, [cells for cells, _ in made], duplicates="update")
    assert in_table() != sorted(model.contacts, key=repr)


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("policy", ["update", "newest"])
def test_a_large_file_is_compared_in_a_child_or_here_where_that_dies(import_rows, monkeypatch, settings, policy, dies):
    asked, before = [], set(settings.SCRATCH_DIR.rglob("*-*"))

    def run(op, request, **options):
        asked.append(op)
        if dies:
            raise ChildError
        return run_in_child(op, request, **options)

    monkeypatch.setattr(groups, "run_in_child", run)
    monkeypatch.setattr(groups, "LARGE_ROWS", 20)
    monkeypatch.setattr(ContactImport, "batch_rows", BATCH)
    dice, model = Random(f"large {policy}"), Model()
    for rows in (45, 20, 45):
        made = [some_row(dice, 12) for _ in range(rows)]
        told = model.merge([row for _, row in made], policy, BATCH)
        assert counts(import_rows(HEADER, [cells for cells, _ in made], duplicates=policy)) == told
        assert in_table() == sorted(model.contacts, key=repr)
    assert asked == ["compare", "compare"]
    assert set(settings.SCRATCH_DIR.rglob("*-*")) <= before, (
        "the children's and the comparisons' files go with the jobs"
    )
