"""Uploads on their way in: the session of a resumable door, and the parts that are here."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from rowmill.models.intake import Upload
from rowmill.models.people import Org, User


class SessionDoor(models.TextChoices):
    """By which door the bytes come: chunks through the server, parts straight to the bucket, or tus."""

    CHUNKS = "chunks", "Chunks"
    BUCKET = "bucket", "Bucket"
    TUS = "tus", "tus"


class SessionState(models.TextChoices):
    """open > completing > closed. How it ended stands on the upload."""

    OPEN = "open", "Open"
    COMPLETING = "completing", "Completing"
    CLOSED = "closed", "Closed"


class PartPlace(models.TextChoices):
    """Where a part lies: an object of its own, a part of the multipart upload, or the assembling file."""

    PIECE = "piece", "Piece"
    PART = "part", "Part"
    FILE = "file", "File"


class UploadSession(models.Model):
    """A file that comes in by and by. Outside it is known by its upload's public id.

    Units: bytes. `size_bytes` is null while the sender defers it (tus); `chunk_bytes` is 0 until the first chunk tells
    it; `offset_bytes` is what is durable (tus). `sha256` is what the sender declared, if anything.
    `metadata` is what a tus client sent with its announcement, as it wrote it: it is given back in the same words.
    `storage_token` names the multipart upload in the bucket. `claims` is the fence of tus: the newest PATCH wins.
    `confirmed`: the sender said beforehand that the same bytes again are meant.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    upload = models.OneToOneField(Upload, on_delete=models.CASCADE, related_name="session")
    door = models.CharField(max_length=10, choices=SessionDoor)
    state = models.CharField(max_length=10, choices=SessionState, default=SessionState.OPEN)
    size_bytes = models.BigIntegerField(null=True, blank=True)
    chunk_bytes = models.BigIntegerField(default=0)
    chunk_count = models.PositiveIntegerField(default=0)
    fingerprint = models.CharField(max_length=300, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    metadata = models.TextField(blank=True)
    storage_token = models.CharField(max_length=1024, blank=True)
    offset_bytes = models.BigIntegerField(default=0)
    confirmed = models.BooleanField(default=False)
    claims = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["state", "expires_at"], name="session_due"),
            models.Index(fields=["org", "state", "created_by"], name="session_live"),
        )
        constraints = (
            models.CheckConstraint(condition=models.Q(state__in=SessionState.values), name="session_state_known"),
            models.CheckConstraint(condition=models.Q(door__in=SessionDoor.values), name="session_door_known"),
        )

    def __str__(self) -> str:
        return f"session {self.pk}"


class UploadPart(models.Model):
    """A part that is durable. `number` counts from 0; `digest` is its SHA-256 in hex, where it was asked for.

    `etag` is the bucket's word for it.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    session = models.ForeignKey(UploadSession, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    size_bytes = models.BigIntegerField()
    digest = models.CharField(max_length=64, blank=True)
    etag = models.CharField(max_length=300, blank=True)
    place = models.CharField(max_length=10, choices=PartPlace)

    class Meta:
        ordering = ("session", "number")
        constraints = (
            models.UniqueConstraint(fields=["session", "number"], name="part_once"),
            models.CheckConstraint(condition=models.Q(place__in=PartPlace.values), name="part_place_known"),
        )

    def __str__(self) -> str:
        return f"part {self.number} of session {self.session_id}"
