"""The job's pages: its list, its live state, its results, causes and trail; cancel, retry, delete."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from rowmill import audit
from rowmill.errors import StorageFault
from rowmill.jobs.progress import Progress, read_progress
from rowmill.jobs.results import ResultLine, ResultPage, activity, causes, page_results
from rowmill.jobs.steer import cancel_job, delete_job, retry_job
from rowmill.merging.undo import UNDO_DAYS, may_undo
from rowmill.models import FINAL_STATES, Job
from rowmill.orgs import fetch, own
from rowmill.registry import get_kind
from rowmill.web.frame import MemberRequest, member_view
from rowmill.web.history import describe_job, list_history
from rowmill.web.tags import OUTCOME_WORDS, plural
from rowmill.web.undone import tell_undos

DIRECT_RESULTS = 50_000  # rows of a few columns: as a workbook some seconds
TABS = {"results": ("Results", "table"), "causes": ("Causes", "chart-bar"), "activity": ("Activity", "activity")}
PAGE_ROWS = 50
MOST_LISTED = 100
MOST_CODE = 250  # of a bulk kind it is a reason in words
# Of a kind's results, these say again what the outcome and its reason say already.
MERGED_WORDS = ("inserted", "updated", "unchanged", "rejected")
TOLD_ELSEWHERE = frozenset({"row", "success", "error", "attempts"})


def find_job(request: MemberRequest, public_id: UUID) -> Job:
    """Give a job of the caller's org that was not deleted. Raises: NotFound."""
    jobs = own(request.caller, Job).filter(deleted_at=None)
    return fetch(request.caller, jobs.select_related("upload", "created_by", "org"), public_id)


