"""A worker's ear at a real Redis: killed, emptied, frozen, half-open, rung ten times; and what goes over the wire."""

from __future__ import annotations

import json
import os
import time
from base64 import b64decode
from collections.abc import Callable, Iterator

import pytest

from rowmill import doorbell
from rowmill.jobs.listener import Listener
from tests.crash.server import wait_for
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.slow


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Listener, doorbell.Broker]]]:
    """Connect this process's doorbell to a Redis, and listen there through a child."""
    from rowmill import celery

    started: list[Listener] = []

    def connected(port: int) -> tuple[Listener, doorbell.Broker]:
        url = f"redis://127.0.0.1:{port}/0"
        monkeypatch.setenv("ROWMILL_BROKER_URL", url)
        monkeypatch.setattr(celery, "app", celery.make_app(url))
        broker = doorbell.use_broker(celery.Publisher(celery.app))
        assert broker is not None
        listener = Listener(("bulk",))
        listener.start()
        started.append(listener)
        return listener, broker

    yield connected
    for listener in started:
        listener.stop()
    doorbell.use_broker(None)


def ring_until_heard(broker: doorbell.Broker, seconds: float = 90) -> None:
    """Ring at the broker, as another process would, until this one hears it."""
    before = doorbell.heard("bulk")

    def heard() -> bool:
        broker.post("bulk", doorbell.new_ring_id())
        time.sleep(0.2)
        return doorbell.heard("bulk") > before

    wait_for(heard, seconds, "no ring was heard")


def test_it_hears_again_after_redis_was_killed_emptied_and_frozen(redis, connect) -> None:
    listener, broker = connect(redis.port)
    ring_until_heard(broker)
    for _ in range(3):
        redis.restart_empty()
        ring_until_heard(broker)
    redis.kill()
    time.sleep(3)
    redis.start()
    ring_until_heard(broker)
    redis.freeze()
    for _ in range(100):
        broker.post("bulk", doorbell.new_ring_id())
    time.sleep(20)  # longer than any time-out: what waits for an answer gives it up
    redis.thaw()
    ring_until_heard(broker)
    assert listener.starts == 1, "the child outlived all of it"


def test_it_hears_again_after_a_half_open_connection(redis, connect) -> None:
    with Proxy(redis.port) as line:
        _, broker = connect(line.port)
        ring_until_heard(broker)
        line.black_hole = True
        time.sleep(2)
        line.refuse()  # the old connections are dead and nobody was told; new ones are refused for a while
        time.sleep(1)
        line.black_hole = False
        line.accept()
        ring_until_heard(broker)


def test_it_hears_again_after_a_silent_line(redis, connect) -> None:
    """The line swallows everything and nobody hangs up: only time-outs can tell."""
    with Proxy(redis.port) as line:
        _, broker = connect(line.port)
        ring_until_heard(broker)
        line.black_hole = True
        time.sleep(5)
        line.black_hole = False  # for new connections; what was swallowed on the old ones never comes
        ring_until_heard(broker)


def test_a_child_that_dies_is_started_again(redis, connect) -> None:
    listener, broker = connect(redis.port)
    ring_until_heard(broker)
    assert listener.child is not None
    os.kill(listener.child.pid, 9)
    wait_for(
        lambda: listener.starts == 2, 60, "no other child"
    )  # first, since rings of before may still be on their way
    ring_until_heard(broker)
    assert listener.starts == 2


def test_ten_rings_are_heard_and_leave_nothing_behind(redis, connect) -> None:
    _, broker = connect(redis.port)
    ring_until_heard(broker)
    wait_for(lambda: redis.ask("LLEN", "rowmill:bulk") == b":0\r\n", 10, "rings lie about")
    before, ring_id = doorbell.heard("bulk"), doorbell.new_ring_id()
    for _ in range(10):
        broker.post("bulk", ring_id)
    wait_for(lambda: doorbell.heard("bulk") > before, 20, "it was not heard")
    wait_for(lambda: redis.ask("LLEN", "rowmill:bulk") == b":0\r\n", 10, "rings lie about")
    assert redis.ask("EXISTS", "rowmill:unacked", "rowmill:unacked_index") == b":0\r\n"


def test_a_message_is_a_lane_and_an_id_and_all_keys_are_ours(redis, monkeypatch) -> None:
    from rowmill import celery

    publish = celery.Publisher(celery.make_app(redis.url))
    ring_id = doorbell.new_ring_id()
    publish("bulk", ring_id)
    answer = redis.ask("LINDEX", "rowmill:bulk", "0")
    message = json.loads(answer.split(b"\r\n", 1)[1])
    assert json.loads(b64decode(message["body"]))[:2] == [["bulk"], {}]
    assert message["headers"]["id"] == str(ring_id)
    assert message["headers"]["task"] == celery.RING
    assert message["content-type"] == "application/json"
    keys = redis.ask("KEYS", "*").split(b"\r\n")[2::2]
    assert keys
    assert all(key.startswith(b"rowmill:") for key in keys), keys


def test_a_bell_that_nobody_hears_does_not_fill_redis(redis) -> None:
    from rowmill import celery

    publish = celery.Publisher(celery.make_app(redis.url))
    for _ in range(celery.MOST_UNHEARD + 50):
        publish("bulk", doorbell.new_ring_id())
    assert redis.ask("LLEN", "rowmill:bulk") == f":{celery.MOST_UNHEARD}\r\n".encode()


def test_a_deaf_consumer_ends_itself(redis, monkeypatch) -> None:
    from rowmill import celery, tasks

    app = celery.make_app(redis.url)
    monkeypatch.setattr(celery, "app", app)
    monkeypatch.setattr(tasks, "LOOK_SECONDS", 0.05)
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    celery.Publisher(app)("bulk", doorbell.new_ring_id())  # and nobody takes it
    tasks._end_when_deaf(("bulk",))
    assert ended == [tasks.DEAF_EXIT]


def test_health_tells_of_a_redis_that_is_there_frozen_or_gone(redis, monkeypatch) -> None:
    from rowmill import celery

    monkeypatch.setattr(celery, "app", celery.make_app(redis.url))
    assert celery.ask_broker() == "ok"
    redis.freeze()
    assert "does not answer" in celery.ask_broker()
    assert celery.count_unheard(("bulk",)) == 0
    redis.kill()
    said = celery.ask_broker()
    assert "does not answer" in said
    assert str(redis.port) not in said
