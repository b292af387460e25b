"""The runner: threads that claim and run batches, and one that sweeps; in the web process (embedded) or in a worker."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.db import DatabaseError, connections

from rowmill.doorbell import INTERACTIVE, LANES, heard, ring_here, wait_for_ring
from rowmill.errors import ConfigError, LostLease
from rowmill.jobs.arrive import effect_due, give_back_inspections, inspect_due, precheck_due
from rowmill.jobs.claim import claim_batch, release_batch
from rowmill.jobs.exporting import export_due, give_back_exports
from rowmill.jobs.hold import free_connection
from rowmill.jobs.run import run_batch
from rowmill.jobs.sweep import recover_after_start, recover_among_others, sweep
from rowmill.jobs.undoing import give_back_undos, undo_due
from rowmill.models import Batch
from rowmill.orgs import need_key
from rowmill.uploads.places import has_room

log = structlog.get_logger("rowmill.runner")
SHOWN_BATCHES = 8


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
    """Works on batches until told to stop: threads that serve all its lanes, and one kept free for the first lane."""

    def __init__(
        self,
        concurrency: int | None = None,
        lanes: tuple[str, ...] = LANES,
        *,
        alone: bool = True,
        uuid: UUID | None = None,
    ) -> None:
        """`alone`: no other process works on this database, so at the start no lease can be alive."""
        self.owner = (uuid or uuid4()).hex
        self.lanes = lanes
        self.alone = alone
        self.concurrency = concurrency or settings.ROWMILL_CONCURRENCY
        self.stopping = threading.Event()
        self.batches_done = 0
        self._doing: dict[str, Batch] = {}
        self._threads = [self._thread(f"runner-{n + 1}", self._work, lanes) for n in range(self.concurrency)]
        if len(lanes) > 1:  # however long the batches of the other lanes take
            self._threads.append(self._thread(f"runner-{lanes[0]}", self._work, lanes[:1]))
        self._threads.append(self._thread("sweeper", self._sweep))

    def _thread(self, name: str, target: Callable[..., None], *args: object) -> threading.Thread:
        """Make a thread that does not keep the process."""
        return threading.Thread(target=target, args=args, name=name, daemon=True)

    def start(self) -> None:
        """Pick up what an earlier process left, then begin. Raises: ConfigError where the encryption key is another."""
        need_key()
        if self.alone:
            recover_after_start(large_too=INTERACTIVE not in self.lanes)
        else:
            recover_among_others()
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 20.0, *, quicker: threading.Event | None = None) -> int:
        """Finish or release what is under way, at most so long in all, or until `quicker` is set.

        Shape: how many batches had to be taken from threads that did not end; no attempt of theirs is counted.
        """
        self.stopping.set()
        for lane in self.lanes:
            ring_here(lane)  # so that who sleeps on the doorbell sees it at once
        with suppress(DatabaseError):  # a workbook may take minutes yet; what is not given back here is below
            give_back_exports()
        until = time.monotonic() + seconds
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < until and not (quicker and quicker.is_set()):
                thread.join(0.05)
        return self._give_back()

    def _give_back(self) -> int:
        """Put back the batches of threads that still run: whatever these write from now on is refused."""
        held = list(self._doing.values())
        try:
            give_back_inspections()
            give_back_undos()
            give_back_exports()
        except DatabaseError as error:
            log.warning("an upload or an undo could not be put back; its lease will run out", exc_info=error)
        for batch in held:
            try:
                release_batch(batch)
            except LostLease:
                continue
            except DatabaseError as error:
                log.warning("a batch could not be put back; its lease will run out", batch_id=batch.pk, exc_info=error)
        return len(held)

    def describe(self) -> str:
        """Say in words what it does now, with ids only."""
        held = sorted(batch.pk for batch in list(self._doing.values()))
        if not held:
            return f"idle; {self.batches_done} batches since the start"
        more = f" and {len(held) - SHOWN_BATCHES} more" if len(held) > SHOWN_BATCHES else ""
        shown = ", ".join(str(pk) for pk in held[:SHOWN_BATCHES])
        return f"batches {shown}{more}; {self.batches_done} since the start"

    def _work(self, lanes: tuple[str, ...]) -> None:
        """Claim and run until stopped; sleep on the doorbell while nothing is due."""
        rings = heard(*lanes)
        while not self.stopping.is_set():
            try:
                if self._run_one(lanes):
                    continue
            except Exception as error:
                log.error("runner stumbled", exc_info=error)
                free_connection()
                self.stopping.wait(1.0)
            free_connection()  # nobody holds one while there is nothing to do
            rings = wait_for_ring(lanes, rings, settings.ROWMILL_POLL_SECONDS)
        connections.close_all()

    def _run_one(self, lanes: tuple[str, ...]) -> bool:
        """Inspect or precheck one upload, work out one effect, go on with one undo, make one workbook, or run one batch.

        Gives False where none is due or the disk is too full to go on.
        """
        if not has_room():
            return False
        if INTERACTIVE in lanes and inspect_due():  # somebody waits for the verdict
            return True
        if INTERACTIVE in lanes or INTERACTIVE not in self.lanes:
            if effect_due():
                return True
            if undo_due():
                return True
            if precheck_due():
                return True
            if export_due():
                return True
        batch = claim_batch(self.owner, lanes)
        if batch is None:
            return False
        mine = threading.current_thread().name
        self._doing[mine] = batch
        try:
            run_batch(batch, self.stopping)
        finally:
            del self._doing[mine]
            self.batches_done += 1
        return True

    def _sweep(self) -> None:
        """Sweep every few seconds until stopped."""
        while not self.stopping.wait(settings.ROWMILL_SWEEP_SECONDS):
            try:
                sweep(large_too=INTERACTIVE not in self.lanes)
            except Exception as error:
                log.error("sweeper stumbled", exc_info=error)
            free_connection()
        connections.close_all()
