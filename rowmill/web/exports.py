"""Workbooks made in the background, as pages show them: how far one is, its download, the list of those there are."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from rowmill.jobs.exports import (
    KEPT_HOURS,
    drop_export,
    is_at_work,
    kept_until,
    list_exports,
    open_export,
    seconds_left,
)
from rowmill.models import Export
from rowmill.orgs import fetch, own
from rowmill.registry import KINDS, get_kind
from rowmill.tabular.writers import SHEET_ROWS
from rowmill.web.downloads import XLSX_TYPE, named
from rowmill.web.frame import MemberRequest, member_view


@require_GET
@member_view
def export_list(request: MemberRequest) -> HttpResponse:
    """List the workbooks of the org that are there or under way."""
    told = [tell_export(export) for export in list_exports(request.caller)]
    return render(request, "exports/list.html", {"exports": told, "kept_hours": KEPT_HOURS})


@require_GET
@member_view
def export_page(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show how far a workbook is, or where it can be had."""
    context = {"told": tell_export(_find(request, public_id)), "kept_hours": KEPT_HOURS}
    return render(request, "exports/live.html" if request.htmx else "exports/page.html", context)


@require_GET
@member_view
def export_file(request: MemberRequest, public_id: UUID) -> FileResponse:
    """Hand a workbook out; the trail notes who took it."""
    export = _find(request, public_id)
    response = FileResponse(open_export(request.caller, export), content_type=XLSX_TYPE)
    return named(response, name_export(export))


@require_POST
@member_view
def delete(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Delete a workbook, or stop making it."""
    export = _find(request, public_id)
    at_work = is_at_work(export)
    drop_export(request.caller, export)
    messages.success(request, "The workbook is not made any more." if at_work else "The workbook is deleted.")
    return redirect("exports")


def _find(request: MemberRequest, public_id: UUID) -> Export:
    """Give one workbook of the org. Raises: NotFound."""
    return fetch(
        request.caller, own(request.caller, Export).select_related("asked_by", "org", "job__upload"), public_id
    )


def name_export(export: Export) -> str:
    """Name the file that a person gets: contacts-2026-11-23-1521.xlsx."""
    day = timezone.localtime(export.asked_at)
    stem = f"{PurePath(export.job.upload.name).stem}-results" if export.job else label_of(export).lower()
    return f"{stem.replace('/', '-')}-{day:%Y-%m-%d-%H%M}.xlsx"


def label_of(export: Export) -> str:
    """Name what its rows are; the kind may be none of this installation any more."""
    return get_kind(export.kind).label if export.kind in KINDS else export.kind


def tell_export(export: Export) -> dict[str, Any]:
    """Lay a workbook out for a page."""
    return {
        "export": export,
        "label": "Results" if export.job else label_of(export),
        "name": name_export(export),
        "at_work": is_at_work(export),
        "packing": bool(export.rows_done) and export.rows_done >= export.rows,
        "seconds_left": seconds_left(export),
        "kept_until": kept_until(export),
        "sheets": -(-export.rows // (SHEET_ROWS - 1)),
    }
