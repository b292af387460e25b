"""The chunk door before a bucket: chunks become parts of a multipart upload, small ones joined in groups of 8 MiB and more.

A chunk is claimed by its hash before its bytes go to the bucket, so that of two senders of one chunk the bytes of one
stay. Of a group that is complete one part is made at once; what is left is joined when the upload is completed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from rowmill.errors import Expired, StateError, StorageFault
from rowmill.faults import fault_point
from rowmill.models import PartPlace, UploadPart, UploadSession, UploadState
from rowmill.storage.assembling import LEAST_PART_BYTES, MOST_PARTS, InBucket, Part, is_in_bucket, open_assembly
from rowmill.uploads.bucket import begin_parts, end_lost
from rowmill.uploads.places import folder_key, get_storage, original_key, remove_bytes
from rowmill.uploads.sessions import chunk_differs, hold_open, need_open

log = structlog.get_logger("rowmill.uploads")
GROUP_BYTES = 8 * 1024 * 1024
PARTS = 9_000
PIECES = "pieces"


def durable(session: UploadSession) -> QuerySet[UploadPart]:
    """Give the records of the chunks whose bytes are durable: one that is only claimed has no etag yet."""
    return session.parts.exclude(~Q(place=PartPlace.FILE) & Q(etag=""))


def group_chunks(session: UploadSession) -> int:
    """Say how many chunks make a part: one where it is large enough for a bucket, and few enough are to come."""
    length, count, total = session.chunk_bytes, session.chunk_count, session.size_bytes or 0
    if count == 1 or (length >= LEAST_PART_BYTES and count <= MOST_PARTS):
        return 1
    return -(-max(GROUP_BYTES, -(-total // PARTS)) // length)


def put_piece(session: UploadSession, index: int, path: Path, digest: str) -> UploadPart:
    """Store one chunk. Raises: StateError, Expired, StorageFault, OutOfSpace. Again: the same bytes do no harm."""
    assembly = _assembly()
    try:
        if not session.storage_token:
            begin_parts(assembly, session)
        part = _claim(session, index, path.stat().st_size, digest)
        if not part.etag:
            _store(assembly, session, part, path)
            fault_point("piece_stored")
            _record(session, part)
    except FileNotFoundError:
        raise _lost(session) from None
    except (StateError, Expired) as error:
        if error.code != "chunk_differs":
            _leave_nothing(session)
        raise
    fault_point("piece_recorded")
    if part.place == PartPlace.PIECE:
        _join_if_whole(assembly, session, index // group_chunks(session))
    return part


def _assembly() -> InBucket:
    """Give the bucket's assembly."""
    assembly = open_assembly(get_storage())
    if not is_in_bucket(assembly):
        raise StateError("The storage was changed while this upload was under way. Begin it again.")
    return assembly


def _claim(session: UploadSession, index: int, size: int, digest: str) -> UploadPart:
    """Say which bytes this chunk has, before they go. Raises: StateError chunk_differs, or as `hold_open`; Expired."""
    place = PartPlace.PART if group_chunks(session) == 1 else PartPlace.PIECE
    with transaction.atomic():
        hold_open(session)
        part, _ = UploadPart.objects.get_or_create(
            session=session,
            number=index,
            defaults={"org_id": session.org_id, "size_bytes": size, "digest": digest, "place": place},
        )
    if part.digest != digest:
        raise chunk_differs(index)
    return part


def _store(assembly: InBucket, session: UploadSession, part: UploadPart, path: Path) -> None:
    """Send a chunk's bytes: as a part, or as an object of its own, whose name tells its bytes."""
    key = original_key(session.upload)
    if part.place == PartPlace.PART:
        offset = part.number * session.chunk_bytes
        part.etag = assembly.put_part(key, session.storage_token, part.number + 1, path, offset=offset).etag
        return
    aside = path.with_name(f"{path.name}.piece")  # storing takes the file away, and `path` is the caller's
    try:
        os.link(path, aside)
        get_storage().put_file(_piece_key(part, session), aside)
    finally:
        aside.unlink(missing_ok=True)
    part.etag = PIECES


