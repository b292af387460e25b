"""Between the doors and the jobs: inspects what came in by a resumable door, and starts the job that it was sent for."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import timedelta

import structlog
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.contracts import Kind
from rowmill.errors import InputError, LostLease, ObjectChanged, RowmillError, StateError, StorageFault
from rowmill.jobs.submit import find_twin, hold_back, need_new_bytes, submit_unanswered
from rowmill.merging.effects import claim_due_effect, is_waiting, put_effect_off, run_effect
from rowmill.models import ImportEffect, Job, Precheck, SessionState, Upload, UploadSession, UploadState
from rowmill.orgs import Caller
from rowmill.registry import get_kind
from rowmill.uploads import completing
from rowmill.uploads.inspect import REFUSED_KEPT, claim_due_upload, inspect_upload, note_lost
from rowmill.uploads.prechecks import claim_due_precheck, put_off, run_precheck
from rowmill.uploads.receive import abandon_upload, clear_abandoned, is_for_precheck

log = structlog.get_logger("rowmill.jobs")
MOST_INSPECTIONS = 2  # of one process at once: each is a child with a memory limit of its own
MOST_PRECHECKS = 1  # beside them: one may take minutes, and nobody's verdict shall wait for it
AWAY_SECONDS = 10
LOOK_SECONDS = 0.1
MOST_EFFECTS = 1
_working_out = threading.BoundedSemaphore(MOST_EFFECTS)
_inspecting = threading.BoundedSemaphore(MOST_INSPECTIONS)
_prechecking = threading.BoundedSemaphore(MOST_PRECHECKS)
_held: dict[int, Upload] = {}
_held_prechecks: dict[int, Precheck] = {}
_held_effects: dict[int, ImportEffect] = {}


def inspect_due() -> bool:
    """Inspect one upload that waits for it, and start its job. Gives False where none is due, or enough are at it."""
    if not _inspecting.acquire(blocking=False):
        return False
    try:
        upload = claim_due_upload()
        if upload is None:
            return False
        _held[upload.pk] = upload
        try:
            judge_claimed(upload)
        finally:
            del _held[upload.pk]
        return True
    finally:
        _inspecting.release()


def precheck_due() -> bool:
    """Run one precheck that waits for it. Gives False where none is due, or enough are at it."""
    if not _prechecking.acquire(blocking=False):
        return False
    try:
        precheck = claim_due_precheck()
        if precheck is None:
            return False
        _held_prechecks[precheck.pk] = precheck
        try:
            with suppress(LostLease):
                run_precheck(precheck)
        finally:
            del _held_prechecks[precheck.pk]
        return True
    finally:
        _prechecking.release()


def effect_due() -> bool:
    """Work out one effect that waits for it, and start the import where it has no more to wait for.

    Gives False where none is due, or enough are at it.
    """
    if not _working_out.acquire(blocking=False):
        return False
    try:
        effect = claim_due_effect()
        if effect is None:
            return False
        _held_effects[effect.pk] = effect
        try:
            with suppress(LostLease):
                run_effect(effect)
                # Read anew: somebody may have chosen another policy while it was worked out.
                submit_intended(Upload.objects.select_related("org", "created_by").get(pk=effect.upload_id))
        finally:
            del _held_effects[effect.pk]
        return True
    finally:
        _working_out.release()


def give_back_inspections() -> None:
    """Let others go on with what this process, which ends, has not done with. What it may still write is refused then."""
    for upload in list(_held.values()):
        _put_off(upload, -1)  # due at once
    for precheck in list(_held_prechecks.values()):
        put_off(precheck)
    for effect in list(_held_effects.values()):
        put_effect_off(effect)


def judge_claimed(upload: Upload) -> None:
    """Inspect an upload that this caller holds; when it is sound, start the job it was sent for."""
    try:
        kind = get_kind(upload.kind) if upload.kind else Kind()  # a mended copy of what was prechecked without one
        upload = kind.judge(upload, inspect_upload)
    except LostLease:
        clear_abandoned(upload)
        return
    except FileNotFoundError:
        note_lost(upload, "The machine that took this file in stopped before the file was stored.")
        abandon_upload(upload)
        return
    except ObjectChanged as error:
        note_lost(upload, str(error))
        abandon_upload(upload)
        return
    except StorageFault as fault:
        log.warning("inspection waits for the storage", upload_id=str(upload.public_id), cause=str(fault))
        _put_off(upload, AWAY_SECONDS)
        return
    except (RowmillError, OSError) as error:
        log.warning("inspection failed", upload_id=str(upload.public_id), exc_info=error)
        return
    if upload.state == UploadState.READY:
        submit_intended(upload)


def _put_off(upload: Upload, seconds: float) -> None:
    """Let an upload be inspected a little later, by whoever comes first."""
    mine = Upload.objects.filter(pk=upload.pk, state=UploadState.CHECKING, claims=upload.claims)
    mine.update(lease_until=Now() + timedelta(seconds=seconds))


def submit_intended(upload: Upload) -> Job | None:
    """Start the job that a READY upload was sent for. Again: yes; gives None where there is nothing (more) to start.

    Bytes that made a job before, and that nobody said were meant again, are held for a day: `complete_upload` asks.
    """
    if upload.intent is None or is_for_precheck(upload.intent) or upload.purge_after is not None:
        return None
    if not _is_meant(upload) and find_twin(upload, upload.sha256) is not None:
        held = Upload.objects.filter(pk=upload.pk, state=UploadState.READY, jobs=None, purge_after=None)
        held.update(purge_after=timezone.now() + REFUSED_KEPT)
        return None
    if hold_back(upload):
        return None
    with suppress(StateError):
        return submit_unanswered(upload)
    return None


def _is_meant(upload: Upload) -> bool:
    """Tell whether the same bytes may run again: the door asked already, or the sender has said so."""
    session = UploadSession.objects.filter(upload=upload).first()
    return session.confirmed if session is not None else not upload.mends


def complete_upload(caller: Caller, session: UploadSession, *, sha256: str = "", confirmed: bool = False) -> Upload:
    """Put a session's file together and hand it on; what it is found to be shows on the upload later.

    `sha256` is what the sender says the whole file has; `confirmed`: it is meant, even if the same bytes came before.
    Raises: NotAllowed, StateError (chunk_missing, in_progress), Expired, DuplicateFile, InputError.
    Again: yes; gives the upload as it is by then.
    """
    caller.need_write()
    _note(session, sha256.lower(), confirmed)
    upload = completing.complete_session(session, _need_new)
    if confirmed and upload.state == UploadState.READY:
        start_held(caller, upload)
    return upload


def continue_completing() -> int:
    """Go on with sessions whose completing was cut. Gives how many are done. Again: yes."""
    return completing.continue_completing(_need_new)


def _note(session: UploadSession, sha256: str, confirmed: bool) -> None:
    """Keep what the sender says at the end. Raises: InputError where it contradicts what was said before."""
    if sha256 and session.sha256 and sha256 != session.sha256:
        raise InputError(
            "This is another SHA-256 than the one that this upload was begun with. Begin it again.", code="bad_sha256"
        )
    says = UploadSession.objects.filter(pk=session.pk)
    if sha256 and not session.sha256:
        says.exclude(state=SessionState.CLOSED).update(sha256=sha256)
    if confirmed and not session.confirmed:
        says.update(confirmed=True)
        session.confirmed = True


def _need_new(session: UploadSession, sha256: str) -> None:
    """Raises: DuplicateFile; never for a precheck, which does nothing twice."""
    if not is_for_precheck(session.upload.intent):
        need_new_bytes(session.upload, sha256)


def start_held(caller: Caller, upload: Upload) -> Job | None:
    """Start the job of an upload that is held because its bytes came before: now it is said that they are meant.

    Gives None where nothing is held. Raises: NotAllowed. Again: yes.
    """
    caller.need_write()
    if is_for_precheck(upload.intent):
        return None
    UploadSession.objects.filter(upload=upload).update(confirmed=True)
    held = Upload.objects.filter(pk=upload.pk, state=UploadState.READY, jobs=None, purged_at=None)
    if not held.update(purge_after=None) or upload.intent is None:
        return None
    upload = Upload.objects.select_related("org", "created_by").get(pk=upload.pk)
    if hold_back(upload):
        return None
    with suppress(StateError):
        return submit_unanswered(upload)
    return None


def is_held(upload: Upload) -> bool:
    """Tell whether a sound file waits for its sender's word, because its bytes came before."""
    waits = upload.state == UploadState.READY and upload.purge_after is not None and upload.purged_at is None
    wanted = upload.intent is not None and not is_for_precheck(upload.intent)
    return waits and wanted and not upload.jobs.exists()


def await_verdict(upload: Upload, seconds: float) -> Upload:
    """Wait until an upload is inspected and its job is made, at most so long. Raises: DuplicateFile where it is held.

    Cost: a thread of the web server, and a query or two each tenth of a second.
    """
    until = time.monotonic() + seconds
    while True:
        upload = Upload.objects.select_related("created_by", "org").get(pk=upload.pk)
        settled = upload.state not in (UploadState.CHECKING, UploadState.READY)
        jobless = upload.intent is None or is_for_precheck(upload.intent) or is_waiting(upload)
        if settled or (jobless and upload.state == UploadState.READY) or upload.jobs.exists():
            return upload
        if upload.state == UploadState.READY and upload.purge_after is not None:
            need_new_bytes(upload, upload.sha256)
        if time.monotonic() > until:
            return upload
        time.sleep(LOOK_SECONDS)
