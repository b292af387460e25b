"""Settings, imports: above which share of changes an import waits for somebody's word."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from rowmill import orgs
from rowmill.errors import InputError
from rowmill.web.frame import MemberRequest, member_view


@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def import_settings(request: MemberRequest) -> HttpResponse:
    """Show the org's percentage; an admin sets it."""
    said, problem = str(request.caller.org.go_ahead_percent), ""
    if request.method == "POST":
        request.caller.need_admin()
        said = request.POST.get("go_ahead_percent", "").strip()
        try:
            orgs.set_go_ahead(request.caller, int(said) if said.isascii() and said.isdigit() and len(said) < 9 else -1)
        except InputError as error:
            problem = str(error)
        else:
            messages.success(request, "Saved. It counts from the next import on.")
            return redirect("import-settings")
    context = {"said": said, "problem": problem}
    return render(request, "people/imports.html", context, status=400 if problem else 200)
