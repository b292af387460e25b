"""The doorbell: the only module that talks to a broker. A ring says "there may be work" in a lane, never which.

In embedded mode the bell is an event inside this process; a lost, doubled or late ring does no harm.
"""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

_BELL = threading.Condition()
_RINGS: dict[str, int] = {}


def new_ring_id() -> UUID:
    """Make a ring's id before it rings, so that a job can carry it from its first commit."""
    return uuid4()


def ring(lane: str, ring_id: UUID | None = None) -> UUID:
    """Tell the workers of a lane that there may be work. Call it after the commit. Never raises, never blocks."""
    with _BELL:
        _RINGS[lane] = _RINGS.get(lane, 0) + 1
        _BELL.notify_all()
    return ring_id or new_ring_id()


def heard(lane: str) -> int:
    """Count the rings of a lane so far, to hand to `wait_for_ring`."""
    with _BELL:
        return _RINGS.get(lane, 0)


def wait_for_ring(lane: str, since: int, timeout_seconds: float) -> int:
    """Wait until the lane rang after `since`, at most so long. Gives the count of rings."""
    with _BELL:
        _BELL.wait_for(lambda: _RINGS.get(lane, 0) != since, timeout_seconds)
        return _RINGS.get(lane, 0)
