"""The first step by API: takes a claims file in and answers with its job, or says what is wrong with it and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill.api.problems import problems
from rowmill.api.receiving import ReceivingView, need_one_file
from rowmill.api.shapes import JobShape, describe_one
from rowmill.claims.intake import take_claims_file
from rowmill.errors import InputError

OPTIONS = ("start_date", "end_date", "transaction_code", "payer", "practice", "template", "sheet", "confirm_duplicate")
MAX_KEY = 255
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Up to 255 visible ASCII characters. The same key with the same request gives the same job, once.",
)


class ClaimsForm(serializers.Serializer[Any]):
    """A claims file and what it shall be asked with."""

    file = serializers.FileField(help_text="CSV, TSV or XLSX with a header; also packed as .gz or .zip.")
    start_date = serializers.CharField(required=False, max_length=10, allow_blank=True, help_text="2026-01-31")
    end_date = serializers.CharField(required=False, max_length=10, allow_blank=True, help_text="2026-12-31")
    transaction_code = serializers.CharField(required=False, max_length=40, allow_blank=True, help_text="CLAIM_STATUS")
    payer = serializers.CharField(
        required=False, max_length=40, allow_blank=True, help_text="A payer's code, such as UHC."
    )
    practice = serializers.CharField(
        required=False, max_length=60, allow_blank=True, help_text="A practice's id or TIN."
    )
    template = serializers.CharField(required=False, max_length=200, allow_blank=True)
    sheet = serializers.CharField(
        required=False, max_length=31, allow_blank=True, help_text="Of a workbook; else the first one with data."
    )
    confirm_duplicate = serializers.BooleanField(required=False, help_text="Take the same bytes again, knowingly.")


class OptionsForm(serializers.Serializer[Any]):
    """The form without its file: what is checked here is only that each option is a short text."""

    def get_fields(self) -> dict[str, Any]:
        """Give the options' fields."""
        return {name: serializers.CharField(required=False, allow_blank=True, max_length=200) for name in OPTIONS}


class BulkUploadView(ReceivingView):
    """The door for a whole claims file."""

    @extend_schema(
        operation_id="upload_claims",
        tags=["claims"],
        parameters=[IDEMPOTENCY_KEY],
        request={"multipart/form-data": ClaimsForm},
        responses={
            201: OpenApiResponse(JobShape, description="The job, made now or, for a key that came before, then."),
            **problems(400, 401, 403, 409, 413, 415, 422, 507),
        },
    )
    def post(self, request: Request) -> Response:
        """Take a claims file in, check it, and start a job over it."""
        data: Mapping[str, Any] = request.data  # type: ignore[assignment]
        file = need_one_file(self.handler, request.FILES)
        options = OptionsForm(data={name: data[name] for name in OPTIONS if name in data})
        options.is_valid(raise_exception=True)
        taken = take_claims_file(
            self.caller, file.name or "", file.chunks(), options.validated_data, idempotency_key=_read_key(request)
        )
        assert taken.job is not None  # claims wait for nothing
        job = self.fetch_job(taken.job.public_id)
        headers = {"Location": reverse("api-job", args=[job.public_id])}
        if taken.replayed:
            headers["Idempotent-Replayed"] = "true"
        return Response(describe_one(job), status=status.HTTP_201_CREATED, headers=headers)


def _read_key(request: Request) -> str | None:
    """Give the Idempotency-Key. Raises: InputError where it is no visible ASCII or too long."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY or not all("!" <= char <= "~" for char in key):
        raise InputError(
            f"The Idempotency-Key takes 1 to {MAX_KEY} visible ASCII characters, such as a UUID.",
            code="bad_idempotency_key",
        )
    return key