@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def job_list(request: MemberRequest) -> HttpResponse:
    """Show every file and job. A search comes by POST: a file's name may name a person, so no address has it."""
    asked = request.POST if request.method == "POST" else request.GET
    context = list_history(
        request.caller, asked.get("state", ""), request.POST.get("search", "").strip(), asked.get("page", "1")
    )
    return render(request, "jobs/history.html" if request.htmx else "jobs/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def job_page(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show a job: the whole page, or the part of it that htmx asks for."""
    job = find_job(request, public_id)
    part = (request.htmx.target or "") if request.htmx else ""
    if part == "live":
        return render(request, "jobs/live.html", live_context(job))
    if part.startswith("row-"):
        return render(request, "jobs/row.html", {"entry": describe_job(job)})
    tabs = [(name, label, image) for name, (label, image) in TABS.items()]
    context = {"job": job, "kind": get_kind(job.kind), "job_tabs": tabs, **_tab_context(request, job)}
    if part == "results":
        return render(request, "jobs/results.html", context)
    if context["tab"] == "results":
        audit.record(job.org, request.caller.user, "results.view", "job", job.public_id)
    if part == "tab":
        return render(request, "jobs/tab.html", context)
    return render(request, "jobs/page.html", context | live_context(job))


def live_context(job: Job) -> dict[str, Any]:
    """Give what the live part of a job shows. Cost: one grouped query."""
    progress = read_progress(job)
    outcomes: dict[str, int] = dict(progress.outcomes)
    merges = get_kind(job.kind).merges
    return {
        "job": job,
        "progress": progress,
        "merged": _merged(progress) if merges else None,
        "undos": (undos := tell_undos(job) if merges else []),
        "taken_back": any(told.at_work or not told.is_removal for told in undos),
        "polls": not progress.final or any(told.at_work for told in undos),
        "may_undo": merges and may_undo(job) and bool(progress.merged),
        "undo_days": UNDO_DAYS,
        "segments": _segments(_merged(progress) if merges else outcomes, progress.total_rows),
        "undone": outcomes["failed"] + outcomes["unprocessed"],
        "last_word": "not processed" if progress.final else "to do",
    }


def _merged(progress: Progress) -> dict[str, int]:
    """Give what a bulk kind's rows came to, in the order of the page; to do is what no batch has merged yet.

    That rows failed, one by one, is rare: it is told only where some did.
    """
    counts = {word: progress.merged.get(word, 0) for word in MERGED_WORDS}
    failed = {"failed": count} if (count := progress.outcomes["failed"]) else {}
    return {**counts, **failed, "unprocessed": progress.outcomes["unprocessed"]}


def _segments(outcomes: dict[str, int], total: int) -> list[dict[str, Any]]:
    """Lay the outcomes side by side in a bar. Units: percent of its width."""
    segments, start = [], 0.0
    for outcome, count in outcomes.items():
        width = 100 * count / total if total else 0.0
        segments.append({"outcome": outcome, "count": count, "start": f"{start:.3f}%", "width": f"{width:.3f}%"})
        start += width
    return segments


def _tab_context(request: MemberRequest, job: Job) -> dict[str, Any]:
    """Read what the chosen tab shows."""
    asked = request.POST if request.method == "POST" else request.GET
    tab = asked.get("tab", "")
    if tab == "causes":
        found = causes(job, unprocessed=read_progress(job).outcomes["unprocessed"])
        return {"tab": tab, "causes": found, "most": max((cause.count for cause in found), default=0)}
    if tab == "activity":
        return {"tab": tab, "events": activity(job)}
    search = request.POST.get("search", "").strip()[:200]
    page = asked.get("page", "1")
    try:
        return _results_context(job, asked.get("outcome", ""), asked.get("code", "")[:MOST_CODE], search, page)
    except StorageFault as fault:
        if request.htmx:
            raise
        messages.warning(request, f"{fault} The rows are shown once it does again.")  # how the job stands needs no file
        return {"tab": "activity", "events": activity(job)}


def _results_context(job: Job, outcome: str, code: str, search: str, number: str) -> dict[str, Any]:
    """Read a page of the results table."""
    outcome = outcome if outcome in OUTCOME_WORDS else ""
    page = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 1
    lines = page_results(job, outcome=outcome, code=code, search=search, page=page, size=PAGE_ROWS)
    columns = [name for name in get_kind(job.kind).result_header if name not in TOLD_ELSEWHERE]
    return {
        "tab": "results",
        "known_codes": partial(_known_codes, job, code),
        "rows": [_shape_line(line, columns) for line in lines.rows],
        "lines": lines,
        "large": is_large(job),
        "columns": columns,
        "outcome": outcome,
        "code": code,
        "search": search,
        "outcome_words": _outcome_words(job),
        "span": _span(lines),
        "live": job.state not in FINAL_STATES,
    }


def is_large(job: Job) -> bool:
    """Tell whether a workbook of a job's results takes too long for a request."""
    return job.total_rows > DIRECT_RESULTS


def _outcome_words(job: Job) -> dict[str, str]:
    """Give the outcomes to choose from; a row that is merged is never not found."""
    merges = get_kind(job.kind).merges
    return {word: label for word, label in OUTCOME_WORDS.items() if not (merges and word == "not_found")}


def _known_codes(job: Job, chosen: str) -> list[str]:
    """List the causes to choose from: codes, of a bulk kind reasons, the most frequent first.

    Cost: a grouped query, so the template asks only where it shows them.
    """
    found = causes(job)
    if get_kind(job.kind).merges:
        return list(dict.fromkeys([*(cause.message for cause in found[:MOST_LISTED]), *filter(None, [chosen])]))
    return sorted({cause.code for cause in found} | ({chosen} if chosen else set()))


def _shape_line(line: ResultLine, columns: list[str]) -> dict[str, Any]:
    """Lay a line out for the table: the reason of a row that is not ok takes the room of the cells it has no value for."""
    cells = [line.values.get(name, "") for name in columns]
    while line.outcome != "ok" and cells and not cells[-1]:
        cells.pop()
    return {"line": line, "cells": cells, "rest": len(columns) - len(cells) + 1}


def _span(lines: ResultPage) -> tuple[int, int]:
    """Tell which of the rows found this page shows: first and last, 1-based."""
    first = (lines.page - 1) * PAGE_ROWS + 1
    return (first, first + len(lines.rows) - 1) if lines.rows else (0, 0)


@require_POST
@member_view
def cancel(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Stop a job; what is done is kept."""
    job = find_job(request, public_id)
    cancel_job(request.caller, job)
    return _back(request, job, "The job is being cancelled. What is done is kept.")


@require_POST
@member_view
def retry(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Run the failed and the not processed rows again."""
    job = find_job(request, public_id)
    rows = retry_job(request.caller, job)
    return _back(request, job, f"{plural(rows, 'row')} will be tried again.")


@require_POST
@member_view
def delete(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Remove a finished job's file and results; the record of it stays."""
    delete_job(request.caller, find_job(request, public_id))
    messages.success(request, "The file and its results are deleted. The record of the job stays in the audit trail.")
    return _see(reverse("jobs"))


def _back(request: MemberRequest, job: Job, words: str) -> HttpResponse:
    """Answer an action: to htmx with the part it was in, else by going back to its page."""
    if request.htmx:
        job.refresh_from_db()
        if request.htmx.target == "live":
            return render(request, "jobs/live.html", live_context(job))
        return render(request, "jobs/row.html", {"entry": describe_job(job)})
    messages.success(request, words)
    return _see(reverse("job", args=[job.public_id]))


def _see(address: str) -> HttpResponseRedirect:
    """Send the browser on after a POST."""
    return HttpResponseRedirect(address, status=303)
