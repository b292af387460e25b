"""The chunk door: takes a file in chunks, in any order and in parallel, and puts it together. Nothing acknowledged is lost.

Near storage: each chunk goes to its place in one file; a bucket: pieces.py. The record of a chunk is written when its
bytes are durable, and the sender is told after that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog
from django.db import transaction

from rowmill.errors import Expired, InputError, StateError, StorageFault
from rowmill.faults import fault_point
from rowmill.models import PartPlace, SessionDoor, UploadPart, UploadSession, UploadState
from rowmill.storage.assembling import InFile, Part, is_in_file, open_assembly
from rowmill.uploads import pieces
from rowmill.uploads.hashing import follower
from rowmill.uploads.places import get_storage, original_key, remove_bytes
from rowmill.uploads.sessions import chunk_differs, hold_open, need_open, need_still_open, touch
from rowmill.uploads.sources import Source, as_file, blocks_of, sha256_of, size_of

log = structlog.get_logger("rowmill.uploads")
MOST_CHUNKS = 20_000
TOLD_MISSING = 1000


def plan_chunks(size_bytes: int, chunk_count: int, chunk_bytes: int) -> tuple[int, int]:
    """Say how a file is cut. Shape: (chunks, bytes of each but the last), the bytes 0 where the first chunk will tell.

    Raises: InputError bad_chunks where what the sender says does not fit together.
    """
    if chunk_bytes and not chunk_count:
        chunk_count = -(-size_bytes // chunk_bytes)
    if chunk_count < 1 or chunk_count > min(MOST_CHUNKS, size_bytes):
        raise InputError(
            f"A file of {size_bytes:,} bytes comes in 1 to {min(MOST_CHUNKS, size_bytes):,} chunks.", code="bad_chunks"
        )
    if chunk_bytes and not chunk_bytes * (chunk_count - 1) < size_bytes <= chunk_bytes * chunk_count:
        raise InputError(
            f"{chunk_count:,} chunks of {chunk_bytes:,} bytes do not make a file of {size_bytes:,} bytes.",
            code="bad_chunks",
        )
    return chunk_count, size_bytes if chunk_count == 1 else chunk_bytes


def put_chunk(session: UploadSession, index: int, source: Source, sha256_declared: str = "") -> UploadPart:
    """Store one chunk, durably.

    Units: `index` from 0. Again: the same bytes do no harm. Cost: the chunk is hashed where its hash was declared, and
    before a bucket; near storage is read, when a chunk comes again.
    Raises: Expired, StateError (chunk_differs for other bytes than are here already), InputError checksum_mismatch,
    bad_index, chunk_size; OutOfSpace, StorageFault.
    """
    if session.door != SessionDoor.CHUNKS:
        raise StateError("This upload does not come in chunks. Send it by the door that began it.")
    need_open(session)
    assembly = open_assembly(get_storage())
    digest = sha256_of(source) if sha256_declared or not is_in_file(assembly) else ""
    if sha256_declared and sha256_declared.lower() != digest:
        raise InputError("The chunk did not arrive as it was sent. Send it again.", code="checksum_mismatch")
    _need_index(session, index)
    _agree_on_size(session, size_of(source), index)
    if is_in_file(assembly):
        part = _place(assembly, session, index, source, digest)
    else:
        with as_file(source) as path:
            part = pieces.put_piece(session, index, path, digest)
    touch(session)
    return part


def _need_index(session: UploadSession, index: int) -> None:
    """Raises: InputError bad_index."""
    if not 0 <= index < session.chunk_count:
        raise InputError(
            f"This file has {session.chunk_count:,} chunks: chunkIndex goes from 0 to {session.chunk_count - 1:,}.",
            code="bad_index",
        )


def _agree_on_size(session: UploadSession, length: int, index: int) -> None:
    """Learn from the first chunk how long they are; hold every other one to it. Raises: InputError chunk_size."""
    total, count = session.size_bytes or 0, session.chunk_count
    last = index == count - 1
    if not session.chunk_bytes:
        learnt, odd = divmod(total - length, count - 1) if last and count > 1 else (length, 0)
        if not odd and 0 < length <= learnt and learnt * (count - 1) < total <= learnt * count:
            UploadSession.objects.filter(pk=session.pk, chunk_bytes=0).update(chunk_bytes=learnt)
            session.refresh_from_db(fields=["chunk_bytes"])
    wanted = total - session.chunk_bytes * (count - 1) if last else session.chunk_bytes
    if not session.chunk_bytes or length != wanted:
        size = f"it should have {wanted:,}" if session.chunk_bytes else "that does not fit"
        raise InputError(
            f"Chunk {index:,} has {length:,} bytes; of a file of {total:,} bytes in {count:,} chunks {size}. "
            "All chunks but the last are of one size.",
            code="chunk_size",
        )


# ------------------------------------------------------------------------------------------------ near storage


def _place(assembly: InFile, session: UploadSession, index: int, source: Source, digest: str) -> UploadPart:
    """Write a chunk to its place in the file under way, unless it is there."""
    key, size = original_key(session.upload), size_of(source)
    try:
        _need_file(assembly, session, key)
        with assembly.alone(key, index):
            offset = index * session.chunk_bytes
            if (there := _find(session, index)) is not None:
                if not assembly.has_same(key, blocks_of(source), offset):
                    raise chunk_differs(index)
                return there
            if isinstance(source, Path):
                assembly.put_part(key, "", index + 1, source, offset=offset)
            else:
                assembly.write_at(key, offset, source)
            fault_point("chunk_placed")
            part = _record(session, index, size, digest)
    except FileNotFoundError:
        _leave_nothing(session)
        raise StorageFault("The file under way is gone from the storage. Send the chunk again.") from None
    except (StateError, Expired) as error:
        if error.code != "chunk_differs":
            _leave_nothing(session)
        raise
    fault_point("chunk_recorded")
    _follow(assembly, session, key, index)
    return part


def _find(session: UploadSession, index: int) -> UploadPart | None:
    """Give a chunk's record."""
    return UploadPart.objects.filter(session=session, number=index).first()


