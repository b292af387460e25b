"""The precheck by API: sends a file to be diagnosed, or names one that is here, and asks how far its diagnosis is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill.api.base import OrgView, SmallJSON
from rowmill.api.problems import FindingShape, problems
from rowmill.api.receiving import OneFileHandler, ReceivingView, need_one_file
from rowmill.models import Precheck, PrecheckStatus, Upload
from rowmill.orgs import Caller, fetch, own
from rowmill.uploads.prechecks import begin_precheck, receive_precheck


class PrecheckForm(serializers.Serializer[Any]):
    """A file to be diagnosed, or the id of one that is here."""

    file = serializers.FileField(required=False, help_text="CSV, TSV or XLSX with a header; also packed.")
    upload_id = serializers.UUIDField(
        required=False, help_text="Instead of a file: one that is here, such as a refused one."
    )
    kind = serializers.CharField(
        required=False,
        max_length=60,
        allow_blank=True,
        help_text="Whose checks it is held against; else types are inferred.",
    )
    sheet = serializers.CharField(required=False, max_length=31, allow_blank=True, help_text="Of a workbook.")


class PrecheckLinks(serializers.Serializer[Any]):
    """Where to go on."""

    status = serializers.CharField()
    page = serializers.CharField()
    upload = serializers.CharField()


@extend_schema_serializer(component_name="PrecheckBegun")
class BegunShape(serializers.Serializer[Any]):
    """A precheck that is under way."""

    id = serializers.UUIDField()
    upload_id = serializers.UUIDField()
    status = serializers.ChoiceField(PrecheckStatus.choices)
    links = PrecheckLinks()


@extend_schema_serializer(component_name="Precheck")
class PrecheckShape(serializers.Serializer[Any]):
    """How far a precheck is, and what it has told so far. Each part stands there as soon as it is known."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(PrecheckStatus.choices)
    stage = serializers.ChoiceField(["", "metadata", "integrity", "validation"], help_text="The one at work.")
    progress = serializers.IntegerField(help_text="Per cent of the whole.")
    metadata = serializers.DictField(
        help_text="file_name, kind, size_bytes, sha256, encoding, bom, delimiter, quote, newline, sheet, header, columns."
    )
    integrity = serializers.DictField(
        help_text="read_bytes, size_bytes while it reads; then balance, sound, errors, warnings, counts by code, damage."
    )
    validation = serializers.DictField(
        help_text="kind, verdict, rows, rejected_rows, errors, warnings, counts by code, causes, mapping, seconds."
    )
    findings = FindingShape(many=True)
    error = serializers.CharField(allow_blank=True, help_text="Why there is no diagnosis, where it FAILED.")


class PrecheckHandler(OneFileHandler):
    """Takes a file as large as any door takes one."""

    def most_bytes(self) -> int:
        """Give the limit."""
        limit: int = settings.ROWMILL_MAX_FILE_BYTES
        return limit


class PrecheckUploadView(ReceivingView):
    """The door for a file that is to be diagnosed."""

    handler_class = PrecheckHandler
    parser_classes = (MultiPartParser, SmallJSON, FormParser)

    @extend_schema(
        operation_id="precheck_upload",
        tags=["precheck"],
        request={"multipart/form-data": PrecheckForm},
        responses={
            201: OpenApiResponse(BegunShape, description="It is under way: ask for its status every 2 s."),
            **problems(400, 401, 403, 404, 409, 413, 415, 503, 507),
        },
    )
    def post(self, request: Request) -> Response:
        """Take a file in, or one that is here, and begin its diagnosis."""
        self.caller.need_write()
        data: Mapping[str, Any] = request.data if isinstance(request.data, Mapping) else {}
        precheck = (
            begin_precheck(self.caller, _named(self.caller, data)) if data.get("upload_id") else self._receive(data)
        )
        address = reverse("precheck-status", args=[precheck.public_id])
        return Response(describe_begun(precheck), status=status.HTTP_201_CREATED, headers={"Location": address})

    def finalize_response(self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any) -> Response:
        """Lead a person whose browser sent the plain form on to a page: the precheck's, or the door with what is wrong."""
        final = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[arg-type]
        if request.method != "POST" or not _is_plain_form(request):
            return final
        if final.status_code == status.HTTP_201_CREATED:
            return _lead_to(final.data["links"]["page"])
        messages.error(request._request, str(final.data.get("detail", "")))
        return _lead_to(reverse("prechecks"))

    def _receive(self, data: Mapping[str, Any]) -> Precheck:
        """Take the file. Raises: all that `receive_precheck` raises."""
        file = need_one_file(self.handler, self.request.FILES)
        return receive_precheck(self.caller, file.name or "", file.chunks(), str(data.get("kind") or ""), data)


def _is_plain_form(request: Request) -> bool:
    """Tell whether a browser sent it as a page sends a form, and not a script or a program."""
    headers = request.headers
    return "text/html" in headers.get("Accept", "") and not {"Authorization", "HX-Request"} & set(headers)


def _lead_to(address: str) -> Response:
    """Answer a form with the page to look at."""
    return cast(Response, HttpResponseRedirect(address, status=303))


def _named(caller: Caller, data: Mapping[str, Any]) -> Upload:
    """Give the upload that is named. Raises: NotFound."""
    return fetch(caller, own(caller, Upload).select_related("org"), str(data["upload_id"]))


class PrecheckStatusView(OrgView):
    """How far it is."""

    @extend_schema(
        operation_id="precheck_status",
        tags=["precheck"],
        responses={200: PrecheckShape, **problems(401, 403, 404)},
    )
    def get(self, request: Request, precheck_id: str) -> Response:
        """Say how far a precheck is and what it has told so far; it is over once COMPLETED or FAILED."""
        return Response(describe_precheck(fetch(self.caller, own(self.caller, Precheck), str(precheck_id))))


def describe_begun(precheck: Precheck) -> dict[str, Any]:
    """Give what a sender needs in order to go on."""
    return {
        "id": str(precheck.public_id),
        "upload_id": str(precheck.upload.public_id),
        "status": precheck.status,
        "links": {
            "status": reverse("precheck-status", args=[precheck.public_id]),
            "page": reverse("precheck", args=[precheck.public_id]),
            "upload": reverse("api-upload", args=[precheck.upload.public_id]),
        },
    }


def describe_precheck(precheck: Precheck) -> dict[str, Any]:
    """Give a precheck as it stands in its row."""
    return {
        "id": str(precheck.public_id),
        "status": precheck.status,
        "stage": precheck.stage,
        "progress": precheck.progress,
        "metadata": precheck.metadata,
        "integrity": precheck.integrity,
        "validation": precheck.validation,
        "findings": precheck.findings,
        "error": precheck.error,
    }
