"""Wiring: the Celery app that carries rings over Redis. Loaded only where ROWMILL_BROKER_URL is set.

Source: the configuration was found by running Celery and kombu against a Redis that was killed, emptied, frozen and cut
off (docs/adr/0009-doorbell.md). No late ack, no prefetch, no ETA, no results, no revoke: a message may be lost at will.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import kombu
from celery import Celery  # type: ignore[import-untyped]
from kombu.connection import Connection
from kombu.entity import Queue

from rowmill.doorbell import LANES, use_broker
from rowmill.errors import ConfigError
from rowmill.wiring import env

KEY_PREFIX = "rowmill:"
RING = "rowmill.ring"
EXPIRES_SECONDS = 120
MOST_UNHEARD = 100
LISTEN_TIMEOUT_SECONDS = 15
PUBLISH_TIMEOUT_SECONDS = 2
ASK_TIMEOUT_SECONDS = 1
OLDEST_KOMBU = (5, 7, 0)


def make_app(url: str) -> Celery:
    """Make the app, configured the one way that survives every fault of a broker."""
    app = Celery(
        "rowmill", broker=with_checked_peer(url) or None, include=["rowmill.tasks"], fixups=[], set_as_current=False
    )
    app.conf.update(
        task_acks_late=False,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        accept_content=["json"],
        # Taken off the queue is done with. A message waiting for its ack makes a consumer deaf when the ack meets a frozen
        # Redis, and ends it when Redis dies.
        task_queues=[Queue(lane, routing_key=lane, no_ack=True) for lane in LANES],  # type: ignore[no-untyped-call]
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=transport_options(LISTEN_TIMEOUT_SECONDS),
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_max": 0.5},
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    return app


def with_checked_peer(url: str) -> str:
    """Have a broker over TLS show a certificate for its name, unless the address says otherwise: kombu asks for none."""
    address = urlsplit(url)
    if address.scheme != "rediss" or "ssl_cert_reqs" in parse_qs(address.query):
        return url
    checked = "ssl_cert_reqs=required&ssl_check_hostname=true"
    return address._replace(query=f"{address.query}&{checked}" if address.query else checked).geturl()


def transport_options(timeout_seconds: float) -> dict[str, Any]:
    """Give what kombu hands to Redis: no socket waits for ever, and all keys carry our prefix."""
    return {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": min(3.0, timeout_seconds),
        "socket_keepalive": True,
        "health_check_interval": 25,
        "global_keyprefix": KEY_PREFIX,
    }


def brief_options(timeout_seconds: float) -> dict[str, Any]:
    """Give the same for who rings or asks: one more try, then the broker counts as away."""
    tries = {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.1, "interval_max": 0.2}
    return {**transport_options(timeout_seconds), **tries}


def need_sound_kombu(version: str = kombu.__version__) -> None:
    """Refuse a kombu whose workers go deaf when a connection dies half-open. Raises: ConfigError."""
    found = tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in version.split(".")[:3])
    if found < OLDEST_KOMBU:
        raise ConfigError(f"kombu {version} can go deaf for ever on a dead connection. Install kombu 5.7.0 or newer.")


class Publisher:
    """Sends a ring over a connection of its own, that is dropped after any trouble."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None
        self._one_at_a_time = threading.Lock()

    def __call__(self, lane: str, ring_id: UUID) -> None:
        """Send one ring. Raises: what the broker's client raises. Cost: at most a few of its time-outs."""
        with self._one_at_a_time:
            try:
                self._send(lane, ring_id)
            except Exception:
                self._connection = None  # not closed politely: that may wait for a dead peer
                raise

    def _send(self, lane: str, ring_id: UUID) -> None:
        """Send, unless so many rings of the lane lie unheard that one more says nothing."""
        if self._connection is None:
            options = brief_options(PUBLISH_TIMEOUT_SECONDS)
            self._connection = self._app.connection_for_write(transport_options=options)
        channel = self._connection.default_channel
        if channel._size(lane) >= MOST_UNHEARD:
            return
        with self._app.amqp.Producer(channel, auto_declare=False) as producer:
            self._app.send_task(
                RING, args=[lane], task_id=str(ring_id), queue=lane, expires=EXPIRES_SECONDS, producer=producer
            )


def count_unheard(lanes: tuple[str, ...]) -> int:
    """Count the rings of these lanes that nobody has taken. Gives 0 where the broker does not answer."""
    try:
        with _brief_channel() as channel:
            return sum(channel._size(lane) for lane in lanes)
    except Exception:  # whatever a broker's client throws: the one who asks goes on without
        return 0


def ask_broker() -> str:
    """Ask the broker for a sign of life. Shape: "ok", or what is wrong in words, without the address."""
    try:
        with _brief_channel() as channel:
            channel.client.ping()
    except Exception as error:  # whatever a broker's client throws
        return f"The broker does not answer ({type(error).__name__})."
    return "ok"


@contextmanager
def _brief_channel() -> Iterator[Any]:
    """Open a channel that nobody waits for longer than a few of its short time-outs."""
    connection = app.connection_for_read(transport_options=brief_options(ASK_TIMEOUT_SECONDS))
    try:
        yield connection.default_channel
    finally:
        with suppress(Exception):
            connection.release()


def connect_doorbell() -> None:
    """Let this process's rings go to the broker. Raises: ConfigError for a kombu that is too old."""
    need_sound_kombu()
    use_broker(Publisher(app))


app = make_app(env("ROWMILL_BROKER_URL"))
