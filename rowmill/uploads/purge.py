"""The last step of an upload: removes its bytes, keeps its record."""

from __future__ import annotations

from django.utils import timezone

from rowmill import audit
from rowmill.models import Upload, User
from rowmill.uploads.places import folder_key, get_storage


def purge_upload(upload: Upload, actor: User | None = None) -> bool:
    """Remove an upload's bytes and note it in the trail. Again: yes, gives False then."""
    changed = Upload.objects.filter(pk=upload.pk, purged_at=None).update(purged_at=timezone.now(), purge_after=None)
    get_storage().delete_under(folder_key(upload))
    if changed:
        audit.record(upload.org, actor, "upload.purge", "upload", upload.public_id)
    return bool(changed)


def purge_due_uploads(limit: int = 50) -> int:
    """Purge what is past its date, except what a live job still reads. Gives how many went."""
    due = Upload.objects.select_related("org").filter(purged_at=None, purge_after__lt=timezone.now(), jobs__isnull=True)
    return sum(purge_upload(upload) for upload in due[:limit])
