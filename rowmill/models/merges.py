"""What bulk kinds leave behind: rows of a target table with where they came from, counts of a batch, old values, mappings."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from rowmill.models.intake import Upload
from rowmill.models.people import Org, User
from rowmill.models.work import Batch, Job


class Merged(models.Model):
    """The base of every table that a bulk kind merges into.

    `match_key` names the thing that a row is about; within an org it stands once. `revision` grows by one with every
    change, by whomever: that tells an undo whether somebody changed the row since. `created_job` inserted it,
    `import_job` wrote it last, from row `import_row` on line `import_line` of its file. Their foreign keys are not checked
    by the database: a check for each row costs as much as writing it, and jobs are never deleted before their org.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    match_key = models.TextField()
    revision = models.PositiveIntegerField(default=1)
    created_job = models.ForeignKey(
        Job, on_delete=models.SET_NULL, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    import_job = models.ForeignKey(
        Job, on_delete=models.SET_NULL, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    import_row = models.BigIntegerField(null=True)
    import_line = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True


class BatchMerge(models.Model):
    """What the merge of one batch came to, written in the transaction of the merge itself.

    Units: rows. `duplicates` of the unchanged ones gave way to another row of the file for the same thing.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="merges")
    batch = models.OneToOneField(Batch, on_delete=models.CASCADE, related_name="merge")
    inserted = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    duplicates = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    written_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=["job", "written_at"], name="merge_rate"),)

    def __str__(self) -> str:
        return f"merge of batch {self.batch_id}"


class OldRow(models.Model):
    """A row of the table `target` as it was before a job changed it: all its columns as JSON. Kept for 30 days.

    `revision` is the row's after the change: while it is still that, nobody has changed the row since.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    target = models.CharField(max_length=60)
    target_id = models.BigIntegerField()
    revision = models.PositiveIntegerField()
    old = models.JSONField()
    kept_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["job", "target", "target_id"], name="old_row_once"),)
        indexes = (models.Index(fields=["kept_at"], name="old_row_age"),)

    def __str__(self) -> str:
        return f"row {self.target_id} of {self.target} before job {self.job_id}"


class UndoState(models.TextChoices):
    """WAITING > RUNNING > WAITING (after a while, so that others have their turn) | DONE | FAILED; again: FAILED > WAITING.

    A removal that is DONE can be asked for again, too.
    """

    WAITING = "WAITING", "Waiting"
    RUNNING = "RUNNING", "Running"
    DONE = "DONE", "Done"
    FAILED = "FAILED", "Failed"


class UndoWhat(models.TextChoices):
    """What is taken back of an import: all that it did, or what it brought and nobody has changed since."""

    UNDO = "undo", "Undo"
    REMOVAL = "removal", "Removal"


class UndoStage(models.TextChoices):
    """Which of its rows an undo is at: restore > remove. A removal has the second alone."""

    RESTORE = "restore", "Old values"
    REMOVE = "remove", "New rows"


class Undo(models.Model):
    """An import that is taken back, batch by batch: how many rows went, got their old values, or were kept as they are.

    Units: rows. `rows_done` of about `rows` are looked at; `stage` and `after_id` (the last row's) are the marker, written in
    the transaction of the batch itself. `seconds` of work. `kept_ids` lists the first of those that somebody changed since.
    While WAITING or RUNNING, a lease and `claims` (the fence) say who does it; `attempts` counts claims since a batch.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="undos")
    what = models.CharField(max_length=10, choices=UndoWhat, default=UndoWhat.UNDO)
    state = models.CharField(max_length=10, choices=UndoState, default=UndoState.WAITING)
    stage = models.CharField(max_length=10, choices=UndoStage, default=UndoStage.RESTORE)
    after_id = models.BigIntegerField(default=0)
    rows = models.BigIntegerField(default=0)
    rows_done = models.BigIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    restored = models.PositiveIntegerField(default=0)
    kept = models.PositiveIntegerField(default=0)
    kept_ids = models.JSONField(default=list)
    seconds = models.FloatField(default=0.0)
    error = models.CharField(max_length=300, blank=True)
    claims = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    undone_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    asked_at = models.DateTimeField(default=timezone.now)
    touched_at = models.DateTimeField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["job", "what"], name="undo_once"),
            models.CheckConstraint(condition=models.Q(state__in=UndoState.values), name="undo_state_known"),
            models.CheckConstraint(condition=models.Q(what__in=UndoWhat.values), name="undo_what_known"),
        )
        indexes = (models.Index(fields=["state", "lease_until"], name="undo_due"),)

    def __str__(self) -> str:
        return f"{self.what} of job {self.job_id}"


class ColumnMapping(models.Model):
    """How an org mapped the columns of files with a certain header: kind column -> 1-based position.

    `ignored` are positions that are not imported at all. `header_hash` is over the folded header cells, in their order.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    kind = models.CharField(max_length=60)
    header_hash = models.CharField(max_length=64)
    mapping = models.JSONField(default=dict)
    ignored = models.JSONField(default=list)
    saved_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    saved_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["org", "kind", "header_hash"], name="column_mapping_once"),)

    def __str__(self) -> str:
        return f"mapping {self.pk} of org {self.org_id}"


class EffectState(models.TextChoices):
    """WAITING > RUNNING > DONE | FAILED; asked for anew: DONE | FAILED > WAITING."""

    WAITING = "WAITING", "Waiting"
    RUNNING = "RUNNING", "Running"
    DONE = "DONE", "Done"
    FAILED = "FAILED", "Failed"


class ImportEffect(models.Model):
    """What an import of an upload would do under one policy, worked out before it does it.

    Units: rows; they mean what those of merging.preview.Effect mean. `rows_done` is how far it is. `causes` are sentences
    of checks with how many rows each rejects, [[sentence, rows]]. `examples` has cells, so it is sealed with the org's key;
    it goes with the upload's bytes. While WAITING or RUNNING, a lease and `claims` (the fence) say who works it out, and
    `attempts` how often somebody began. `trail_position` is the end of the org's trail when it was begun.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE)
    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="effects")
    policy = models.CharField(max_length=20)
    state = models.CharField(max_length=10, choices=EffectState, default=EffectState.WAITING)
    rows_done = models.BigIntegerField(default=0)
    inserted = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    conflicts = models.BigIntegerField(default=0)
    causes = models.JSONField(default=list)
    examples = models.BinaryField(default=bytes)
    error = models.CharField(max_length=300, blank=True)
    claims = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    trail_position = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    asked_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    asked_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["upload", "policy"], name="import_effect_once"),
            models.CheckConstraint(condition=models.Q(state__in=EffectState.values), name="import_effect_state_known"),
        )
        indexes = (models.Index(fields=["state", "lease_until"], name="import_effect_due"),)

    def __str__(self) -> str:
        return f"effect {self.pk} of upload {self.upload_id}"
