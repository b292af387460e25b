"""The cohort line: cohorts, their submissions, the tables of each, and the IDs of a refused file that nobody knows."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.utils import timezone

from rowmill.models.intake import Upload
from rowmill.models.people import Org, User


class TableState(models.TextChoices):
    """EMPTY > UPLOADING > CONVERTING > EXTRACTING > VALIDATING > STORING > READY | REJECTED; a new file begins at UPLOADING."""

    EMPTY = "EMPTY", "Empty"
    UPLOADING = "UPLOADING", "Uploading"
    CONVERTING = "CONVERTING", "Converting"
    EXTRACTING = "EXTRACTING", "Extracting"
    VALIDATING = "VALIDATING", "Validating"
    STORING = "STORING", "Storing"
    READY = "READY", "Ready"
    REJECTED = "REJECTED", "Rejected"


WORKING_STATES = (
    TableState.UPLOADING,
    TableState.CONVERTING,
    TableState.EXTRACTING,
    TableState.VALIDATING,
    TableState.STORING,
)


class Cohort(models.Model):
    """A group of patients that a study follows."""

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    name = models.CharField(max_length=120)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name", "id")
        constraints = (models.UniqueConstraint(fields=["org", "name"], name="cohort_named_once"),)

    def __str__(self) -> str:
        return f"cohort {self.public_id}"


class Submission(models.Model):
    """One delivery of a cohort's data: a set of tables about the patients of one patient table."""

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    cohort = models.ForeignKey(Cohort, on_delete=models.CASCADE, related_name="submissions")
    name = models.CharField(max_length=120)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=["cohort", "name"], name="submission_named_once"),)

    def __str__(self) -> str:
        return f"submission {self.public_id}"


class SubmissionTable(models.Model):
    """One table of a submission. Never holds a cell's value.

    `upload` is the file that was sent last, and `state`, the counts and the message speak of it; whoever holds that upload's
    lease works on it. `accepted` is the file in use: its database, and of a patient table its IDs, lie beside it under the
    keys in `files`. `checked_against` is the patient file whose IDs it was compared with.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="tables")
    name = models.SlugField(max_length=60)
    is_patient_table = models.BooleanField(default=False)
    id_column = models.CharField(max_length=120, blank=True)
    state = models.CharField(max_length=10, choices=TableState, default=TableState.EMPTY)
    upload = models.ForeignKey(Upload, on_delete=models.SET_NULL, null=True, related_name="+")
    row_count = models.BigIntegerField(null=True)
    id_count = models.BigIntegerField(null=True)
    unknown_count = models.BigIntegerField(default=0)
    unknown_rows = models.BigIntegerField(default=0)
    causes = models.JSONField(default=dict)
    code = models.CharField(max_length=20, blank=True)
    message = models.TextField(blank=True)
    checked_at = models.DateTimeField(null=True)
    seconds = models.FloatField(null=True)
    accepted = models.ForeignKey(Upload, on_delete=models.SET_NULL, null=True, related_name="+")
    accepted_at = models.DateTimeField(null=True)
    accepted_rows = models.BigIntegerField(null=True)
    accepted_ids = models.BigIntegerField(null=True)
    files = models.JSONField(default=dict)
    checked_against = models.ForeignKey(Upload, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-is_patient_table", "name")
        constraints = (
            models.UniqueConstraint(fields=["submission", "name"], name="table_named_once"),
            models.UniqueConstraint(
                fields=["submission"], condition=models.Q(is_patient_table=True), name="one_patient_table"
            ),
            models.CheckConstraint(condition=models.Q(state__in=TableState.values), name="table_state_known"),
        )

    def __str__(self) -> str:
        return f"table {self.pk} of submission {self.submission_id}"


class UnknownIds(models.Model):
    """The unknown IDs of a refused file, sealed with the org's key; they go with the file's bytes."""

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    upload = models.OneToOneField(Upload, on_delete=models.CASCADE, related_name="unknown_ids")
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return f"unknown IDs of upload {self.upload_id}"
