"""The tus door (tus 1.0.0): any tus client sends a file, is cut off, and goes on where the server has it durably."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import http_date
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import APIException, UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill.api.base import OrgView
from rowmill.api.problems import PROBLEM_TYPE, ProblemShape, problems
from rowmill.api.table_files import find_table, open_for_table
from rowmill.api.tus_headers import (
    BODY_TYPE,
    EXTENSIONS,
    VERSION,
    Body,
    need_number,
    read_checksum,
    read_length,
    read_metadata,
)
from rowmill.claims.intake import default_kind, read_intent, read_purpose
from rowmill.errors import InputError, NotFound
from rowmill.models import SessionDoor, SessionState, UploadSession
from rowmill.registry import KINDS
from rowmill.uploads.appending import (
    CHECKSUMS,
    ChecksumMismatch,
    append,
    finish_appended,
    need_fit,
    open_appending,
    tell_size,
)
from rowmill.uploads.sessions import cancel_session, fetch_session, need_open

OVERRIDE = "X-HTTP-Method-Override"
OVERRIDDEN = {"PATCH", "DELETE", "HEAD"}
MISMATCH = 460
YES = {"true", "1", "on", "yes"}


class WrongVersion(APIException):
    """The client speaks no version of tus that is spoken here."""

    status_code = 412
    default_code = "wrong_version"
    default_detail = f"Send the header Tus-Resumable: {VERSION}. It is the version of tus that is spoken here."


def _header(name: str, kind: Any = OpenApiTypes.STR, *, required: bool = False, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, required=required, **more)


_VERSION = _header("Tus-Resumable", required=True, enum=[VERSION])
_LENGTH = _header("Upload-Length", description="The file's size in bytes.")
_CHECKSUM = _header("Upload-Checksum", description=f"One of {', '.join(CHECKSUMS)}, a space, the digest in base64.")
_BODY = {BODY_TYPE: OpenApiTypes.BINARY}
_MISMATCH = {(MISMATCH, PROBLEM_TYPE): OpenApiResponse(ProblemShape, description="Checksum Mismatch")}


class Untouched(BaseParser):
    """Leaves a body where it is: the CSRF check asks for the form's fields, whatever the body is."""

    media_type = BODY_TYPE

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        """Give no fields."""
        return {}


class TusView(OrgView):
    """What both addresses share: the version, the method that a POST stands for, a body that nobody reads beforehand."""

    parser_classes: tuple[type[BaseParser], ...] = (Untouched,)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Take a POST for the method that it stands for, where a client cannot send that one."""
        stands_for = request.headers.get(OVERRIDE, "").upper()
        if request.method == "POST" and stands_for in OVERRIDDEN:
            request.method = stands_for
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Raises: WrongVersion, once the caller is known and what is asked for is theirs."""
        super().initial(request, *args, **kwargs)
        if request.method != "OPTIONS":
            self.find(**kwargs)
        if request.method != "OPTIONS" and request.headers.get("Tus-Resumable") != VERSION:
            raise WrongVersion

    def find(self, **kwargs: Any) -> None:
        """Look up what the address names. Raises: NotFound."""

    def handle_exception(self, exc: Exception) -> Response:
        """Give a mismatch its own status, which is none of HTTP's."""
        response = super().handle_exception(exc)
        if isinstance(exc, ChecksumMismatch):
            response.status_code = response.data["status"] = MISMATCH
            response.reason_phrase = response.data["title"] = "Checksum Mismatch"
        return response

    def finalize_response(self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any) -> Response:
        """Put the protocol's headers on every answer."""
        final = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[arg-type]
        final["Tus-Resumable"] = VERSION
        if final.status_code == WrongVersion.status_code or request.method == "OPTIONS":
            final["Tus-Version"] = VERSION
        return final

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """Say what of tus is spoken here."""
        headers = {
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(settings.ROWMILL_MAX_FILE_BYTES),
            "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
        }
        return Response(status=204, headers=headers)

    def body(self) -> Body:
        """Give the body. Raises: UnsupportedMediaType where it is something else."""
        kind = self.request.content_type or ""
        if kind.lower() != BODY_TYPE:
            raise UnsupportedMediaType(kind, f"Send the bytes as Content-Type: {BODY_TYPE}.")
        return Body(self.request._request)

    def take(self, session: UploadSession, offset: int, body: Body) -> None:
        """Append a request's body, and finish the upload with its last byte. Raises: all that `append` raises."""
        checksum = read_checksum(self.request.headers)
        if offset == session.offset_bytes:  # else that is what is wrong
            need_fit(session, session.offset_bytes + (body.length or 0))
        if append(session, offset, body, checksum):
            finish_appended(session)


