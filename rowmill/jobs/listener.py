"""A worker's ear: keeps the process that hears the broker's rings (rowmill/tasks.py) alive, and passes them to the bell here.

A child, so that whatever Celery, kombu or Redis do (end, hang, leak, go deaf) meets this process as a line that does not
come. Then the worker polls, as it does anyway, and the child is started again.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time

import structlog

from rowmill.doorbell import ring_here

log = structlog.get_logger("rowmill.listener")

CODE = "import sys; from rowmill.tasks import main; main(int(sys.argv[1]), sys.argv[2])"
SILENT_SECONDS = 120.0
LONGEST_REST_SECONDS = 60.0
STEADY_SECONDS = 60.0
LOOK_SECONDS = 0.5


class Listener:
    """Hears the broker for some lanes until told to stop."""

    def __init__(self, lanes: tuple[str, ...]) -> None:
        self.lanes = lanes
        self.child: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="listener", daemon=True)
        self._pipe = -1

    def start(self) -> None:
        """Begin; the broker need not be there."""
        self._thread.start()

    def stop(self) -> None:
        """End, and the child with it. Again: yes."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(5)

    def _supervise(self) -> None:
        """Start the child again whenever it has ended, sooner when it lived long."""
        rest = 1.0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._start_child()
                self._hear()
            except OSError as error:
                log.error("the listener cannot be started", exc_info=error)
            finally:
                self._end_child()
            if self._stopping.is_set():
                return
            rest = 1.0 if time.monotonic() - began > STEADY_SECONDS else min(rest * 2, LONGEST_REST_SECONDS)
            log.warning(
                "the listener ended and is started again; meanwhile work is found by polling", count=self.starts
            )
            self._stopping.wait(rest)

    def _start_child(self) -> None:
        """Start the process; its stdin ends with this one, however this one ends."""
        self._pipe, theirs = os.pipe()
        try:
            self.child = subprocess.Popen(
                [sys.executable, "-c", CODE, str(theirs), ",".join(self.lanes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs],
                start_new_session=True,  # a Ctrl-C of the terminal is for the worker, which ends it
            )
            self.starts += 1
        finally:
            os.close(theirs)

    def _hear(self) -> None:
        """Pass rings on until the child ends, says nothing for long, or a stop."""
        rest, heard_at = b"", time.monotonic()
        while not self._stopping.is_set() and time.monotonic() - heard_at < SILENT_SECONDS:
            if not select.select([self._pipe], [], [], LOOK_SECONDS)[0]:
                continue
            data = os.read(self._pipe, 4096)
            if not data:
                return
            heard_at = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            for lane in {line.decode("ascii", "replace") for line in lines} & set(self.lanes):
                ring_here(lane)

    def _end_child(self) -> None:
        """Kill the child, which has nothing under way that could be lost, and close the pipe."""
        if self.child is not None:
            self.child.kill()
            self.child.wait(10)
            if self.child.stdin is not None:
                self.child.stdin.close()
            self.child = None
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
