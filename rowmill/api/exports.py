"""Workbooks made in the background, by API: one is followed by GET, then fetched, or deleted."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill.api.base import OrgView
from rowmill.api.problems import problems
from rowmill.api.results import XLSX_TYPE
from rowmill.jobs.exports import drop_export, kept_until, open_export, seconds_left
from rowmill.models import Export, ExportState
from rowmill.orgs import Caller, fetch, own


@extend_schema_serializer(component_name="Export")
class ExportShape(serializers.Serializer[Any]):
    """How far a workbook is. Units: rows."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    state = serializers.ChoiceField(ExportState.choices, help_text="DONE, FAILED and GONE are final.")
    rows = serializers.IntegerField(help_text="Gathered so far; all of them once rows_done is not 0.")
    rows_done = serializers.IntegerField(help_text="In the workbook.")
    seconds_left = serializers.ListField(
        child=serializers.IntegerField(), allow_null=True, help_text="[at best, at worst]."
    )
    size_bytes = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)
    asked_at = serializers.DateTimeField()
    asked_by = serializers.EmailField(allow_null=True)
    done_at = serializers.DateTimeField(allow_null=True)
    kept_until = serializers.DateTimeField(allow_null=True, help_text="Then its bytes go.")
    file = serializers.CharField(allow_null=True, help_text="Where the workbook is, once it is there.")


class ExportView(OrgView):
    """One workbook."""

    @extend_schema(
        operation_id="get_export", tags=["contacts"], responses={200: ExportShape, **problems(401, 403, 404)}
    )
    def get(self, request: Request, export_id: str) -> Response:
        """Tell how far it is."""
        return Response(describe_export(_fetch(self.caller, export_id)))

    @extend_schema(
        operation_id="delete_export", tags=["contacts"], responses={204: None, **problems(401, 403, 404, 415, 503)}
    )
    def delete(self, request: Request, export_id: str) -> Response:
        """Delete it, or stop making it."""
        drop_export(self.caller, _fetch(self.caller, export_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ExportFileView(OrgView):
    """The workbook itself."""

    @extend_schema(
        operation_id="get_export_file",
        tags=["contacts"],
        responses={(200, XLSX_TYPE): OpenApiTypes.BINARY, **problems(401, 403, 404, 409, 410, 503)},
    )
    def get(self, request: Request, export_id: str) -> FileResponse:
        """Hand it out. 409 while it is made, 410 when it is not kept any more."""
        export = _fetch(self.caller, export_id)
        name = f"{export.kind}-{export.public_id}.xlsx"
        file = open_export(self.caller, export)
        return FileResponse(file, as_attachment=True, filename=name, content_type=XLSX_TYPE)


def _fetch(caller: Caller, public_id: str) -> Export:
    """Give one workbook of the caller's org. Raises: NotFound."""
    return fetch(caller, own(caller, Export).select_related("asked_by", "org"), str(public_id))


def answer_export(export: Export) -> Response:
    """Answer who asked for it: 202, and where to follow it."""
    address = reverse("api-export", args=[export.public_id])
    return Response(describe_export(export), status=202, headers={"Location": address})


def describe_export(export: Export) -> dict[str, Any]:
    """Give how far a workbook is."""
    left, there = seconds_left(export), export.state == ExportState.DONE
    counts = ("kind", "state", "rows", "rows_done", "size_bytes", "error", "asked_at", "done_at")
    return {
        "id": export.public_id,
        **{name: getattr(export, name) for name in counts},
        "seconds_left": list(left) if left else None,
        "asked_by": export.asked_by.email if export.asked_by else None,
        "kept_until": kept_until(export),
        "file": reverse("api-export-file", args=[export.public_id]) if there else None,
    }
