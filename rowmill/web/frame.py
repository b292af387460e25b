"""Between a request and a page: who asks, and which page an error becomes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django_htmx.middleware import HtmxDetails

from rowmill.errors import (
    Busy,
    Expired,
    InputError,
    KeyReused,
    NotAllowed,
    NotFound,
    OutOfSpace,
    RowmillError,
    StateError,
    StorageFault,
)
from rowmill.models import Membership
from rowmill.orgs import Caller, find_caller
from rowmill.web.middleware import page_above

P = ParamSpec("P")
STATUS: dict[type[RowmillError], int] = {
    NotFound: 404,
    NotAllowed: 403,
    StateError: 409,
    Expired: 410,
    KeyReused: 422,
    OutOfSpace: 507,
    Busy: 503,
    StorageFault: 503,
    InputError: 400,
}
TITLES = {
    400: "This cannot be used as it is",
    403: "Your role does not allow this",
    404: "There is nothing here",
    409: "Not now",
    410: "Its time was over",
    422: "This was sent before with other content",
    503: "The files cannot be reached just now",
    507: "The disk is almost full",
}
BUSY = "Too much at once just now"
ADVICE = {
    403: "Ask an admin of your org to do it, or to change your role.",
    404: "It was deleted, or it belongs to another org. Look for it in the list of jobs.",
    409: "Look where it stands, then decide again.",
    410: "Send the file again from its beginning.",
    503: "Nothing that was taken in is lost. Try again in a minute; if it stays, tell whoever runs this installation.",
    507: "Nothing that was taken in is lost. Ask whoever runs this installation to make room, then send it again.",
}


class MemberRequest(HttpRequest):
    """A request of somebody who belongs to an org."""

    caller: Caller
    htmx: HtmxDetails


def member_view(
    view: Callable[Concatenate[MemberRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Let only members of an org in, put the caller on the request, turn Rowmill's errors into pages.

    Shape: no sign-in 302 to it, no org 403, NotFound 404, NotAllowed 403, StateError 409, Expired 410, StorageFault
    and Busy 503, OutOfSpace 507.
    """

    @wraps(view)
    def inner(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            request.caller = find_caller(request.user, request.session.get("org_id"))  # type: ignore[attr-defined,arg-type]
        except NotFound as error:
            if Membership.objects.filter(user=request.user).exists():  # type: ignore[misc]
                return redirect("orgs")  # removed from the org: never slip into another without being asked
            return problem(request, NotAllowed(str(error)))
        request.session.setdefault("org_id", str(request.caller.org.public_id))  # type: ignore[attr-defined]
        try:
            return view(request, *args, **kwargs)  # type: ignore[arg-type]
        except tuple(STATUS) as error:
            return problem(request, error)

    return login_required(inner)


def is_part(request: HttpRequest) -> bool:
    """Tell whether htmx asks for a part of a page that stands in a browser."""
    return request.headers.get("HX-Request") == "true" and "HX-Current-URL" in request.headers


def load_anew() -> HttpResponse:
    """Have a page that asked for a part of itself loaded anew."""
    return HttpResponse(status=204, headers={"HX-Refresh": "true"})


def admin_view(
    view: Callable[Concatenate[MemberRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Let only admins of the org in."""

    @wraps(view)
    def inner(request: MemberRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        request.caller.need_admin()
        return view(request, *args, **kwargs)

    return member_view(inner)


def problem(request: HttpRequest, error: Exception) -> HttpResponse:
    """Show an error as a page; a page that asks for a part of itself loads anew and shows it, one that acted says why not."""
    if request.headers.get("HX-Request") == "true" and request.method in ("GET", "HEAD"):
        return load_anew()
    if is_part(request):
        messages.error(request, str(error))
        return load_anew()
    code = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 400)
    context = {"title": TITLES[code], "message": str(error), "advice": ADVICE.get(code, "")}
    lists = f"/{request.path.split('/')[1]}/"
    if code == 409:
        context["back"] = page_above(request.path)
    elif code == 404 and lists == "/contacts/":
        context |= {"back": lists, "advice": "It was deleted, or it belongs to another org. Look for it in the list."}
    if isinstance(error, Busy):
        context |= {"title": BUSY, "advice": ""}  # its own words say what to do
    return render(request, "frame/problem.html", context, status=code)


def server_error(request: HttpRequest) -> HttpResponse:
    """Show the page of a fault of ours, with the id that stands in the log."""
    return _plain(request, "500.html", 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Show the page of a form that came from elsewhere or too late; a page that is too old itself is loaded anew."""
    if is_part(request):
        return load_anew()
    return _plain(request, "403_csrf.html", 403)


def _plain(request: HttpRequest, template: str, code: int) -> HttpResponse:
    """Render without context processors: the database may be what failed."""
    context: dict[str, Any] = {"request_id": request.META.get("rowmill.request_id", "")}
    return render(None, template, context, status=code)
