"""The caller's org by API: its name and its settings; only an admin changes them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill import orgs
from rowmill.api.base import OrgView
from rowmill.api.problems import problems


@extend_schema_serializer(component_name="Org")
class OrgShape(serializers.Serializer[Any]):
    """The org that the caller works in."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    name = serializers.CharField(read_only=True)
    go_ahead_percent = serializers.IntegerField(
        min_value=0, max_value=100, help_text="An import that would change a larger share of its rows needs a go-ahead."
    )


class OrgSettingsView(OrgView):
    """The org's settings."""

    @extend_schema(operation_id="get_org", tags=["org"], responses={200: OrgShape, **problems(401, 403)})
    def get(self, request: Request) -> Response:
        """Give the org and its settings."""
        return Response(OrgShape(self.caller.org).data)

    @extend_schema(
        operation_id="change_org",
        tags=["org"],
        request=OrgShape,
        responses={200: OrgShape, **problems(400, 401, 403, 415)},
    )
    def patch(self, request: Request) -> Response:
        """Change the org's settings. Admins only."""
        self.caller.need_admin()
        shape = OrgShape(data=request.data, partial=True)
        shape.is_valid(raise_exception=True)
        if "go_ahead_percent" in shape.validated_data:
            orgs.set_go_ahead(self.caller, shape.validated_data["go_ahead_percent"])
        return Response(OrgShape(self.caller.org).data)
