"""Errors in one shape: RFC 9457 problem details with a stable code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema_serializer
from rest_framework import exceptions, serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from rowmill import errors
from rowmill.api.attempts import TooManyAttempts

log = structlog.get_logger("rowmill.api")

PROBLEM_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[errors.RowmillError], int], ...] = (
    (errors.DuplicateFile, 409),
    (errors.InputError, 400),
    (errors.StateError, 409),
    (errors.KeyReused, 422),
    (errors.NotFound, 404),
    (errors.NotAllowed, 403),
    (errors.Expired, 410),
    (errors.OutOfSpace, 507),
    (errors.Snooze, 503),
    (errors.Busy, 503),
    (errors.StorageFault, 503),
    (errors.PayerError, 502),
    (TooManyAttempts, 429),
)
_STATUS_BY_CODE = {"too_large": 413, "unsupported_type": 415}
_OPEN_DETAILS = {
    "upload_id", "job_id", "created_at", "field", "limit_bytes", "retry_after_seconds", "balance", "state",
    "missing", "missing_count", "used", "limit", "updated", "percent",
    "limit_percent",
}  # fmt: skip
_CODES = {
    "not_authenticated": "not_signed_in",
    "authentication_failed": "not_signed_in",
    "permission_denied": "not_allowed",
    "parse_error": "unreadable_body",
    "unsupported_media_type": "unsupported_type",
    "throttled": "too_many_requests",
}


class FieldProblem(serializers.Serializer[Any]):
    """One field that cannot be used."""

    field = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()


@extend_schema_serializer(component_name="Finding")
class FindingShape(serializers.Serializer[Any]):
    """One place that breaks a check. Units: line, row and column from 1 (the header is line 1), byte from 0."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(["error", "warning"])
    line = serializers.IntegerField(allow_null=True)
    row = serializers.IntegerField(allow_null=True)
    column = serializers.IntegerField(allow_null=True)
    column_name = serializers.CharField(allow_null=True)
    byte = serializers.IntegerField(allow_null=True)
    message = serializers.CharField()
    mend = serializers.CharField(allow_blank=True)
    count = serializers.IntegerField()


@extend_schema_serializer(component_name="Problem")
class ProblemShape(serializers.Serializer[Any]):
    """What went wrong (RFC 9457). `code` is stable; `request_id` stands in the server's log."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    request_id = serializers.CharField(allow_blank=True)
    errors = FieldProblem(many=True, required=False)  # type: ignore[assignment]
    findings = FindingShape(many=True, required=False)
    balance = serializers.DictField(required=False)
    upload_id = serializers.UUIDField(required=False)
    job = serializers.UUIDField(required=False)


def problems(*codes: int) -> dict[tuple[int, str], OpenApiResponse]:
    """Give the part of `extend_schema`'s responses that says which problems an address answers with."""
    return {(code, PROBLEM_TYPE): OpenApiResponse(ProblemShape, description=HTTPStatus(code).phrase) for code in codes}


class ProblemResponse(Response):
    """A problem: JSON on every address, whatever else that address may answer with."""

    @property
    def rendered_content(self) -> bytes:  # type: ignore[override]
        """Give the body."""
        self["Content-Type"] = PROBLEM_TYPE
        body: bytes = JSONRenderer().render(self.data)
        return body


def handle_exception(error: Exception, context: dict[str, Any]) -> Response:
    """Turn an error into a problem. What nobody foresaw becomes a 500 that says nothing but the request's id."""
    request = context.get("request")
    request_id = request.META.get("rowmill.request_id", "") if request is not None else ""
    set_rollback()
    response = _problem_of(error)
    response.data["request_id"] = request_id
    return response


def _problem_of(error: Exception) -> Response:
    """Choose the status, the code and the words."""
    if isinstance(error, errors.RowmillError):
        return _of_rowmill(error)
    if isinstance(error, Http404):
        error = exceptions.NotFound("There is no such thing here.")
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    if isinstance(error, RequestDataTooBig):
        return _problem(413, "too_large", "The request is larger than this address takes.")
    if isinstance(error, SuspiciousOperation):
        return _problem(400, "unreadable_body", "The request cannot be read.")
    if isinstance(error, OperationalError | InterfaceError):
        log.error("database down", error=type(error).__name__)
        response = _problem(
            503, "database_down", "The database does not answer. Try again; repeat a POST with its Idempotency-Key."
        )
        response["Retry-After"] = "5"
        return response
    log.error("unforeseen", exc_info=error)
    return _problem(500, "server_error", "Something here went wrong. The log has it under the request's id.")


def _of_rowmill(error: errors.RowmillError) -> Response:
    """Map the house's own errors, with those of their details that a client may use."""
    code = str(error.details.get("code", error.code))
    status = next((number for kind, number in _STATUS if isinstance(error, kind)), 500)
    if status == 500:
        log.error("unforeseen", exc_info=error)
        return _problem(500, "server_error", "Something here went wrong. The log has it under the request's id.")
    more = {name: value for name, value in error.details.items() if name in _OPEN_DETAILS}
    if "job_id" in more:
        more["job"] = more.pop("job_id")
    if isinstance(error, errors.TableError):
        more["findings"] = [asdict(finding) for finding in error.findings]
    response = _problem(_STATUS_BY_CODE.get(code, status), code, str(error), **more)
    if "retry_after_seconds" in more:
        response["Retry-After"] = str(more["retry_after_seconds"])
    return response


def _of_framework(error: exceptions.APIException) -> Response:
    """Map the framework's errors, with its headers (WWW-Authenticate, Retry-After)."""
    if isinstance(error, exceptions.ValidationError):
        fields = list(_flatten(error.detail))
        words = " ".join(
            f"{field['field']}: {field['message']}" if field["field"] else field["message"] for field in fields
        )
        response = _problem(400, "bad_input", words, errors=fields)
    else:
        codes = error.get_codes()
        code = codes if isinstance(codes, str) else str(getattr(error, "default_code", "error"))
        detail = error.detail if isinstance(error.detail, str) else _first_text(error.detail)
        response = _problem(error.status_code, _CODES.get(code, code), detail)
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        response["Retry-After"] = str(int(wait))
    return response


def _problem(status: int, code: str, detail: str, **more: Any) -> Response:
    """Lay out the problem."""
    title = HTTPStatus(status).phrase
    body = {"type": f"urn:rowmill:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}
    return ProblemResponse({**body, **more}, status=status)


def _flatten(detail: Any, field: str = "") -> list[dict[str, str]]:
    """Give every field's problem, nested ones as `outer.inner`."""
    if isinstance(detail, Mapping):
        found = []
        for name, inner in detail.items():
            path = "" if name == "non_field_errors" else f"{field}.{name}" if field else str(name)
            found += _flatten(inner, path)
        return found
    if isinstance(detail, Sequence) and not isinstance(detail, str):
        return [problem for inner in detail for problem in _flatten(inner, field)]
    return [{"field": field, "code": str(getattr(detail, "code", "invalid")), "message": str(detail)}]


def _first_text(detail: Any) -> str:
    """Give the first sentence of nested details: simplejwt puts a mapping where others put a sentence."""
    return next((problem["message"] for problem in _flatten(detail)), "")
