"""The first step by the resumable doors: opens a session, finds it again, and ends it: cancelled, expired or closed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import transaction
from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from rowmill import audit
from rowmill.errors import Expired, InputError, NotFound, QuotaExceeded, StateError
from rowmill.faults import fault_point
from rowmill.models import Org, SessionDoor, SessionState, Upload, UploadSession, UploadState, User
from rowmill.orgs import Caller, hold_org, own
from rowmill.uploads.receive import abandon_upload, begin_upload, clean_name

log = structlog.get_logger("rowmill.uploads")
MAX_FINGERPRINT = 300
TOUCHED_PART = 0.05  # a session is renewed once so much of its life is over, not with each of its parts
EXPIRED_A_ROUND = 200


def open_session(
    caller: Caller,
    kind: str,
    name: str,
    *,
    door: str,
    size_bytes: int | None,
    chunk_count: int = 0,
    chunk_bytes: int = 0,
    fingerprint: str = "",
    sha256: str = "",
    intent: dict[str, Any] | None = None,
    confirmed: bool = False,
) -> UploadSession:
    """Begin an upload that comes in by and by, or give the one that this person began with the same words.

    Raises: InputError too_large, empty_file; QuotaExceeded, NotAllowed, NotFound for an unknown kind, OutOfSpace.
    Again: gives the open session of the same person, kind, door, name, size, fingerprint and declared hash.
    """
    caller.need_write()
    need_size(size_bytes)
    with transaction.atomic():
        hold_org(caller.org)  # so that of two that come at once the second finds the first, and quotas are exact
        same = _find_same(caller, kind, name, door, size_bytes, fingerprint, sha256)
        if same is not None and (not chunk_count or chunk_count == same.chunk_count):
            same.confirmed = same.confirmed or confirmed
            same.sha256 = same.sha256 or sha256.lower()
            UploadSession.objects.filter(pk=same.pk).update(confirmed=same.confirmed, sha256=same.sha256)
            return same
        need_quota(caller, size_bytes or 0)
        session = UploadSession.objects.create(
            org=caller.org,
            upload=begin_upload(caller, kind, name, intent),
            door=door,
            size_bytes=size_bytes,
            chunk_count=chunk_count,
            chunk_bytes=chunk_bytes,
            fingerprint=fingerprint[:MAX_FINGERPRINT],
            sha256=sha256.lower(),
            confirmed=confirmed,
            expires_at=timezone.now() + session_life(),
            created_by=caller.user,
        )
    fault_point("session_opened")
    return session


def _find_same(
    caller: Caller, kind: str, name: str, door: str, size_bytes: int | None, fingerprint: str, sha256: str
) -> UploadSession | None:
    """Find the session that the same words began. None while the size is deferred: such a file names nothing.

    One that is being completed is it too: whoever was cut off there asks for the end of it, and sends nothing again.
    A hash counts only where both sides name one: a sender may learn it on the way and name it at the end.
    """
    if size_bytes is None or door == SessionDoor.TUS:
        return None
    alike = UploadSession.objects.filter(
        org=caller.org,
        created_by=caller.user,
        state__in=(SessionState.OPEN, SessionState.COMPLETING),
        expires_at__gt=timezone.now(),
        door=door,
        size_bytes=size_bytes,
        fingerprint=fingerprint[:MAX_FINGERPRINT],
        upload__kind=kind,
        upload__name=clean_name(name),
        upload__state=UploadState.RECEIVING,
    )
    if sha256:
        alike = alike.filter(sha256__in=("", sha256.lower()))
    return alike.select_related("upload", "org", "created_by").order_by("-id").first()


def session_life() -> timedelta:
    """Give how long a session lives after its last sign of life."""
    return timedelta(hours=settings.ROWMILL_SESSION_HOURS)


def need_size(size_bytes: int | None) -> None:
    """Raises: InputError empty_file, too_large. None, a size that is not known yet, passes."""
    limit: int = settings.ROWMILL_MAX_FILE_BYTES
    if size_bytes is not None and size_bytes <= 0:
        raise InputError(
            "The file is empty: it has no bytes at all. Export it again and send that file.", code="empty_file"
        )
    if size_bytes is not None and size_bytes > limit:
        raise InputError(
            f"The file is larger than {limit:,} bytes, the most that is taken here. Split it and send the parts.",
            code="too_large",
            limit_bytes=limit,
        )


# ------------------------------------------------------------------------------------------------ quotas


def need_quota(caller: Caller, size_bytes: int) -> None:
    """Raises: QuotaExceeded where one more file of this size is more than the org may have; it says of what.

    Cost: two queries, none where no limit is set. Hold the org first, where it must be exact.
    """
    most_sessions = settings.ROWMILL_ORG_SESSIONS
    if most_sessions and count_open(caller) >= most_sessions:
        raise QuotaExceeded(
            f"Your org has {most_sessions:,} uploads under way, the most it may have. Finish or cancel some first.",
            limit=most_sessions,
        )
    most_files, most_bytes = settings.ROWMILL_ORG_FILES, settings.ROWMILL_ORG_BYTES
    if not most_files and not most_bytes:
        return
    files, used = count_kept(caller.org)
    if most_files and files >= most_files:
        raise QuotaExceeded(
            f"Your org keeps {files:,} files, the most it may keep. Delete jobs that are not needed any more.",
            used=files,
            limit=most_files,
        )
    if most_bytes and used + size_bytes > most_bytes:
        raise QuotaExceeded(
            f"Your org's files take {used:,} of {most_bytes:,} bytes, so this one does not fit. "
            "Delete jobs that are not needed any more.",
            used=used,
            limit=most_bytes,
        )


def count_open(caller: Caller) -> int:
    """Count the org's sessions that are under way."""
    return own(caller, UploadSession).exclude(state=SessionState.CLOSED).count()


