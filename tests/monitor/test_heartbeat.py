"""Signs of life: a row for each process, fresh while it lives, gone when it stops, forgotten after a day."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from rowmill.jobs.sweep import sweep
from rowmill.models import Worker
from rowmill.monitor import heartbeat
from rowmill.monitor.heartbeat import Heartbeat, count_alive
from tests.crash.server import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_row_appears_follows_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    doing = ["idle"]
    beats = Heartbeat("worker", lambda: doing[0], lanes=("interactive", "bulk"), concurrency=3)
    beats.start()
    wait_for(lambda: Worker.objects.filter(doing="idle").exists(), 10, "no row")
    row = Worker.objects.get()
    assert (row.uuid, row.role, row.lanes, row.concurrency) == (beats.uuid, "worker", "interactive,bulk", 3)
    doing[0] = "batches 7; 1 since the start" + "!" * 400
    wait_for(lambda: Worker.objects.get().doing.startswith("batches 7"), 10, "it does not follow")
    Worker.objects.all().delete()  # as by a prune while it was frozen
    wait_for(lambda: Worker.objects.exists(), 10, "it does not come back")
    beats.stop()
    assert not Worker.objects.exists()


def test_it_outlives_whatever_describing_or_the_database_throw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.02)
    said = iter([RuntimeError(), OSError(), *["fine"] * 10_000])

    def describe() -> str:
        word = next(said)
        if isinstance(word, Exception):
            raise word
        return word

    beats = Heartbeat("web", describe)
    beats.start()
    wait_for(lambda: Worker.objects.filter(doing="fine").exists(), 10, "it ended")
    beats.stop()
    beats.stop()


def test_who_counts_as_alive() -> None:
    now = timezone.now()
    for role, host, ago in [("worker", "a", 0), ("worker", "b", 3600), ("beat", "a", 0)]:
        Worker.objects.create(role=role, host=host, pid=1, version="1", beat_at=now - timedelta(seconds=ago))
    assert count_alive(("worker",)) == 1
    assert count_alive(("worker",), host="b") == 0
    assert count_alive(("worker", "beat"), host="a") == 2


def test_the_sweeper_forgets_the_dead_after_a_day_and_nobody_else(people) -> None:
    now = timezone.now()
    kept, gone = uuid4(), uuid4()
    for uuid, hours in ((kept, 23), (gone, 25)):
        Worker.objects.create(
            uuid=uuid, role="worker", host="a", pid=1, version="1", beat_at=now - timedelta(hours=hours)
        )
    sweep()
    assert list(Worker.objects.values_list("uuid", flat=True)) == [kept]
