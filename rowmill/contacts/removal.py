"""Removes what an import brought: its contacts that nobody changed since, at any time, in the background.

An undo does more and less: it gives changed contacts their old values back too, but only within 30 days.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q

from rowmill.merging.undo import find_undo, remove_inserted
from rowmill.models import Contact, Job, Undo, UndoWhat
from rowmill.orgs import Caller, own


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes and what stays of the contacts that an import brought. `kept`: somebody or another import changed them."""

    removed: int
    kept: int


def count_removal(caller: Caller, job: Job) -> Removal:
    """Tell what would go and what would stay. Cost: a look at every contact that the import brought."""
    brought = own(caller, Contact).filter(created_job=job)
    told = brought.aggregate(all=Count("pk"), unchanged=Count("pk", filter=Q(revision=1)))
    return Removal(told["unchanged"], told["all"] - told["unchanged"])


def remove_imported(caller: Caller, job: Job) -> Undo:
    """Have the contacts removed that an import brought and nobody changed since. What it changed itself stays as it is.

    Raises: NotAllowed; StateError while the import is at work.
    Again: gives the removal that is at work; after its end it looks anew.
    """
    return remove_inserted(caller, job)


def find_removal(job: Job) -> Undo | None:
    """Give how far the removal of an import's contacts is."""
    return find_undo(job, UndoWhat.REMOVAL)
