"""Signs of life: each process keeps its row in `Worker` fresh, for people and health checks. No lease depends on it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import structlog
from django.db import DatabaseError, connections
from django.db.models.functions import Now

from rowmill import __version__
from rowmill.models import Worker, WorkerRole

log = structlog.get_logger("rowmill.heartbeat")

BEAT_SECONDS = 10.0
FRESH_SECONDS = 45.0  # four beats missed
FORGET_AFTER = timedelta(days=1)


class Heartbeat:
    """Writes this process's row every ten seconds, and takes it away at a graceful stop."""

    def __init__(
        self,
        role: str,
        describe: Callable[[], str],
        *,
        uuid: UUID | None = None,
        lanes: tuple[str, ...] = (),
        concurrency: int = 0,
    ) -> None:
        """`describe` says in words what the process does now, with ids and counts only."""
        self.uuid = uuid or uuid4()
        self._describe = describe
        self._fixed = {
            "role": WorkerRole(role),
            "host": socket.gethostname()[:255],
            "pid": os.getpid(),
            "version": __version__,
            "lanes": ",".join(lanes)[:200],
            "concurrency": concurrency,
        }
        self._stopping = threading.Event()
        self._in_trouble = False
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin. A database that does not answer is waited for."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Write no more and take the row away, at most so long. Again: yes."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def beat(self) -> None:
        """Write the row once; it is made anew where it was pruned meanwhile."""
        now = {"doing": self._describe()[:300], "beat_at": Now()}
        if not Worker.objects.filter(uuid=self.uuid).update(**now):
            Worker.objects.create(uuid=self.uuid, **self._fixed, **now)

    def _beat_on(self) -> None:
        """Beat until stopped, whatever the database says."""
        try:
            while not self._stopping.is_set():
                self._try_to_beat()
                self._stopping.wait(BEAT_SECONDS)
            self._take_away()
        except DatabaseError as error:
            log.warning("the heartbeat's row stays; it is pruned after a day", exc_info=error)
        finally:
            connections.close_all()

    def _take_away(self) -> None:
        """Remove the row, over a fresh connection where the one at hand has died."""
        try:
            Worker.objects.filter(uuid=self.uuid).delete()
        except DatabaseError:
            connections.close_all()
            Worker.objects.filter(uuid=self.uuid).delete()

    def _try_to_beat(self) -> None:
        """Beat; trouble is logged once, until it is over."""
        try:
            self.beat()
        except Exception as error:  # a pool that is empty is no DatabaseError; nothing may end the heartbeat
            connections.close_all()
            if not self._in_trouble:
                log.warning("no heartbeat: the database does not take it", exc_info=error)
            self._in_trouble = True
        else:
            self._in_trouble = False


def prune_workers() -> int:
    """Forget processes that gave no sign of life for a day. Again: yes."""
    return Worker.objects.filter(beat_at__lt=Now() - FORGET_AFTER).delete()[0]


def count_alive(roles: tuple[str, ...], *, host: str = "") -> int:
    """Count the processes in these roles that gave a sign of life lately, on one host or anywhere."""
    found = Worker.objects.filter(role__in=roles, beat_at__gte=Now() - timedelta(seconds=FRESH_SECONDS))
    return (found.filter(host=host) if host else found).count()
