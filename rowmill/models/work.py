"""What is done: jobs, their batches, and a result for every row."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.models.intake import Upload
from rowmill.models.people import Org, User


class JobState(models.TextChoices):
    """PENDING > PROCESSING > COMPLETED | FAILED; PENDING | PROCESSING > CANCELLING > CANCELLED; retry > PROCESSING."""

    PENDING = "PENDING", "Pending"
    PROCESSING = "PROCESSING", "Processing"
    CANCELLING = "CANCELLING", "Cancelling"
    CANCELLED = "CANCELLED", "Cancelled"
    COMPLETED = "COMPLETED", "Completed"
    FAILED = "FAILED", "Failed"


FINAL_STATES = (JobState.CANCELLED, JobState.COMPLETED, JobState.FAILED)
LIVE_STATES = (JobState.PENDING, JobState.PROCESSING, JobState.CANCELLING)


class Job(models.Model):
    """One run of a kind over an upload. Its counters are sums over its batches.

    `lane` is that of all its batches. `celery_task_id` is the id of its latest ring. `deleted_at`: bytes and results are
    gone, the record stays.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="jobs")
    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    upload = models.ForeignKey(Upload, on_delete=models.PROTECT, related_name="jobs")
    kind = models.CharField(max_length=60)
    state = models.CharField(max_length=10, choices=JobState, default=JobState.PENDING)
    lane = models.CharField(max_length=20, default="bulk", editable=False)
    options = models.JSONField(default=dict)
    total_rows = models.BigIntegerField()
    celery_task_id = models.UUIDField(default=uuid4)
    retries = models.PositiveIntegerField(default=0)
    error_log = models.JSONField(default=list)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="jobs")
    created_at = models.DateTimeField(default=timezone.now)
    processing_started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancelled_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="cancelled_jobs")
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["org", "-id"], name="job_history"),
            models.Index(fields=["state"], name="job_state"),
            models.Index(fields=["lane", "state"], name="job_lane"),
        )
        constraints = (models.CheckConstraint(condition=models.Q(state__in=JobState.values), name="job_state_known"),)

    def __str__(self) -> str:
        return f"job {self.public_id}"


class BatchState(models.TextChoices):
    """waiting > running > done | failed | cancelled; running > waiting (error, snooze, lost lease); retry > waiting."""

    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


OPEN_STATES = (BatchState.WAITING, BatchState.RUNNING)


class Batch(models.Model):
    """Rows first_row..last_row (both inclusive) of a job: the unit of claim, commit, retry, cancel and progress.

    `claims` is the fencing token: it grows with every claim and never shrinks. `attempts` counts claims since the last
    progress. The counters say how many of its rows have which outcome.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="batches")
    lane = models.CharField(max_length=20, default="bulk")
    first_row = models.BigIntegerField()
    last_row = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=BatchState, default=BatchState.WAITING)
    claims = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    owner = models.CharField(max_length=40, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    available_at = models.DateTimeField(db_default=Now())
    waiting_reason = models.CharField(max_length=300, blank=True)
    last_error = models.CharField(max_length=200, blank=True)
    ok = models.PositiveIntegerField(default=0)
    not_found = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("job", "first_row")
        verbose_name_plural = "batches"
        constraints = (
            models.UniqueConstraint(fields=["job", "first_row"], name="batch_once"),
            models.CheckConstraint(condition=models.Q(last_row__gte=models.F("first_row")), name="batch_has_rows"),
            models.CheckConstraint(condition=models.Q(state__in=BatchState.values), name="batch_state_known"),
        )
        indexes = (
            models.Index(
                fields=["lane", "available_at", "id"], name="batch_due", condition=models.Q(state=BatchState.WAITING)
            ),
            models.Index(
                fields=["job", "available_at", "id"], name="batch_next", condition=models.Q(state=BatchState.WAITING)
            ),
            models.Index(fields=["lease_until"], name="batch_leased", condition=models.Q(state=BatchState.RUNNING)),
            models.Index(fields=["job", "state"], name="batch_of_job"),
        )

    def __str__(self) -> str:
        return f"batch {self.pk} of job {self.job_id}"

    @property
    def settled(self) -> int:
        """Count its rows that have a result."""
        return self.ok + self.not_found + self.rejected + self.failed

    @property
    def row_count(self) -> int:
        """Count its rows."""
        return self.last_row - self.first_row + 1


class OutcomeState(models.TextChoices):
    """ok | not_found | rejected | failed; a row without a result is "not processed"."""

    OK = "ok", "OK"
    NOT_FOUND = "not_found", "Not found"
    REJECTED = "rejected", "Rejected"
    FAILED = "failed", "Failed"


class Result(models.Model):
    """The outcome of one row. `answer` is sealed with the org's key; `claims` is the fence it was written under."""

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="results")
    row_number = models.BigIntegerField()
    outcome = models.CharField(max_length=10, choices=OutcomeState)
    code = models.CharField(max_length=60, blank=True)
    message = models.CharField(max_length=300, blank=True)
    answer = models.BinaryField(default=bytes)
    attempts = models.PositiveIntegerField(default=0)
    claims = models.BigIntegerField(default=0)
    written_at = models.DateTimeField()

    class Meta:
        ordering = ("job", "row_number")
        constraints = (
            models.UniqueConstraint(fields=["job", "row_number"], name="result_once"),
            models.CheckConstraint(condition=models.Q(outcome__in=OutcomeState.values), name="result_outcome_known"),
        )
        indexes = (
            models.Index(fields=["job", "outcome", "code"], name="result_causes"),
            models.Index(fields=["job", "written_at"], name="result_rate"),
        )

    def __str__(self) -> str:
        return f"row {self.row_number} of job {self.job_id}"


class IdempotencyKey(models.Model):
    """A POST that must not happen twice: which key, which body (as a hash), and the job it made (null while under way)."""

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["org", "user", "key"], name="idempotency_key_once"),)

    def __str__(self) -> str:
        return f"idempotency key {self.pk}"
