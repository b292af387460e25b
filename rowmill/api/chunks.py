"""The chunk door by API: init, chunk, complete, progress, cancel, with the words that were agreed (camelCase)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill.api.base import OrgView, SmallJSON
from rowmill.api.chunk_shapes import (
    ChunkForm,
    ChunkShape,
    CompletedShape,
    CompleteForm,
    InitForm,
    ProgressShape,
    SessionShape,
    UploadIdForm,
)
from rowmill.api.problems import problems
from rowmill.api.receiving import OneChunkHandler, ReceivingView, need_one_file
from rowmill.api.shapes import describe_one, describe_upload
from rowmill.api.table_files import find_table, open_for_table
from rowmill.claims.intake import read_purpose
from rowmill.errors import Expired, InputError, NotFound, StateError
from rowmill.jobs.arrive import await_verdict, complete_upload, is_held
from rowmill.jobs.discard import DISCARDABLE, discard_upload
from rowmill.jobs.progress import read_progress
from rowmill.merging.effects import awaits, is_waiting
from rowmill.models import FindingRecord, Job, SessionDoor, SessionState, Upload, UploadSession, UploadState
from rowmill.uploads.bucket import here_parts, open_bucket_session
from rowmill.uploads.chunks import here_chunks, plan_chunks, put_chunk
from rowmill.uploads.places import original_key
from rowmill.uploads.receive import is_for_precheck
from rowmill.uploads.sessions import cancel_session, fetch_session, need_open, open_session

VERDICT_SECONDS = 5.0  # so long a `complete` waits for the verdict; a larger file's is asked for by `progress`
CHUNK_BYTES = 8 * 1024 * 1024
SHOWN_FINDINGS = 20
FINDING_FIELDS = ("code", "severity", "line", "row", "column", "column_name", "byte", "message", "mend", "count")
_KEY = re.compile(r"^org/\d+/uploads/([0-9a-f-]{36})/original$")
_SHA256 = re.compile(r"^[0-9a-fA-F]{64}$")


class UploadDoorView(OrgView):
    """What the calls in JSON share."""

    parser_classes = (SmallJSON, FormParser)

    def read(self, form: type[serializers.Serializer[Any]]) -> Mapping[str, Any]:
        """Give the body's fields. Raises: ValidationError."""
        data: Any = self.request.data
        if isinstance(data, Mapping) and "confirm_duplicate" in data:
            data = {**{name: data[name] for name in data}, "confirmDuplicate": data["confirm_duplicate"]}
        checked = form(data=data)
        checked.is_valid(raise_exception=True)
        return dict(checked.validated_data)


class InitView(UploadDoorView):
    """The first call."""

    @extend_schema(
        operation_id="upload_init",
        tags=["uploads"],
        request=InitForm,
        responses={200: SessionShape, **problems(400, 401, 403, 404, 409, 413, 415, 507)},
    )
    def post(self, request: Request) -> Response:
        """Begin an upload, or go on with the one that was begun with the same words."""
        told = self.read(InitForm)
        self.caller.need_write()
        if (table := find_table(self.caller, told)) is not None:
            session = open_for_table(self.caller, table, lambda kind, mark: self.open(told, kind, None, mark))
            return Response(describe_session(session))
        kind, intent = read_purpose(self.caller, told)
        # A file that was begun for a job is not gone on with as a precheck of it.
        return Response(describe_session(self.open(told, kind, intent, "precheck " if is_for_precheck(intent) else "")))

    def open(self, told: Mapping[str, Any], kind: str, intent: dict[str, Any] | None, mark: str) -> UploadSession:
        """Open the session, or give the one that the same words began; `mark` keeps those of another purpose apart."""
        size = told["fileSize"]
        words: dict[str, Any] = {
            "size_bytes": size,
            "fingerprint": mark + told.get("fingerprint", ""),
            "sha256": read_sha256(told),
            "intent": intent,
            "confirmed": told.get("confirmDuplicate", False),
        }
        if told.get("door") == SessionDoor.BUCKET:  # it cuts the file itself
            return open_bucket_session(self.caller, kind, told["fileName"], **words)
        count, length = plan(size, told.get("totalChunks", 0), told.get("chunkSize", 0))
        words |= {"door": SessionDoor.CHUNKS, "chunk_count": count, "chunk_bytes": length}
        return open_session(self.caller, kind, told["fileName"], **words)


def received(session: UploadSession) -> list[int]:
    """List the chunks that are here, by whichever door. Cost: for the door "bucket" a call to it."""
    if session.door != SessionDoor.BUCKET or session.state == SessionState.CLOSED:
        return here_chunks(session)
    if session.state == SessionState.COMPLETING:
        return list(range(session.chunk_count))
    try:
        return here_parts(session)
    except Expired:  # the bucket gave it up
        session.refresh_from_db()
        return []


