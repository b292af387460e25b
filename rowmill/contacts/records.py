"""One contact: where it came from and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from rowmill.errors import NotFound
from rowmill.merging.undo import UNDO_DAYS
from rowmill.models import AuditEvent, Contact, Job, OldRow, User
from rowmill.orgs import Caller, own

EDIT, DELETE = "contact.edit", "contact.delete"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a contact came from: the import that brought it, the one that wrote it last, and from which row and line."""

    created_job: Job | None
    import_job: Job | None
    row: int | None
    line: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened to a contact."""

    at: datetime
    words: str
    job: Job | None = None
    who: User | None = None
    fields: str = ""


def fetch_contact(caller: Caller, contact_id: int) -> Contact:
    """Give one contact of the caller's org. Raises: NotFound, whether it is not there or not theirs."""
    found = own(caller, Contact).filter(pk=contact_id).first() if contact_id < 2**63 else None
    if found is None:
        raise NotFound("There is no such contact.")
    return found


def find_origin(contact: Contact) -> Origin:
    """Give where a contact came from. A job that is gone is None."""
    jobs = _jobs(contact, {contact.created_job_id, contact.import_job_id})
    return Origin(
        jobs.get(contact.created_job_id or 0),
        jobs.get(contact.import_job_id or 0),
        contact.import_row,
        contact.import_line,
    )


def list_changes(contact: Contact) -> list[Change]:
    """Give what happened to a contact, newest first: imports of the last 30 days, the first and the last, edits by hand."""
    olds = dict(find_old_rows(contact).values_list("job_id", "kept_at"))
    jobs = _jobs(contact, {contact.created_job_id, contact.import_job_id, *olds})
    found = [Change(at, "changed by an import", jobs.get(job_id)) for job_id, at in olds.items()]
    last = contact.import_job_id
    if last is not None and last != contact.created_job_id and last not in olds and last in jobs:
        found.append(Change(jobs[last].completed_at or contact.updated_at, "changed by an import", jobs[last]))
    found.append(
        Change(
            contact.created_at,
            "brought by an import" if contact.created_job_id else "made",
            jobs.get(contact.created_job_id or 0),
        )
    )
    events = AuditEvent.objects.filter(
        org_id=contact.org_id, target_type="contact", target_id=str(contact.pk), verb=EDIT
    ).select_related("actor")
    found += [Change(one.at, "edited by hand", None, one.actor, str(one.details.get("fields", ""))) for one in events]
    return sorted(found, key=lambda change: change.at, reverse=True)


def find_old_rows(contact: Contact) -> QuerySet[OldRow]:
    """Give what a contact was before imports of the last 30 days changed it. Cost: a look for each such job."""
    recent = Job.objects.filter(org_id=contact.org_id, created_at__gte=timezone.now() - timedelta(days=2 * UNDO_DAYS))
    return OldRow.objects.filter(job__in=recent, target=Contact._meta.db_table, target_id=contact.pk)


def _jobs(contact: Contact, ids: set[int | None]) -> dict[int, Job]:
    """Read jobs by their numbers."""
    found = Job.objects.filter(org_id=contact.org_id, pk__in=[number for number in ids if number]).select_related(
        "upload", "created_by"
    )
    return {job.pk: job for job in found}
