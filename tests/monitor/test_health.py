"""What health looks at, what it says where a part is missing, and that no part that hangs holds it up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from rowmill.models import Worker
from rowmill.monitor import health
from rowmill.monitor.health import Health, Looks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _look_anew(settings) -> Iterator[None]:
    settings.ROWMILL_MIN_FREE_BYTES = 0
    health.forget_health()
    yield
    health.forget_health()


def make_worker(role: str = "worker", seconds_ago: float = 0) -> Worker:
    seen = timezone.now() - timedelta(seconds=seconds_ago)
    return Worker.objects.create(role=role, host="here", pid=1, version="1", beat_at=seen)


def test_alive_asks_nobody(client: Client, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/health/")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


@pytest.mark.parametrize("role", ["worker", "embedded"])
def test_ready_where_all_is_well(client: Client, role: str) -> None:
    make_worker(role)
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["parts"] == {"database": "ok", "storage": "ok", "disk": "ok", "worker": "ok"}


@pytest.mark.parametrize(("role", "seconds_ago"), [("web", 0), ("beat", 0), ("worker", 120)])
def test_without_a_worker_it_is_degraded_and_serves_on(client: Client, role: str, seconds_ago: float) -> None:
    make_worker(role, seconds_ago)
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "jobs wait" in answer.json()["parts"]["worker"]


def test_a_disk_that_is_full_is_told_in_words(client: Client, settings) -> None:
    settings.ROWMILL_MIN_FREE_BYTES = 1 << 60
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "unwell")
    assert "bytes are free" in answer.json()["parts"]["disk"]


def test_a_broker_that_is_away_is_degraded_and_its_address_is_not_told(
    client: Client, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rowmill import celery

    make_worker()
    settings.ROWMILL_BROKER_URL = "redis://:hush@127.0.0.1:1/0"
    monkeypatch.setattr(celery, "app", celery.make_app(settings.ROWMILL_BROKER_URL))
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "by polling" in answer.json()["parts"]["broker"]
    assert "hush" not in answer.content.decode()


def test_a_part_that_hangs_holds_nobody_up_and_is_not_asked_twice() -> None:
    let_go, asked = threading.Event(), []

    def hang() -> str:
        asked.append(1)
        let_go.wait(250)
        return "ok"

    looks = Looks({"database": lambda: "ok", "storage": hang})
    for _ in range(3):
        looks.forget()
        found = looks.read(2.0)  # enough for the one that answers, on a slow machine too
        assert found.parts == {"database": "ok", "storage": "The storage does not answer."}
        assert found.status == "unwell"
    assert len(asked) == 1
    let_go.set()
    looks.forget()
    assert looks.read(60).status == "ok"


def test_what_breaks_while_it_is_looked_at_is_a_cause_without_its_text() -> None:
    def break_down() -> str:
        raise RuntimeError("a secret")

    assert Looks({"disk": break_down}).read(10).parts == {"disk": "It cannot be looked at (RuntimeError)."}


def test_it_remembers_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REMEMBER_SECONDS", 3600.0)
    asked: list[int] = []
    looks = Looks({"disk": lambda: asked.append(1) or "ok"})  # type: ignore[func-returns-value]
    looks.read(10)
    looks.read(10)
    assert len(asked) == 1


def test_what_is_needed_decides() -> None:
    assert Health({"database": "ok", "broker": "away", "worker": "none"}).status == "degraded"
    assert Health({"database": "away", "broker": "ok"}).status == "unwell"
