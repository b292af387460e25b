"""The first step by tus: appends to a file at its end, byte after byte; what is acknowledged is durable."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from rowmill.errors import InputError, LostLease, QuotaExceeded, StateError, StorageFault
from rowmill.faults import fault_point
from rowmill.models import SessionDoor, SessionState, UploadPart, UploadSession
from rowmill.orgs import Caller
from rowmill.storage import is_in_file, open_assembly
from rowmill.uploads.completing import complete_session
from rowmill.uploads.hashing import follower
from rowmill.uploads.places import get_storage, need_room, original_key
from rowmill.uploads.sessions import (
    cancel_session,
    count_kept,
    need_open,
    need_size,
    open_session,
    session_life,
)
from rowmill.uploads.sinks import Saved, Sink, open_sink, part_bytes

log = structlog.get_logger("rowmill.uploads")
CHECKSUMS: dict[str, Callable[..., Any]] = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "md5": hashlib.md5}
# What a kill may cost of one request that goes on and on; each is an fsync and a commit.
CHECKPOINT_BYTES = 32 * 1024 * 1024
CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a sender says of the bytes of one request."""

    algorithm: str
    digest: bytes


class ChecksumMismatch(InputError):
    """The bytes are not those that their checksum was made of: the line changed them. Send them again."""

    code = "checksum_mismatch"


def open_appending(
    caller: Caller,
    kind: str,
    name: str,
    size_bytes: int | None,
    *,
    fingerprint: str = "",
    sha256: str = "",
    intent: dict[str, Any] | None = None,
    confirmed: bool = False,
    metadata: str = "",
) -> UploadSession:
    """Open a session to append to, of a size that may be told later. Raises: all that `open_session` raises; StorageFault.

    Again: another one. Its bytes begin at 0, and a tus client counts on that.
    """
    session = open_session(
        caller,
        kind,
        name,
        door=SessionDoor.TUS,
        size_bytes=size_bytes,
        chunk_bytes=part_bytes(size_bytes),
        fingerprint=fingerprint,
        sha256=sha256,
        intent=intent,
        confirmed=confirmed,
    )
    try:
        session.storage_token = open_assembly(get_storage()).begin(original_key(session.upload))
    except BaseException:
        cancel_session(caller, session)
        raise
    session.metadata = metadata
    UploadSession.objects.filter(pk=session.pk).update(storage_token=session.storage_token, metadata=metadata)
    fault_point("appending_opened")
    return session


def tell_size(caller: Caller, session: UploadSession, size_bytes: int) -> None:
    """Take a size that was deferred. Raises: InputError bad_header for another than was told before; too_large, quota."""
    if session.size_bytes is None:
        _need_size(caller, session, size_bytes)
        untold = UploadSession.objects.filter(pk=session.pk, size_bytes=None, state=SessionState.OPEN)
        untold.filter(offset_bytes__lte=size_bytes).update(size_bytes=size_bytes)
        session.refresh_from_db(fields=["size_bytes"])
    if session.size_bytes != size_bytes:
        raise InputError(
            "Upload-Length cannot be this: another size was told before, or more bytes are here already.",
            code="bad_header",
            field="Upload-Length",
        )


def _need_size(caller: Caller, session: UploadSession, size_bytes: int) -> None:
    """Raises: InputError, QuotaExceeded where a size told late is more than is taken."""
    need_size(size_bytes)
    most: int = settings.ROWMILL_ORG_BYTES
    used = count_kept(caller.org)[1] - session.offset_bytes
    if most and used + size_bytes > most:
        raise QuotaExceeded(
            f"Your org's files take {used:,} of {most:,} bytes, so this one does not fit. "
            "Delete jobs that are not needed any more.",
            used=used,
            limit=most,
        )


def append(session: UploadSession, offset: int, blocks: Iterable[bytes], checksum: Checksum | None = None) -> bool:
    """Append to a session's file at its very end; `session.offset_bytes` is then what is durable.

    Shape: whether that was the last byte; the session is then `completing`, and somebody has to finish it.
    Raises: StateError wrong_offset unless `offset` is where the file ends; ChecksumMismatch (nothing of it is kept then);
    InputError too_large past the file's size; LostLease where somebody appends who came later; Expired; OutOfSpace.
    Again: at the next offset. The newest wins: a holder whose line died writes nothing any more. Blocks that end early
    are kept as far as they came, and without a checksum every CHECKPOINT_BYTES are durable on the way.
    """
    need_room()
    _take(session, offset)
    try:
        with closing(open_sink(session)) as sink:
            _pour(session, sink, blocks, checksum)
    except FileNotFoundError:  # cancelled, or finished by who came later
        raise LostLease("This upload is over; nothing was written.") from None
    return session.state == SessionState.COMPLETING