class TusDoorView(TusView):
    """Where a file is announced."""

    @extend_schema(
        operation_id="tus_create",
        tags=["tus"],
        parameters=[
            _VERSION,
            _LENGTH,
            _header("Upload-Defer-Length", description="1: the size is told later."),
            _header(
                "Upload-Metadata",
                description="`key base64` with commas: filename, kind, sha256, precheck, the kind's options, "
                "for a cohort's table submission and table.",
            ),
            _CHECKSUM,
        ],
        request=_BODY,
        responses={
            201: OpenApiResponse(description="Location says where the bytes go."),
            **problems(400, 401, 403, 404, 409, 412, 413, 415, 507),
            **_MISMATCH,
        },
    )
    def post(self, request: Request) -> Response:
        """Announce a file, and take its first bytes where the request has some."""
        if "Upload-Concat" in request.headers:
            raise InputError(
                "Files in several uploads that are joined at the end are not taken. Send the file as one upload "
                "(tus-js-client: leave parallelUploads out).",
                code="bad_header",
                field="Upload-Concat",
            )
        length = read_length(request.headers)
        body = self.body() if request.content_type else None
        session = self._open(length, request.headers.get("Upload-Metadata", "").strip())
        if body is not None:
            try:
                self.take(session, 0, body)
            except BaseException:
                cancel_session(self.caller, session)  # its sender is told no address, so nobody could go on
                raise
        return Response(status=201, headers={"Location": address_of(session), **describe(session)})

    def _open(self, length: int | None, metadata: str) -> UploadSession:
        """Open the session. Raises: InputError bad_option, bad_metadata and all that `open_appending` raises."""
        told = read_metadata(metadata)
        self.caller.need_write()
        if (table := find_table(self.caller, told)) is not None:
            return open_for_table(
                self.caller, table, lambda kind, mark: self._begin(told, kind, None, length, metadata)
            )
        kind = told.get("kind") or default_kind()
        if told.get("precheck", "").lower() in YES:
            kind, intent = read_purpose(self.caller, told)
        else:
            intent = read_intent(self.caller, kind, told) if kind in KINDS else {}
        return self._begin(told, kind, intent, length, metadata)

    def _begin(
        self, told: dict[str, str], kind: str, intent: dict[str, Any] | None, length: int | None, metadata: str
    ) -> UploadSession:
        """Open the session of a purpose that is known."""
        return open_appending(
            self.caller,
            kind,
            told.get("filename") or told.get("name") or "",
            length,
            fingerprint=told.get("fingerprint", ""),
            sha256=told.get("sha256", ""),
            intent=intent,
            confirmed=told.get("confirm_duplicate", "").lower() in YES,
            metadata=metadata,
        )


class TusUploadView(TusView):
    """Where a file's bytes go."""

    session: UploadSession

    def find(self, **kwargs: Any) -> None:
        """Look up the upload's session, if it came by this door. Raises: NotFound."""
        self.session = fetch_session(self.caller, str(kwargs["upload_id"]))
        if self.session.door != SessionDoor.TUS:
            raise NotFound("There is no such upload.")

    def head(self, request: Request, upload_id: str) -> Response:
        """Say how far the file is durable. Raises: Expired; StateError where it was cancelled."""
        session = self.session
        if session.offset_bytes != session.size_bytes:
            need_open(session)
        headers = {**describe(session), "Cache-Control": "no-store"}
        if session.metadata:
            headers["Upload-Metadata"] = session.metadata
        return Response(status=200, headers=headers)

    @extend_schema(
        operation_id="tus_append",
        tags=["tus"],
        parameters=[
            _VERSION,
            _header("Upload-Offset", required=True, description="Where the file ends on the server."),
            _LENGTH,
            _CHECKSUM,
        ],
        request=_BODY,
        responses={
            204: OpenApiResponse(description="Upload-Offset says where it ends now."),
            **problems(400, 401, 403, 404, 409, 410, 412, 413, 415, 507),
            **_MISMATCH,
        },
    )
    def patch(self, request: Request, upload_id: str) -> Response:
        """Append bytes at the file's end."""
        body = self.body()
        offset, length = need_number(request.headers, "Upload-Offset"), request.headers.get("Upload-Length")
        session = self.session
        need_open(session)
        if length is not None:
            tell_size(self.caller, session, need_number(request.headers, "Upload-Length"))
        self.take(session, offset, body)
        return Response(status=204, headers=describe(session))

    @extend_schema(
        operation_id="tus_terminate",
        tags=["tus"],
        parameters=[_VERSION],
        request=None,
        responses={204: None, **problems(401, 403, 404, 409, 412)},
    )
    def delete(self, request: Request, upload_id: str) -> Response:
        """Give the upload up: its bytes go."""
        cancel_session(self.caller, self.session)
        return Response(status=204)


def describe(session: UploadSession) -> dict[str, str]:
    """Give the headers that say how far an upload is, and where its verdict will stand."""
    length = {"Upload-Defer-Length": "1"} if session.size_bytes is None else {"Upload-Length": str(session.size_bytes)}
    going_on = session.state == SessionState.OPEN
    expires = {"Upload-Expires": http_date(session.expires_at.timestamp())} if going_on else {}
    verdict = {"Content-Location": reverse("api-upload", args=[session.upload.public_id])}
    return {"Upload-Offset": str(session.offset_bytes), **length, **expires, **verdict}


def address_of(session: UploadSession) -> str:
    """Give the address where a session's bytes go."""
    return reverse("api-tus-upload", args=[session.upload.public_id])