def plan(size: int, count: int, length: int) -> tuple[int, int]:
    """Say how a file is cut; where the sender says nothing, as the server likes it. Raises: InputError bad_chunks."""
    if size <= 0 or size > settings.ROWMILL_MAX_FILE_BYTES:
        return 1, 0  # `open_session` says what is wrong with it
    if not count and not length:
        length = min(CHUNK_BYTES, settings.ROWMILL_MAX_CHUNK_BYTES)
    if length > settings.ROWMILL_MAX_CHUNK_BYTES:
        raise InputError(
            f"A chunk has at most {settings.ROWMILL_MAX_CHUNK_BYTES:,} bytes. Cut the file into smaller ones.",
            code="bad_chunks",
        )
    return plan_chunks(size, count, length)


def read_sha256(told: Mapping[str, Any]) -> str:
    """Give a declared hash. Raises: InputError bad_sha256."""
    text = str(told.get("sha256") or "").strip()
    if text and not _SHA256.match(text):
        raise InputError("sha256 takes 64 hexadecimal digits.", code="bad_sha256", field="sha256")
    return text.lower()


def describe_session(session: UploadSession) -> dict[str, Any]:
    """Give what a sender needs in order to go on. `chunkSize` is one that fits, where none is agreed on yet."""
    size, count = session.size_bytes or 0, max(session.chunk_count, 1)
    return {
        "uploadId": str(session.upload.public_id),
        "s3Key": original_key(session.upload),
        "door": session.door,
        "chunkSize": session.chunk_bytes or -(-size // count),
        "totalChunks": session.chunk_count,
        "receivedChunks": received(session),
        "maxChunkSize": settings.ROWMILL_MAX_CHUNK_BYTES,
        "maxFileSize": settings.ROWMILL_MAX_FILE_BYTES,
        "expiresAt": session.expires_at,
    }


class ChunkView(ReceivingView):
    """One chunk."""

    handler_class = OneChunkHandler
    handler: OneChunkHandler

    @extend_schema(
        operation_id="upload_chunk",
        tags=["uploads"],
        request={"multipart/form-data": ChunkForm},
        responses={
            200: OpenApiResponse(ChunkShape, description="It is durable. The same bytes again do no harm."),
            **problems(400, 401, 403, 404, 409, 410, 413, 415, 503, 507),
        },
    )
    def post(self, request: Request) -> Response:
        """Take one chunk, in any order."""
        data: Mapping[str, Any] = request.data  # type: ignore[assignment]
        need_one_file(self.handler, request.FILES)
        form = ChunkForm(
            data={name: data[name] for name in ("uploadId", "chunkIndex", "sha256", "chunk") if name in data}
        )
        form.fields.pop("chunk")
        form.is_valid(raise_exception=True)
        told = form.validated_data
        session = self.fetch(told["uploadId"])
        if session.door != SessionDoor.CHUNKS:
            raise NotFound("There is no such upload by this door.")
        part = put_chunk(session, told["chunkIndex"], self.handler.source, read_sha256(told))
        return Response(
            {
                "uploadId": str(session.upload.public_id),
                "chunkIndex": part.number,
                "size": part.size_bytes,
                "sha256": part.digest,
            }
        )

    def fetch(self, upload_id: object) -> UploadSession:
        """Give the session, as one who may write to it. Raises: NotFound, NotAllowed."""
        self.caller.need_write()
        return fetch_session(self.caller, str(upload_id))


def fetch_door(session: UploadSession) -> UploadSession:
    """Give the session, if it came by this door. Raises: NotFound."""
    if session.door == SessionDoor.TUS:
        raise NotFound("There is no such upload.")
    return session


class CompleteView(UploadDoorView):
    """The last call."""

    @extend_schema(
        operation_id="upload_complete",
        tags=["uploads"],
        request=CompleteForm,
        responses={200: CompletedShape, **problems(400, 401, 403, 404, 409, 410, 415, 503)},
    )
    def post(self, request: Request) -> Response:
        """Put the chunks together; answer with the upload and the job it starts, as far as they are known in a moment."""
        told = self.read(CompleteForm)
        session = fetch_door(fetch_session(self.caller, str(told["uploadId"])))
        upload = complete_upload(
            self.caller, session, sha256=read_sha256(told), confirmed=told.get("confirmDuplicate", False)
        )
        upload = await_verdict(upload, VERDICT_SECONDS)
        return Response(describe_completed(upload))


def describe_completed(upload: Upload) -> dict[str, Any]:
    """Give an upload that is all here, with its job. Cost: a few queries."""
    job = upload.jobs.filter(deleted_at=None).select_related("org", "upload", "created_by", "cancelled_by").first()
    records = FindingRecord.objects.filter(upload=upload).order_by("position")
    return {
        "uploadId": str(upload.public_id),
        "s3Key": original_key(upload),
        "status": "completed",
        "importStatus": import_status(upload, job),
        "jobId": str(job.public_id) if job else None,
        "precheckId": find_precheck_id(upload),
        "sha256": upload.sha256,
        "upload": describe_upload(upload, records.count()),
        "findings": list(records.values(*FINDING_FIELDS)[:SHOWN_FINDINGS]),
        "job": describe_one(job) if job else None,
    }


def find_precheck_id(upload: Upload) -> str | None:
    """Give the precheck that a file was sent for, if it was."""
    if not is_for_precheck(upload.intent):
        return None
    first = upload.prechecks.order_by("id").first()
    return str(first.public_id) if first else None


def import_status(upload: Upload, job: Job | None) -> str | None:
    """Give the job's status or, before there is one, how far its upload is; None while bytes come in."""
    if job is not None:
        return str(job.state)
    if upload.state in (UploadState.RECEIVING, UploadState.ABORTED):
        return None
    if is_held(upload):
        return "DUPLICATE"
    return awaits(upload).upper() if is_waiting(upload) else str(upload.state)


class UploadProgressView(OrgView):
    """How far an upload is."""

    @extend_schema(
        operation_id="upload_progress",
        tags=["uploads"],
        parameters=[
            OpenApiParameter("s3Key", OpenApiTypes.STR, description="As `init` gave it."),
            OpenApiParameter("uploadId", OpenApiTypes.UUID, description="Instead of s3Key."),
        ],
        responses={200: ProgressShape, **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """Say how far the bytes are, and the rows of the job."""
        key, upload_id = request.query_params.get("s3Key", ""), request.query_params.get("uploadId", "")
        if not key and not upload_id:
            raise InputError("Say of which upload: ?s3Key=, as `init` gave it.", code="bad_input", field="s3Key")
        if key:
            found = _KEY.match(key)
            upload_id = found[1] if found else ""
        session = fetch_session(self.caller, upload_id)
        if key and key != original_key(session.upload):
            raise NotFound("There is no such upload.")
        return Response(describe_progress(session))


def describe_progress(session: UploadSession) -> dict[str, Any]:
    """Give how far an upload is. Cost: a few queries."""
    upload = session.upload
    job = upload.jobs.filter(deleted_at=None).select_related("upload").first()
    done = upload.state not in (UploadState.RECEIVING, UploadState.ABORTED)
    here = list(range(session.chunk_count)) if done else received(session)
    size = session.size_bytes or 0
    came = size if done else session.offset_bytes or _bytes_of(session, here)
    progress = read_progress(job) if job else None
    return {
        "uploadId": str(upload.public_id),
        "s3Key": original_key(upload),
        "status": _status(session),
        "uploadedChunks": len(here),
        "totalChunks": session.chunk_count,
        "receivedChunks": here,
        "uploadedBytes": came,
        "fileSize": session.size_bytes,
        "percent": round(100 * came / size, 1) if size else 0.0,
        "importStatus": import_status(upload, job),
        "processedRows": progress.processed_rows if progress else 0,
        "totalRows": progress.total_rows if progress else upload.row_count,
        "jobId": str(job.public_id) if job else None,
        "expiresAt": session.expires_at if session.state == SessionState.OPEN else None,
    }


def _bytes_of(session: UploadSession, here: list[int]) -> int:
    """Give how many bytes chunks have together."""
    size, length = session.size_bytes or 0, session.chunk_bytes
    return sum(min(length, size - index * length) for index in here)


def _status(session: UploadSession) -> str:
    """Say in a word how far the bytes are."""
    if session.upload.state not in (UploadState.RECEIVING, UploadState.ABORTED):
        return "completed"
    if session.state == SessionState.COMPLETING:
        return "completing"
    try:
        need_open(session)
    except Expired:
        return "expired"
    except StateError:
        return "cancelled"
    return "uploading"


class CancelView(UploadDoorView):
    """Giving up."""

    @extend_schema(
        operation_id="upload_cancel",
        tags=["uploads"],
        request=UploadIdForm,
        responses={200: ProgressShape, **problems(400, 401, 403, 404, 409, 415)},
    )
    def post(self, request: Request) -> Response:
        """Give an upload up: its bytes go, also while the whole file is checked or waits for a person.

        409 once it has a job: cancel or delete that. Again without harm.
        """
        told = self.read(UploadIdForm)
        self.caller.need_write()
        session = fetch_session(self.caller, str(told["uploadId"]))
        if session.upload.state in DISCARDABLE:
            discard_upload(self.caller, session.upload)
        else:
            cancel_session(self.caller, session)
        return Response(describe_progress(fetch_session(self.caller, str(told["uploadId"]))))
