"""The fourth step for bulk kinds: a batch done whole, its effect, its counts and its marker in one transaction."""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
from django.db import transaction
from django.db.models.functions import Now

from rowmill.contracts import BatchInfo, Kind, MergeCounts, TableSource
from rowmill.errors import TableGone
from rowmill.faults import fault_point
from rowmill.jobs.bring import storage_told
from rowmill.jobs.checkpoint import settle_batch, stored_row
from rowmill.jobs.claim import hold_batch, job_state_held, renew_lease
from rowmill.jobs.info import job_info
from rowmill.jobs.upsert import upsert_results
from rowmill.models import Batch, BatchMerge, BatchState, JobState, Upload
from rowmill.uploads.places import hold_table

# Such a batch keeps a core busy from its beginning to its end: more of them than cores only take memory.
_room = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))


def run_whole(batch: Batch, kind: Kind) -> str:
    """Prepare a batch, then merge it and mark it done in one transaction. Shape: as `settle_batch`.

    Raises: LostLease, Snooze, TableGone, and whatever the kind raises; nothing is written then.
    Again: yes; a batch is either done with all its rows or not begun.
    """
    info = BatchInfo(batch.pk, job_info(batch.job), batch.first_row, batch.last_row, lane=batch.lane)
    with _room, ExitStack() as held:
        with storage_told():
            path = held.enter_context(hold_table(batch.job.upload))
        try:
            prepared = held.enter_context(kind.prepare(info, source_of(batch.job.upload, path)))
        except duckdb.IOException as error:
            raise TableGone from error
        fault_point("prepared")
        if not renew_lease(batch):
            return settle_batch(batch)
        state = _merge(batch, kind, info, prepared)
    fault_point("settled")
    return state


def source_of(upload: Upload, path: Path) -> TableSource:
    """Give an upload's columnar copy as a bulk kind reads it."""
    checked = dict(upload.mapping) == dict(upload.inspection.get("mapping") or {})
    return TableSource(path, tuple(upload.header), dict(upload.mapping), checked)


def _merge(batch: Batch, kind: Kind, info: BatchInfo, prepared: Any) -> str:
    """Write the effect and the marker together, unless the job is being cancelled or the batch is no longer ours."""
    with transaction.atomic():
        hold_batch(batch)
        if job_state_held(batch) != JobState.PROCESSING:
            Batch.objects.filter(pk=batch.pk).update(state=BatchState.CANCELLED, owner="", lease_until=None)
            return str(BatchState.CANCELLED)
        fault_point("before_effect")
        counts = kind.merge(info, prepared)
        fault_point("after_effect")
        _mark_done(batch, counts)
        fault_point("settling")
    return str(BatchState.DONE)


def _mark_done(batch: Batch, counts: MergeCounts) -> None:
    """Write the rows that have something to tell, the counts and the marker. Raises: RuntimeError unless they add up."""
    told = Counter(outcome.outcome for outcome in counts.outcomes)
    rejected = told["rejected"]
    if counts.inserted + counts.updated + counts.unchanged + rejected != batch.row_count:
        raise RuntimeError("the counts of a merge do not add up to its batch")
    upsert_results([stored_row(batch, outcome) for outcome in counts.outcomes])
    BatchMerge.objects.update_or_create(
        batch=batch,
        defaults={
            "org_id": batch.org_id,
            "job_id": batch.job_id,
            "inserted": counts.inserted,
            "updated": counts.updated,
            "unchanged": counts.unchanged,
            "duplicates": counts.duplicates,
            "rejected": rejected,
            "written_at": Now(),
        },
    )
    Batch.objects.filter(pk=batch.pk).update(
        state=BatchState.DONE,
        owner="",
        lease_until=None,
        waiting_reason="",
        ok=batch.row_count - rejected,
        rejected=rejected,
        not_found=0,
        failed=0,
    )
