"""Part of the pages that take files: what their sender needs, and what a person began there and did not finish."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from rowmill.models import SessionDoor, SessionState, UploadSession
from rowmill.orgs import Caller, own

CHUNK_BYTES = 8 * 1024 * 1024  # one request of the page: what a broken connection may cost at most
UNFINISHED = 20  # as many are offered on a page; the others end with their time
NO_UPLOAD = UUID(int=0)  # in an address that the script fills in


def sender_context(unfinished: QuerySet[UploadSession]) -> dict[str, Any]:
    """Give what templates/uploads/sending.html and the form around it show."""
    return {
        "max_file_bytes": settings.ROWMILL_MAX_FILE_BYTES,
        "chunk_bytes": CHUNK_BYTES,
        "tus_url": reverse("api-tus"),
        "no_upload": NO_UPLOAD,
        "unfinished": unfinished.select_related("upload").order_by("-id")[:UNFINISHED],
    }


def find_unfinished(caller: Caller) -> QuerySet[UploadSession]:
    """Find what this person began on a page and did not finish: the script goes on where it stopped."""
    return (
        own(caller, UploadSession)
        .filter(created_by=caller.user, door=SessionDoor.TUS, state=SessionState.OPEN)
        .filter(offset_bytes__gt=0, size_bytes__gt=0, expires_at__gt=timezone.now())
    )
