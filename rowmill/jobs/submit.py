"""The third step: turns a READY upload into a Job and all its Batches, in one transaction, then rings once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from rowmill import audit
from rowmill.contracts import Balance, Kind
from rowmill.doorbell import new_ring_id, ring
from rowmill.errors import DuplicateFile, KeyReused, StateError, TableError
from rowmill.faults import fault_point
from rowmill.jobs.hold import hold_upload
from rowmill.jobs.turns import lane_for
from rowmill.merging.effects import awaits, policy_of, request_effect
from rowmill.models import Batch, FindingRecord, IdempotencyKey, Job, Upload, UploadState, User
from rowmill.models.text import storable
from rowmill.orgs import Caller, hold_org
from rowmill.registry import get_kind
from rowmill.uploads.inspect import as_finding, inspect_upload
from rowmill.uploads.receive import abandon_upload, begin_upload, finish_upload, max_upload_bytes, receive_whole

log = structlog.get_logger("rowmill.jobs")
LOOKED_UP = frozenset({"in_flight"})  # options that are ours and not the sender's: they may differ the next time
LEAST_ROWS = 1_000  # a merge of fewer is over before a second worker has begun


@dataclass(frozen=True, slots=True)
class Taken:
    """What a whole POST gave: the job, its upload, and whether an Idempotency-Key found them made before.

    There is no job while the file waits for its effect or for a person (merging.effects.awaits).
    """

    job: Job | None
    upload: Upload
    replayed: bool


def submit_job(upload: Upload, user: User | None, options: Mapping[str, Any]) -> Job:
    """Make the job and its batches, and ring. Raises: StateError unless the upload is READY."""
    ring_id = new_ring_id()
    with transaction.atomic():
        job = make_job(upload, user, options, ring_id)
    fault_point("submitted")
    ring(job.lane, ring_id)
    return job


def submit_unanswered(upload: Upload) -> Job | None:
    """Start the job of a POST that was cut before its answer, under the Idempotency-Key that it came with.

    So a sender that asks again with the key is given this job. Gives None where another sweeper was quicker.
    Raises: StateError unless the upload is READY.
    """
    intent = upload.intent or {}
    ring_id = new_ring_id()
    with transaction.atomic():
        held = hold_upload(upload.pk)
        if Job.objects.filter(upload=upload).exists():
            return None
        if (held.intent, held.mapping) != (upload.intent, upload.mapping):
            return None  # somebody chose otherwise since it was read: the next sweep looks anew
        job = make_job(upload, upload.created_by, intent, ring_id)
        keys = IdempotencyKey.objects.filter(org_id=upload.org_id, user=upload.created_by, job=None)
        key = keys.filter(request_hash=hash_request(upload.sha256, upload.kind, intent)).order_by("id").first()
        if key is not None:
            IdempotencyKey.objects.filter(pk=key.pk).update(job=job)
    fault_point("submitted")
    ring(job.lane, ring_id)
    return job


def hash_request(sha256: str, kind: str, intent: Mapping[str, Any]) -> str:
    """Give the hash by which the same request is known again."""
    sent = {name: value for name, value in intent.items() if name not in LOOKED_UP}
    body = json.dumps([sha256, kind, sent], sort_keys=True, default=str)
    return hashlib.sha256(body.encode()).hexdigest()


def hold_back(upload: Upload) -> bool:
    """Tell whether a READY upload waits before its job; have its effect worked out where that is what it waits for."""
    awaited = awaits(upload)
    if awaited == "effect":
        request_effect(upload, policy_of(upload), upload.created_by)
    return awaited != ""


def make_job(upload: Upload, user: User | None, options: Mapping[str, Any], ring_id: Any) -> Job:
    """Write the job with all its batches; call it inside a transaction. Raises: StateError unless the upload is READY."""
    held = hold_upload(upload.pk)
    if held.state != UploadState.READY or held.purged_at is not None or held.purge_after is not None:
        raise StateError("This file is not ready to be worked on.")
    need_balance(held)
    job = Job.objects.create(
        org_id=upload.org_id,
        upload=upload,
        kind=upload.kind,
        options=storable(dict(options)),
        total_rows=upload.row_count,
        lane=lane_for(upload.row_count),
        celery_task_id=ring_id,
        created_by=user,
    )
    kind = get_kind(upload.kind)
    size = rows_per_batch(kind, options, len(upload.header), upload.size_bytes // max(1, upload.row_count))
    if kind.merges:
        size = even_out(job.total_rows, size)
    Batch.objects.bulk_create(
        (
            Batch(
                org_id=upload.org_id,
                job=job,
                lane=job.lane,
                first_row=first,
                last_row=min(first + size - 1, job.total_rows),
            )
            for first in range(1, job.total_rows + 1, size)
        ),
        batch_size=500,
    )
    audit.record(upload.org, user, "job.submit", "job", job.public_id, rows=job.total_rows, kind=job.kind)
    fault_point("submitting")
    log.info("job submitted", job_id=str(job.public_id), rows=job.total_rows, kind=job.kind)
    return job


def need_balance(upload: Upload) -> None:
    """Hold the account of a file's lines against itself and against its rows. Raises: StateError where it does not add up."""
    told = {name: count for name, count in (upload.inspection.get("balance") or {}).items() if name != "balances"}
    account = Balance(**told)
    if not account.balances or account.rows != upload.row_count:
        log.error("upload does not balance", upload_id=str(upload.public_id), rows=upload.row_count)
        raise StateError(
            "The account of this file's lines does not balance. Nothing is run; tell whoever runs this installation."
        )


