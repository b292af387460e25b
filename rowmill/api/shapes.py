"""How jobs and uploads look in JSON: the shapes of the OpenAPI page, and the functions that fill them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from rowmill.jobs.progress import Progress, read_many
from rowmill.merging.effects import awaits, is_waiting
from rowmill.models import Job as JobRow
from rowmill.models import JobState, Practice, Upload, UploadState
from rowmill.registry import KINDS, get_kind
from rowmill.uploads.handouts import has_bytes
from rowmill.uploads.mending import left_out_rows, propose_mends

MERGED = ("inserted", "updated", "unchanged", "duplicates", "rejected")


class Outcomes(serializers.Serializer[Any]):
    """How many rows have which outcome; together they are all rows."""

    ok = serializers.IntegerField()
    not_found = serializers.IntegerField()
    rejected = serializers.IntegerField()
    failed = serializers.IntegerField()
    unprocessed = serializers.IntegerField()


@extend_schema_serializer(component_name="Balance")
class BalanceShape(serializers.Serializer[Any]):
    """The account of physical lines, and of rows.

    lines = header + rows + blank + continuation + preamble_footer + broken (`balances`);
    rows = ok + not found + rejected + failed + not processed (`rows_balance`).
    """

    lines = serializers.IntegerField()
    header = serializers.IntegerField()
    rows = serializers.IntegerField()
    blank = serializers.IntegerField()
    continuation = serializers.IntegerField()
    preamble_footer = serializers.IntegerField()
    broken = serializers.IntegerField()
    balances = serializers.BooleanField()
    rows_balance = serializers.BooleanField()
    left_out = serializers.IntegerField(help_text="Rows of the original that a mended copy does not have: rejected.")


class MergedShape(serializers.Serializer[Any]):
    """What the rows of an import came to by now. inserted + updated + unchanged + rejected = the rows done."""

    inserted = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    duplicates = serializers.IntegerField(help_text="Of the unchanged: another row of the file stood for them.")
    rejected = serializers.IntegerField()


@extend_schema_serializer(component_name="Progress")
class ProgressShape(serializers.Serializer[Any]):
    """How far a job is."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(JobState.choices)
    final = serializers.BooleanField(help_text="True once nothing more will happen by itself: stop asking.")
    total_rows = serializers.IntegerField()
    processed_rows = serializers.IntegerField(help_text="Rows that have an outcome.")
    success_rows = serializers.IntegerField(help_text="Rows that are ok.")
    failed_rows = serializers.IntegerField(help_text="Rows that have an outcome and are not ok.")
    outcomes = Outcomes()
    percent = serializers.FloatField()
    rows_per_minute = serializers.FloatField(allow_null=True)
    seconds_left = serializers.ListField(
        child=serializers.IntegerField(), min_length=2, max_length=2, allow_null=True, help_text="From, to."
    )
    waiting_reason = serializers.CharField(allow_blank=True)
    balance = BalanceShape()
    merged = MergedShape(allow_null=True, help_text="Of an import.")


class JobLinks(serializers.Serializer[Any]):
    """Where to go on."""

    self = serializers.CharField()
    progress = serializers.CharField()
    results = serializers.CharField()
    retry = serializers.CharField()
    cancel = serializers.CharField()
    undo = serializers.CharField(help_text="Of an import.")
    upload = serializers.CharField()


@extend_schema_serializer(component_name="Job")
class JobShape(ProgressShape):
    """One run over one file."""

    kind = serializers.CharField()
    file_name = serializers.CharField()
    file_size = serializers.IntegerField(help_text="Bytes.")
    sha256 = serializers.CharField()
    upload_id = serializers.UUIDField()
    celery_task_id = serializers.UUIDField()
    transaction_code = serializers.CharField(allow_null=True)
    payer = serializers.CharField(allow_null=True)
    practice = serializers.UUIDField(allow_null=True)
    start_date = serializers.DateField(allow_null=True)
    end_date = serializers.DateField(allow_null=True)
    error_log = serializers.ListField(child=serializers.JSONField())
    retries = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    created_by = serializers.EmailField(allow_null=True)
    processing_started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    cancelled_at = serializers.DateTimeField(allow_null=True)
    cancelled_by = serializers.EmailField(allow_null=True)
    links = JobLinks()


class UploadLinks(serializers.Serializer[Any]):
    """Where to go on."""

    self = serializers.CharField()
    findings = serializers.CharField()
    jobs = serializers.ListField(child=serializers.CharField())
    mend = serializers.CharField()
    failed_rows = serializers.CharField()
    annotated = serializers.CharField()
    mapping = serializers.CharField(help_text="Of contacts.")
    effect = serializers.CharField(help_text="Of contacts.")
    start = serializers.CharField(help_text="Of contacts: POST starts the import of a file that waits for it.")


