"""The Celery app's configuration, to the letter: each line of it was paid for by a lost message or a deaf worker."""

from __future__ import annotations

import pytest

from rowmill.celery import brief_options, make_app, need_sound_kombu, transport_options
from rowmill.doorbell import LANES
from rowmill.errors import ConfigError
from rowmill.wiring import env

SAFE = {
    "task_acks_late": False,
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    "task_ignore_result": True,
    "result_backend": None,
    "task_serializer": "json",
    "accept_content": ["json"],
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
}


@pytest.mark.parametrize("name", SAFE)
def test_the_safe_configuration(name: str) -> None:
    assert make_app("redis://127.0.0.1:1/0").conf[name] == SAFE[name]


def test_no_socket_waits_for_ever_and_who_rings_waits_less() -> None:
    options = make_app("redis://127.0.0.1:1/0").conf.broker_transport_options
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (15, 3)
    assert options["socket_keepalive"] is True
    assert options["health_check_interval"] == 25
    assert options["global_keyprefix"] == "rowmill:"
    assert brief_options(2)["socket_timeout"] == 2
    assert brief_options(2)["max_retries"] == 1
    assert transport_options(2)["socket_connect_timeout"] == 2


def test_each_lane_is_a_queue_whose_messages_need_no_ack() -> None:
    queues = make_app("redis://127.0.0.1:1/0").conf.task_queues
    assert {queue.name: queue.no_ack for queue in queues} == dict.fromkeys(LANES, True)


@pytest.mark.parametrize("version", ["5.6.2", "5.6.99", "4.6", "5.6.3rc1"])
def test_an_older_kombu_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=r"5\.7\.0 or newer"):
        need_sound_kombu(version)


@pytest.mark.parametrize("version", ["5.7.0", "5.7.1", "5.10", "6.0"])
def test_a_newer_kombu_is_taken(version: str) -> None:
    need_sound_kombu(version)


@pytest.mark.parametrize("text", ["amqp://user:hush@host", "redis://", "redis://host:0/0", "host:6379", "memory://"])
def test_a_malformed_address_is_refused_and_not_quoted(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWMILL_BROKER_URL", text)
    with pytest.raises(ConfigError, match="ROWMILL_BROKER_URL cannot be read") as refused:
        env("ROWMILL_BROKER_URL")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "redis://host", "rediss://:secret@host:6380/1"])
def test_a_sound_address_is_taken(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWMILL_BROKER_URL", text)
    assert env("ROWMILL_BROKER_URL") == text
