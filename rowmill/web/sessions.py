"""Every request of a browser: ends a session that was idle too long or is too old; polling does not count as a click."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url

LONGEST_SECONDS = 12 * 3600
_TOUCH_SECONDS = 60
_BEGAN, _SEEN = "began_at", "seen_at"


class SessionLimits:
    """Stands after the authentication middleware. Cost: one write of the session a minute at most."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve one request, signed out where the session is over."""
        if request.session.get(SESSION_KEY) is not None:
            _limit(request)
        response = self.get_response(request)
        if _is_htmx(request) and response.status_code == 302 and _leads_to_sign_in(response):
            return _leave_page(request)
        return response


def begin_session(request: HttpRequest) -> None:
    """Let both clocks of a session start now. Again: yes, at each sign-in."""
    request.session[_BEGAN] = request.session[_SEEN] = int(time.time())


def _limit(request: HttpRequest) -> None:
    """End the session, or note that its person did something."""
    now = int(time.time())
    idle = settings.SESSION_COOKIE_AGE
    began, seen = request.session.get(_BEGAN), request.session.get(_SEEN)
    if began is None or seen is None:
        begin_session(request)
    elif now - began > LONGEST_SECONDS or now - seen > idle:
        logout(request)
    elif now - seen >= min(_TOUCH_SECONDS, idle // 10) and not is_poll(request):
        request.session[_SEEN] = now


def is_poll(request: HttpRequest) -> bool:
    """Tell whether a page asks by itself.

    A poll of htmx carries `?poll` or comes from an element whose id says poll; scripts read the API.
    """
    if request.method not in {"GET", "HEAD"}:
        return False
    if request.path.startswith("/api/"):
        return True
    return _is_htmx(request) and ("poll" in request.GET or "poll" in request.headers.get("HX-Trigger", ""))


def _is_htmx(request: HttpRequest) -> bool:
    """Tell whether htmx asks."""
    return request.headers.get("HX-Request") == "true"


def _leads_to_sign_in(response: HttpResponseBase) -> bool:
    """Tell whether an answer only says: sign in."""
    return response["Location"].partition("?")[0] == resolve_url(settings.LOGIN_URL)


def _leave_page(request: HttpRequest) -> HttpResponse:
    """Send the whole page to sign-in: a fragment must not become a sign-in form."""
    page = request.headers.get("HX-Current-URL", "")
    path = "/" + page.split("://", 1)[-1].partition("/")[2].partition("#")[0]
    target = redirect_to_login(path)["Location"]
    return HttpResponse(status=204, headers={"HX-Redirect": target})