def rows_per_batch(kind: Kind, options: Mapping[str, Any], columns: int, row_bytes: int) -> int:
    """Give the rows of a batch: the kind's own, more where the payer account allows more calls at once than that fills."""
    in_flight = int(options.get("in_flight") or 0)
    return max(kind.rows_per_batch(columns, row_bytes), -(-in_flight // settings.ROWMILL_CONCURRENCY))


def even_out(rows: int, most: int) -> int:
    """Give the rows of a batch such that an even number of batches is equally long: of two workers none waits for the other."""
    if rows < 2 * LEAST_ROWS:
        return most
    batches = -(-rows // most)
    return -(-rows // (batches + batches % 2))


def take_file(
    caller: Caller,
    kind: str,
    name: str,
    chunks: Iterable[bytes],
    *,
    intent: Mapping[str, Any],
    confirm_duplicate: bool = False,
    idempotency_key: str | None = None,
) -> Taken:
    """Take a whole file through all its steps: receive, inspect, submit. What stops on the way leaves nothing half-done.

    Raises: InputError, TableError with findings, DuplicateFile, KeyReused, StateError, OutOfSpace, NotAllowed.
    Again: with the same idempotency_key and body it gives the same job.
    """
    upload = begin_upload(caller, kind, name, dict(intent))
    size, sha256 = receive_whole(upload, chunks, max_upload_bytes(upload.kind))
    key = None
    try:
        key, done = _hold_key(caller, idempotency_key, sha256, kind, intent)
        fault_point("key_held")
        if done is not None:
            abandon_upload(upload)
            return Taken(done, done.upload, replayed=True)
        if not confirm_duplicate:
            need_new_bytes(upload, sha256)
        return Taken(
            _inspect_and_submit(caller, finish_upload(upload, size, sha256), key, confirm_duplicate), upload, False
        )
    except BaseException as error:
        if key is not None:
            IdempotencyKey.objects.filter(pk=key.pk, job=None).delete()
        if not isinstance(error, TableError):
            abandon_upload(upload)
        raise


def _inspect_and_submit(caller: Caller, upload: Upload, key: IdempotencyKey | None, confirmed: bool) -> Job | None:
    """Judge the file; when sound, make the job together with the key's note of it, unless it waits for something."""
    upload = inspect_upload(upload)
    if upload.state != UploadState.READY:
        raise refusal(upload)
    if hold_back(upload):
        return None
    ring_id = new_ring_id()
    with transaction.atomic():
        hold_upload(upload.pk)
        made = Job.objects.filter(upload=upload).first()
        if made is not None:  # a sweeper took this request for dead
            return made
        if not confirmed:
            hold_org(caller.org)  # of the same file sent twice at once, the second sees the first
            need_new_bytes(upload, upload.sha256)
        job = make_job(upload, caller.user, upload.intent or {}, ring_id)
        if key is not None:
            IdempotencyKey.objects.filter(pk=key.pk).update(job=job)
    fault_point("submitted")
    ring(job.lane, ring_id)
    return job


def refusal(upload: Upload) -> TableError:
    """Make the error that tells why an upload was refused."""
    findings = [as_finding(record) for record in FindingRecord.objects.filter(upload=upload).order_by("position")]
    first = next((f for f in findings if f.severity == "error"), None)
    sentence = first.message if first else "The file is not a sound table."
    return TableError(sentence, findings, upload_id=str(upload.public_id), balance=upload.inspection.get("balance"))


def need_new_bytes(upload: Upload, sha256: str) -> None:
    """Raises: DuplicateFile where the same bytes made a job of the same kind within the window."""
    twin = find_twin(upload, sha256)
    if twin is not None:
        raise DuplicateFile(
            "This very file was taken in before, within the last day. Look at that job, or confirm to run it again.",
            job_id=str(twin.public_id),
            created_at=twin.created_at.isoformat(),
        )


def find_twin(upload: Upload, sha256: str) -> Job | None:
    """Give the newest job of the same kind that another upload of the same bytes made within the window."""
    since = timezone.now() - timedelta(hours=settings.ROWMILL_DUPLICATE_HOURS)
    made = Job.objects.filter(org_id=upload.org_id, kind=upload.kind, deleted_at=None, created_at__gte=since)
    return made.filter(upload__sha256=sha256).exclude(upload=upload).order_by("-id").first()


def _hold_key(
    caller: Caller, key: str | None, sha256: str, kind: str, intent: Mapping[str, Any]
) -> tuple[IdempotencyKey | None, Job | None]:
    """Take the Idempotency-Key for this request. Shape: (the key held, or the job that it made before).

    Raises: KeyReused with another body; StateError while the first request is still under way.
    """
    if not key:
        return None, None
    request_hash = hash_request(sha256, kind, intent)
    with transaction.atomic():
        held, made = IdempotencyKey.objects.select_related("job__upload").get_or_create(
            org=caller.org, user=caller.user, key=key[:255], defaults={"request_hash": request_hash}
        )
    if made:
        return held, None
    if held.request_hash != request_hash:
        raise KeyReused
    if held.job is None:
        raise StateError(
            "The first request with this Idempotency-Key is still under way. Ask again in a moment.", code="in_progress"
        )
    return None, held.job