def count_kept(org: Org) -> tuple[int, int]:
    """Count what the org keeps. Shape: (files, their bytes), those under way with the size they were announced with."""
    kept = Upload.objects.filter(org=org, purged_at=None).exclude(state=UploadState.ABORTED)
    whole = kept.aggregate(files=Count("pk"), size=Sum("size_bytes"))
    size_or_so_far = Coalesce("size_bytes", "offset_bytes")  # a size that is deferred is what has come by now
    coming = (
        UploadSession.objects.filter(org=org).exclude(state=SessionState.CLOSED).aggregate(size=Sum(size_or_so_far))
    )
    return whole["files"], (whole["size"] or 0) + (coming["size"] or 0)


# ------------------------------------------------------------------------------------------------ finding


def fetch_session(caller: Caller, upload_id: UUID | str) -> UploadSession:
    """Give one of the org's sessions by its upload's public id. Raises: NotFound."""
    try:
        return own(caller, UploadSession).select_related("upload", "org", "created_by").get(upload__public_id=upload_id)
    except (ObjectDoesNotExist, ValidationError, ValueError):
        raise NotFound("There is no such upload.") from None


def need_open(session: UploadSession) -> None:
    """Raises: Expired where its time is over; StateError where it is finished, being finished, or cancelled."""
    if session.state == SessionState.OPEN and session.expires_at > timezone.now():
        return
    if session.expires_at <= timezone.now() and session.upload.state in (UploadState.RECEIVING, UploadState.ABORTED):
        raise Expired
    if session.upload.state == UploadState.ABORTED or (
        session.state == SessionState.CLOSED and session.upload.state == UploadState.RECEIVING
    ):
        raise StateError("This upload was cancelled. Begin it again.", state=session.upload.state)
    raise StateError("All bytes of this upload are here already; it takes no more.", state=session.upload.state)


def hold_open(session: UploadSession) -> None:
    """Keep the session open until the transaction ends. Raises: StateError, Expired."""
    held = UploadSession.objects.filter(pk=session.pk).order_by("pk").select_for_update(no_key=True)
    state, expires_at = held.values_list("state", "expires_at")[0]
    if state != SessionState.OPEN or expires_at <= timezone.now():
        need_still_open(session)


