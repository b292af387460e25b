"""The chunk door before a bucket: chunks become parts of a multipart upload, small ones joined in groups of 8 MiB and more.

A chunk is claimed by its hash before its bytes go to the bucket, so that of two senders of one chunk the bytes of one
stay. Of a group that is complete one part is made at once; what is left is joined when the upload is completed.
"""

from __future__ import annotations

from pathlib import Path

from django.db.models import QuerySet

from rowmill.models import UploadPart, UploadSession


def durable(session: UploadSession) -> QuerySet[UploadPart]:
    """Give the records of the chunks whose bytes are durable."""
    return session.parts.all()


def put_piece(session: UploadSession, index: int, path: Path, digest: str) -> UploadPart:
    """Store one chunk. Raises: StateError, Expired, StorageFault."""
    raise NotImplementedError


def join_all(session: UploadSession) -> None:
    """Make the object of all chunks. Again: yes. Raises: StorageFault."""
    raise NotImplementedError
