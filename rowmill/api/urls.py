"""The API's addresses."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path

from rowmill.api.base import NoSuchAddress
from rowmill.api.docs import DocsView, SchemaView
from rowmill.api.tokens import RefreshView, TokenView
from rowmill.api.uploads import FindingsView, UploadView

_V1: list[URLPattern | URLResolver] = [
    path("auth/token/", TokenView.as_view(), name="api-token"),
    path("auth/token/refresh/", RefreshView.as_view(), name="api-token-refresh"),
    path("uploads/<uuid:upload_id>/", UploadView.as_view(), name="api-upload"),
    path("uploads/<uuid:upload_id>/findings/", FindingsView.as_view(), name="api-upload-findings"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/", include(_V1)),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", DocsView.as_view(), name="api-docs"),
    re_path("", NoSuchAddress.as_view(), name="api-no-such-address"),
]
