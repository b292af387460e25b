"""The door as a page: drop a file, read its verdict in place, see what came before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST

from rowmill import registry
from rowmill.claims.intake import DEFAULT_PAYER, YES, read_intent, take_claims_file
from rowmill.contracts import Kind
from rowmill.errors import (
    DuplicateFile,
    InputError,
    NotAllowed,
    NotFound,
    OutOfSpace,
    StateError,
    StorageFault,
    TableError,
)
from rowmill.jobs.arrive import complete_upload, start_held
from rowmill.jobs.submit import Taken, take_file
from rowmill.models import Job, PayerAccount, Practice, Upload
from rowmill.orgs import Caller, fetch, own
from rowmill.registry import get_kind, get_payer
from rowmill.uploads.receive import PRECHECK, max_upload_bytes
from rowmill.uploads.sessions import fetch_session
from rowmill.web.downloads import has_sample
from rowmill.web.frame import MemberRequest, member_view
from rowmill.web.history import list_history
from rowmill.web.jobs import live_context
from rowmill.web.sending import find_unfinished, sender_context
from rowmill.web.verdicts import Verdict

KIND = "claim_status"
LEADS = {
    KIND: "Drop a file of claims. It is checked at once, then every row is asked at the payer and gets an answer you can download.",
    "contact_import": "Drop an export of contacts. It is checked at once; then you see its columns, what it would change, "
    "and import it.",
}
FORM_ROOM_BYTES = 64 * 1024  # what a form's other fields and its frame may take besides the file


@csrf_exempt  # the token is checked behind the size: checking it reads the whole body
@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def bulk_upload(request: MemberRequest) -> HttpResponseBase:
    """Show the drop zone and the history; take a file in."""
    most = max(max_upload_bytes(slug) for slug in _kinds())  # which kind it is stands in the body
    if request.method == "POST" and _sent_bytes(request) > most + FORM_ROOM_BYTES:
        return _show_verdict(request, _too_large(most))
    return _inside(request)


@csrf_protect
def _inside(request: MemberRequest) -> HttpResponseBase:
    """Serve a request whose size is fit and, for a POST, whose token is right."""
    if request.method != "POST":
        return render(request, "uploads/page.html", _page_context(request))
    verdict = _take(request)
    if verdict.word == "sound" and not request.htmx:
        if verdict.job is not None:
            return HttpResponseRedirect(reverse("job", args=[verdict.job.public_id]), status=303)
        if verdict.upload is not None:
            return HttpResponseRedirect(reverse("upload", args=[verdict.upload.public_id]), status=303)
    return _show_verdict(request, verdict)


def _read_kind(request: MemberRequest) -> str:
    """Give the kind that the page is asked for; the first one where it is none of the page's."""
    asked = request.POST.get("kind") or request.GET.get("kind") or KIND
    return asked if asked in _kinds() else KIND


def _kinds() -> list[str]:
    """Give the kinds that the page takes files of: claims, and whatever is merged into a table."""
    return [slug for slug in registry.KINDS if slug == KIND or get_kind(slug).merges]


def _lead(kind: Kind) -> str:
    """Say what the page is for."""
    usual = "It is checked at once; then you see its columns, what it would change, and import it."
    return LEADS.get(kind.slug, f"Drop a file of {kind.label.lower()}. {usual}")


def _sent_bytes(request: HttpRequest) -> int:
    """Give the size that the request says it has."""
    text = request.META.get("CONTENT_LENGTH") or "0"
    return int(text) if text.isdigit() else 0


def _too_large(most: int) -> Verdict:
    """Refuse before a byte of the body is read, or once the kind is known."""
    limit = most // (1024 * 1024)
    words = f"This file is larger than {limit} MB. Split it into parts, each with the header line, and send them."
    return Verdict("not_taken", "This file", 413, words)


def _take(request: MemberRequest) -> Verdict:
    """Take the file of a POST and say what became of it."""
    sent = request.FILES.get("file")
    if sent is None:
        return Verdict("not_taken", "", 400, "No file came with the form. Choose one, then send it.")
    name, kind = sent.name or "file.csv", _read_kind(request)
    try:
        taken = _take_file(request, kind, name, sent.chunks())
    except TableError as error:
        return _refused(request.caller, name, error)
    except DuplicateFile as error:
        return _duplicate(request.caller, name, error)
    except NotAllowed as error:
        return Verdict("not_taken", name, 403, str(error))
    except (OutOfSpace, StorageFault) as error:
        return Verdict("not_taken", name, 507 if isinstance(error, OutOfSpace) else 503, str(error))
    except (InputError, StateError) as error:
        return Verdict("not_taken", name, 400, str(error))
    findings = list(taken.upload.findings.all())
    return Verdict("sound", name, 201, upload=taken.upload, findings=findings, job=taken.job)


