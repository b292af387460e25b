"""What the frame of every page needs: the org and the person at its foot."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from rowmill import __version__
from rowmill.errors import NotFound
from rowmill.orgs import find_caller
from rowmill.tables.listing import list_tables


def frame(request: HttpRequest) -> dict[str, Any]:
    """Give the caller (None where nobody is signed in), the tables of the installation's own kinds, and the release."""
    caller = None
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        try:
            caller = find_caller(user, request.session.get("org_id"))
        except NotFound:
            caller = None
    return {
        "caller": caller,
        "own_tables": list_tables() if caller is not None else (),
        "release": __version__,
        "request_id": request.META.get("rowmill.request_id", ""),
    }
