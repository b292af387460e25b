"""The Celery tasks (there is one), and the process that hears them: `python -m rowmill.tasks FD LANE,LANE`.

A worker keeps it as a child and restarts it (jobs/listener.py). It claims nothing, knows no Django and no database: it
writes each ring's lane to a pipe. Should it hang, leak or die, the worker goes on by polling.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from celery import signals  # type: ignore[import-untyped]

from rowmill.celery import RING, app
from rowmill.monitor import logs
from rowmill.wiring import env

ALIVE = "."
ALIVE_SECONDS = 5.0
_pipe = -1


@app.task(name=RING, ignore_result=True)  # type: ignore[untyped-decorator]
def ring_bell(lane: str) -> None:
    """Pass a ring on to the worker."""
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


def _keep_our_logs(**_more: Any) -> None:
    """Stand in for Celery's logging."""
    logs.configure({"level": env("ROWMILL_LOG_LEVEL")})


def main(pipe: int, lanes: str) -> None:
    """Hear rings until the worker ends. The solo pool: a ring is one write, and nothing can be under way at a stop."""
    global _pipe
    _pipe = pipe
    threading.Thread(target=_end_with_worker, name="end-with-worker", daemon=True).start()
    signals.setup_logging.connect(_keep_our_logs, weak=False)
    signals.worker_ready.connect(_tell_alive, weak=False)
    worker = app.Worker(
        pool_cls="solo", concurrency=1, queues=lanes.split(","), loglevel="WARNING", quiet=True,
        without_gossip=True, without_mingle=True, hostname=f"rowmill-{os.getpid()}@%h",
    )  # fmt: skip
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