def _need_file(assembly: InFile, session: UploadSession, key: str) -> None:
    """Begin the file under way where there is none. What was recorded of one that is gone is forgotten: it is missing."""
    if _is_under_way(assembly, key):
        return
    recorded = session.parts.exists()  # asked before the second look: who recorded one had begun the file
    need_still_open(session)
    if not recorded:
        assembly.begin(key)
    elif not _is_under_way(assembly, key):
        log.error("the file under way is gone", upload_id=str(session.upload.public_id))
        session.parts.all().delete()
        follower.forget(key)
        assembly.begin(key)


def _is_under_way(assembly: InFile, key: str) -> bool:
    """Tell whether the file was begun and is neither completed nor given up."""
    try:
        assembly.size_bytes(key)
    except FileNotFoundError:
        return False
    return True


def _record(session: UploadSession, index: int, size: int, digest: str) -> UploadPart:
    """Write that a chunk is here, if the session still takes any. Raises: StateError, Expired."""
    with transaction.atomic():
        hold_open(session)
        return UploadPart.objects.create(
            org_id=session.org_id, session=session, number=index, size_bytes=size, digest=digest, place=PartPlace.FILE
        )


def _leave_nothing(session: UploadSession) -> None:
    """Remove the bytes of a session that was ended while a chunk of it was being written. Raises: StateError, Expired."""
    session.refresh_from_db()
    if session.upload.state == UploadState.ABORTED:
        remove_bytes(get_storage(patient=False), session.upload)
    need_open(session)


def _follow(assembly: InFile, session: UploadSession, key: str, index: int) -> None:
    """Let the running hash know."""
    here = [index]
    if not follower.follows(key):
        here = list(session.parts.values_list("number", flat=True))
    follower.note_chunks(assembly, key, here, session.chunk_bytes, session.size_bytes or 0)


# ------------------------------------------------------------------------------------------------ completing


def missing_chunks(session: UploadSession) -> list[int]:
    """List the chunks that are not here. Units: from 0."""
    here = set(here_chunks(session))
    return [index for index in range(session.chunk_count) if index not in here]


def here_chunks(session: UploadSession) -> list[int]:
    """List the chunks that are here."""
    return sorted(pieces.durable(session).values_list("number", flat=True))


def need_all(session: UploadSession) -> None:
    """Raises: StateError chunk_missing, which says which."""
    if missing := missing_chunks(session):
        raise StateError(
            f"{len(missing):,} of {session.chunk_count:,} chunks are not here yet. Send them, then complete again.",
            code="chunk_missing",
            missing=missing[:TOLD_MISSING],
            missing_count=len(missing),
        )


def assemble(session: UploadSession, told: Callable[[], None]) -> str:
    """Make one file of the chunks under its key. Gives its SHA-256, "" where a bucket has it. Again: yes.

    `told` is called now and then on the way. Raises: StorageFault; InputError where the parts do not fit.
    """
    assembly = open_assembly(get_storage())
    if not is_in_file(assembly):
        pieces.join_all(session)
        return ""
    key, size = original_key(session.upload), session.size_bytes or 0
    try:
        with assembly.reading(key) as handle:
            sha256 = follower.finish(handle, key, session.chunk_bytes, size, told)
    except FileNotFoundError:  # renamed already, before a crash or before the sender was asked whether it is meant
        with get_storage().open(key) as file:
            sha256 = follower.finish(file.fileno(), key, session.chunk_bytes, size, told)
    parts = [Part(n + 1, length) for n, length in session.parts.values_list("number", "size_bytes")]
    assembly.complete(key, "", parts, size)
    return sha256
