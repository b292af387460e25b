"""Removes what an import brought: its contacts that nobody changed since, at any time.

An undo does more and less: it gives changed contacts their old values back too, but only within 30 days.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from django.db import transaction

from rowmill import audit
from rowmill.errors import StateError
from rowmill.merging.merge import hold_table_alone
from rowmill.models import FINAL_STATES, Contact, Job
from rowmill.orgs import Caller, own

log = structlog.get_logger("rowmill.contacts")


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes and what stays of the contacts that an import brought. `kept`: somebody or another import changed them."""

    removed: int
    kept: int


def count_removal(caller: Caller, job: Job) -> Removal:
    """Tell what would go and what would stay. Cost: a look at every contact that the import brought."""
    brought = own(caller, Contact).filter(created_job=job)
    removed = brought.filter(revision=1).count()
    return Removal(removed, brought.count() - removed)


def remove_imported(caller: Caller, job: Job) -> Removal:
    """Remove the contacts that an import brought and nobody changed since. What it changed itself stays as it is.

    Raises: NotAllowed; StateError while the import is at work. Again: removes what is there by then.
    Cost: one statement; some seconds for a million contacts.
    """
    caller.need_write()
    with transaction.atomic():
        held = own(caller, Job).select_for_update(no_key=True, of=("self",)).get(pk=job.pk)
        if held.state not in FINAL_STATES:
            raise StateError("This import is still at work. Wait until it has ended, or cancel it first.")
        hold_table_alone(caller.org.pk, long=True)
        brought = own(caller, Contact).filter(created_job=held)
        removed, _ = brought.filter(revision=1).delete()
        kept = brought.count()
        audit.record(
            caller.org, caller.user, "contacts.remove", "job", job.public_id, removed=removed, kept=kept
        )  # fmt: skip
    log.info("imported contacts removed", job_id=str(job.public_id), removed=removed, kept=kept)
    return Removal(removed, kept)
