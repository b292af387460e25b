"""The embedded runner: threads that claim and run batches, and one that sweeps, inside the web process."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import IO
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import close_old_connections, connections

from rowmill.doorbell import heard, ring, wait_for_ring
from rowmill.errors import ConfigError
from rowmill.jobs.claim import claim_batch
from rowmill.jobs.run import run_batch
from rowmill.jobs.submit import LANE
from rowmill.jobs.sweep import recover_after_start, sweep
from rowmill.orgs import need_key
from rowmill.uploads.places import has_room

log = structlog.get_logger("rowmill.runner")


class InstanceLock:
    """Keeps a second process off the same data directory."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = data_dir / "instance.lock"
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock. Raises: ConfigError where another process has it."""
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            file.close()
            raise ConfigError(
                f"Another Rowmill (process {pid}) already works on {self._path.parent}. "
                "Stop it first, or give this one another ROWMILL_DATA_DIR."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let go."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Runner:
    """Works on batches until told to stop."""

    def __init__(self, concurrency: int | None = None, lane: str = LANE) -> None:
        self.owner = uuid4().hex
        self.lane = lane
        self.stopping = threading.Event()
        count = concurrency or settings.ROWMILL_CONCURRENCY
        self._threads = [threading.Thread(target=self._work, name=f"runner-{n + 1}", daemon=True) for n in range(count)]
        self._threads.append(threading.Thread(target=self._sweep, name="sweeper", daemon=True))

    def start(self) -> None:
        """Pick up what an earlier process left, then begin. Raises: ConfigError where the encryption key is another."""
        need_key()
        recover_after_start()
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 20.0) -> None:
        """Finish or release what is under way, at most so long in all."""
        self.stopping.set()
        ring(self.lane)  # so that who sleeps on the doorbell sees it at once
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        """Claim and run until stopped; sleep on the doorbell while nothing is due."""
        rings = heard(self.lane)
        while not self.stopping.is_set():
            try:
                if self._run_one():
                    continue
            except Exception as error:
                log.error("runner stumbled", exc_info=error)
                close_old_connections()
                self.stopping.wait(1.0)
            rings = wait_for_ring(self.lane, rings, settings.ROWMILL_POLL_SECONDS)
        connections.close_all()

    def _run_one(self) -> bool:
        """Run one batch. Gives False where none is due or the disk is too full to go on."""
        if not has_room():
            return False
        batch = claim_batch(self.owner, self.lane)
        if batch is None:
            return False
        run_batch(batch, self.stopping)
        return True

    def _sweep(self) -> None:
        """Sweep every few seconds until stopped."""
        while not self.stopping.wait(settings.ROWMILL_SWEEP_SECONDS):
            try:
                sweep()
            except Exception as error:
                log.error("sweeper stumbled", exc_info=error)
                close_old_connections()
        connections.close_all()
