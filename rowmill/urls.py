"""All addresses: health, the API, sign-in, the admin, the pages."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", include("rowmill.api.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("", include("rowmill.web.urls")),
]

handler500 = "rowmill.web.frame.server_error"
