"""The verdict as a page: what became of a file, the causes behind it, where it is damaged, what can be mended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from rowmill.jobs.discard import discard_upload, may_discard
from rowmill.jobs.submit import find_twin
from rowmill.merging.effects import awaits, is_waiting
from rowmill.models import Job, Upload, UploadState
from rowmill.orgs import fetch, own
from rowmill.uploads.handouts import has_bytes
from rowmill.uploads.receive import is_for_precheck
from rowmill.web.frame import MemberRequest, member_view
from rowmill.web.history import describe_upload
from rowmill.web.tags import plural
from rowmill.web.verdict_tags import does_stop, stops

NO_VERDICT: dict[str, str] = {
    UploadState.RECEIVING: "This file is still coming in.",
    UploadState.CHECKING: "This file is still being checked.",
    UploadState.READY: "This file is sound; its job is being started.",
    UploadState.ABORTED: "This file is not here: its sending broke off, it was sent before, or it was discarded. Nothing was run.",
}
MENDING = "The mended copy is being made. Then every line of it is checked as of any file."
FOUND = "Sound: {}, {}. It is being made ready."
MOST_ANCESTORS = 20


@dataclass(frozen=True)
class Verdict:
    """What became of a file: sound (a job), refused (findings), duplicate, not taken, or none yet (coming)."""

    word: str
    name: str
    status: int
    message: str = ""
    upload: Upload | None = None
    findings: list[Any] = field(default_factory=list)
    job: Job | None = None
    created_at: Any = None

    @property
    def stops(self) -> list[Any]:
        """Give what stops the file; a bad cell alone never does, it only rejects its row."""
        return [f for f in self.findings if does_stop(f.code, f.severity)]

    @property
    def besides(self) -> list[Any]:
        """Give the other findings: bad cells and warnings."""
        return [f for f in self.findings if not does_stop(f.code, f.severity)]

    @property
    def first(self) -> str:
        """Say the first thing that stops the file."""
        stopping = [cause["message"] for cause in self.inspection["causes"] if stops(cause)]
        return next(iter(stopping), self.message)

    @property
    def stop_count(self) -> int:
        """Count the causes that stop the file."""
        return sum(stops(cause) for cause in self.inspection["causes"])

    @cached_property
    def inspection(self) -> dict[str, Any]:
        """Give what the parts in templates/verdict show."""
        return describe_inspection(self.upload, self.findings)

    @cached_property
    def awaits(self) -> str:
        """Say what a sound file without a job waits for: review, effect, go_ahead."""
        waits = self.word == "sound" and self.job is None and self.upload is not None
        return awaits(self.upload) if waits and self.upload is not None else ""

    @property
    def discardable(self) -> bool:
        """Tell whether the file can be thrown away."""
        return self.upload is not None and may_discard(self.upload)

    @property
    def here(self) -> bool:
        """Tell whether the file's bytes are there to be looked at and mended."""
        return self.upload is not None and has_bytes(self.upload)

    @property
    def ancestors(self) -> list[Upload]:
        """Give the files that a mended copy comes from, the nearest first."""
        found: list[Upload] = []
        upload = self.upload
        while upload is not None and upload.parent is not None and len(found) < MOST_ANCESTORS:
            upload = upload.parent
            found.append(upload)
        return found

    @property
    def copies(self) -> list[Upload]:
        """Give the mended copies that were made of it, the newest first."""
        if self.upload is None:
            return []
        return list(self.upload.mended.exclude(state=UploadState.ABORTED).order_by("-id")[:MOST_ANCESTORS])


def describe_inspection(upload: Upload | None, findings: list[Any]) -> dict[str, Any]:
    """Give the causes, the map and the findings of a file as the parts in templates/verdict show them."""
    facts: Mapping[str, Any] = upload.inspection if upload is not None else {}
    causes = [dict(cause) for cause in facts.get("causes") or ()] or _causes_of(findings)
    causes.sort(key=lambda cause: not stops(cause))
    return {"causes": causes, "damage": facts.get("damage") or "", "findings": findings}


