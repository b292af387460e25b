"""Instead of a job: somebody throws away a file that has none, while it is checked, waits for a person, or was refused."""

from __future__ import annotations

from django.db import transaction

from rowmill import audit
from rowmill.errors import StateError
from rowmill.jobs.hold import hold_upload
from rowmill.merging.effects import forget_effects
from rowmill.models import Upload, UploadSession, UploadState
from rowmill.orgs import Caller
from rowmill.registry import get_kind
from rowmill.uploads.receive import abandon_upload, is_for_precheck

DISCARDABLE = (UploadState.CHECKING, UploadState.READY, UploadState.REJECTED)


def may_discard(upload: Upload) -> bool:
    """Tell whether a file can be thrown away. Cost: a query or two."""
    return _why_not(upload) == ""


def discard_upload(caller: Caller, upload: Upload) -> None:
    """Throw away a file that has no job: its bytes go, and what was worked out of it; its record stays as ABORTED.

    Raises: NotAllowed; StateError where it has a job, is still coming in, or belongs to a line of work with its own way.
    Again: yes.
    """
    caller.need_write()
    with transaction.atomic():
        held = hold_upload(upload.pk)
        if held.state == UploadState.ABORTED:
            return
        reason = _why_not(held)
        if reason:
            raise StateError(reason)
        audit.record(caller.org, caller.user, "upload.discard", "upload", upload.public_id, state=held.state)
        forget_effects(held)
    abandon_upload(upload)


def _why_not(upload: Upload) -> str:
    """Say why a file is not to be thrown away so, "" where it may be."""
    if upload.jobs.exists():
        return "This file has a job. Cancel or delete that."
    if not upload.kind or not get_kind(upload.kind).makes_jobs or is_for_precheck(upload.intent):
        return "This file was not sent for a job. Remove it where it is shown."
    if upload.state not in DISCARDABLE:
        return "This file is still coming in, or is gone already."
    if upload.state == UploadState.CHECKING and not upload.mends and not _came_in_pieces(upload):
        return "This file is being checked while its sender waits. Discard it once that has ended."
    if upload.mended.filter(state=UploadState.CHECKING, sha256="").exists():
        return "A mended copy of this file is being made. Discard it once that is there."
    return ""


def _came_in_pieces(upload: Upload) -> bool:
    """Tell whether a worker checks it, and no request waits for that."""
    return UploadSession.objects.filter(upload=upload).exists()
