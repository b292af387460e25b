"""The chunk door's forms and answers, as the OpenAPI page shows them. Their words were agreed, so they are camelCase."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from rowmill.api.problems import FindingShape
from rowmill.api.shapes import JobShape, UploadShape


class InitForm(serializers.Serializer[Any]):
    """What is said of a file before its bytes come."""

    fileName = serializers.CharField(max_length=1000)
    fileSize = serializers.IntegerField(help_text="Bytes.")
    totalChunks = serializers.IntegerField(required=False, min_value=1, help_text="How many chunks will come.")
    chunkSize = serializers.IntegerField(
        required=False, min_value=1, help_text="Bytes of each chunk but the last. Else the first chunk tells."
    )
    door = serializers.ChoiceField(
        ["chunks", "bucket"], required=False, help_text="bucket: the parts go straight to the storage, see sign/."
    )
    kind = serializers.CharField(required=False, max_length=60, allow_blank=True)
    fingerprint = serializers.CharField(
        required=False, max_length=300, allow_blank=True, help_text="Anything that tells this file from another one."
    )
    sha256 = serializers.CharField(required=False, allow_blank=True, help_text="Of the whole file, in hex.")
    confirmDuplicate = serializers.BooleanField(required=False, help_text="Take the same bytes again, knowingly.")
    precheck = serializers.BooleanField(required=False, help_text="Diagnose it and run nothing; needs no kind.")
    submission = serializers.CharField(
        required=False, max_length=40, allow_blank=True, help_text="With kind cohort_table: its id."
    )
    table = serializers.CharField(
        required=False, max_length=60, allow_blank=True, help_text="With kind cohort_table: the table's name."
    )
    start_date = serializers.CharField(required=False, max_length=10, allow_blank=True)
    end_date = serializers.CharField(required=False, max_length=10, allow_blank=True)
    transaction_code = serializers.CharField(required=False, max_length=40, allow_blank=True)
    payer = serializers.CharField(required=False, max_length=40, allow_blank=True)
    practice = serializers.CharField(required=False, max_length=60, allow_blank=True)
    template = serializers.CharField(required=False, max_length=200, allow_blank=True)
    sheet = serializers.CharField(required=False, max_length=31, allow_blank=True)
    duplicates = serializers.CharField(
        required=False,
        max_length=20,
        allow_blank=True,
        help_text="Of contacts that are there already: update (unless told otherwise), blanks, skip or newest.",
    )
    review = serializers.BooleanField(
        required=False,
        help_text="Of contacts: wait after the check until somebody has looked at the columns and starts the import.",
    )
    goAhead = serializers.BooleanField(
        required=False, help_text="Of contacts: import, however much of what is there it changes."
    )


class ChunkForm(serializers.Serializer[Any]):
    """One chunk."""

    uploadId = serializers.UUIDField()
    chunkIndex = serializers.IntegerField(min_value=0, help_text="From 0.")
    chunk = serializers.FileField()
    sha256 = serializers.CharField(required=False, allow_blank=True, help_text="Of this chunk, in hex.")


class UploadIdForm(serializers.Serializer[Any]):
    """Which upload."""

    uploadId = serializers.UUIDField()


class CompleteForm(UploadIdForm):
    """Which upload is all there."""

    sha256 = serializers.CharField(required=False, allow_blank=True, help_text="Of the whole file, in hex.")
    confirmDuplicate = serializers.BooleanField(required=False, help_text="Take the same bytes again, knowingly.")


@extend_schema_serializer(component_name="UploadSession")
class SessionShape(serializers.Serializer[Any]):
    """A file under way."""

    uploadId = serializers.UUIDField()
    s3Key = serializers.CharField()
    door = serializers.CharField()
    chunkSize = serializers.IntegerField(help_text="Bytes of each chunk but the last.")
    totalChunks = serializers.IntegerField()
    receivedChunks = serializers.ListField(child=serializers.IntegerField(), help_text="What is here already.")
    maxChunkSize = serializers.IntegerField()
    maxFileSize = serializers.IntegerField()
    expiresAt = serializers.DateTimeField()


@extend_schema_serializer(component_name="ReceivedChunk")
class ChunkShape(serializers.Serializer[Any]):
    """A chunk that is durable."""

    uploadId = serializers.UUIDField()
    chunkIndex = serializers.IntegerField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField(allow_blank=True, help_text="Empty where nobody asked for it by declaring one.")


@extend_schema_serializer(component_name="CompletedUpload")
class CompletedShape(serializers.Serializer[Any]):
    """The upload, as far as it is judged by now, and the job that it started, if it did."""

    uploadId = serializers.UUIDField()
    s3Key = serializers.CharField()
    status = serializers.CharField()
    importStatus = serializers.CharField(allow_null=True)
    jobId = serializers.UUIDField(allow_null=True)
    precheckId = serializers.UUIDField(allow_null=True, help_text="Of a file that was sent for a precheck.")
    sha256 = serializers.CharField(allow_blank=True)
    upload = UploadShape()
    findings = FindingShape(many=True)
    job = JobShape(allow_null=True)


@extend_schema_serializer(component_name="UploadProgress")
class ProgressShape(serializers.Serializer[Any]):
    """How far an upload is, and the import that it started."""

    uploadId = serializers.UUIDField()
    s3Key = serializers.CharField()
    status = serializers.ChoiceField(["uploading", "completing", "completed", "cancelled", "expired"])
    uploadedChunks = serializers.IntegerField()
    totalChunks = serializers.IntegerField()
    receivedChunks = serializers.ListField(child=serializers.IntegerField())
    uploadedBytes = serializers.IntegerField()
    fileSize = serializers.IntegerField(allow_null=True)
    percent = serializers.FloatField()
    importStatus = serializers.CharField(
        allow_null=True,
        help_text="The job's status; before there is one CHECKING, REJECTED, READY, DUPLICATE, or REVIEW, EFFECT, GO_AHEAD: "
        "what an import waits for.",
    )
    processedRows = serializers.IntegerField()
    totalRows = serializers.IntegerField()
    jobId = serializers.UUIDField(allow_null=True)
    expiresAt = serializers.DateTimeField(allow_null=True)
