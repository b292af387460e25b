"""Settings, practices: in whose name payers are asked."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from rowmill.claims import practices
from rowmill.errors import InputError
from rowmill.models import PayerAccount, Practice
from rowmill.orgs import fetch, own
from rowmill.web.frame import MemberRequest, admin_view, member_view
from rowmill.web.people_forms import EditPractice


@require_GET
@member_view
def practice_list(request: MemberRequest) -> HttpResponse:
    """List the org's practices."""
    found = list(own(request.caller, Practice).annotate(accounts=Count("payer_accounts")))
    rows = [{"practice": practice, "npi_fits": practices.npi_fits(practice.npi)} for practice in found]
    return render(request, "people/practices.html", {"rows": rows})


@require_http_methods(["GET", "POST"])
@admin_view
def add_practice(request: MemberRequest) -> HttpResponse:
    """Add a practice."""
    return _edit(request, Practice(org=request.caller.org))


@require_http_methods(["GET", "POST"])
@admin_view
def edit_practice(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Change a practice."""
    return _edit(request, fetch(request.caller, own(request.caller, Practice), public_id))


@require_POST
@admin_view
def remove_practice(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Remove a practice."""
    practice = fetch(request.caller, own(request.caller, Practice), public_id)
    practices.remove_practice(request.caller, practice)
    messages.success(request, f"{practice.name} is removed. Results of finished jobs stay as they are.")
    return redirect("practices")


def _edit(request: MemberRequest, practice: Practice) -> HttpResponse:
    """Show the form, and save what it brings."""
    is_new = practice.pk is None
    form = EditPractice.of(practice)
    if request.method == "POST":
        form = EditPractice(request.POST)
        if form.is_valid():
            try:
                practices.save_practice(request.caller, practice, **form.cleaned_data)
            except InputError as error:
                form.take_error(error)
            else:
                _say_saved(request, practice)
                return redirect("practices")
    accounts = 0 if is_new else practice.payer_accounts.count()
    context = {"form": form, "practice": practice, "is_new": is_new, "accounts": accounts}
    return render(request, "people/practice.html", context, status=400 if form.errors else 200)


def _say_saved(request: MemberRequest, practice: Practice) -> None:
    """Say what was saved, and warn of an NPI that cannot be right."""
    has_account = own(request.caller, PayerAccount).exists()
    next_step = "" if has_account else " Next: add a payer account, so that jobs can run."
    messages.success(request, f"{practice.name} is saved.{next_step}")
    if not practices.npi_fits(practice.npi):
        messages.warning(request, practices.NPI_WARNING)
