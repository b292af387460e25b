"""What can be done with a judged file on its page: look around a place, mend it, take its failed rows or its notes home."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from rowmill.errors import ChildError, InputError, NotFound
from rowmill.models import Upload
from rowmill.uploads.handouts import ANNOTATED, FAILED_ROWS, look_around, make_handout, open_mended, read_examples
from rowmill.uploads.mending import mend_upload
from rowmill.web.downloads import CSV_TYPE, XLSX_TYPE, named
from rowmill.web.frame import MemberRequest, member_view
from rowmill.web.verdicts import find_upload

MOST_DIGITS = 15
PLACES = ("finding", "stretch", "byte", "line")


@require_GET
@member_view
def excerpt(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show the lines around a place: of a finding, a cause, a stretch of the map, or a byte or line. The trail notes it."""
    upload = find_upload(request, public_id)
    place, about = _find_place(upload, {name: read_number(request, name) for name in PLACES if name in request.GET})
    context: dict[str, Any] = {"upload": upload, "about": about, "lines": [], "at": None, "trouble": ""}
    try:
        context |= look_around(request.caller, upload, place)
    except ChildError as error:
        context["trouble"] = str(error)
    stretch = _stretch_of(upload, place)
    context |= _neighbours(upload.inspection.get("damage") or "", stretch)
    return render(request, "verdict/excerpt.html" if request.htmx else "verdict/excerpt_page.html", context)


def read_number(request: MemberRequest, name: str) -> int:
    """Read a whole number of the query. Raises: InputError."""
    text = request.GET[name]
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise InputError(f"{name} takes a whole number from 0 on.")
    return int(text)


def _find_place(upload: Upload, asked: dict[str, int]) -> tuple[dict[str, int], Any]:
    """Turn what was asked for into a place in the file. Shape: (the place, the finding if it is one's).

    Raises: NotFound.
    """
    about = None
    if "finding" in asked:
        about = upload.findings.filter(position=asked["finding"]).first()
        if about is None:
            raise NotFound("There is no such finding.")
        known = {"line": about.line, "byte": about.byte}
        asked = {name: value for name, value in known.items() if value is not None}
    elif "stretch" in asked:
        asked = {"stretch": asked["stretch"]}
    return asked or {"line": 1}, about


def _stretch_of(upload: Upload, place: dict[str, int]) -> int:
    """Tell which stretch of the map a place is in, by its byte, else by its line; about right is enough."""
    damage = upload.inspection.get("damage") or ""
    if "stretch" in place:
        return place["stretch"]
    lines = (upload.inspection.get("balance") or {}).get("lines") or 1
    whole, here = (upload.size_bytes, place["byte"]) if "byte" in place else (lines, place["line"] - 1)
    return min(len(damage) - 1, max(0, here) * len(damage) // max(1, whole))


def _neighbours(damage: str, stretch: int) -> dict[str, int | None]:
    """Find the nearest stretches with trouble before and after one."""
    before = [i for i, letter in enumerate(damage[: max(0, stretch)]) if letter != "."]
    after = [i for i, letter in enumerate(damage) if letter != "." and i > stretch]
    return {"before": before[-1] if before else None, "after": after[0] if after else None}


@require_GET
@member_view
def examples(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show real cells behind the causes, before and after their mends. The trail notes it."""
    upload = find_upload(request, public_id)
    context: dict[str, Any] = {"upload": upload, "examples": [], "trouble": ""}
    try:
        context["examples"] = read_examples(request.caller, upload)
    except ChildError as error:
        context["trouble"] = str(error)
    return render(request, "verdict/examples.html" if request.htmx else "verdict/examples_page.html", context)


@require_POST
@member_view
def mend(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Begin a mended copy with the mends that were ticked, or with the one whose button was pressed; show it."""
    upload = find_upload(request, public_id)
    only = request.POST.get("only")
    copy = mend_upload(request.caller, upload, [only] if only else request.POST.getlist("mends"))
    messages.success(request, "The mended copy is a file of its own. The original stays as it was.")
    return HttpResponseRedirect(reverse("upload", args=[copy.public_id]), status=303)


@require_GET
@member_view
def failed_rows(request: MemberRequest, public_id: UUID) -> HttpResponseBase:
    """Hand out the rows that are broken or rejected, as CSV; the trail notes who took them."""
    upload = find_upload(request, public_id)
    return _hand_out(request, upload, FAILED_ROWS, "failed-rows.csv", CSV_TYPE)


@require_GET
@member_view
def annotated(request: MemberRequest, public_id: UUID) -> HttpResponseBase:
    """Hand out the whole file as a workbook with what is wrong marked and noted; the trail notes who took it."""
    upload = find_upload(request, public_id)
    return _hand_out(request, upload, ANNOTATED, "annotated.xlsx", XLSX_TYPE)


@require_GET
@member_view
def mended_file(request: MemberRequest, public_id: UUID) -> HttpResponseBase:
    """Hand out a mended copy itself; the trail notes who took it."""
    upload = find_upload(request, public_id)
    return named(FileResponse(open_mended(request.caller, upload), content_type=CSV_TYPE), upload.name)


def _hand_out(request: MemberRequest, upload: Upload, op: str, part: str, content_type: str) -> FileResponse:
    """Make a file and stream it; it is gone with the response."""
    try:
        made = make_handout(request.caller, upload, op, part)
    except ChildError as error:
        raise InputError(str(error)) from error
    name = f"{PurePath(upload.name).stem or 'upload'}-{part}"
    return named(FileResponse(made, content_type=content_type), name)
