"""The pages' addresses."""

from __future__ import annotations

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from rowmill.web import uploads

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="bulk-upload", permanent=False), name="home"),
    path("bulk-upload", uploads.bulk_upload, name="bulk-upload"),
]
if find_spec("rowmill.web.people_urls"):
    urlpatterns.append(path("", include("rowmill.web.people_urls")))