def end_bytes(session: UploadSession) -> int:
    """Give how far a session's file may reach. While its size is deferred that is as far as the org's quota goes."""
    if session.size_bytes is not None:
        return session.size_bytes
    most_file: int = settings.ROWMILL_MAX_FILE_BYTES
    most: int = settings.ROWMILL_ORG_BYTES
    return min(most_file, session.offset_bytes + max(0, most - count_kept(session.org)[1])) if most else most_file


def need_fit(session: UploadSession, reach_bytes: int, end: int | None = None) -> None:
    """Raises: InputError too_large where a session's file may not reach so far. `end`: how far it may, where that is known."""
    end = end_bytes(session) if end is None else end
    if reach_bytes > end:
        words = "may reach while its size is not told" if session.size_bytes is None else "was said to have"
        raise InputError(
            f"This reaches past byte {end:,}, which is as far as this file {words}. Send no more than that.",
            code="too_large",
            limit_bytes=end,
        )


def _take(session: UploadSession, offset: int) -> None:
    """Raise the fence, if the file ends at this offset. Raises: Expired, StateError."""
    mine = UploadSession.objects.filter(pk=session.pk, state=SessionState.OPEN, expires_at__gt=timezone.now())
    with transaction.atomic():  # so that the fence read is the fence raised
        taken = mine.filter(offset_bytes=offset).update(claims=F("claims") + 1)
        session.refresh_from_db()
    if not taken:
        need_open(session)
        raise StateError(
            "The file does not end at this Upload-Offset. Ask for its end with HEAD, and go on from there.",
            code="wrong_offset",
        )
    fault_point("append_taken")


def _pour(session: UploadSession, sink: Sink, blocks: Iterable[bytes], checksum: Checksum | None) -> None:
    """Write block by block, and commit what is durable, now and then and at the end."""
    digest = CHECKSUMS[checksum.algorithm](usedforsecurity=False) if checksum else None
    came, kept, due = 0, 0, time.monotonic() + CHECKPOINT_SECONDS
    end = end_bytes(session)
    for block in blocks:
        need_fit(session, sink.offset + len(block), end)
        if digest:
            digest.update(block)
        sink.write(block)
        came += len(block)
        if sink.offset == session.size_bytes:  # nothing more may come, and the end is committed in one with its state
            continue
        if came - kept >= CHECKPOINT_BYTES or time.monotonic() >= due:
            need_room()
            _renew(session) if checksum else _commit(session, sink.save())
            kept, due = came, time.monotonic() + CHECKPOINT_SECONDS
    if digest and checksum and digest.digest() != checksum.digest:
        raise ChecksumMismatch
    _commit(session, sink.save_end(whole=sink.offset == session.size_bytes))
    sink.forget_old()


def _renew(session: UploadSession) -> None:
    """Give the session its life again. Raises: LostLease where it is no longer this holder's."""
    held = UploadSession.objects.filter(pk=session.pk, state=SessionState.OPEN, claims=session.claims)
    if not held.update(expires_at=timezone.now() + session_life()):
        raise LostLease("A newer request took this upload over; nothing of this one was kept.")


def _commit(session: UploadSession, saved: Saved) -> None:
    """Acknowledge durable bytes, under the fence; the last byte closes the file to all others. Raises: LostLease."""
    fault_point("appended")
    state = SessionState.COMPLETING if saved.offset == session.size_bytes else SessionState.OPEN
    expires_at = timezone.now() + session_life()
    held = UploadSession.objects.filter(pk=session.pk, state=SessionState.OPEN, claims=session.claims)
    with transaction.atomic():
        if not held.update(offset_bytes=saved.offset, state=state, expires_at=expires_at):
            raise LostLease("A newer request took this upload over; nothing of this one was kept.")
        if saved.parts:
            UploadPart.objects.filter(session=session, number__gte=saved.parts[0].number).delete()
            UploadPart.objects.bulk_create(saved.parts)
    session.offset_bytes, session.state, session.expires_at = saved.offset, state, expires_at
    _follow(session)
    fault_point("append_committed")


def _follow(session: UploadSession) -> None:
    """Let the running hash know what is durable, so that the last request need not read the whole file again."""
    assembly, key = open_assembly(get_storage()), original_key(session.upload)
    whole = session.offset_bytes // session.chunk_bytes
    if whole and session.size_bytes and is_in_file(assembly):
        follower.note_chunks(assembly, key, range(whole), session.chunk_bytes, session.size_bytes)


def finish_appended(session: UploadSession) -> None:
    """Have the file made of what was appended. Where that cannot be now, the sweeper does it: all bytes are here.

    Raises: Expired where the storage has other parts than it acknowledged; such an upload is over.
    """
    try:
        complete_session(session)
    except (StateError, StorageFault, OSError) as error:
        log.warning("not completed yet", upload_id=str(session.upload.public_id), error_type=type(error).__name__)