def need_still_open(session: UploadSession) -> None:
    """Look again. Raises: StateError, Expired."""
    session.refresh_from_db()
    need_open(session)


def chunk_differs(index: int) -> StateError:
    """Say that a chunk is here already, with other bytes than it comes with now."""
    return StateError(
        f"Chunk {index:,} is here already, with other bytes. Cancel this upload and begin it again.",
        code="chunk_differs",
    )


def touch(session: UploadSession) -> None:
    """Give the session its whole life again. Cost: a write now and then, not with each call. Again: yes."""
    life = session_life()
    if session.expires_at - timezone.now() < life * (1 - TOUCHED_PART):
        session.expires_at = timezone.now() + life
        UploadSession.objects.filter(pk=session.pk, state=SessionState.OPEN).update(expires_at=session.expires_at)


# ------------------------------------------------------------------------------------------------ ending


def begin_completing(session: UploadSession) -> bool:
    """Let nothing more in: open > completing. Gives False where it is not open (any more)."""
    changed = UploadSession.objects.filter(pk=session.pk, state=SessionState.OPEN).update(state=SessionState.COMPLETING)
    session.refresh_from_db(fields=["state", "expires_at"])
    fault_point("session_completing")
    return changed == 1


def reopen_session(session: UploadSession) -> None:
    """Take back `begin_completing`: what is said to be there is not, or the same bytes were sent before."""
    UploadSession.objects.filter(pk=session.pk, state=SessionState.COMPLETING).update(
        state=SessionState.OPEN, expires_at=timezone.now() + session_life(), lease_until=None
    )
    session.refresh_from_db(fields=["state", "expires_at"])


def close_session(session: UploadSession) -> None:
    """Close a session whose upload is past RECEIVING. Again: yes."""
    closing = UploadSession.objects.filter(pk=session.pk).exclude(state=SessionState.CLOSED)
    if closing.update(state=SessionState.CLOSED, closed_at=timezone.now(), lease_until=None):
        session.parts.all().delete()
    session.refresh_from_db(fields=["state", "closed_at"])
    fault_point("session_closed")


def cancel_session(caller: Caller, session: UploadSession) -> Upload:
    """Give an upload up: its bytes go, its record stays. Again: yes.

    Raises: NotAllowed; StateError where all its bytes are here already.
    """
    caller.need_write()
    _end(UploadSession.objects.filter(pk=session.pk), session, caller.user, "upload.cancel")
    upload = Upload.objects.get(pk=session.upload_id)
    if upload.state != UploadState.ABORTED:
        raise StateError(
            "All bytes of this upload are here already. Discard the file, or delete its job.", state=upload.state
        )
    return upload


def expire_sessions(limit: int = EXPIRED_A_ROUND) -> int:
    """End sessions whose time is over: bytes gone, an audit event each. Gives how many. Again: yes."""
    due = UploadSession.objects.filter(expires_at__lte=timezone.now())
    found = due.filter(state=SessionState.OPEN).select_related("upload", "org").order_by("expires_at")[:limit]
    gone = sum(_end(due.filter(pk=session.pk), session, None, "upload.expire") for session in found)
    if gone:
        log.info("sessions expired", count=gone)
    return gone


def _end(ending: QuerySet[UploadSession], session: UploadSession, actor: User | None, verb: str) -> bool:
    """Close an open session and abandon its upload. Gives False where it is not open (any more).

    What a crash leaves of it after the closing is a RECEIVING upload without an open session: the sweeper ends it.
    """
    with transaction.atomic():
        changed = ending.filter(state=SessionState.OPEN).update(
            state=SessionState.CLOSED, closed_at=timezone.now(), lease_until=None
        )
        if changed:
            audit.record(session.org, actor, verb, "upload", session.upload.public_id, door=session.door)
    session.refresh_from_db(fields=["state", "closed_at"])
    if not changed:
        return False
    fault_point("session_ending")
    abandon_upload(session.upload)
    session.parts.all().delete()
    return True