@extend_schema_serializer(component_name="Cause")
class CauseShape(serializers.Serializer[Any]):
    """One root cause behind findings. Units: as of a finding; the place is the first of `count`."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(["error", "warning"])
    message = serializers.CharField()
    count = serializers.IntegerField()
    mend = serializers.CharField(allow_blank=True, help_text="What clears it without guessing; empty: a person must.")
    clears = serializers.IntegerField(help_text="How many of the places the mend clears.")
    about = serializers.BooleanField(
        help_text="These numbers are reckoned from a sample of the places; else they were counted."
    )
    line = serializers.IntegerField(allow_null=True)
    row = serializers.IntegerField(allow_null=True)
    column = serializers.IntegerField(allow_null=True)
    column_name = serializers.CharField(allow_null=True)
    byte = serializers.IntegerField(allow_null=True)


@extend_schema_serializer(component_name="Mend")
class MendShape(serializers.Serializer[Any]):
    """One thing that can be mended."""

    slug = serializers.CharField()
    title = serializers.CharField()
    help = serializers.CharField(allow_blank=True)


@extend_schema_serializer(component_name="Upload")
class UploadShape(serializers.Serializer[Any]):
    """One file, and what was found in it."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    status = serializers.ChoiceField(UploadState.choices)
    file_name = serializers.CharField()
    file_size = serializers.IntegerField(help_text="Bytes.")
    sha256 = serializers.CharField(allow_blank=True)
    rows = serializers.IntegerField()
    rejected_rows = serializers.IntegerField()
    findings = serializers.IntegerField(help_text="How many findings are kept.")
    dialect = serializers.DictField(allow_null=True, help_text="Null for a workbook.")
    sheet = serializers.CharField(allow_blank=True, help_text="The sheet that was read of a workbook.")
    balance = serializers.DictField()
    causes = CauseShape(many=True)
    damage = serializers.CharField(
        allow_blank=True, help_text='The file in equal stretches, a letter each: "." sound, "w" warning, "e" error.'
    )
    proposed_mends = MendShape(many=True)
    mended_from = serializers.UUIDField(allow_null=True, help_text="The upload that this one is a mended copy of.")
    mends = serializers.ListField(child=serializers.CharField(), help_text="What was mended in this copy.")
    left_out_rows = serializers.IntegerField(help_text="Rows of the parent that this copy does not have.")
    awaits = serializers.ChoiceField(
        ["", "review", "effect", "go_ahead"], help_text="What a sound file of contacts without a job waits for."
    )
    created_at = serializers.DateTimeField()
    created_by = serializers.EmailField(allow_null=True)
    checked_at = serializers.DateTimeField(allow_null=True)
    purge_after = serializers.DateTimeField(allow_null=True, help_text="When its bytes go.")
    purged_at = serializers.DateTimeField(allow_null=True)
    links = UploadLinks()


@extend_schema_serializer(component_name="Result")
class ResultShape(serializers.Serializer[Any]):
    """What became of one row. `values` has the columns of the results file; dates in it are ISO."""

    row = serializers.IntegerField()
    line = serializers.IntegerField(allow_null=True)
    outcome = serializers.ChoiceField(["ok", "not_found", "rejected", "failed", "unprocessed"])
    success = serializers.BooleanField()
    code = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)
    attempts = serializers.IntegerField()
    values = serializers.DictField(child=serializers.CharField(allow_blank=True))


