"""Beside the flow: removes the files of prechecks that are over, or stuck. The record and its trail stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db.models import Q, QuerySet
from django.utils import timezone

from rowmill.models import Precheck
from rowmill.uploads.prechecks import FINAL, due_prechecks, give_up
from rowmill.uploads.purge import purge_unless_copied
from rowmill.uploads.receive import PRECHECK, is_for_precheck

log = structlog.get_logger("rowmill.prechecks")
KEPT_HOURS = 24


@dataclass(frozen=True, slots=True)
class Removed:
    """One precheck that was cleaned up: what it was, and how many bytes of its file went (0: the file is an upload's)."""

    precheck: Precheck
    was: str
    file_bytes: int


def find_leftovers(*, hours: float = KEPT_HOURS, of_any_age: bool = False, status: str = "") -> QuerySet[Precheck]:
    """Find the prechecks whose file is still here, and those that nobody runs any more, older than so many hours.

    What a worker runs right now is never among them. `status`: of this one alone.
    """
    sent = Q(upload__intent__has_key=PRECHECK, upload__purged_at=None, status__in=FINAL)
    stuck = Q(pk__in=due_prechecks().values("pk"))
    found = Precheck.objects.filter(sent | stuck).select_related("upload__org", "org", "created_by").order_by("pk")
    if not of_any_age:
        found = found.filter(created_at__lt=timezone.now() - timedelta(hours=hours))
    return found.filter(status=status) if status else found


def clean_prechecks(found: QuerySet[Precheck]) -> Iterator[Removed]:
    """Remove what `find_leftovers` found, one after the other. Again: yes.

    A stuck one ends as FAILED. A file that was sent for it goes with an audit event, unless another precheck of it runs;
    one of which a mended copy is being made goes once that is there. One that came for a job is left alone, and so is one
    that the storage does not let go just now.
    """
    for precheck in found:
        was, upload = precheck.status, precheck.upload
        if was not in FINAL and not give_up(precheck, "It was removed before it was done. Send the file again."):
            continue
        wanted = is_for_precheck(upload.intent) and not upload.prechecks.exclude(status__in=FINAL).exists()
        gone = wanted and purge_unless_copied(upload)
        if gone or was not in FINAL:
            yield Removed(precheck, was, upload.size_bytes if gone else 0)


def clean_old_prechecks() -> int:
    """Do so with what is older than a day. Gives how many went."""
    gone = sum(1 for _ in clean_prechecks(find_leftovers()))
    if gone:
        log.info("prechecks cleaned up", count=gone)
    return gone
