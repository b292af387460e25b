"""The doorbell: rings here always, at a broker where there is one, and never makes the one who rings wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from rowmill import doorbell
from rowmill.doorbell import BULK, INTERACTIVE, Broker, heard, new_ring_id, ring, ring_here, wait_for_ring


@pytest.fixture(autouse=True)
def _no_broker() -> Iterator[None]:
    yield
    doorbell.use_broker(None)


def test_it_rings_here_and_at_the_broker_with_the_id_of_the_job() -> None:
    carried: list[tuple[str, UUID]] = []
    broker = doorbell.use_broker(lambda lane, ring_id: carried.append((lane, ring_id)))
    before, ring_id = heard(BULK), new_ring_id()
    assert ring(BULK, ring_id) == ring_id
    assert heard(BULK) == before + 1
    assert broker.flush(60)
    assert carried == [(BULK, ring_id)]


def test_what_came_from_the_broker_does_not_go_back() -> None:
    carried: list[str] = []
    broker = doorbell.use_broker(lambda lane, ring_id: carried.append(lane))
    before = heard(BULK)
    ring_here(BULK)
    assert broker.flush(60)
    assert (carried, heard(BULK)) == ([], before + 1)


def test_a_broker_that_hangs_holds_nobody_up_and_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, let_go = threading.Event(), threading.Event()

    def hang(lane: str, ring_id: UUID) -> None:
        hangs.set()
        let_go.wait(250)

    broker = doorbell.use_broker(hang)
    ring(BULK)
    assert hangs.wait(60)
    for _ in range(10 * doorbell.MOST_RINGS):
        ring(BULK)  # returns while the broker's thread is stuck in its first
    assert broker._rings.qsize() == doorbell.MOST_RINGS
    monkeypatch.setattr(doorbell, "SLOW_SECONDS", 0.0)
    assert "frozen" in doorbell.describe_broker()
    let_go.set()
    assert broker.flush(60)
    assert doorbell.describe_broker() == "ok"


def test_an_outage_is_told_once_and_costs_no_try_for_every_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    down, tried = True, []

    def publish(lane: str, ring_id: UUID) -> None:
        tried.append(lane)
        if down:
            raise ConnectionError("redis://:secret@host refused")

    monkeypatch.setattr(doorbell, "REST_SECONDS", 3600.0)
    broker = Broker(publish)
    with capture_logs() as logs:
        for _ in range(50):
            broker.post(BULK, new_ring_id())
        assert broker.flush(60)
        broker.post(BULK, new_ring_id())
        assert len(tried) == 1, "the others were let go"
        assert broker.describe() == "The broker takes no rings (ConnectionError)."
        broker._rest_until = 0.0
        broker.post(BULK, new_ring_id())
        assert broker.flush(60)
        down, broker._rest_until = False, 0.0
        broker.post(BULK, new_ring_id())
        assert broker.flush(60)
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert (len(tried), broker.describe()) == (3, "ok")


def test_without_a_broker_there_is_none() -> None:
    assert doorbell.describe_broker() == "none"
    doorbell.flush_rings(0)


def test_who_waits_at_two_lanes_hears_either() -> None:
    for lane in (INTERACTIVE, BULK):
        since = heard(INTERACTIVE, BULK)
        threading.Timer(0.05, ring_here, [lane]).start()
        assert wait_for_ring((INTERACTIVE, BULK), since, 60) == since + 1
    since = heard(INTERACTIVE)
    ring_here(BULK)
    assert wait_for_ring(INTERACTIVE, since, 0.01) == since, "not one's own lane"
