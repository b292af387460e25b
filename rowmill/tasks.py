"""The Celery tasks (there is one), and the process that hears them: `main`.

A worker keeps it as a child and restarts it (jobs/listener.py). It claims nothing and opens no database: it writes each
ring's lane to a pipe. Should it hang, leak or die, the worker goes on by polling.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
from typing import Any

import structlog
from celery import signals  # type: ignore[import-untyped]

from rowmill.celery import RING, app, count_unheard
from rowmill.monitor import logs
from rowmill.wiring import env

log = structlog.get_logger("rowmill.listener")

ALIVE = "."
ALIVE_SECONDS = 5.0
LOOK_SECONDS = 15.0
DEAF_LOOKS = 3
DEAF_EXIT = 70
_pipe = -1
_rings = 0


@app.task(name=RING, ignore_result=True)  # type: ignore[untyped-decorator]
def ring_bell(lane: str) -> None:
    """Pass a ring on to the worker."""
    global _rings
    _rings += 1
    _say(lane)


def _say(word: str) -> None:
    """Write a line to the worker. An atomic write: it is short."""
    if _pipe >= 0:
        os.write(_pipe, f"{word}\n".encode())


def _end_with_worker() -> None:
    """Wait until the worker's end of stdin closes, however it ended, and end too."""
    while os.read(0, 1024):
        pass
    os._exit(0)


def _tell_alive(sender: Any, **_more: Any) -> None:
    """Let the consumer's own loop give signs of life, so that one that hangs is seen."""
    _say(ALIVE)
    sender.timer.call_repeatedly(ALIVE_SECONDS, _say, (ALIVE,))


def _end_when_deaf(lanes: tuple[str, ...]) -> None:
    """End where rings lie in the broker and none is heard: a consumer can be connected, alive and deaf."""
    looks, before = 0, _rings
    while looks < DEAF_LOOKS:
        time.sleep(LOOK_SECONDS)
        looks = looks + 1 if _rings == before and count_unheard(lanes) else 0
        before = _rings
    log.warning("rings lie unheard in the broker; starting again")
    os._exit(DEAF_EXIT)


def _keep_our_logs(**_more: Any) -> None:
    """Stand in for Celery's logging."""
    level = env("ROWMILL_LOG_LEVEL")
    logs.configure({"level": "WARNING" if level == "INFO" else level})  # Celery has two lines for every ring
    logging.getLogger("py.warnings").setLevel("ERROR")


def main(pipe: int, lanes: str) -> None:
    """Hear rings until the worker ends. The solo pool: a ring is one write, and nothing can be under way at a stop."""
    global _pipe
    _pipe = pipe
    warnings.simplefilter("ignore")  # Celery's advice on root and on settings of its next release
    threading.Thread(target=_end_with_worker, name="end-with-worker", daemon=True).start()
    watch = threading.Thread(target=_end_when_deaf, args=(tuple(lanes.split(",")),), name="deaf", daemon=True)
    watch.start()
    signals.setup_logging.connect(_keep_our_logs, weak=False)
    signals.worker_ready.connect(_tell_alive, weak=False)
    worker = app.Worker(
        pool_cls="solo", concurrency=1, queues=lanes.split(","), loglevel="WARNING", quiet=True,
        without_gossip=True, without_mingle=True, hostname=f"rowmill-{os.getpid()}@%h",
    )  # fmt: skip
    worker.start()
    sys.exit(worker.exitcode)
