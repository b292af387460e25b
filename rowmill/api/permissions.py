"""Who may call the API: members of an org; an auditor only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from rowmill.errors import NotFound
from rowmill.orgs import Caller, find_caller

if TYPE_CHECKING:  # The framework's views import this module as they load.
    from rest_framework.views import APIView


class MemberOfOrg(BasePermission):
    """Needs a sign-in and an org; puts the caller on the request."""

    message = "You need to sign in."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether the request may go on."""
        if not request.user or not request.user.is_authenticated:
            return False
        try:
            request.caller = find_caller(request.user, _org_of(request))  # type: ignore[attr-defined]
        except NotFound as error:
            self.message = str(error)
            return False
        caller: Caller = request.caller  # type: ignore[attr-defined]
        # A search is a POST, so that no address holds a cell, and reads only.
        reads = request.method in SAFE_METHODS or (request.method == "POST" and getattr(view, "reading_post", False))
        if reads or caller.may_write:
            return True
        self.message = "An auditor reads and changes nothing."
        return False


def _org_of(request: Request) -> str | None:
    """Give the org that a token was made in or that the browser's session works in, None where neither says."""
    says: Any = request.session if request.auth is None else request.auth
    found: str | None = says.get("org_id")
    return found
