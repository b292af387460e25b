"""The history: every file that was taken in, newest first, each with its latest job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Prefetch, Q, QuerySet

from rowmill import registry
from rowmill.jobs.progress import Progress, read_many, read_progress
from rowmill.merging.effects import awaits
from rowmill.models import FINAL_STATES, Job, JobState, Upload, UploadState
from rowmill.orgs import Caller, own
from rowmill.registry import get_kind
from rowmill.uploads.receive import PRECHECK, is_for_precheck

PAGE_SIZE = 15
REFUSED = "REFUSED"
STATES = (*JobState.values, REFUSED)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the history: a file, and its latest job with its progress where there is one."""

    upload: Upload
    job: Job | None
    progress: Progress | None

    @property
    def live(self) -> bool:
        """Tell whether it still changes."""
        if self.job is None:
            wanted = self.upload.intent is not None and not is_for_precheck(self.upload.intent)
            coming = (
                self.upload.state == UploadState.READY and wanted and not self.held and self.awaits in ("", "effect")
            )
            return coming or self.upload.state in (UploadState.RECEIVING, UploadState.CHECKING)
        return self.job.state not in FINAL_STATES

    @property
    def held(self) -> bool:
        """Tell whether it waits for a word, since the same bytes made a job before."""
        waits = self.job is None and self.upload.state == UploadState.READY and self.upload.purge_after is not None
        return waits and not is_for_precheck(self.upload.intent)

    @property
    def awaits(self) -> str:
        """Say what a sound file without a job waits for: review, effect, go_ahead."""
        waits = self.job is None and self.upload.state == UploadState.READY and not self.held
        return awaits(self.upload) if waits else ""

    @property
    def row_id(self) -> str:
        """Give the id of its line in the page."""
        return str(self.job.public_id if self.job is not None else self.upload.public_id)

    @property
    def undone(self) -> int:
        """Count the rows that a retry would take."""
        outcomes = self.progress.outcomes if self.progress is not None else {}
        return outcomes.get("failed", 0) + outcomes.get("unprocessed", 0)

    @property
    def kind_label(self) -> str:
        """Name its kind in words; nothing where this installation knows one kind only."""
        return (
            get_kind(self.upload.kind).label if self.upload.kind and len(registry.KINDS) - len(_jobless()) > 1 else ""
        )


def _jobless() -> list[str]:
    """Give the kinds whose files make no job: they have pages of their own."""
    return [slug for slug in registry.KINDS if not get_kind(slug).makes_jobs]


def list_history(caller: Caller, state: str, search: str, page: str) -> dict[str, Any]:
    """Give a page of the history as the templates need it. Cost: four queries."""
    state = state if state in STATES else ""
    found: Page[Upload] = Paginator(_find(caller, state, search), PAGE_SIZE).get_page(page)
    entries = _entries(list(found.object_list))
    return {
        "entries": entries,
        "found": found,
        "state": state,
        "search": search,
        "states": STATES,
        "history_live": any(entry.live for entry in entries),
        "history_filtered": bool(state or search),
    }


def describe_job(job: Job) -> Entry:
    """Give one job's line."""
    return Entry(job.upload, job, read_progress(job))


def describe_upload(upload: Upload) -> Entry:
    """Give one file's line, with its latest job where it has one."""
    job = (
        Job.objects.filter(upload=upload, deleted_at=None)
        .select_related("upload", "created_by")
        .order_by("-id")
        .first()
    )
    return Entry(upload, None, None) if job is None else describe_job(job)


def _find(caller: Caller, state: str, search: str) -> QuerySet[Upload]:
    """Choose the org's uploads: not the abandoned ones, nor those whose job was deleted, nor what was only prechecked."""
    uploads = own(caller, Upload).exclude(state__in=(UploadState.ABORTED, UploadState.RECEIVING))
    uploads = uploads.exclude(kind__in=_jobless())
    uploads = uploads.filter(Q(intent=None) | ~Q(intent__has_key=PRECHECK))
    if state == REFUSED:
        uploads = uploads.filter(state=UploadState.REJECTED)
    elif state:
        uploads = uploads.filter(jobs__state=state, jobs__deleted_at=None)
    else:
        uploads = uploads.filter(Q(jobs=None) | Q(jobs__deleted_at=None))
    if search:
        uploads = uploads.filter(name__icontains=search)
    jobs = Job.objects.filter(deleted_at=None).select_related("created_by").order_by("-id")
    return (
        uploads.distinct()
        .order_by("-id")
        .select_related("created_by", "org")
        .prefetch_related(Prefetch("jobs", queryset=jobs))
    )


def _entries(uploads: list[Upload]) -> list[Entry]:
    """Put each upload together with its latest job and that one's progress."""
    latest = {upload.pk: next(iter(upload.jobs.all()), None) for upload in uploads}
    jobs = [job for job in latest.values() if job is not None]
    progress = read_many(jobs)
    entries = []
    for upload in uploads:
        job = latest[upload.pk]
        if job is not None:
            job.upload = upload
        entries.append(Entry(upload, job, progress.get(job.pk) if job is not None else None))
    return entries
