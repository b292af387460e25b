"""The last step of an upload: removes its bytes, keeps its record."""

from __future__ import annotations

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from rowmill import audit
from rowmill.errors import StorageFault
from rowmill.faults import fault_point
from rowmill.models import ImportEffect, Job, UnknownIds, Upload, UploadState, User
from rowmill.uploads.places import get_storage, remove_bytes

log = structlog.get_logger("rowmill.uploads")


def purge_upload(upload: Upload, actor: User | None = None) -> bool:
    """Remove an upload's bytes, then say so and note it in the trail. Again: yes, gives False then.

    It is due before the first byte goes and purged after the last has gone, so that the sweeper ends what a crash cut;
    while the storage does not answer it stays due.
    """
    try:
        return _purge(upload, actor)
    except StorageFault as fault:
        log.warning("bytes not removed yet", upload_id=str(upload.public_id), cause=str(fault))
        return False


def purge_unless_copied(upload: Upload) -> bool:
    """Do so, unless a mended copy is being made of it: then only its date is set, and it goes when the copy is there."""
    with transaction.atomic():
        Upload.objects.select_for_update(no_key=True).get(pk=upload.pk)  # nobody begins a copy from here on
        Upload.objects.filter(pk=upload.pk, purged_at=None).update(purge_after=timezone.now())
        if Upload.objects.filter(pk=upload.pk).filter(_is_read()).exists():
            return False
    return purge_upload(upload)


def _is_read() -> Exists:
    """Tell of an upload whether a mended copy is being made of its bytes."""
    return Exists(Upload.objects.filter(parent=OuterRef("pk"), state=UploadState.CHECKING, sha256=""))


def _purge(upload: Upload, actor: User | None) -> bool:
    """Do it. Raises: StorageFault."""
    kept = Upload.objects.filter(pk=upload.pk, purged_at=None)
    if not kept.update(purge_after=timezone.now()):
        return False
    fault_point("purging")
    remove_bytes(get_storage(patient=False), upload)
    fault_point("purged")
    with transaction.atomic():
        changed = kept.update(purged_at=timezone.now(), purge_after=None)
        if changed:
            UnknownIds.objects.filter(upload=upload).delete()
            ImportEffect.objects.filter(upload=upload).update(examples=b"")
            audit.record(upload.org, actor, "upload.purge", "upload", upload.public_id)
    return bool(changed)


def purge_due_uploads(limit: int = 50) -> int:
    """Purge what is past its date, except what a job or a mended copy that is being made still needs. Gives how many went.

    Where the storage does not answer it ends at once: the sweeper has other things to do.
    """
    needed = Job.objects.filter(upload=OuterRef("pk"), deleted_at=None)
    over = Upload.objects.filter(purged_at=None, purge_after__lt=timezone.now())
    due = over.filter(~Exists(needed), ~_is_read()).select_related("org")
    gone = 0
    try:
        for upload in due[:limit]:
            gone += _purge(upload, None)
    except StorageFault as fault:
        log.warning("bytes not removed yet", cause=str(fault))
    return gone
