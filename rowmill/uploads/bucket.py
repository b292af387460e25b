"""The door "bucket": parts go straight from the sender to the bucket; what is there is asked of the bucket, never of the sender."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.errors import Expired, InputError, StateError
from rowmill.faults import fault_point
from rowmill.models import SessionDoor, SessionState, UploadSession
from rowmill.orgs import Caller
from rowmill.storage import InBucket, Part, is_in_bucket, open_assembly
from rowmill.storage.assembling import MOST_PARTS, SIGNED_SECONDS
from rowmill.uploads.places import get_storage, original_key
from rowmill.uploads.sessions import need_open, open_session, reopen_session, touch

log = structlog.get_logger("rowmill.uploads")
PART_BYTES = 8 * 1024 * 1024
PARTS = 9_000
MOST_SIGNED = 1_000
TOLD_MISSING = 1_000


@dataclass(frozen=True, slots=True)
class SignedPart:
    """Where one part goes, by PUT with exactly its bytes as the body. Units: `number` from 1, as S3 counts."""

    number: int
    url: str
    size_bytes: int
    expires_at: datetime


def has_direct_uploads() -> bool:
    """Tell whether parts may go straight to the storage: it is a bucket, and the settings allow it."""
    return bool(settings.ROWMILL_DIRECT_UPLOADS) and not get_storage().near


def part_bytes(size_bytes: int) -> int:
    """Give the size of a file's parts: even the largest file has fewer than S3's 10,000."""
    return max(PART_BYTES, -(-size_bytes // PARTS))


def open_bucket_session(
    caller: Caller,
    kind: str,
    name: str,
    *,
    size_bytes: int,
    fingerprint: str = "",
    sha256: str = "",
    intent: dict[str, Any] | None = None,
    confirmed: bool = False,
) -> UploadSession:
    """Begin a file whose parts go straight to the bucket, or give the one that this person began with the same words.

    Raises: InputError no_direct_upload where the storage is no bucket, or the settings do not allow it; what `open_session`
    raises; StorageFault. Again: gives the open session, its multipart upload begun if that was cut.
    """
    assembly = need_direct()
    size = part_bytes(max(size_bytes, 1))
    session = open_session(
        caller,
        kind,
        name,
        door=SessionDoor.BUCKET,
        size_bytes=size_bytes,
        chunk_count=-(-size_bytes // size),
        chunk_bytes=size,
        fingerprint=fingerprint,
        sha256=sha256,
        intent=intent,
        confirmed=confirmed,
    )
    if not session.storage_token:
        begin_parts(assembly, session)
    return session


def need_direct() -> InBucket:
    """Give the bucket's assembly. Raises: InputError no_direct_upload, which says which door is open."""
    assembly = open_assembly(get_storage()) if has_direct_uploads() else None
    if assembly is None or not is_in_bucket(assembly):
        raise InputError(
            "Files do not go straight to the storage here. Send this one in chunks: begin it again without door.",
            code="no_direct_upload",
        )
    return assembly


def begin_parts(assembly: InBucket, session: UploadSession) -> None:
    """Begin the multipart upload; of two that do it at once the first counts. What a crash leaves of it is swept."""
    key = original_key(session.upload)
    token = assembly.begin(key)
    fault_point("bucket_begun")
    kept = UploadSession.objects.filter(pk=session.pk, state=SessionState.OPEN, storage_token="")
    if not kept.update(storage_token=token):
        assembly.abort(key, token)
    session.refresh_from_db()
    need_open(session)


# ------------------------------------------------------------------------------------------------ on the way


def sign_parts(session: UploadSession, numbers: Sequence[int]) -> list[SignedPart]:
    """Sign an address for each of these parts, good for SIGNED_SECONDS and for a part of just its size.

    Raises: InputError bad_index, no_direct_upload; StateError, Expired. Again: yes. Cost: no call to the bucket.
    """
    assembly = need_direct()
    _need_door(session)
    need_open(session)
    if not 0 < len(numbers) <= MOST_SIGNED:
        raise InputError(f"Ask for 1 to {MOST_SIGNED:,} parts at a time.", code="bad_index")
    sizes, key = wanted_parts(session), original_key(session.upload)
    if wrong := [number for number in numbers if number not in sizes]:
        raise InputError(
            f"This file has {len(sizes):,} parts: they go from 1 to {len(sizes):,}, so there is no part {wrong[0]:,}.",
            code="bad_index",
        )
    expires_at = timezone.now() + timedelta(seconds=SIGNED_SECONDS)
    signed = [
        SignedPart(
            number, assembly.presign_part(key, session.storage_token, number, sizes[number]), sizes[number], expires_at
        )
        for number in numbers
    ]
    touch(session)
    return signed


def _need_door(session: UploadSession) -> None:
    """Raises: StateError where the session came in by another door."""
    if session.door != SessionDoor.BUCKET:
        raise StateError("The parts of this upload do not go to the bucket. Send them by the door that began it.")


def wanted_parts(session: UploadSession) -> dict[int, int]:
    """Say which parts a file must have. Shape: {number from 1: bytes}."""
    total, size, count = session.size_bytes or 0, session.chunk_bytes, session.chunk_count
    return {number: size if number < count else total - size * (count - 1) for number in range(1, count + 1)}


