"""Fault points: places where a crash test kills the process. Nothing happens unless ROWMILL_FAULT_AT is set."""

from __future__ import annotations

import os
import signal
import threading

_AT = int(os.environ.get("ROWMILL_FAULT_AT", "0"))
_NAME = os.environ.get("ROWMILL_FAULT_NAME", "")
_LOCK = threading.Lock()
_PASSED = 0


def _strike() -> None:
    """Die as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def fault_point(name: str) -> None:
    """Die with SIGKILL at the N-th point passed (ROWMILL_FAULT_AT=N), of one name only where ROWMILL_FAULT_NAME says so."""
    if not _AT or (_NAME and name != _NAME):
        return
    global _PASSED
    with _LOCK:
        _PASSED += 1
        struck = _PASSED == _AT
    if struck:
        _strike()
