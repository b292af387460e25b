"""Addresses of sign-in: what allauth offers, with everything closed that is not for people who are invited."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path, re_path


def closed(request: HttpRequest, **rest: Any) -> HttpResponseBase:
    """Say that there is nothing here: nobody signs up, and only the operator changes an address."""
    raise Http404


urlpatterns: list[URLPattern | URLResolver] = [
    path("signup/", closed),
    path("email/", closed),
    re_path(r"^confirm-email/", closed),
    path("reauthenticate/", closed),
    path("login/code/", closed),
    path("login/code/confirm/", closed),
    path("", include("allauth.urls")),
]
