"""An undo in the background: done by one worker at a time, gone on with after a death, in order, beside other imports."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.contacts.editing import delete_contact, edit_contact
from rowmill.errors import LostLease
from rowmill.jobs import undoing
from rowmill.jobs.submit import take_file
from rowmill.jobs.sweep import sweep
from rowmill.jobs.undoing import give_back_undos, undo_due
from rowmill.merging import takeback, undo
from rowmill.merging.effects import claim_due_effect, is_outdated, read_effect_examples, request_effect, run_effect
from rowmill.merging.takeback import run_undo
from rowmill.merging.undo import (
    claim_due_undo,
    drop_old_rows,
    due_undos,
    pace_of,
    put_undo_off,
    remove_inserted,
    take_back_undos,
    undo_job,
)
from rowmill.models import AuditEvent, Contact, ImportEffect, Job, OldRow, Undo, Upload
from tests.merging.conftest import as_csv
from tests.merging.undoing import run_undos, take_back

pytestmark = pytest.mark.django_db
HEADER = ("Contact Id", "Email", "First Name")
ROWS = [(f"C{n}", f"c{n}@x.org", f"Name{n}") for n in range(6)]
LATER = [(key, mail, name + "x") for key, mail, name in ROWS] + [("N", "n@x.org", "New")]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(takeback, "BATCH_ROWS", 2)
    monkeypatch.setattr(takeback, "SLICE_SECONDS", 0.0)  # one batch, then it is somebody else's turn
    monkeypatch.setattr(undoing, "AGAIN_SECONDS", 0.0)


@pytest.fixture
def job(import_rows) -> Job:
    """An import that changed six and brought one."""
    import_rows(HEADER, ROWS)
    return import_rows(HEADER, LATER)


def names() -> list[str]:
    return list(Contact.objects.order_by("match_key").values_list("first_name", flat=True))


def test_it_goes_on_batch_by_batch_and_tells_how_far_it_is(alice, job):
    asked = undo_job(alice, job)
    assert (asked.state, asked.rows, asked.rows_done, pace_of(asked)) == ("WAITING", 7, 0, (None, None))
    assert undo_due()
    asked.refresh_from_db()
    assert (asked.state, asked.rows_done, asked.restored, asked.after_id > 0) == ("WAITING", 2, 2, True)
    per_minute, left = pace_of(asked)
    assert per_minute > 0
    assert left[0] <= left[1]
    assert sum(name.endswith("x") for name in names()) == 4
    run_undos()
    asked.refresh_from_db()
    assert (asked.state, asked.rows_done, asked.restored, asked.removed, asked.kept) == ("DONE", 7, 6, 1, 0)
    assert names() == [name for _, _, name in ROWS]
    assert asked.undone_at is not None
    assert pace_of(asked) == (None, None)
    assert AuditEvent.objects.get(verb="job.undone").details == {"removed": 1, "restored": 6, "kept": 0}


def test_another_takes_it_over_and_what_the_first_still_does_is_refused(alice, job):
    asked = undo_job(alice, job)
    mine = claim_due_undo()
    assert claim_due_undo() is None
    assert not due_undos().exists()
    Undo.objects.update(lease_until=Now() - undo.LEASE)
    theirs = claim_due_undo()
    with pytest.raises(LostLease):
        run_undo(mine)
    assert not run_undo(theirs)
    asked.refresh_from_db()
    assert (asked.claims, asked.rows_done) == (2, 2)
    mine = claim_due_undo()
    take_back_undos()
    assert due_undos().count() == 1
    put_undo_off(mine)
    sweep()
    run_undos()
    asked.refresh_from_db()
    assert (asked.state, asked.restored, asked.removed) == ("DONE", 6, 1)


def test_a_process_that_ends_gives_it_back(alice, job, monkeypatch):
    undo_job(alice, job)
    real = takeback._run_batch

    def ends_meanwhile(held):
        give_back_undos()
        return real(held)

    monkeypatch.setattr(takeback, "_run_batch", ends_meanwhile)
    assert undo_due()
    asked = Undo.objects.get()
    assert (asked.state, asked.rows_done, asked.attempts, asked.lease_until) == ("WAITING", 0, 0, None)
    assert len(names()) == 7


def test_what_fails_again_and_again_is_told_and_goes_on_when_it_is_started_again(alice, job, monkeypatch):
    undo_job(alice, job)
    assert undo_due()

    def broken(_self):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(takeback._Taking, "restore", broken)
    run_undos()
    asked = Undo.objects.get()
    assert (asked.state, asked.restored, asked.claims) == ("FAILED", 2, 1 + undo.MOST_ATTEMPTS + 1)
    assert "Start it again" in asked.error
    monkeypatch.undo()
    Job.objects.update(completed_at=timezone.now() - timedelta(days=31))
    OldRow.objects.update(kept_at=timezone.now() - timedelta(days=31))
    assert drop_old_rows() == 0  # what was begun needs them
    assert take_back(alice, job).restored == 6
    assert names() == [name for _, _, name in ROWS]


def test_of_an_org_one_goes_at_a_time_in_the_order_asked_for(alice, job, import_rows):
    newer = import_rows(HEADER, [(key, mail, name + "y") for key, mail, name in ROWS])
    first, second = undo_job(alice, newer), undo_job(alice, job)
    assert due_undos().get() == first
    run_undos()
    for one in (first, second):
        one.refresh_from_db()
        assert (one.state, one.restored, one.kept) == ("DONE", 6, 0)
    assert first.undone_at < second.undone_at
    assert names() == [name for _, _, name in ROWS]


def test_what_an_import_changes_before_its_turn_comes_is_kept(alice, job, import_rows):
    asked = undo_job(alice, job)
    assert undo_due()  # C0 and C1
    import_rows(HEADER, [("C1", "c1@x.org", "Again1"), ("C4", "c4@x.org", "Again4"), ("N", "n@x.org", "Newer")])
    run_undos()
    asked.refresh_from_db()
    assert (asked.restored, asked.removed, asked.kept) == (5, 0, 2)
    kept = Contact.objects.filter(first_name__in=["Again4", "Newer"]).order_by("pk")
    assert asked.kept_ids == list(kept.values_list("pk", flat=True))
    assert names() == ["Name0", "Again1", "Name2", "Name3", "Again4", "Name5", "Newer"]


def test_an_old_key_that_the_job_gave_to_another_is_free_again(alice, import_rows):
    import_rows(HEADER, [("", "x@x.org", "Xenia")])
    before = list(Contact.objects.values())
    job = import_rows(HEADER, [("X", "x@x.org", "Xena")])
    xena = Contact.objects.get()
    Contact.objects.filter(pk=xena.pk).update(email="z@x.org")  # so that the next one is another contact
    Contact.objects.create(org=xena.org, email="x@x.org", match_key="m:x@x.org", created_job=job, import_job=job)
    undone = take_back(alice, job)
    assert (undone.removed, undone.restored, undone.kept) == (1, 1, 0)
    assert list(Contact.objects.values()) == before


def test_a_removal_waits_for_its_turn_and_counts_anew_each_time(alice, job, import_rows):
    first = Job.objects.order_by("pk").first()
    assert remove_inserted(alice, first).rows == 6
    undo_job(alice, job)
    run_undos()
    told = Undo.objects.get(what="removal")
    assert (told.state, told.removed, told.kept, len(told.kept_ids)) == ("DONE", 0, 6, 6)  # the undo came after it
    assert remove_inserted(alice, first).rows == 6
    run_undos()
    told.refresh_from_db()
    assert (told.removed, told.kept, told.kept_ids) == (6, 0, [])
    assert not Contact.objects.exists()


# ------------------------------------------------------------------------------------------------ the preview


@pytest.fixture
def effect(alice, import_rows) -> ImportEffect:
    """What a file would do to the six contacts, known by now."""
    import_rows((*HEADER, "Last Raised At", "Replied"), [(*row, "2026-01-31", "yes") for row in ROWS])
    data = as_csv((*HEADER, "Last Raised At", "Replied"), [(*row, "31 Jan 2026", "yes") for row in LATER])
    taken = take_file(alice, "contact_import", "c.csv", [data], intent={"review": True})
    request_effect(Upload.objects.get(pk=taken.upload.pk), "update", None)
    run_effect(claim_due_effect())
    found = ImportEffect.objects.select_related("upload").get()
    assert not is_outdated(found)
    return found


def test_an_edit_a_deletion_and_a_removal_make_it_outdated(alice, effect):
    edit_contact(alice, Contact.objects.order_by("pk")[0], {"title": "Boss"})
    assert is_outdated(effect)
    again = request_effect(effect.upload, "update", None)
    run_effect(claim_due_effect())
    again.refresh_from_db()
    assert not is_outdated(again)
    delete_contact(alice, Contact.objects.order_by("pk")[0])
    assert is_outdated(again)
    request_effect(effect.upload, "update", None)
    run_effect(claim_due_effect())
    again.refresh_from_db()
    assert (again.inserted, is_outdated(again)) == (2, False)
    remove_inserted(alice, Job.objects.get())
    assert not is_outdated(again)  # nothing is written yet
    run_undos()
    assert is_outdated(again)


def test_equal_days_and_flags_are_no_change(effect):
    examples = read_effect_examples(effect)
    assert len(examples) == 6
    assert all([name for name, _, _ in one.changes] == ["first_name"] for one in examples)
