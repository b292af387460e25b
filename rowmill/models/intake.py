"""What comes in: uploads and what is wrong with them."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils import timezone

from rowmill.models.people import Org, User


class UploadState(models.TextChoices):
    """RECEIVING > CHECKING > READY | REJECTED, and ABORTED when its sender gave up."""

    RECEIVING = "RECEIVING", "Receiving"
    CHECKING = "CHECKING", "Checking"
    READY = "READY", "Ready"
    REJECTED = "REJECTED", "Rejected"
    ABORTED = "ABORTED", "Aborted"


class Upload(models.Model):
    """One file, from its first byte to its purge. Its bytes never change.

    `inspection` is the fast path's answer without its findings (contracts.Inspection as JSON).
    `intent` says what job shall start once the file is READY (null: none): the options of `submit_job`.
    While CHECKING, a lease and `claims` (the fence) say who inspects it.
    `parent` is the upload of which this one is a mended copy, `mends` what was mended (slugs of tabular.mends).
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="uploads")
    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=60)
    name = models.CharField(max_length=255)
    state = models.CharField(max_length=10, choices=UploadState, default=UploadState.RECEIVING)
    size_bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    header = models.JSONField(default=list)
    mapping = models.JSONField(default=dict)
    inspection = models.JSONField(default=dict)
    row_count = models.BigIntegerField(default=0)
    intent = models.JSONField(null=True, blank=True)
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="mended")
    mends = models.JSONField(default=list, blank=True)
    claims = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(default=timezone.now)
    checked_at = models.DateTimeField(null=True, blank=True)
    purge_after = models.DateTimeField(null=True, blank=True)
    purged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["org", "sha256"], name="upload_same_bytes"),
            models.Index(fields=["state", "lease_until"], name="upload_due"),
        )
        constraints = (
            models.CheckConstraint(condition=models.Q(state__in=UploadState.values), name="upload_state_known"),
        )

    def __str__(self) -> str:
        return f"upload {self.public_id}"


class FindingRecord(models.Model):
    """What is wrong with an upload, and where: contracts.Finding as a row. Never holds a cell's value."""

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="findings")
    position = models.PositiveIntegerField()
    code = models.CharField(max_length=60)
    severity = models.CharField(max_length=10)
    message = models.TextField()
    line = models.BigIntegerField(null=True)
    row = models.BigIntegerField(null=True)
    column = models.IntegerField(null=True)
    column_name = models.CharField(max_length=300, blank=True)
    byte = models.BigIntegerField(null=True)
    mend = models.TextField(blank=True)
    count = models.BigIntegerField(default=1)

    class Meta:
        ordering = ("upload", "position")
        constraints = (models.UniqueConstraint(fields=["upload", "position"], name="finding_once"),)

    def __str__(self) -> str:
        return f"{self.code} in upload {self.upload_id}"
