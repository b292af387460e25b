"""Shows an upload by API, refused ones above all: what was found in it, and where."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from rowmill.api.base import OrgView
from rowmill.api.problems import FindingShape, problems
from rowmill.api.shapes import UploadShape, describe_upload
from rowmill.jobs.discard import discard_upload
from rowmill.models import FindingRecord, Upload
from rowmill.orgs import Caller, fetch, own

READ = problems(401, 403, 404)
LISTED = (200, "application/json")
FIELDS = ("code", "severity", "line", "row", "column", "column_name", "byte", "message", "mend", "count")


def fetch_upload(caller: Caller, upload_id: object) -> Upload:
    """Give one upload of the caller's org. Raises: NotFound."""
    return fetch(caller, own(caller, Upload).select_related("created_by", "org", "parent"), str(upload_id))


class UploadView(OrgView):
    """One upload."""

    @extend_schema(operation_id="get_upload", tags=["uploads"], responses={200: UploadShape, **READ})
    def get(self, request: Request, upload_id: str) -> Response:
        """Give an upload with its verdict and its account of lines."""
        upload = fetch_upload(self.caller, upload_id)
        return Response(describe_upload(upload, upload.findings.count()))

    @extend_schema(
        operation_id="discard_upload", tags=["uploads"], responses={204: None, **problems(401, 403, 404, 409, 415)}
    )
    def delete(self, request: Request, upload_id: str) -> Response:
        """Throw away a file that has no job: its bytes go, its record stays. 409 once it has one. Again without harm."""
        discard_upload(self.caller, fetch_upload(self.caller, upload_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class FindingsView(OrgView, GenericAPIView[FindingRecord]):
    """What was found."""

    queryset = FindingRecord.objects.none()
    serializer_class: type[BaseSerializer[Any]] = FindingShape
    filter_backends = ()

    @extend_schema(
        operation_id="list_findings",
        tags=["uploads"],
        responses={LISTED: FindingShape(many=True), **READ},
    )
    def get(self, request: Request, upload_id: str) -> Response:
        """List what was found in a file, worst first, page by page."""
        upload = fetch_upload(self.caller, upload_id)
        page = self.paginate_queryset(upload.findings.order_by("position").values(*FIELDS)) or []
        return self.get_paginated_response(list(page))