def _take_file(request: MemberRequest, kind: str, name: str, chunks: Iterable[bytes]) -> Taken:
    """Take a whole file of any of the page's kinds. Raises: as `take_file` does."""
    if kind == KIND:
        return take_claims_file(request.caller, name, chunks, request.POST, kind=KIND)
    request.caller.need_write()
    intent = read_intent(request.caller, kind, request.POST)
    confirmed = request.POST.get("confirm_duplicate", "") in YES
    return take_file(request.caller, kind, name, chunks, intent=intent, confirm_duplicate=confirmed)


def _refused(caller: Caller, name: str, error: TableError) -> Verdict:
    """Tell what stops a file: the upload is kept for a day, so that the verdict can be read again."""
    upload = _find_upload(caller, error.details.get("upload_id"))
    findings = list(upload.findings.all()) if upload is not None else list(error.findings)
    return Verdict("refused", name, 400, str(error), upload, findings)


def _find_upload(caller: Caller, upload_id: Any) -> Upload | None:
    """Give the upload that an error names, if any."""
    try:
        return fetch(caller, own(caller, Upload), upload_id) if upload_id else None
    except NotFound:
        return None


def _duplicate(caller: Caller, name: str, error: DuplicateFile) -> Verdict:
    """Tell that the same bytes were taken in before, and which job they made."""
    job = own(caller, Job).filter(public_id=str(error.details["job_id"])).select_related("upload", "created_by").first()
    at = parse_datetime(str(error.details.get("created_at", "")))
    return Verdict("duplicate", name, 409, str(error), job=job, created_at=at)


def _show_verdict(request: MemberRequest, verdict: Verdict) -> HttpResponse:
    """Answer with the verdict: its part to the page's script, else the whole page."""
    context: dict[str, Any] = {"verdict": verdict}
    if verdict.word == "sound" and verdict.job is not None:
        context |= live_context(verdict.job)
    if request.htmx:
        return render(request, "uploads/verdict.html", context, status=verdict.status)
    return render(request, "uploads/page.html", context | _page_context(request), status=verdict.status)


def _page_context(request: MemberRequest) -> dict[str, Any]:
    """Give what the page shows besides a verdict."""
    caller = request.caller
    kind = get_kind(_read_kind(request))
    return {
        "kind": kind,
        "kinds": [(slug, get_kind(slug).label) for slug in _kinds()],
        "lead": _lead(kind),
        "has_sample": has_sample(kind.slug),
        "key_columns": set(kind.target.key_cells) if kind.merges else set(),  # type: ignore[attr-defined]
        "required_columns": [column for column in kind.columns if column.required],
        "optional_columns": [column for column in kind.columns if not column.required],
        "payers": [(slug, get_payer(slug).label) for slug in sorted(registry.PAYERS)],
        "default_payer": DEFAULT_PAYER,
        "practices": own(caller, Practice),
        "without_account": kind.slug == KIND and not own(caller, PayerAccount).exists(),
        "max_bytes": max_upload_bytes(kind.slug),
        **sender_context(
            find_unfinished(caller).filter(upload__kind=kind.slug).exclude(upload__intent__has_key=PRECHECK)
        ),
        **list_history(caller, "", "", "1"),
    }


@require_POST
@member_view
def confirm(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Run a file although the same bytes were sent before: they are here already, nothing is sent again."""
    upload = fetch(request.caller, own(request.caller, Upload), public_id)
    if upload.mends:
        start_held(request.caller, upload)
    else:
        upload = complete_upload(request.caller, fetch_session(request.caller, public_id), confirmed=True)
    if request.htmx:
        return HttpResponse(status=202)
    job = Job.objects.filter(upload=upload).order_by("-id").first()
    target = reverse("job", args=[job.public_id]) if job else reverse("upload", args=[upload.public_id])
    return HttpResponseRedirect(target, status=303)
