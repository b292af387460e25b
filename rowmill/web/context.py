"""What the frame of every page needs: the org and the person at its foot."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from rowmill import __version__
from rowmill.errors import NotFound
from rowmill.orgs import find_caller


def frame(request: HttpRequest) -> dict[str, Any]:
    """Give the caller (None where nobody is signed in) and the release."""
    caller = None
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        try:
            caller = find_caller(user, request.session.get("org_id"))
        except NotFound:
            caller = None
    return {"caller": caller, "release": __version__, "request_id": request.META.get("rowmill.request_id", "")}
