"""What an import would do, told before it does it; and an import taken back."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from django.utils import timezone

from rowmill.contacts.editing import edit_contact
from rowmill.errors import NotAllowed, StateError
from rowmill.jobs.steer import retry_job
from rowmill.kinds.contact_import import ContactImport
from rowmill.merging import merge, preview
from rowmill.merging.merge import merge_batch
from rowmill.merging.preview import preview_import
from rowmill.merging.undo import drop_old_rows, may_undo, undo_job
from rowmill.models import AuditEvent, Batch, BatchMerge, BatchState, Contact, Job, OldRow
from rowmill.orgs import find_caller
from tests.merging.test_exact import BATCH, HEADER, some_row
from tests.merging.test_merge import counts
from tests.merging.undoing import run_undos, take_back

pytestmark = pytest.mark.django_db


def whole_table() -> list[dict]:
    return list(Contact.objects.order_by("id").values())


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(ContactImport, "batch_rows", BATCH)
    monkeypatch.setattr(preview, "STRETCH_ROWS", BATCH)


@pytest.mark.parametrize("policy", ["update", "newest"])
def test_the_preview_says_what_the_import_then_does(import_rows, policy):
    dice = Random(f"preview {policy}")
    import_rows(HEADER, [some_row(dice, 30)[0] for _ in range(40)])
    second = [some_row(dice, 60)[0] for _ in range(40)] + [("C1", "no address", *[""] * 7)]
    job = import_rows(HEADER, second, duplicates="skip")
    take_back(find_caller(job.created_by), job)
    before = whole_table()
    effect = preview_import(job.upload, {"duplicates": policy})
    assert whole_table() == before
    real = counts(import_rows(HEADER, second, duplicates=policy))
    assert {name: getattr(effect, name) for name in real} == real
    assert sum(effect.causes.values()) == effect.rejected
    assert effect.causes["email: this is not an e-mail address"] == 1
    assert len(effect.examples) == min(20, effect.updated)


def test_a_difference_shows_both_sides(import_rows):
    import_rows(HEADER, [("A", "a@x.org", "Ann", "5", "x", "", "n1", "", "")])
    job = import_rows(HEADER, [("A", "a@x.org", "Anna", "", "y; z", "", "", "42", "")], duplicates="skip")
    effect = preview_import(job.upload, {})
    [difference] = effect.examples
    assert difference.row == 1
    assert difference.changes == {
        "first_name": ("Ann", "Anna"),
        "keywords": (["x"], ["y", "z"]),
        "extra": ({"Note": "n1"}, {"Note": "n1", "Size": "42"}),
    }
    assert effect.share_changed == 1.0


@pytest.mark.parametrize("policy", ["update", "blanks", "newest"])
def test_an_undo_restores_the_table_to_the_letter(import_rows, alice, policy):
    dice = Random(f"undo {policy}")
    import_rows(HEADER, [some_row(dice, 20)[0] for _ in range(40)])
    before = whole_table()
    job = import_rows(HEADER, [some_row(dice, 40)[0] for _ in range(60)], duplicates=policy)
    assert whole_table() != before
    told = counts(job)
    assert told["inserted"] > 0
    assert told["updated"] > 0
    assert may_undo(job)
    undo = take_back(alice, job)
    assert whole_table() == before
    assert (undo.removed, undo.kept, undo.kept_ids) == (told["inserted"], 0, [])
    assert not may_undo(job)
    assert undo_job(alice, job).pk == undo.pk
    assert OldRow.objects.count() == 0
    assert AuditEvent.objects.filter(verb="job.undo").count() == 1


def test_what_somebody_changed_since_is_kept_and_listed(import_rows, alice):
    import_rows(HEADER, [("A", "", "Ann", *[""] * 6), ("B", "", "Bob", *[""] * 6)])
    job = import_rows(HEADER, [(n, "", n * 2, *[""] * 6) for n in "ABCD"])
    edited = import_rows(HEADER, [("B", "", "Barbara", *[""] * 6), ("D", "", "Dora", *[""] * 6)])
    undo = take_back(alice, job)
    ids = dict(Contact.objects.values_list("contact_id", "pk"))
    names = dict(Contact.objects.values_list("contact_id", "first_name"))
    assert names == {"A": "Ann", "B": "Barbara", "D": "Dora"}
    assert (undo.removed, undo.restored, undo.kept, undo.kept_ids) == (1, 1, 2, [ids["B"], ids["D"]])
    told = take_back(alice, edited)
    assert (told.removed, told.restored, told.kept) == (1, 1, 0)
    assert dict(Contact.objects.values_list("contact_id", "first_name")) == {"A": "Ann", "B": "Bob"}


def test_an_undo_has_its_time_its_people_and_its_state(import_rows, alice, people):
    job = import_rows(HEADER, [("A", "", "Ann", *[""] * 6)])
    import_rows(HEADER, [("A", "", "Anna", *[""] * 6)])
    with pytest.raises(NotAllowed):
        undo_job(find_caller(people.ada), job)
    assert drop_old_rows() == 0
    OldRow.objects.update(kept_at=timezone.now() - timedelta(days=31))
    assert drop_old_rows() == 0  # a long job's first rows are old before it can no longer be taken back
    Job.objects.exclude(pk=job.pk).update(completed_at=timezone.now() - timedelta(days=31))
    assert drop_old_rows() == 1
    Job.objects.filter(pk=job.pk).update(completed_at=timezone.now() - timedelta(days=31))
    with pytest.raises(StateError, match="30 days"):
        undo_job(alice, job)
    Job.objects.filter(pk=job.pk).update(state="PROCESSING")
    with pytest.raises(StateError, match="still at work"):
        undo_job(alice, job)


def test_what_has_the_old_key_by_now_keeps_a_row_as_it_is(import_rows, alice):
    import_rows(HEADER, [("", "x@x.org", "Xenia", *[""] * 6), ("", "y@x.org", "Yves", *[""] * 6)])
    job = import_rows(HEADER, [("X", "x@x.org", "Xena", *[""] * 6)])
    edit_contact(alice, Contact.objects.get(first_name="Yves"), {"email": "x@x.org"})
    undo = take_back(alice, job)
    xena = Contact.objects.get(first_name="Xena")
    assert (undo.removed, undo.restored, undo.kept, undo.kept_ids) == (0, 0, 1, [xena.pk])
    assert xena.match_key == "i:X"


def test_what_a_person_wrote_between_two_changes_of_one_job_is_kept(import_rows, alice, monkeypatch):
    monkeypatch.setattr(ContactImport, "batch_rows", 1)
    import_rows(HEADER, [("A", "old@x.org", "Ann", *[""] * 6)])

    class Between:
        """Edits the contact after the first batch."""

        done = False

        def __call__(self, job, prepared):
            if BatchMerge.objects.filter(job__public_id=job.id).exists() and not self.done:
                self.done = True
                edit_contact(alice, Contact.objects.get(), {"title": "Boss"})
            return merge_batch(job, prepared)

    monkeypatch.setattr(merge, "merge_batch", Between())
    job = import_rows(HEADER, [("A", "", "Anna", *[""] * 6), ("", "old@x.org", "Annie", *[""] * 6)])
    assert Contact.objects.get().revision == 4
    undo = take_back(alice, job)
    ann = Contact.objects.get()
    assert (undo.restored, undo.kept, ann.title, ann.first_name) == (0, 1, "Boss", "Annie")


def test_an_import_that_was_taken_back_is_not_taken_up_again(import_rows, alice):
    job = import_rows(HEADER, [("A", "", "Ann", *[""] * 6)])
    Batch.objects.filter(job=job).update(state=BatchState.CANCELLED, ok=0)
    undo_job(alice, job)
    with pytest.raises(StateError, match="taken back"):
        retry_job(alice, job)
    run_undos()
    with pytest.raises(StateError, match="taken back"):
        retry_job(alice, job)
    assert not Contact.objects.exists()
