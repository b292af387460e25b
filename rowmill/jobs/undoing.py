"""Beside the batches: threads of the runner go on with imports that are taken back, one at a time in each process."""

from __future__ import annotations

import threading
from contextlib import suppress

import structlog
from django.db import DatabaseError

from rowmill.doorbell import INTERACTIVE, ring
from rowmill.errors import LostLease
from rowmill.jobs.hold import free_connection
from rowmill.jobs.run import is_database_away
from rowmill.merging.takeback import run_undo
from rowmill.merging.undo import claim_due_undo, put_undo_off
from rowmill.models import Undo

log = structlog.get_logger("rowmill.jobs")
AGAIN_SECONDS = 5.0
_at_it = threading.BoundedSemaphore(1)
_held: dict[int, Undo] = {}


def undo_due() -> bool:
    """Go on for a while with one undo that waits for it. Gives False where none is due, or another thread is at it."""
    if not _at_it.acquire(blocking=False):
        return False
    try:
        undo = claim_due_undo()
        if undo is None:
            return False
        _held[undo.pk] = undo
        try:
            _go_on(undo)
        finally:
            del _held[undo.pk]
        return True
    finally:
        _at_it.release()


def give_back_undos() -> None:
    """Let others go on with what this process, which ends, is at. What it may still write is refused then."""
    for undo in list(_held.values()):
        put_undo_off(undo)


def _go_on(undo: Undo) -> None:
    """Do a while of it; what goes wrong costs an attempt, unless the database is away."""
    try:
        if not run_undo(undo):
            ring(INTERACTIVE)
    except LostLease:
        return
    except Exception as error:
        away = is_database_away(error)
        log.warning("undo stumbled", undo_id=undo.pk, attempts=undo.attempts, exc_info=error)
        free_connection()
        with suppress(DatabaseError):  # else its lease runs out
            put_undo_off(undo, AGAIN_SECONDS, attempt_spent=not away)
