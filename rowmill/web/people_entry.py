"""The two links that let somebody in: an invitation, and a one-time sign-in link. Each works once and needs a click."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import login
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from rowmill import audit, orgs
from rowmill.errors import InputError, NotFound
from rowmill.models import Invitation, Membership, User
from rowmill.web.people_forms import JoinOrg
from rowmill.web.sessions import begin_session

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Show an invitation, and take it up on POST. Who exists signs in by themselves: the link lets only new people in."""
    try:
        invited = orgs.find_invitation(token)
    except NotFound as error:
        return _gone(request, error)
    is_known = User.objects.filter(email=invited.email).exists()
    form = None if is_known else JoinOrg(request.POST or None, email=invited.email)
    if request.method == "POST" and (form is None or form.is_valid()):
        try:
            return _join(request, invited, token, form)
        except (InputError, NotFound) as error:
            return _gone(request, error)
    context = {"invitation": invited, "form": form, "is_other": _is_other(request, invited)}
    return render(request, "people/invitation.html", context, status=400 if request.method == "POST" else 200)


def _join(request: HttpRequest, invited: Invitation, token: str, form: JoinOrg | None) -> HttpResponse:
    """Accept; sign a new person in, send one who exists to sign-in unless they are signed in already."""
    cleaned: dict[str, str] = form.cleaned_data if form is not None else {}
    with transaction.atomic():
        user, invited = orgs.accept_invitation(token, password=cleaned.get("password"), name=cleaned.get("name", ""))
        audit.record(invited.org, user, "invitation.accepted", "invitation", invited.public_id, role=invited.role)
    if form is not None:
        sign_in(request, user)
    elif request.user != user:
        messages.success(request, f"You belong to {invited.org.name} now. Sign in as {user.email}.")
        return redirect("account_login")
    request.session["org_id"] = str(invited.org.public_id)
    messages.success(request, f"Welcome to {invited.org.name}.")
    return redirect("bulk-upload")


@require_http_methods(["GET", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """Show a button, and sign in on POST: what only looks at links (a mail scanner, a preview) must not use it up."""
    if request.method == "GET":
        return render(request, "people/sign_in_link.html")
    try:
        with transaction.atomic():
            user = orgs.use_sign_in_link(token)
            for membership in Membership.objects.filter(user=user).select_related("org"):
                audit.record(membership.org, user, "person.signed_in_by_link", "user", user.pk)
    except NotFound as error:
        return _gone(request, error)
    sign_in(request, user)
    return redirect("bulk-upload" if user.has_usable_password() else reverse("account_set_password"))


def sign_in(request: HttpRequest, user: User) -> None:
    """Sign a person in, in a fresh session: nothing of the one before stays."""
    request.session.flush()
    login(request, user, backend=BACKEND)
    begin_session(request)


def _is_other(request: HttpRequest, invited: Invitation) -> bool:
    """Tell whether somebody else is signed in in this browser."""
    return isinstance(request.user, User) and request.user.email != invited.email


def _gone(request: HttpRequest, error: Exception) -> HttpResponse:
    """Say that a link is of no use, and what to do."""
    return render(request, "people/link_gone.html", {"message": str(error)}, status=404)
