"""Settings, payer accounts: with which credentials payers are asked, and whether they work."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from rowmill.claims import credentials
from rowmill.errors import InputError
from rowmill.models import PayerAccount, Practice
from rowmill.orgs import fetch, own
from rowmill.web.frame import MemberRequest, admin_view, member_view
from rowmill.web.people_forms import EditAccount


@require_GET
@member_view
def account_list(request: MemberRequest) -> HttpResponse:
    """List the org's payer accounts; only admins see their addresses."""
    accounts = own(request.caller, PayerAccount).select_related("practice")
    return render(request, "people/payer_accounts.html", {"accounts": accounts})


@sensitive_post_parameters("client_id", "client_secret")
@require_http_methods(["GET", "POST"])
@admin_view
def add_account(request: MemberRequest) -> HttpResponse:
    """Add a payer account."""
    return _edit(request, PayerAccount(org=request.caller.org))


@sensitive_post_parameters("client_id", "client_secret")
@require_http_methods(["GET", "POST"])
@admin_view
def edit_account(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Change a payer account."""
    return _edit(request, _find(request, public_id))


@require_POST
@admin_view
def remove_account(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Remove a payer account."""
    account = _find(request, public_id)
    credentials.remove_account(request.caller, account)
    messages.success(request, f"The account with {account.payer} is removed, and its credentials with it.")
    return redirect("payer-accounts")


@require_POST
@admin_view
def test_connection(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Test the connection now; to htmx only the verdict, else back to the page with it."""
    account = _find(request, public_id)
    tested = credentials.run_connection_test(request.caller, account)
    if request.headers.get("HX-Request") == "true":
        account.refresh_from_db()
        return render(request, "people/_tested.html", {"tested": tested, "account": account})
    if tested.ok:
        messages.success(request, f"Connection test: {tested.message}")
    else:
        messages.error(request, f"Connection test: {tested.message} ({tested.code})")
    return redirect("payer-account", public_id=account.public_id)


def _find(request: MemberRequest, public_id: UUID) -> PayerAccount:
    """Give an account of the org. Raises: NotFound."""
    return fetch(request.caller, own(request.caller, PayerAccount).select_related("practice"), public_id)


def _edit(request: MemberRequest, account: PayerAccount) -> HttpResponse:
    """Show the form, and save what it brings. A form that comes back comes without the credentials typed."""
    is_new = account.pk is None
    practices = list(own(request.caller, Practice))
    form = EditAccount(request.POST if request.method == "POST" else None, account=account, practices=practices)
    if request.method == "POST" and form.is_valid():
        try:
            credentials.save_account(request.caller, account, form.cleaned_data)
        except InputError as error:
            form.take_error(error)
        else:
            messages.success(
                request, f"The account with {account.payer} is saved. Test the connection to be sure of it."
            )
            return redirect("payer-account", public_id=account.public_id)
    context = {"form": form, "account": account, "is_new": is_new, "has_practice": bool(practices)}
    return render(request, "people/payer_account.html", context, status=400 if form.errors else 200)
