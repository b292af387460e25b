"""An effect that is worked out in the background: claimed once, taken over when its worker dies, dropped when nobody wants it."""

from __future__ import annotations

import pytest
from django.db.models.functions import Now

from rowmill.errors import LostLease, StorageFault
from rowmill.jobs.arrive import effect_due
from rowmill.jobs.imports import choose_policy, start_import
from rowmill.jobs.submit import take_file
from rowmill.jobs.sweep import sweep
from rowmill.merging import effects
from rowmill.merging.effects import (
    claim_due_effect,
    due_effects,
    forget_effects,
    put_effect_off,
    request_effect,
    run_effect,
    take_back_effects,
)
from rowmill.models import EffectState, ImportEffect, Job, Upload
from tests.merging.conftest import as_csv

pytestmark = pytest.mark.django_db
HEADER = ("Email", "First Name")


@pytest.fixture
def upload(alice, import_rows) -> Upload:
    """A file that would change the one contact there is, and waits for a look."""
    import_rows(HEADER, [("ann@x.org", "Ann")])
    data = as_csv(HEADER, [("ann@x.org", "Anna"), ("bob@x.org", "Bob")])
    taken = take_file(alice, "contact_import", "c.csv", [data], intent={"review": True})
    return Upload.objects.select_related("org").get(pk=taken.upload.pk)


def test_one_worker_has_it_and_another_takes_it_over(upload):
    asked = request_effect(upload, "update", None)
    assert request_effect(upload, "update", None).pk == asked.pk
    mine = claim_due_effect()
    assert mine is not None
    assert claim_due_effect() is None
    ImportEffect.objects.update(lease_until=Now() - effects.LEASE)
    theirs = claim_due_effect()
    assert theirs is not None
    with pytest.raises(LostLease):
        run_effect(mine)
    run_effect(theirs)
    asked.refresh_from_db()
    assert (asked.state, asked.inserted, asked.updated, asked.claims) == (EffectState.DONE, 1, 1, 2)


def test_what_nobody_wants_any_more_is_not_written(upload):
    request_effect(upload, "update", None)
    mine = claim_due_effect()
    forget_effects(upload)
    with pytest.raises(LostLease):
        run_effect(mine)
    assert not ImportEffect.objects.exists()
    assert not effect_due()


def test_it_is_given_back_when_a_process_ends_and_found_by_the_sweeper(upload):
    request_effect(upload, "update", None)
    mine = claim_due_effect()
    put_effect_off(mine)
    assert due_effects().count() == 1
    claim_due_effect()
    take_back_effects()
    assert due_effects().count() == 1
    sweep()
    assert effect_due()
    assert ImportEffect.objects.get().state == EffectState.DONE
    assert not Job.objects.filter(upload=upload).exists()


def test_a_storage_that_is_away_costs_no_try(upload, monkeypatch):
    def away(*_args, **_more):
        raise StorageFault

    monkeypatch.setattr(effects, "preview_import", away)
    request_effect(upload, "update", None)
    assert effect_due()
    effect = ImportEffect.objects.get()
    assert (effect.state, effect.attempts) == (EffectState.WAITING, 0)
    assert not due_effects().exists()


def test_what_fails_again_and_again_is_told_and_can_be_asked_for_anew(upload, monkeypatch):
    def broken(*_args, **_more):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(effects, "preview_import", broken)
    request_effect(upload, "update", None)
    for _ in range(effects.MOST_ATTEMPTS):
        with pytest.raises(RuntimeError):
            effect_due()
    assert effect_due()
    effect = ImportEffect.objects.get()
    assert effect.state == EffectState.FAILED
    assert "is not tried again" in effect.error
    monkeypatch.undo()
    request_effect(upload, "update", None)
    assert effect_due()
    effect.refresh_from_db()
    assert (effect.state, effect.updated) == (EffectState.DONE, 1)


def test_a_policy_chosen_meanwhile_is_the_one_that_counts(alice, import_rows, monkeypatch):
    import_rows(HEADER, [("ann@x.org", "Ann")])
    alice.org.go_ahead_percent = 60
    alice.org.save()
    data = as_csv(HEADER, [("ann@x.org", "Anna"), ("bob@x.org", "Bob")])
    taken = take_file(alice, "contact_import", "c.csv", [data], intent={"duplicates": "update"})
    assert taken.job is None
    look = effects.preview_import

    def choose_meanwhile(upload, *args, **words):
        choose_policy(alice, Upload.objects.get(pk=taken.upload.pk), "blanks")
        return look(upload, *args, **words)

    monkeypatch.setattr(effects, "preview_import", choose_meanwhile)
    assert effect_due()
    assert Job.objects.count() == 1  # the first import alone: what it was asked for is not wanted any more
    sweep()
    assert Job.objects.count() == 1  # and whoever compares policies starts it
    job = start_import(alice, Upload.objects.select_related("org").get(pk=taken.upload.pk), go_ahead=True)
    assert job.options["duplicates"] == "blanks"


def test_what_another_import_writes_meanwhile_makes_it_outdated(upload, import_rows, monkeypatch):
    look = effects.preview_import

    def import_meanwhile(*args, **words):
        found = look(*args, **words)
        import_rows(HEADER, [("bob@x.org", "Bobby")])
        return found

    request_effect(upload, "update", None)
    monkeypatch.setattr(effects, "preview_import", import_meanwhile)
    run_effect(claim_due_effect())
    assert effects.is_outdated(ImportEffect.objects.select_related("upload").get())
