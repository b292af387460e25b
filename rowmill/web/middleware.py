"""Every request: an id that stands in the log and on error pages, the caller, and no caching of what may hold PHI."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

import structlog
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import Resolver404, resolve

log = structlog.get_logger("rowmill.web")


class RequestMiddleware:
    """Binds the request's id to its log lines; logs the route's pattern, never the path's values or the query."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve one request."""
        request_id = uuid4().hex[:12]
        request.META["rowmill.request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.monotonic()
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        if not request.path.startswith("/static/"):
            response.setdefault("Cache-Control", "no-store")
        route = request.resolver_match.route if request.resolver_match else "?"
        log.info(
            "request",
            method=request.method,
            route=route,
            status=response.status_code,
            seconds=round(time.monotonic() - started, 3),
        )
        return response


class ActionAddresses:
    """Leads a browser that looks at an address which only takes actions to the page of the thing that they are about.

    It comes there by a sign-in that a button's press was held up by, or by the address bar after an error.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve one request."""
        response = self.get_response(request)
        looks = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", "")
        if response.status_code != 405 or not looks or request.path.startswith("/api/"):
            return response
        return HttpResponseRedirect(page_above(request.path))


def page_above(path: str) -> str:
    """Give the address of the thing that an action's address is about."""
    above = path.rstrip("/").rpartition("/")[0]
    return next((address for address in (f"{above}/", above) if _is_known(address)), "/")


def _is_known(address: str) -> bool:
    """Tell whether there is something at an address."""
    try:
        resolve(address)
    except Resolver404:
        return False
    return True
