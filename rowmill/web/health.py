"""`/health/` says that this process lives, `/health/ready` that it can work. No sign-in, and no data in the answer."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from rowmill import __version__
from rowmill.monitor.health import read_health


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer, and ask nobody: a process that does so need not be started again."""
    return JsonResponse({"status": "ok", "release": __version__})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Tell how each part is: 200 while files can be taken in (also where that is slower), else 503."""
    found = read_health()
    body = {"status": found.status, "release": __version__, "parts": found.parts}
    return JsonResponse(body, status=200 if found.ok else 503)