@extend_schema_serializer(component_name="ResultPage")
class ResultPageShape(serializers.Serializer[Any]):
    """A page of results."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = ResultShape(many=True)


@extend_schema_serializer(component_name="Retry")
class RetryShape(JobShape):
    """The job after a retry."""

    retried_rows = serializers.IntegerField(help_text="How many rows are asked again.")


def describe_progress(job: JobRow, progress: Progress) -> dict[str, Any]:
    """Give how far a job is."""
    return {
        "id": str(job.public_id),
        "status": progress.state,
        "final": progress.final,
        "total_rows": progress.total_rows,
        "processed_rows": progress.processed_rows,
        "success_rows": progress.success_rows,
        "failed_rows": progress.failed_rows,
        "outcomes": dict(progress.outcomes),
        "percent": progress.percent,
        "rows_per_minute": progress.rows_per_minute,
        "seconds_left": list(progress.seconds_left) if progress.seconds_left is not None else None,
        "waiting_reason": progress.waiting_reason,
        "balance": _balance(progress.balance),
        "merged": _merged(job, progress),
    }


def _merged(job: JobRow, progress: Progress) -> dict[str, int] | None:
    """Give what the rows of an import came to; None for a job of another kind."""
    if job.kind not in KINDS or not get_kind(job.kind).merges:
        return None
    return {name: progress.merged.get(name, 0) for name in MERGED}


def describe_jobs(jobs: Iterable[JobRow]) -> list[dict[str, Any]]:
    """Give whole jobs. Cost: a few queries, however many jobs, where upload and people were selected with them."""
    jobs = list(jobs)
    progress = read_many(jobs)
    wanted = {job.options.get("practice_id") for job in jobs} - {None}
    practices = dict(Practice.objects.filter(pk__in=wanted).values_list("pk", "public_id"))
    return [_describe_job(job, progress[job.pk], practices.get(job.options.get("practice_id"))) for job in jobs]


def describe_one(job: JobRow) -> dict[str, Any]:
    """Give a whole job."""
    return describe_jobs([job])[0]


def _describe_job(job: JobRow, progress: Progress, practice_id: UUID | None) -> dict[str, Any]:
    """Lay out a job."""
    options: Mapping[str, Any] = job.options
    return {
        **describe_progress(job, progress),
        "kind": job.kind,
        "file_name": job.upload.name,
        "file_size": job.upload.size_bytes,
        "sha256": job.upload.sha256,
        "upload_id": str(job.upload.public_id),
        "celery_task_id": str(job.celery_task_id),
        "transaction_code": options.get("transaction_code") or None,
        "payer": options.get("payer") or None,
        "practice": str(practice_id) if practice_id else None,
        "start_date": options.get("start_date") or None,
        "end_date": options.get("end_date") or None,
        "error_log": job.error_log,
        "retries": job.retries,
        "created_at": job.created_at,
        "created_by": job.created_by.email if job.created_by else None,
        "processing_started_at": job.processing_started_at,
        "completed_at": job.completed_at,
        "cancelled_at": job.cancelled_at,
        "cancelled_by": job.cancelled_by.email if job.cancelled_by else None,
        "links": job_links(job),
    }


def job_links(job: JobRow) -> dict[str, str]:
    """Give the addresses that belong to a job."""
    names = {
        "self": "job",
        "progress": "job-progress",
        "results": "job-results",
        "retry": "job-retry",
        "cancel": "job-cancel",
        "undo": "job-undo",
    }
    links = {word: reverse(f"api-{name}", args=[job.public_id]) for word, name in names.items()}
    return {**links, "upload": reverse("api-upload", args=[job.upload.public_id])}


def describe_upload(upload: Upload, findings: int) -> dict[str, Any]:
    """Give an upload. Cost: one query, for its jobs."""
    facts: Mapping[str, Any] = upload.inspection
    jobs = upload.jobs.filter(deleted_at=None).values_list("public_id", flat=True)
    return {
        "id": str(upload.public_id),
        "kind": upload.kind,
        "status": upload.state,
        "file_name": upload.name,
        "file_size": upload.size_bytes,
        "sha256": upload.sha256,
        "rows": upload.row_count,
        "rejected_rows": facts.get("rejected_rows", 0),
        "findings": findings,
        "dialect": facts.get("dialect"),
        "sheet": facts.get("sheet", ""),
        "balance": facts.get("balance", {}),
        "causes": facts.get("causes", []),
        "damage": facts.get("damage", ""),
        "proposed_mends": _describe_mends(upload),
        "mended_from": str(upload.parent.public_id) if upload.parent else None,
        "mends": upload.mends,
        "left_out_rows": left_out_rows(upload),
        "awaits": awaits(upload) if is_waiting(upload) else "",
        "created_at": upload.created_at,
        "created_by": upload.created_by.email if upload.created_by else None,
        "checked_at": upload.checked_at,
        "purge_after": upload.purge_after,
        "purged_at": upload.purged_at,
        "links": {
            "self": reverse("api-upload", args=[upload.public_id]),
            "findings": reverse("api-upload-findings", args=[upload.public_id]),
            "jobs": [reverse("api-job", args=[public_id]) for public_id in jobs],
            "mend": reverse("api-upload-mend", args=[upload.public_id]),
            "failed_rows": reverse("api-upload-failed-rows", args=[upload.public_id]),
            "annotated": reverse("api-upload-annotated", args=[upload.public_id]),
            "mapping": reverse("api-upload-mapping", args=[upload.public_id]),
            "effect": reverse("api-upload-effect", args=[upload.public_id]),
            "start": reverse("api-upload-import", args=[upload.public_id]),
        },
    }


def _describe_mends(upload: Upload) -> list[dict[str, str]]:
    """Give the mends that can be asked for, in the order of the causes; none where the bytes are gone."""
    return (
        [{"slug": m.slug, "title": m.title, "help": m.help} for m in propose_mends(upload)] if has_bytes(upload) else []
    )


def _balance(balance: Mapping[str, Any]) -> dict[str, Any]:
    """Give the balance with every word that is agreed, whatever an older record lacks."""
    numbers = ("lines", "header", "rows", "blank", "continuation", "preamble_footer", "broken")
    words = {name: int(balance.get(name, 0)) for name in (*numbers, "left_out")}
    return {**words, "balances": bool(balance.get("balances")), "rows_balance": bool(balance.get("rows_balance"))}
