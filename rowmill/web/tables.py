"""The page of a table of one's own: its rows, newest first, one looked up by its key, all of them as CSV."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods

from rowmill import audit
from rowmill.errors import InputError
from rowmill.models import Job, Merged
from rowmill.orgs import fetch, own
from rowmill.tables.listing import (
    OwnTable,
    RowPage,
    export_rows,
    find_jobs,
    find_table,
    list_rows,
    search_key,
    show_cell,
)
from rowmill.web.downloads import CSV_TYPE, named
from rowmill.web.frame import MemberRequest, member_view

SHOWN_CHARACTERS = 200


@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def rows(request: MemberRequest, slug: str) -> HttpResponse:
    """List the rows of a table. A key comes by POST: it is a cell, and no address holds one."""
    table, key, job = find_table(slug), request.POST.get("key", "").strip(), request.GET.get("import", "")
    if key:
        page = search_key(request.caller, table, key)
    else:
        page = list_rows(request.caller, table, job=job, before=_read(request, "before"), after=_read(request, "after"))
    audit.record(request.caller.org, request.caller.user, "table.view", "table", slug, rows=len(page.rows))
    context = {
        "table": table,
        "key": key,
        "job": fetch(request.caller, own(request.caller, Job).select_related("upload"), job) if job else None,
        "page": page,
        "first": not (request.GET.get("before") or request.GET.get("after")),
        "rows": _shape(request, table, page),
        "has_extra": any(_extra_of(table, row) for row in page.rows),
    }
    return render(request, "tables/rows.html", context)


@require_GET
@member_view
def export(request: MemberRequest, slug: str) -> StreamingHttpResponse:
    """Hand out all rows, or those that an import brought, as CSV; the trail notes who took them."""
    lines = export_rows(request.caller, find_table(slug), job=request.GET.get("import", ""), bom=True)
    return named(StreamingHttpResponse(lines, content_type=CSV_TYPE), f"{slug}.csv")


def _read(request: MemberRequest, name: str) -> int:
    """Read the id that a page goes on from. Raises: InputError."""
    text = request.GET.get(name, "") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InputError("This page does not go on from there. Begin at its start.", code="bad_cursor", field=name)
    return int(text)


def _extra_of(table: OwnTable, row: Merged) -> Any:
    """Give what the table keeps of a row that no column is there for."""
    return getattr(row, table.target.extra) if table.target.extra else None


def _shape(request: MemberRequest, table: OwnTable, page: RowPage) -> list[dict[str, Any]]:
    """Lay the rows out, each with where it came from."""
    jobs = find_jobs(request.caller, page.rows)
    return [
        {
            "cells": [_begin(show_cell(getattr(row, name))) for name, _ in table.columns],
            "extra": _begin(show_cell(_extra_of(table, row))),
            "brought": jobs.get(row.created_job_id or 0),
            "written": jobs.get(row.import_job_id or 0),
            "line": row.import_line,
        }
        for row in page.rows
    ]


def _begin(text: str) -> str:
    """Give as much of a text as a list shows; a cell may be megabytes long."""
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
