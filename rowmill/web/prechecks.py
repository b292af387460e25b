"""The precheck's pages: drop a file, watch its diagnosis come in stage by stage, take the findings home."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from rowmill import audit, registry
from rowmill.contracts import Finding
from rowmill.errors import NotFound
from rowmill.models import Precheck, Upload, UploadState
from rowmill.orgs import fetch, own
from rowmill.registry import get_kind
from rowmill.tabular.writers import write_csv
from rowmill.uploads.handouts import has_bytes
from rowmill.uploads.prechecks import FINAL, STAGES
from rowmill.uploads.receive import PRECHECK
from rowmill.web.frame import MemberRequest, member_view
from rowmill.web.sending import find_unfinished, sender_context
from rowmill.web.sessions import is_poll
from rowmill.web.verdict_tags import stops
from rowmill.web.verdicts import describe_inspection

LISTED = 30
STAGE_WORDS = {"metadata": "Metadata", "integrity": "Integrity", "validation": "Full validation"}
NEWLINE_WORDS = {"\n": "LF", "\r\n": "CR LF", "\r": "CR", "mixed": "several kinds"}
COLUMNS = tuple(field.name for field in fields(Finding))


def find_precheck(request: MemberRequest, public_id: UUID) -> Precheck:
    """Give a precheck of the caller's org. Raises: NotFound."""
    prechecks = own(request.caller, Precheck).select_related("upload", "org", "created_by")
    return fetch(request.caller, prechecks, public_id)


@require_GET
@member_view
def door(request: MemberRequest) -> HttpResponse:
    """Show the drop zone and the org's earlier prechecks."""
    earlier = own(request.caller, Precheck).select_related("upload", "created_by").order_by("-id")[:LISTED]
    kinds = [(slug, get_kind(slug).label) for slug in sorted(registry.KINDS)]
    begun = find_unfinished(request.caller).filter(upload__intent__has_key=PRECHECK)
    context = {"prechecks": earlier, "kinds": kinds, **sender_context(begun)}
    return render(request, "prechecks/page.html", context)


@require_GET
@member_view
def sent(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Give the card of an upload that was sent for a precheck, 202 until all of it is here."""
    upload = fetch(request.caller, own(request.caller, Upload), public_id)
    precheck = upload.prechecks.order_by("id").first()
    if precheck is None and upload.state != UploadState.RECEIVING:
        raise NotFound("This file was sent for no precheck.")
    if precheck is None:
        return HttpResponse(status=202)
    context = {"upload": upload, "precheck": precheck, "final": precheck.status in FINAL}
    return render(request, "prechecks/sent.html", context)


@require_GET
@member_view
def precheck_page(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show a precheck: the whole page, or the live part of it that htmx asks for. The trail notes who looked."""
    precheck = find_precheck(request, public_id)
    if not is_poll(request):  # the page that asks is one look
        audit.record(precheck.org, request.caller.user, "precheck.view", "precheck", precheck.public_id)
    template = "prechecks/live.html" if request.htmx else "prechecks/precheck.html"
    return render(request, template, live_context(request, precheck))


def live_context(request: MemberRequest, precheck: Precheck) -> dict[str, Any]:
    """Give what the live part shows."""
    found = [Finding(**finding) for finding in precheck.findings]
    inspection = _describe(precheck, found)
    upload = precheck.upload
    return {
        "precheck": precheck,
        "upload": upload,
        "final": precheck.status in FINAL,
        "stages": list(_stages(precheck)),
        "kind_label": get_kind(upload.kind).label if upload.kind in registry.KINDS else "",
        "newline": NEWLINE_WORDS.get(precheck.metadata.get("newline") or "", ""),
        "findings": found,
        "inspection": inspection,
        "stopping": [cause for cause in inspection["causes"] if stops(cause)],
        "here": precheck.status in FINAL and has_bytes(upload),
        "may_write": request.caller.may_write,
    }


def _describe(precheck: Precheck, found: list[Finding]) -> dict[str, Any]:
    """Give what the parts in templates/verdict show: what this precheck told, not what the upload's own verdict says."""
    inspection = describe_inspection(None, found)
    if causes := [dict(cause) for cause in precheck.validation.get("causes") or ()]:
        inspection["causes"] = sorted(causes, key=lambda cause: not stops(cause))
    inspection["damage"] = precheck.integrity.get("damage") or ""
    return inspection


def _stages(precheck: Precheck) -> Iterator[tuple[str, str]]:
    """Give each stage with where it stands. Shape: (its name in words, "done" | "now" | "stopped" | "todo")."""
    at = STAGES.index(precheck.stage) if precheck.stage in STAGES else 0
    for number, stage in enumerate(STAGES):
        if precheck.status == "COMPLETED" or number < at:
            word = "done"
        elif number > at or precheck.status == "PENDING":
            word = "todo"
        else:
            word = "stopped" if precheck.status == "FAILED" else "now"
        yield STAGE_WORDS[stage], word


@require_GET
@member_view
def findings_csv(request: MemberRequest, public_id: UUID) -> HttpResponseBase:
    """Hand out the findings, safe to open in a spreadsheet; the trail notes who took them."""
    precheck = find_precheck(request, public_id)
    lines = (["" if finding[name] is None else str(finding[name]) for name in COLUMNS] for finding in precheck.findings)
    response = StreamingHttpResponse(write_csv(COLUMNS, lines, safe=True), content_type="text/csv; charset=utf-8")
    return _named(request, precheck, response, "csv")


@require_GET
@member_view
def findings_json(request: MemberRequest, public_id: UUID) -> HttpResponseBase:
    """Hand out all that was told, as JSON; the trail notes who took it."""
    precheck = find_precheck(request, public_id)
    told = {name: getattr(precheck, name) for name in ("status", "metadata", "integrity", "validation", "findings")}
    return _named(request, precheck, JsonResponse({"id": str(precheck.public_id), **told}), "json")


def _named(request: MemberRequest, precheck: Precheck, response: HttpResponseBase, ending: str) -> HttpResponseBase:
    """Offer a response as a file named after the one it speaks of, and note it."""
    stem = PurePath(precheck.upload.name).stem or "file"
    response["Content-Disposition"] = content_disposition_header(True, f"{stem}-findings.{ending}")
    who = request.caller.user
    audit.record(precheck.org, who, "findings.download", "precheck", precheck.public_id, export=ending)
    return response
