"""The door as a page: drop a file, see its verdict, see what came before."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from rowmill.web.frame import MemberRequest, member_view


@member_view
def bulk_upload(request: MemberRequest) -> HttpResponse:
    """Show the drop zone and the history; take a file in."""
    return render(request, "uploads/page.html", {})
