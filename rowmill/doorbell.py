"""The doorbell: the only module that talks to a broker. A ring says "there may be work" in a lane, never which.

The bell inside this process always rings. Where a broker is set, a thread of its own carries the ring to it, so that no
request waits for a broker that is frozen, half-open or gone. A lost, doubled or late ring does no harm: workers poll.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID, uuid4

import structlog

log = structlog.get_logger("rowmill.doorbell")

INTERACTIVE = "interactive"
BULK = "bulk"
LANES = (INTERACTIVE, BULK)  # in the order in which a free thread looks for work

MOST_RINGS = 500
REST_SECONDS = 5.0
SLOW_SECONDS = 3.0

Publish: TypeAlias = Callable[[str, UUID], None]

_BELL = threading.Condition()
_RINGS: dict[str, int] = {}


def new_ring_id() -> UUID:
    """Make a ring's id before it rings, so that a job can carry it from its first commit."""
    return uuid4()


def ring(lane: str, ring_id: UUID | None = None) -> UUID:
    """Tell the workers of a lane that there may be work. Call it after the commit. Never raises, never blocks."""
    ring_id = ring_id or new_ring_id()
    ring_here(lane)
    if _broker is not None:
        _broker.post(lane, ring_id)
    return ring_id


def ring_here(lane: str) -> None:
    """Ring inside this process only: what came from the broker must not go back to it."""
    with _BELL:
        _RINGS[lane] = _RINGS.get(lane, 0) + 1
        _BELL.notify_all()


def heard(*lanes: str) -> int:
    """Count the rings of these lanes so far, to hand to `wait_for_ring`."""
    with _BELL:
        return _count(lanes)


def wait_for_ring(lanes: str | tuple[str, ...], since: int, timeout_seconds: float) -> int:
    """Wait until one of the lanes rang after `since`, at most so long. Gives the count of rings."""
    lanes = (lanes,) if isinstance(lanes, str) else lanes
    with _BELL:
        _BELL.wait_for(lambda: _count(lanes) != since, timeout_seconds)
        return _count(lanes)


def _count(lanes: tuple[str, ...]) -> int:
    """Add up the rings; call it with the bell held."""
    return sum(_RINGS.get(lane, 0) for lane in lanes)


class Broker:
    """Carries rings to a broker in a thread of its own. After a failure it rests, and the rings of that time are let go."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._rings: queue.Queue[tuple[str, UUID]] = queue.Queue(MOST_RINGS)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._rest_until = 0.0
        self._busy_since: float | None = None
        self.trouble = ""

    def post(self, lane: str, ring_id: UUID) -> None:
        """Leave a ring for the thread; let it go where the broker is down or far behind. Never raises, never blocks."""
        if time.monotonic() < self._rest_until:
            return
        try:
            self._need_thread()
            self._rings.put_nowait((lane, ring_id))
        except (queue.Full, RuntimeError):  # RuntimeError: no thread can be started (any more)
            return

    def flush(self, seconds: float) -> bool:
        """Wait until all rings are carried or let go, at most so long. Gives whether they are."""
        until = time.monotonic() + seconds
        while self._rings.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.01)
        return not self._rings.unfinished_tasks

    def describe(self) -> str:
        """Say "ok", or what is wrong with the broker, as seen by the rings of this process."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > SLOW_SECONDS:
            return "The broker does not answer a ring (it is frozen, or the connection is dead)."
        return self.trouble or "ok"

    def _need_thread(self) -> None:
        """Start the thread where there is none: at the first ring, and after a fork."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._carry, name="doorbell", daemon=True)
                self._thread.start()

    def _carry(self) -> None:
        """Carry rings for ever."""
        while True:
            lane, ring_id = self._rings.get()
            try:
                if time.monotonic() >= self._rest_until:
                    self._carry_one(lane, ring_id)
            finally:
                self._rings.task_done()

    def _carry_one(self, lane: str, ring_id: UUID) -> None:
        """Publish one ring; note the broker's state, and log it once when it changes."""
        self._busy_since = time.monotonic()
        try:
            self._publish(lane, ring_id)
        except Exception as error:  # whatever a broker's client throws costs latency only
            self._rest_until = time.monotonic() + REST_SECONDS
            if not self.trouble:
                log.warning("the broker takes no rings; workers find work by polling", exc_info=error)
            self.trouble = f"The broker takes no rings ({type(error).__name__})."
        else:
            if self.trouble:
                log.info("the broker takes rings again")
            self.trouble = ""
        finally:
            self._busy_since = None


_broker: Broker | None = None


def use_broker(publish: Publish | None) -> Broker | None:
    """Let rings go to a broker too, by this function (the wiring gives it); None ends that."""
    global _broker
    _broker = Broker(publish) if publish is not None else None
    return _broker


def flush_rings(seconds: float = 1.0) -> None:
    """Give rings that are under way a moment, before the process ends."""
    if _broker is not None:
        _broker.flush(seconds)


def describe_broker() -> str:
    """Say "none", "ok", or what is wrong with the broker, as seen by the rings of this process."""
    return _broker.describe() if _broker is not None else "none"


atexit.register(flush_rings)