def here_parts(session: UploadSession) -> list[int]:
    """List the parts that the bucket has, at their right size. Units: from 0, as chunks are counted. Cost: as `stored_parts`."""
    wanted = wanted_parts(session)
    return [part.number - 1 for part in stored_parts(session) if wanted.get(part.number) == part.size_bytes]


def stored_parts(session: UploadSession) -> list[Part]:
    """Ask the bucket which parts it has. Raises: Expired where it gave the whole upload up. Cost: a call for each 1,000."""
    try:
        return _assembly().list_parts(original_key(session.upload), session.storage_token)
    except FileNotFoundError:
        raise _lost(session) from None


def _lost(session: UploadSession) -> Expired:
    """End a session whose parts the bucket no longer has, and say so."""
    end_lost(session)
    return Expired("The storage no longer has what was sent of this upload. Begin it again.")


def _assembly() -> InBucket:
    """Give the bucket's assembly, whatever the settings say by now: what was begun may be finished."""
    assembly = open_assembly(get_storage())
    if not is_in_bucket(assembly):
        raise StateError("The storage was changed while this upload was under way. Begin it again.")
    return assembly


# ------------------------------------------------------------------------------------------------ completing


def need_parts(session: UploadSession) -> list[Part]:
    """Give the parts as the bucket tells them.

    Raises: StateError chunk_missing, which says which; InputError parts_differ for parts that nobody asked for, chunk_size
    for one that is not as long as it was signed for; Expired.
    """
    found, wanted = stored_parts(session), wanted_parts(session)
    _need_no_more(found, wanted)
    _need_all(found, wanted)
    for part in found:
        if part.size_bytes != wanted[part.number]:
            raise InputError(
                f"Part {part.number:,} has {part.size_bytes:,} bytes, it should have {wanted[part.number]:,}. "
                "Send it again.",
                code="chunk_size",
            )
    return found


def _need_no_more(found: Sequence[Part], wanted: dict[int, int]) -> None:
    """Raises: InputError parts_differ for more parts than the file has, or than S3 takes."""
    if len(found) > MOST_PARTS or any(part.number not in wanted for part in found):
        raise InputError(
            f"The storage has parts that this file of {len(wanted):,} parts does not. "
            "Cancel this upload and begin it again.",
            code="parts_differ",
        )


def _need_all(found: Sequence[Part], wanted: dict[int, int]) -> None:
    """Raises: StateError chunk_missing. Units: from 0, as chunks are counted."""
    missing = sorted(set(wanted) - {part.number for part in found})
    if missing:
        raise StateError(
            f"{len(missing):,} of {len(wanted):,} parts are not here yet. Send them, then complete again.",
            code="chunk_missing",
            missing=[number - 1 for number in missing[:TOLD_MISSING]],
            missing_count=len(missing),
        )


def assemble_parts(session: UploadSession) -> None:
    """Make the object of the parts, and see that it is there whole.

    Raises: as `need_parts`, and InputError part_too_small: the session is open again then; StorageFault.
    Again: yes, also after a crash: an object of the right size means that it is done.
    """
    key, size = original_key(session.upload), session.size_bytes or 0
    there = get_storage().stat(key)
    if there is None or there.size_bytes != size:
        try:
            _assembly().complete(key, session.storage_token, need_parts(session), size)
        except (InputError, StateError):  # the sender can mend it; trying again cannot
            reopen_session(session)
            raise
        except (Expired, FileNotFoundError):
            reopen_session(session)
            raise _lost(session) from None
    fault_point("bucket_completed")


# ------------------------------------------------------------------------------------------------ bucket against database


def live_tokens() -> set[str]:
    """Give the multipart uploads that sessions still need, by their tokens."""
    live = UploadSession.objects.exclude(state=SessionState.CLOSED).exclude(storage_token="")
    return set(live.values_list("storage_token", flat=True))


def end_lost_sessions() -> int:
    """End open sessions whose multipart upload the bucket no longer has: their time is over. Gives how many.

    Cost: a call for each 1,000 that are under way, and one for each that seems lost.
    """
    assembly = open_assembly(get_storage())
    if not is_in_bucket(assembly):
        return 0
    sessions = UploadSession.objects.filter(state=SessionState.OPEN).exclude(storage_token="")
    known = list(sessions.select_related("upload"))  # read first: what is begun meanwhile is in the list
    there = {found.token for found in assembly.unfinished("org")} if known else set()
    return sum(_is_lost(assembly, session) for session in known if session.storage_token not in there)


def _is_lost(assembly: InBucket, session: UploadSession) -> bool:
    """Ask for this one, since not every store lists all; end it if it is gone."""
    try:
        assembly.list_parts(original_key(session.upload), session.storage_token)
    except FileNotFoundError:
        return end_lost(session)
    return False


def end_lost(session: UploadSession) -> bool:
    """Let an open session's time be over: the sweeper ends it. Gives False where it is not open (any more)."""
    lost = UploadSession.objects.filter(pk=session.pk, state=SessionState.OPEN)
    if not lost.update(expires_at=Now()):
        return False
    log.warning("the bucket gave an upload up", upload_id=str(session.upload.public_id))
    return True