def _record(session: UploadSession, part: UploadPart) -> None:
    """Write that a chunk's bytes are durable. Raises: StateError, Expired."""
    with transaction.atomic():
        hold_open(session)
        UploadPart.objects.filter(pk=part.pk, etag="").update(etag=part.etag)


def _piece_key(part: UploadPart, session: UploadSession) -> str:
    """Give the key of a chunk that waits for its group."""
    return f"{folder_key(session.upload)}/{PIECES}/{part.number}-{part.digest[:32]}"


def _lost(session: UploadSession) -> Exception:
    """Say why the multipart upload is gone: the session was ended meanwhile, or the bucket gave it up."""
    session.refresh_from_db()
    try:
        need_open(session)
    except (StateError, Expired) as error:
        return error
    end_lost(session)
    return Expired("The storage no longer has what was sent of this upload. Begin it again.")


def _leave_nothing(session: UploadSession) -> None:
    """Remove the bytes of a session that was ended while a chunk of it was being sent on."""
    session.refresh_from_db()
    if session.upload.state == UploadState.ABORTED:
        try:
            remove_bytes(get_storage(patient=False), session.upload)
        except StorageFault as fault:  # the sweep of orphans has it
            log.warning("bytes not removed yet", upload_id=str(session.upload.public_id), cause=str(fault))


# ------------------------------------------------------------------------------------------------ joining


def _numbers(session: UploadSession, group: int) -> range:
    """Give the chunks of a group."""
    size = group_chunks(session)
    return range(group * size, min((group + 1) * size, session.chunk_count))


def _join_if_whole(assembly: InBucket, session: UploadSession, group: int) -> None:
    """Make one part of a group, once all its chunks are here as pieces. Again: yes, at once too."""
    numbers = _numbers(session, group)
    waiting = durable(session).filter(place=PartPlace.PIECE, number__in=numbers)
    pieces = list(waiting.order_by("number"))
    if len(pieces) != len(numbers):
        return
    try:
        part = _join(assembly, session, group, pieces)
    except FileNotFoundError:
        if waiting.count() == len(numbers):
            raise StorageFault("The storage does not have all bytes that it was given.") from None
        return  # another was faster
    fault_point("pieces_joined")
    session.parts.filter(number__in=numbers).update(place=PartPlace.PART, etag=part.etag)
    fault_point("pieces_recorded")
    for piece in pieces:
        get_storage().delete(_piece_key(piece, session))


def _join(assembly: InBucket, session: UploadSession, group: int, pieces: Sequence[UploadPart]) -> Part:
    """Fetch a group's pieces and send them as one part. Raises: FileNotFoundError, StorageFault."""
    storage = get_storage()
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    with NamedTemporaryFile(dir=settings.SCRATCH_DIR, prefix="receive-") as whole:
        for piece in pieces:
            with storage.open(_piece_key(piece, session)) as file:
                shutil.copyfileobj(file, whole)
        whole.flush()
        if whole.tell() != sum(piece.size_bytes for piece in pieces):
            raise StorageFault("The storage does not have all bytes that it was given.")
        offset = pieces[0].number * session.chunk_bytes
        key = original_key(session.upload)
        return assembly.put_part(key, session.storage_token, group + 1, Path(whole.name), offset=offset)


def join_all(session: UploadSession) -> None:
    """Make the object of all chunks. Raises: StorageFault, Expired. Again: yes, also after a crash."""
    assembly, storage = _assembly(), get_storage()
    key, size = original_key(session.upload), session.size_bytes or 0
    there = storage.stat(key)
    if there is None or there.size_bytes != size:
        group_size = group_chunks(session)
        try:
            waiting = session.parts.filter(place=PartPlace.PIECE).values_list("number", flat=True)
            for group in sorted({number // group_size for number in waiting}):
                _join_if_whole(assembly, session, group)
            parts = assembly.list_parts(key, session.storage_token)  # what it has, whatever we were told
            assembly.complete(key, session.storage_token, parts, size)
        except FileNotFoundError:
            raise StorageFault("The storage no longer has what was sent of this upload.") from None
    storage.delete_under(f"{folder_key(session.upload)}/{PIECES}")
