"""The API's own description: the OpenAPI file, and the page to read it on."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView


class SchemaView(SpectacularAPIView):
    """The OpenAPI file: YAML, or JSON with `?format=json`."""


# The page's own style element and those that Swagger UI makes; scripts stay limited to our own files.
@method_decorator(csp_update({"style-src": ["'self'", "'unsafe-inline'"]}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """The page; who is not signed in is sent to the sign-in page."""

    url_name = "api-schema"
    http_method_names = ("get", "head")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Send a stranger to sign in; programs read the file instead."""
        if not request.user.is_authenticated:
            return redirect_to_login(quote(request.path), str(settings.LOGIN_URL))
        return super().dispatch(request, *args, **kwargs)
