"""The first step: receives a file's bytes (begin, take the bytes, finish or abandon). Every door ends in `finish_upload`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import PurePath
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from rowmill import audit
from rowmill.errors import InputError, StateError, StorageFault
from rowmill.faults import fault_point
from rowmill.models import Precheck, Upload, UploadState, User
from rowmill.models.text import storable
from rowmill.orgs import Caller
from rowmill.registry import KINDS, get_kind
from rowmill.uploads.places import folder_key, get_spool, get_storage, need_room, original_key, remove_bytes

log = structlog.get_logger("rowmill.uploads")
PRECHECK = "precheck"  # the word in an intent


def begin_upload(caller: Caller, kind: str, name: str, intent: dict[str, Any] | None = None) -> Upload:
    """Open an upload in RECEIVING. `intent` says what job shall start once it is READY, or that it is for a precheck.

    Raises: NotAllowed, NotFound for an unknown kind, and for none unless it is for a precheck; OutOfSpace.
    """
    caller.need_write()
    if kind or not is_for_precheck(intent):
        get_kind(kind)
    need_room()
    upload = Upload.objects.create(
        org=caller.org, kind=kind, name=clean_name(name), intent=storable(intent), created_by=caller.user
    )
    audit.record(caller.org, caller.user, "upload.begin", "upload", upload.public_id, kind=kind)
    fault_point("begun")
    return upload


def is_for_precheck(intent: Mapping[str, Any] | None) -> bool:
    """Tell whether a file was sent to be prechecked and for nothing else: no job will start over it."""
    return bool(intent and intent.get(PRECHECK))


def clean_name(name: str) -> str:
    """Keep the last part of a sender's file name, without control characters. It is shown, never used as a path."""
    last = PurePath(name.replace("\\", "/")).name
    kept = "".join(char for char in last if char.isprintable()).strip()
    return kept[:255] or "upload.csv"


def receive_whole(upload: Upload, chunks: Iterable[bytes], max_bytes: int) -> tuple[int, str]:
    """Take a whole file into this machine's spool while hashing it. Shape: (bytes, SHA-256 in hex).

    Raises: InputError too_large or empty_file, OutOfSpace; the upload is then ABORTED and its bytes are gone.
    """
    digest = hashlib.sha256()
    try:
        size = get_spool().write(original_key(upload), _measured(chunks, digest, max_bytes))
        if size == 0:
            raise InputError(
                "The file is empty: it has no bytes at all. Export it again and send that file.", code="empty_file"
            )
    except BaseException:
        abandon_upload(upload)
        raise
    fault_point("received")
    return size, digest.hexdigest()


def _measured(chunks: Iterable[bytes], digest: Any, max_bytes: int) -> Iterator[bytes]:
    """Pass bytes on, hashed and counted. Raises: InputError past the limit."""
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > max_bytes:
            raise InputError(
                f"The file is larger than {max_bytes:,} bytes, the most that this door takes. Split it and send the parts.",
                code="too_large",
            )
        digest.update(chunk)
        yield chunk


def finish_upload(upload: Upload, size_bytes: int, sha256: str, *, leased: bool = True) -> Upload:
    """Close the receiving: RECEIVING > CHECKING, the one end of every door.

    `leased`: under a lease for the caller, who inspects it now; else it is due, and the first worker claims it (ring
    INTERACTIVE). What was sent for a precheck has no lease, so that no inspector claims it, but its precheck is due.
    `sha256` is "" where nobody has seen the bytes yet; whoever inspects them computes it.
    Raises: StateError where it is no longer RECEIVING. Again: no.
    """
    prechecked = is_for_precheck(upload.intent)
    with transaction.atomic():
        changed = Upload.objects.filter(pk=upload.pk, state=UploadState.RECEIVING).update(
            state=UploadState.CHECKING,
            size_bytes=size_bytes,
            sha256=sha256,
            claims=F("claims") + (1 if leased and not prechecked else 0),
            lease_until=None if prechecked else Now() + (inspect_lease() if leased else -timedelta(seconds=1)),
        )
        if changed != 1:
            raise StateError("This upload is no longer being received.")
        _tell_kind(upload, UploadState.CHECKING)
        if prechecked:
            open_precheck(upload, upload.created_by)
    fault_point("finished")
    upload.refresh_from_db()
    log.info("upload finished", upload_id=str(upload.public_id), bytes=size_bytes)
    return upload


def open_precheck(upload: Upload, user: User | None) -> Precheck:
    """Make a precheck of an upload, due at once, and note it; call it inside a transaction, then ring INTERACTIVE."""
    precheck = Precheck.objects.create(org_id=upload.org_id, upload=upload, created_by=user)
    audit.record(upload.org, user, "precheck.begin", "precheck", precheck.public_id, upload=str(upload.public_id))
    return precheck


def inspect_lease() -> timedelta:
    """Give how long an inspection holds an upload: longer than its child may take, since nothing renews it."""
    return timedelta(seconds=settings.ROWMILL_INSPECT_SECONDS + 60)


def abandon_upload(upload: Upload) -> bool:
    """Give up an upload that has no job, and remove its bytes. Again: yes; gives False where a job needs it.

    It counts as purged only once its bytes are gone, so that the sweeper ends what a crash or a storage that does not
    answer cut.
    """
    jobless = Upload.objects.filter(pk=upload.pk, jobs__isnull=True)
    with transaction.atomic():
        Upload.objects.select_for_update(no_key=True).get(pk=upload.pk)  # first, so that no job is made meanwhile
        if jobless.exclude(state=UploadState.ABORTED).update(
            state=UploadState.ABORTED, purge_after=timezone.now(), lease_until=None
        ):
            _tell_kind(upload, UploadState.ABORTED)
    if not jobless.filter(state=UploadState.ABORTED).exists():
        return False
    fault_point("abandoning")
    try:
        remove_bytes(get_storage(patient=False), upload)
    except StorageFault as fault:
        log.warning("bytes not removed yet", upload_id=str(upload.public_id), cause=str(fault))
        return True
    fault_point("abandoned")
    with transaction.atomic():
        if jobless.filter(purged_at=None).update(purged_at=timezone.now(), purge_after=None):
            audit.record(upload.org, None, "upload.abandon", "upload", upload.public_id)
    upload.refresh_from_db()
    return True


def _tell_kind(upload: Upload, state: str) -> None:
    """Let the line of work that a file is for know what became of it."""
    if upload.kind in KINDS:
        get_kind(upload.kind).follow(upload, state)


def clear_abandoned(upload: Upload) -> None:
    """Remove what somebody who had lost an upload wrote after it was abandoned, and say so in the trail. Again: yes."""
    if not Upload.objects.filter(pk=upload.pk, state=UploadState.ABORTED).exists():
        return
    try:
        storage = get_storage(patient=False)
        if any(True for _ in storage.keys(folder_key(upload))):
            remove_bytes(storage, upload)
            audit.record(upload.org, None, "upload.abandon", "upload", upload.public_id)
    except StorageFault as fault:  # the tidying of orphans finds it
        log.warning("bytes not removed yet", upload_id=str(upload.public_id), cause=str(fault))


def max_upload_bytes(kind: str = "") -> int:
    """Give the most that a whole POST of a kind takes, in bytes; without a kind, the most that one of any kind may."""
    of_kinds: dict[str, int] = settings.ROWMILL_KIND_UPLOAD_BYTES
    usual: int = settings.ROWMILL_MAX_UPLOAD_BYTES
    return of_kinds.get(kind, usual) if kind else max([usual, *of_kinds.values()])
