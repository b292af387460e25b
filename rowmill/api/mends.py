"""What can be done with a judged upload by API: mend it, take its failed rows or the whole file with its notes."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from django.http import FileResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill.api.base import OrgView
from rowmill.api.problems import problems
from rowmill.api.results import CSV_TYPE, XLSX_TYPE
from rowmill.api.shapes import UploadShape, describe_upload
from rowmill.api.uploads import fetch_upload
from rowmill.errors import ChildError, InputError
from rowmill.uploads.handouts import ANNOTATED, FAILED_ROWS, make_handout
from rowmill.uploads.mending import mend_upload


@extend_schema_serializer(component_name="MendRequest")
class MendRequestShape(serializers.Serializer[Any]):
    """Which mends go into the copy."""

    mends = serializers.ListField(
        child=serializers.CharField(max_length=400),
        help_text="Slugs, as the upload's causes and `mends` name them; `without-broken-rows` leaves out what is still broken.",
    )


class MendView(OrgView):
    """A mended copy of an upload."""

    @extend_schema(
        operation_id="mend_upload",
        tags=["uploads"],
        request=MendRequestShape,
        responses={202: UploadShape, **problems(400, 401, 403, 404, 409, 410, 507)},
    )
    def post(self, request: Request, upload_id: str) -> Response:
        """Begin a mended copy: a new upload, CHECKING, whose job starts when it is READY. The same mends give the same."""
        upload = fetch_upload(self.caller, upload_id)
        shape = MendRequestShape(data=request.data)
        shape.is_valid(raise_exception=True)
        copy = mend_upload(self.caller, upload, shape.validated_data["mends"])
        told = describe_upload(copy, copy.findings.count())
        return Response(told, status=202, headers={"Location": told["links"]["self"]})


class FailedRowsView(OrgView):
    """The rows that failed."""

    @extend_schema(
        operation_id="get_failed_rows",
        tags=["uploads"],
        responses={(200, "text/csv"): OpenApiTypes.STR, **problems(400, 401, 403, 404, 409, 410, 507)},
    )
    def get(self, request: Request, upload_id: str) -> HttpResponseBase:
        """Hand out the lines that are broken and the rows with a bad cell, each with what is wrong."""
        return _hand_out(self, upload_id, FAILED_ROWS, "failed-rows.csv", CSV_TYPE)


class AnnotatedView(OrgView):
    """The whole file with its notes."""

    @extend_schema(
        operation_id="get_annotated_file",
        tags=["uploads"],
        responses={(200, XLSX_TYPE): OpenApiTypes.BINARY, **problems(400, 401, 403, 404, 409, 410, 507)},
    )
    def get(self, request: Request, upload_id: str) -> HttpResponseBase:
        """Hand out the file as a workbook in which every bad cell and line is marked and noted."""
        return _hand_out(self, upload_id, ANNOTATED, "annotated.xlsx", XLSX_TYPE)


def _hand_out(view: OrgView, upload_id: str, op: str, part: str, content_type: str) -> FileResponse:
    """Make a file and stream it; it is gone with the response."""
    upload = fetch_upload(view.caller, upload_id)
    try:
        made = make_handout(view.caller, upload, op, part)
    except ChildError as error:
        raise InputError(str(error), code="cannot_be_made") from error
    name = f"{PurePath(upload.name).stem or 'upload'}-{part}"
    return FileResponse(made, as_attachment=True, filename=name, content_type=content_type)
