"""An import that is taken back, as pages show it: what would go, how far it is, what it came to; on the job's page and its own."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from rowmill.errors import NotFound
from rowmill.jobs.progress import read_progress
from rowmill.merging.undo import UNDO_DAYS, may_undo, undo_job
from rowmill.models import FINAL_STATES, UndoWhat
from rowmill.registry import get_kind
from rowmill.web.frame import MemberRequest, member_view
from rowmill.web.jobs import find_job
from rowmill.web.undone import tell_undo


@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def undo_page(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show what taking an import back does, how far it is, or what it came to; by POST start it."""
    job = find_job(request, public_id)
    if not get_kind(job.kind).merges:
        raise NotFound("There is nothing that this job wrote and that could be taken back.")
    if request.method == "POST":
        undo_job(request.caller, job)
        return HttpResponseRedirect(
            reverse("job-undo" if "own" in request.POST else "job", args=[public_id]), status=303
        )
    merged, before = read_progress(job).merged, tell_undo(job, UndoWhat.REMOVAL)
    removed = before.undo.removed if before else 0
    context = {
        "job": job,
        "kind": get_kind(job.kind),
        "told": tell_undo(job),
        "merged": merged,
        "removed": removed,
        "removing": before is not None and before.at_work,
        "would_go": max(0, (merged or {}).get("inserted", 0) - removed),
        "may_undo": may_undo(job),
        "final": job.state in FINAL_STATES,
        "undo_days": UNDO_DAYS,
    }
    return render(request, "undos/live.html" if request.htmx else "undos/page.html", context)
