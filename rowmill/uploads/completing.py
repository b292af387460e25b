"""The end of every resumable door: what is all here becomes one file, once, and is handed on to be inspected.

open > completing > closed, each by a conditional update. A crash in between leaves a session that is completing: the
sender's next call, or the sweeper, goes on with it once its lease is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.doorbell import INTERACTIVE, ring
from rowmill.errors import Expired, InputError, RowmillError, StateError
from rowmill.faults import fault_point
from rowmill.models import PartPlace, SessionDoor, SessionState, Upload, UploadSession, UploadState
from rowmill.storage.assembling import Part, open_assembly
from rowmill.uploads import chunks
from rowmill.uploads.bucket import assemble_parts, need_parts
from rowmill.uploads.hashing import follower
from rowmill.uploads.places import get_storage, original_key
from rowmill.uploads.receive import finish_upload
from rowmill.uploads.sessions import begin_completing, close_session, need_open, reopen_session, session_life
from rowmill.uploads.sinks import forget_leavings

log = structlog.get_logger("rowmill.uploads")
LEASE = timedelta(seconds=120)
RENEW_SECONDS = 10.0

NeedNew = Callable[[UploadSession, str], None]
Told = Callable[[], None]


def complete_session(session: UploadSession, need_new: NeedNew | None = None) -> Upload:
    """Put the file together and hand it on: CHECKING, due for the first worker, who is rung.

    `need_new` is asked, with the file's hash, whether it is wanted; it raises DuplicateFile where not: the session stays.
    Raises: StateError chunk_missing, or in_progress while another call does it; Expired, DuplicateFile, StorageFault.
    Again: yes, also after a crash at any point; gives the upload where it is done.
    """
    session.refresh_from_db()
    if session.state == SessionState.OPEN:
        need_open(session)
        NEED_ALL[session.door](session)
        begin_completing(session)
    if session.state == SessionState.CLOSED:
        if session.upload.state in (UploadState.RECEIVING, UploadState.ABORTED):
            need_open(session)
        return session.upload
    _take(session)
    return _finish(session, need_new)


def continue_completing(need_new: NeedNew | None = None, limit: int = 50) -> int:
    """Go on with sessions whose completing was cut. Gives how many are done. Again: yes."""
    due = UploadSession.objects.filter(state=SessionState.COMPLETING, door__in=list(ASSEMBLE))
    done = 0
    for session in due.exclude(lease_until__gt=Now()).select_related("upload", "org")[:limit]:
        try:
            complete_session(session, need_new)
            done += 1
        except (RowmillError, OSError) as error:
            log.warning("not completed", upload_id=str(session.upload.public_id), cause=type(error).__name__)
    return done


def _take(session: UploadSession) -> None:
    """Be the one that completes it. Raises: StateError in_progress."""
    free = UploadSession.objects.filter(pk=session.pk, state=SessionState.COMPLETING).exclude(lease_until__gt=Now())
    if not free.update(lease_until=Now() + LEASE):
        raise StateError("This upload is being put together. Ask again in a moment.", code="in_progress")


def _finish(session: UploadSession, need_new: NeedNew | None) -> Upload:
    """Assemble, hand on, close: each step may have been done before."""
    upload = Upload.objects.get(pk=session.upload_id)
    try:
        if upload.state == UploadState.RECEIVING:
            sha256 = ASSEMBLE[session.door](session, _keeper(session))
            fault_point("session_assembled")
            if need_new is not None and sha256 and not session.confirmed:
                need_new(session, sha256)
            upload = finish_upload(upload, session.size_bytes or 0, sha256, leased=False)
    except InputError:  # it was sent before, or the storage has other parts than were announced: nothing will mend that
        reopen_session(session)
        raise
    except BaseException:
        UploadSession.objects.filter(pk=session.pk).update(lease_until=None)
        raise
    follower.forget(original_key(upload))
    close_session(session)
    ring(INTERACTIVE)
    session.upload = upload
    return upload


def _keeper(session: UploadSession) -> Told:
    """Give what keeps the lease while a large file is hashed."""
    renewed = time.monotonic()

    def keep() -> None:
        nonlocal renewed
        if time.monotonic() - renewed > RENEW_SECONDS:
            renewed = time.monotonic()
            mine = UploadSession.objects.filter(pk=session.pk, state=SessionState.COMPLETING)
            mine.update(lease_until=Now() + LEASE, expires_at=timezone.now() + session_life())

    return keep


# ------------------------------------------------------------------------------------------------ door by door


def _need_appended(session: UploadSession) -> None:
    """Raises: StateError chunk_missing."""
    raise StateError(
        f"{session.offset_bytes:,} bytes of this upload are here, not all of it. Send the rest; it ends by itself.",
        code="chunk_missing",
    )


def _assemble_appended(session: UploadSession, told: Told) -> str:
    """Make the object of what was appended. Raises: Expired for other parts than were acknowledged. Again: yes."""
    storage, key, size = get_storage(), original_key(session.upload), session.size_bytes or 0
    parts = [Part(part.number + 1, part.size_bytes, part.etag) for part in session.parts.filter(place=PartPlace.PART)]
    try:
        open_assembly(storage).complete(key, session.storage_token, parts, size)
    except InputError as error:
        log.error("parts differ", upload_id=str(session.upload.public_id), code=error.code)
        reopen_session(session)
        UploadSession.objects.filter(pk=session.pk).update(expires_at=timezone.now())
        raise Expired("The storage has other bytes than it acknowledged. Begin this upload again.") from None
    forget_leavings(session)
    if not storage.near:
        return ""
    with storage.open(key) as file:
        return follower.finish(file.fileno(), key, size, size, told)


def _need_stored(session: UploadSession) -> None:
    """Ask the bucket. Raises: StateError chunk_missing, InputError, Expired."""
    need_parts(session)


def _assemble_stored(session: UploadSession, told: Told) -> str:
    """Make the object of the parts that the bucket has: nobody here has seen its bytes. Again: yes."""
    assemble_parts(session)
    return ""


# What a door must have before it completes, and how it makes the file; gives its SHA-256, "" where nobody has seen it.
NEED_ALL: dict[str, Callable[[UploadSession], None]] = {
    SessionDoor.CHUNKS: chunks.need_all,
    SessionDoor.BUCKET: _need_stored,
    SessionDoor.TUS: _need_appended,
}
ASSEMBLE: dict[str, Callable[[UploadSession, Told], str]] = {
    SessionDoor.CHUNKS: chunks.assemble,
    SessionDoor.BUCKET: _assemble_stored,
    SessionDoor.TUS: _assemble_appended,
}
