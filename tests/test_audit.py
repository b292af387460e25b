"""The trail: appended to, chained, and telling when somebody has changed it."""

from __future__ import annotations

import pytest
from django.db import transaction

from rowmill import audit
from rowmill.models import AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def trail(people):
    for number in range(1, 6):
        audit.record(people.acme, people.alice, "job.submit", "job", f"id-{number}", rows=number)
    audit.record(people.other, people.charlie, "job.submit", "job", "theirs")
    return people.acme


def at(org, position: int):
    return AuditEvent.objects.filter(org=org, position=position)


def test_events_stand_in_order_for_each_org(trail, people):
    assert list(AuditEvent.objects.filter(org=trail).values_list("position", "target_id")) == [
        (n, f"id-{n}") for n in range(1, 6)
    ]
    assert list(AuditEvent.objects.filter(org=people.other).values_list("position", flat=True)) == [1]
    assert audit.find_break(trail) is None
    assert audit.find_break(people.other) is None


def test_an_event_without_a_person_is_rowmills_own(people):
    assert audit.record(people.acme, None, "job.completed", "job", "x").actor_name == "rowmill"


@pytest.mark.parametrize(
    "changes",
    [
        {"verb": "job.delete"},
        {"actor_name": "somebody@else.test"},
        {"target_id": "id-9"},
        {"target_type": "upload"},
        {"details": {"rows": 99}},
        {"at": "2020-01-01T00:00:00+00:00"},
        {"mac": "0" * 64},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_change_shows_where_it_was_made(trail, changes):
    at(trail, 3).update(**changes)
    assert audit.find_break(trail) == 3


def test_a_removed_event_shows(trail):
    at(trail, 2).delete()
    assert audit.find_break(trail) == 2


def test_a_removed_event_shows_even_when_the_others_close_ranks(trail):
    at(trail, 2).delete()
    for position in range(3, 6):
        at(trail, position).update(position=position - 1)
    assert audit.find_break(trail) == 2


def test_exchanged_events_show(trail):
    at(trail, 2).update(position=99)
    at(trail, 3).update(position=2)
    at(trail, 99).update(position=3)
    assert audit.find_break(trail) == 2


def test_an_event_of_another_org_does_not_fit(trail, people):
    foreign = AuditEvent.objects.get(org=people.other)
    foreign.org, foreign.position = trail, 6
    foreign.save()
    assert audit.find_break(trail) == 6


def test_an_event_goes_with_the_transaction_it_was_written_in(people):
    class Undone(Exception):
        pass

    def work() -> None:
        with transaction.atomic():
            audit.record(people.acme, people.alice, "job.cancel", "job", "x")
            raise Undone

    with pytest.raises(Undone):
        work()
    assert AuditEvent.objects.count() == 0
    audit.record(people.acme, people.alice, "job.cancel", "job", "y")
    assert audit.find_break(people.acme) is None


def test_a_person_who_is_removed_stays_in_the_trail_by_name(trail, people):
    people.alice.delete()
    assert set(AuditEvent.objects.filter(org=trail).values_list("actor", "actor_name")) == {(None, "alice@acme.test")}
    assert audit.find_break(trail) is None
