"""Imports of the same people at the same time, taken back in any order: what no hand has touched is as before them."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import Any

import pytest

from rowmill.contacts.editing import edit_contact
from rowmill.jobs.submit import take_file
from rowmill.kinds.contact_import import ContactImport
from rowmill.models import Contact, Job, OldRow
from tests.jobs.conftest import work_until_final
from tests.merging.conftest import as_csv
from tests.merging.undoing import take_back

pytestmark = pytest.mark.django_db
HEADER = ("contact_id", "email", "first_name", "title", "Note")
JOBS = 3


def table() -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in Contact.objects.values()}


def people(dice: Random, who: str, most: int) -> list[tuple[str, ...]]:
    """Give rows about some of so many people, each once, in any order."""
    some = [n for n in range(most) if dice.random() < 0.7]
    dice.shuffle(some)
    return [(f"P{n}", f"p{n}@b.co", f"{who}{n}", f"{who} {dice.randrange(2)}", dice.choice(("", who))) for n in some]


def import_at_once(alice, dice: Random) -> list[Job]:
    """Import three files about the same people, batch by batch in turn."""
    jobs = []
    for n in range(JOBS):
        data = as_csv(HEADER, people(dice, f"job{n}-", 30))
        intent = {"go_ahead": True}
        made = take_file(alice, "contact_import", "at-once.csv", [data], intent=intent, confirm_duplicate=True)
        jobs.append(Job.objects.select_related("upload", "org").get(pk=made.job.pk))
    for job in jobs:
        assert work_until_final(job) == "COMPLETED"
    return jobs


@pytest.mark.parametrize("order", list(permutations(range(JOBS))), ids=str)
def test_in_whatever_order_they_are_taken_back_what_no_hand_touched_is_as_before(
    import_rows, alice, monkeypatch, order
):
    monkeypatch.setattr(ContactImport, "batch_rows", 4)
    dice = Random(f"several {order}")
    import_rows(HEADER, people(dice, "before", 15))
    before = table()
    jobs = import_at_once(alice, dice)
    changed_by_several = OldRow.objects.values("target_id").distinct().count()
    assert OldRow.objects.count() > changed_by_several > 0
    assert len({row["import_job_id"] for row in table().values()}) > 2, "the batches did not take turns"
    by_hand = [pk for pk in table() if dice.random() < 0.2]
    for pk in by_hand:
        edit_contact(alice, Contact.objects.get(pk=pk), {"seniority": "by hand"})
    edited = table()

    undos = [take_back(alice, jobs[place]) for place in order]
    after = table()
    assert {pk: row for pk, row in after.items() if pk not in by_hand} == {
        pk: row for pk, row in before.items() if pk not in by_hand
    }
    assert {pk: after[pk] for pk in by_hand} == {pk: edited[pk] for pk in by_hand}
    assert sum(undo.removed for undo in undos) == len(set(edited) - set(before) - set(by_hand))
    assert not OldRow.objects.filter(job__in=jobs).exists()


def test_what_a_hand_changed_between_two_imports_stays_as_the_second_found_it(import_rows, alice):
    first = import_rows(HEADER, [("P1", "", "Ann", "", "")])
    edit_contact(alice, Contact.objects.get(), {"title": "Boss"})
    second = import_rows(HEADER, [("P1", "", "Anna", "", "")])
    assert [take_back(alice, job).kept for job in (first, second)] == [1, 0]
    assert list(Contact.objects.values_list("first_name", "title")) == [("Ann", "Boss")]


def test_what_is_not_taken_back_keeps_what_it_made(import_rows, alice):
    import_rows(HEADER, [("P1", "", "Ann", "", "")])
    jobs = [import_rows(HEADER, [(name, "", title, "", "") for name in ("P1", "P2")]) for title in ("x", "y", "z")]
    undos = [take_back(alice, jobs[place]) for place in (0, 2)]
    assert [(undo.removed, undo.restored, undo.kept) for undo in undos] == [(0, 0, 2), (0, 2, 0)]
    assert dict(Contact.objects.values_list("contact_id", "first_name")) == {"P1": "y", "P2": "y"}
    undo = take_back(alice, jobs[1])
    assert (undo.removed, undo.restored, undo.kept) == (1, 1, 0)
    assert dict(Contact.objects.values_list("contact_id", "first_name")) == {"P1": "Ann"}
