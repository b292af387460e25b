"""`/health/`: 200 when this process can serve, 503 with the cause in words when it cannot. Needs no sign-in, tells no data."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from rowmill import __version__
from rowmill.monitor.health import read_health


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Tell how it is."""
    found = read_health()
    body = {"status": "ok" if found.ok else "unwell", "release": __version__, "parts": found.parts}
    return JsonResponse(body, status=200 if found.ok else 503)
