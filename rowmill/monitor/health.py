"""Whether this installation can work: database, storage, disk, broker, a worker. Each part "ok" or its cause in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from django.conf import settings
from django.db import DatabaseError, connection, connections

from rowmill.models import WorkerRole
from rowmill.monitor.heartbeat import FRESH_SECONDS, count_alive
from rowmill.storage.opening import check_storage
from rowmill.storage.scratch import Scratch

# Without these nothing can be taken in. Without a broker workers find work by polling; without a worker jobs wait.
NEEDED = frozenset({"database", "storage", "disk"})
DEADLINE_SECONDS = 5.0
REMEMBER_SECONDS = 2.0
WORKING = (WorkerRole.WORKER.value, WorkerRole.EMBEDDED.value)


@dataclass(frozen=True, slots=True)
class Health:
    """What was looked at. Each value is "ok" or the cause in words."""

    parts: dict[str, str]

    @property
    def ok(self) -> bool:
        """Tell whether requests can be served and files taken in."""
        return all(self.parts.get(name, "ok") == "ok" for name in NEEDED)

    @property
    def status(self) -> str:
        """Give one word: ok, degraded (slower, or jobs wait) or unwell."""
        if not self.ok:
            return "unwell"
        return "ok" if all(word == "ok" for word in self.parts.values()) else "degraded"


class Looks:
    """Looks at all parts at once, each in a thread of its own, so that one that hangs delays nobody."""

    def __init__(self, parts: dict[str, Callable[[], str]]) -> None:
        self._parts = parts
        self._one_at_a_time = threading.Lock()
        self._under_way: dict[str, threading.Thread] = {}
        self._found: dict[str, str] = {}
        self._last: tuple[float, Health] | None = None

    def read(self, deadline_seconds: float = DEADLINE_SECONDS) -> Health:
        """Look, at most so long. Again: within two seconds it gives what was found before."""
        with self._one_at_a_time:
            if self._last is not None and time.monotonic() - self._last[0] < REMEMBER_SECONDS:
                return self._last[1]
            until = time.monotonic() + deadline_seconds
            for name in self._parts:
                self._begin(name)
            found = {name: self._end(name, until) for name in self._parts}
            health = Health({name: word for name, word in found.items() if word != "none"})
            self._last = (time.monotonic(), health)
            return health

    def forget(self) -> None:
        """Look anew the next time."""
        self._last = None

    def _begin(self, name: str) -> None:
        """Start a look, unless the one before still hangs."""
        running = self._under_way.get(name)
        if running is None or not running.is_alive():
            thread = threading.Thread(target=self._look, args=(name,), name=f"health-{name}", daemon=True)
            self._under_way[name] = thread
            thread.start()

    def _look(self, name: str) -> None:
        """Look at one part."""
        try:
            self._found[name] = self._parts[name]()
        except Exception as error:
            self._found[name] = f"It cannot be looked at ({type(error).__name__})."
        finally:
            connections.close_all()

    def _end(self, name: str, until: float) -> str:
        """Wait for a look. Gives its word."""
        thread = self._under_way[name]
        thread.join(max(0.0, until - time.monotonic()))
        return f"The {name} does not answer." if thread.is_alive() else self._found[name]


def look_at_database() -> str:
    """Ask the database for a one."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return "ok" if cursor.fetchone() == (1,) else "The database gives a wrong answer."
    except DatabaseError as error:
        return f"The database does not answer ({type(error).__name__})."


def look_at_disk() -> str:
    """Hold the free space against its threshold."""
    free = Scratch(settings.SCRATCH_DIR, 0).free_bytes()
    if free < settings.ROWMILL_MIN_FREE_BYTES:
        return f"Only {free:,} bytes are free; uploads are refused and jobs wait below {settings.ROWMILL_MIN_FREE_BYTES:,}."
    return "ok"


def look_at_broker() -> str:
    """Ask the broker for a sign of life. Gives "none" where no broker is set."""
    if not settings.ROWMILL_BROKER_URL:
        return "none"
    word: str = import_module("rowmill.celery").ask_broker()
    return word if word == "ok" else f"{word} Workers find work by polling, a little later."


def look_for_worker() -> str:
    """See whether a process that works on batches gave a sign of life lately."""
    if count_alive(WORKING):
        return "ok"
    return f"No worker gave a sign of life within {FRESH_SECONDS:.0f} seconds: jobs wait until one runs."


def look_at_storage() -> str:
    """Write, read and delete a small object."""
    return check_storage(settings)


_LOOKS = Looks(
    {
        "database": look_at_database,
        "storage": look_at_storage,
        "disk": look_at_disk,
        "broker": look_at_broker,
        "worker": look_for_worker,
    }
)


def read_health() -> Health:
    """Look at every part, within five seconds. Cost: two trivial queries, a few small calls to the storage."""
    return _LOOKS.read()


def forget_health() -> None:
    """Let the next look be a new one."""
    _LOOKS.forget()