def _causes_of(findings: list[Any]) -> list[dict[str, Any]]:
    """Put findings of one code and column together, where nobody has found their causes."""
    causes: dict[tuple[str, Any], dict[str, Any]] = {}
    for found in findings:
        cause = causes.setdefault(
            (found.code, found.column),
            {
                **{
                    name: getattr(found, name)
                    for name in ("code", "severity", "message", "line", "row", "column", "byte")
                },
                "column_name": found.column_name,
                "count": 0,
                "mend": "",
                "clears": 0,
            },
        )
        cause["count"] += found.count
    return list(causes.values())


def find_upload(request: MemberRequest, public_id: UUID) -> Upload:
    """Give an upload of the caller's org. Raises: NotFound."""
    uploads = own(request.caller, Upload).select_related("created_by", "org", "parent")
    return fetch(request.caller, uploads, public_id)


@require_GET
@member_view
def upload_page(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show the verdict on a file again: what was found, where, and what to do; while there is none, how far it is."""
    upload = find_upload(request, public_id)
    verdict = find_verdict(upload) or coming(upload)
    return render(request, "uploads/upload.html", {"verdict": verdict, "upload": upload})


@require_GET
@member_view
def upload_verdict(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Give the verdict on a file as a part of the page, 202 while there is none yet, with what is known; to the history its line.

    To a page that shows how far it is, that, until there is a verdict.
    """
    upload = find_upload(request, public_id)
    target = (request.htmx.target or "") if request.htmx else ""
    if target.startswith("row-"):
        return render(request, "jobs/row.html", {"entry": describe_upload(upload)})
    verdict = find_verdict(upload)
    if verdict is None and target.startswith("coming-"):
        verdict = coming(upload)
    if verdict is None:
        words = coming(upload).message if upload.inspection else ""
        return HttpResponse(words, status=202, content_type="text/plain; charset=utf-8")
    return render(request, "uploads/verdict.html", {"verdict": verdict})


@require_POST
@member_view
def discard(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Throw a file away that has no job."""
    upload = find_upload(request, public_id)
    discard_upload(request.caller, upload)
    messages.success(request, "The file is discarded: its bytes are gone, and nothing was run.")
    return HttpResponseRedirect(f"{reverse('bulk-upload')}?kind={upload.kind}", status=303)


def coming(upload: Upload) -> Verdict:
    """Say how far a file is that has no verdict yet."""
    words = NO_VERDICT[upload.state]
    if upload.state == UploadState.CHECKING and upload.mends and not upload.sha256:
        words = MENDING
    elif upload.state == UploadState.CHECKING and (found := upload.inspection.get("found")):
        words = FOUND.format(plural(found["rows"], "row"), plural(found["columns"], "column"))
    return Verdict("coming", upload.name, 200, words, upload)


def find_verdict(upload: Upload) -> Verdict | None:
    """Say what became of a file; None while it comes in, is checked, or its job is being made."""
    if upload.state in (UploadState.RECEIVING, UploadState.CHECKING):
        return None
    if upload.state == UploadState.ABORTED:
        return Verdict("not_taken", "", 200, NO_VERDICT[upload.state], upload)
    jobs = Job.objects.filter(upload=upload)
    wanted = upload.intent is not None and not is_for_precheck(upload.intent)
    if upload.state == UploadState.READY and wanted and not jobs.exists():
        if upload.purge_after is not None:
            return _held(upload)
        if not is_waiting(upload):
            return None
    word = "refused" if upload.state == UploadState.REJECTED else "sound"
    job = jobs.filter(deleted_at=None).order_by("-id").first()
    return Verdict(word, upload.name, 200, upload=upload, findings=list(upload.findings.all()), job=job)


def _held(upload: Upload) -> Verdict:
    """Tell of a sound file that waits for a word, since the same bytes made a job before."""
    twin = find_twin(upload, upload.sha256)
    return Verdict("duplicate", upload.name, 200, upload=upload, job=twin, created_at=twin and twin.created_at)
