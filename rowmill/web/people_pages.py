"""Settings, people: who belongs to the org, in which role, and who is invited; and which org one works in."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from rowmill import audit, orgs
from rowmill.errors import InputError, NotFound, StateError
from rowmill.models import Invitation, Membership, Role, User
from rowmill.notify import mail
from rowmill.orgs import Caller, fetch, own
from rowmill.web.frame import MemberRequest, admin_view, member_view
from rowmill.web.people_forms import Invite


@require_GET
@member_view
def people(request: MemberRequest) -> HttpResponse:
    """List the people; admins also see who is invited."""
    return _people_page(request, Invite())


@require_POST
@admin_view
def invite(request: MemberRequest) -> HttpResponse:
    """Invite somebody by e-mail."""
    form = Invite(request.POST)
    if not form.is_valid():
        return _people_page(request, form, status=400)
    try:
        with transaction.atomic():
            invitation, token = orgs.invite_person(
                request.caller, form.cleaned_data["email"], form.cleaned_data["role"]
            )
            _note(request.caller, "person.invited", "invitation", invitation.public_id, role=invitation.role)
    except InputError as error:
        form.add_error("email", str(error))
        return _people_page(request, form, status=400)
    return _send(request, invitation, token)


@require_POST
@admin_view
def resend_invitation(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Send an invitation again, with a new link."""
    invitation = fetch(request.caller, own(request.caller, Invitation), public_id)
    with transaction.atomic():
        token = orgs.renew_invitation(request.caller, invitation)
        _note(request.caller, "invitation.renewed", "invitation", invitation.public_id)
    invitation.refresh_from_db()
    return _send(request, invitation, token)


@require_POST
@admin_view
def revoke_invitation(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """End an invitation."""
    invitation = fetch(request.caller, own(request.caller, Invitation), public_id)
    with transaction.atomic():
        orgs.revoke_invitation(request.caller, invitation)
        _note(request.caller, "invitation.revoked", "invitation", public_id)
    messages.success(request, f"The invitation of {invitation.email} is revoked. Its link no longer works.")
    return redirect("people")


@require_POST
@admin_view
def change_role(request: MemberRequest, membership_id: int) -> HttpResponse:
    """Give somebody another role."""
    membership = _find_membership(request.caller, membership_id)
    role = request.POST.get("role", "")
    try:
        with transaction.atomic():
            orgs.change_role(request.caller, membership, role)
            _note(request.caller, "person.role_changed", "user", membership.user_id, role=role)
    except StateError as error:
        messages.error(request, str(error))
        return redirect("people")
    messages.success(request, f"{membership.user.get_full_name()} is now {Role(role).label.lower()}.")
    return redirect("people")


@require_POST
@admin_view
def remove_person(request: MemberRequest, membership_id: int) -> HttpResponse:
    """Take somebody out of the org."""
    membership = _find_membership(request.caller, membership_id)
    try:
        with transaction.atomic():
            orgs.remove_person(request.caller, membership)
            _note(request.caller, "person.removed", "user", membership.user_id)
    except StateError as error:
        messages.error(request, str(error))
        return redirect("people")
    if membership.user_id == request.caller.user.pk:
        return redirect("orgs")
    messages.success(request, f"{membership.user.get_full_name()} no longer belongs to {request.caller.org.name}.")
    return redirect("people")


@require_GET
@login_required
def choose_org(request: HttpRequest) -> HttpResponse:
    """Show the orgs that one belongs to; forget one that one no longer belongs to."""
    assert isinstance(request.user, User)
    memberships = list(Membership.objects.filter(user=request.user).select_related("org").order_by("org__name"))
    if request.session.get("org_id") not in {str(membership.org.public_id) for membership in memberships}:
        request.session.pop("org_id", None)
    return render(request, "people/orgs.html", {"memberships": memberships})


@require_POST
@login_required
def switch_org(request: HttpRequest) -> HttpResponse:
    """Work in another org from now on."""
    assert isinstance(request.user, User)
    try:
        caller = orgs.find_caller(request.user, UUID(request.POST.get("org", "")))
    except (NotFound, ValueError):
        messages.error(request, "You do not belong to this org. Choose one of these.")
        return redirect("orgs")
    request.session["org_id"] = str(caller.org.public_id)
    messages.success(request, f"You now work in {caller.org.name}.")
    return redirect("bulk-upload")


def _find_membership(caller: Caller, membership_id: int) -> Membership:
    """Give a membership of the org. Raises: NotFound."""
    membership = own(caller, Membership).select_related("user").filter(pk=membership_id).first()
    if membership is None:
        raise NotFound("There is no such person in this org.")
    return membership


def _send(request: MemberRequest, invitation: Invitation, token: str) -> HttpResponse:
    """Send the invitation; where no mail leaves this machine, show its link this once."""
    sent = mail.send_invitation(invitation, token, request.caller.user)
    if sent and not mail.goes_to_files():
        messages.success(request, f"The invitation to {invitation.email} is on its way. Its link works for seven days.")
        return redirect("people")
    return _people_page(request, Invite(), fresh=invitation, link=mail.absolute(f"/invitation/{token}/"), sent=sent)


def _people_page(request: MemberRequest, form: Invite, status: int = 200, **more: Any) -> HttpResponse:
    """Render the page."""
    caller = request.caller
    context = {
        "form": form,
        "roles": Role.choices,
        "memberships": own(caller, Membership).select_related("user").order_by("user__name", "user__email"),
        "invitations": own(caller, Invitation).filter(accepted_at=None).order_by("-id") if caller.is_admin else [],
    }
    return render(request, "people/people.html", {**context, **more}, status=status)


def _note(caller: Caller, verb: str, target_type: str, target_id: object, **details: str) -> None:
    """Put a change of people into the org's trail."""
    audit.record(caller.org, caller.user, verb, target_type, target_id, **details)
