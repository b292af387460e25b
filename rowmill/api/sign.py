"""The door "bucket" by API: signs the addresses to which the parts of a file go, past this server."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill.api.base import OrgView
from rowmill.api.problems import problems
from rowmill.uploads.bucket import MOST_SIGNED, sign_parts
from rowmill.uploads.sessions import fetch_session


class SignForm(serializers.Serializer[Any]):
    """Which parts are to be sent next."""

    uploadId = serializers.UUIDField()
    parts = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        min_length=1,
        max_length=MOST_SIGNED,
        help_text="Numbers from 1 on, as S3 counts: part n is chunk n - 1.",
    )


class SignedPartShape(serializers.Serializer[Any]):
    """Where one part goes: PUT it there, with just `size` bytes and the Content-Type application/octet-stream."""

    part = serializers.IntegerField()
    url = serializers.URLField()
    size = serializers.IntegerField(help_text="Bytes. Another length is refused.")
    expiresAt = serializers.DateTimeField()


@extend_schema_serializer(component_name="SignedParts")
class SignedShape(serializers.Serializer[Any]):
    """Where the parts go."""

    uploadId = serializers.UUIDField()
    parts = SignedPartShape(many=True)


class SignView(OrgView):
    """Addresses for parts."""

    @extend_schema(
        operation_id="upload_sign",
        tags=["uploads"],
        request=SignForm,
        responses={200: SignedShape, **problems(400, 401, 403, 404, 409, 410, 415, 503)},
    )
    def post(self, request: Request) -> Response:
        """Sign an address for each part, for 15 minutes. Ask again for what takes longer."""
        form = SignForm(data=request.data)
        form.is_valid(raise_exception=True)
        told = form.validated_data
        self.caller.need_write()
        session = fetch_session(self.caller, str(told["uploadId"]))
        signed = sign_parts(session, told["parts"])
        parts = [
            {"part": part.number, "url": part.url, "size": part.size_bytes, "expiresAt": part.expires_at}
            for part in signed
        ]
        return Response({"uploadId": str(session.upload.public_id), "parts": parts})
