"""The base of kinds whose batch is merged into a table as a whole: name the table and its keys, get cleaning, staging, undo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, ClassVar

from django.conf import settings

from rowmill.contracts import BatchInfo, JobInfo, Kind, MergeCounts, Outcome, Row, TableSource, describe_failure
from rowmill.merging.batches import Prepared, connect_duck, prepare_batch, reject_problems
from rowmill.merging.described import describe_target
from rowmill.merging.groups import Groups, drop_groups, find_groups, find_groups_unless_busy
from rowmill.merging.reader import make_reader
from rowmill.merging.target import Target

MOST_CELLS = 500_000  # of a batch: it is held in memory, and memory is what a wide file would take most of
MOST_BYTES = 16_000_000
MERGE = "rowmill.merging.merge"  # by name: a kind's columns and checks are looked at without a database too


class BulkKind(Kind):
    """A kind of which each batch is one merge into `target`.

    Options of the job: "duplicates" (update, blanks, skip or newest), "ignored" (positions that are not imported).
    """

    merges = True
    batch_rows = 10_000
    checkpoint_rows = 10_000
    max_attempts = 3
    lease_seconds = 120
    target: ClassVar[Target]

    def __init_subclass__(cls, **more: Any) -> None:
        """Let the results of each kind show its keys."""
        super().__init_subclass__(**more)
        if "target" in cls.__dict__ and "result_header" not in cls.__dict__:
            cls.result_header = ("row", *_key_cells(cls.target), "success", "error", "note")

    @classmethod
    def from_descriptor(
        cls,
        slug: str,
        label: str,
        descriptor: Mapping[str, Any],
        model_name: str,
        *,
        extra: str = "",
        newest_by: str = "",
    ) -> type[BulkKind]:
        """Make a kind of a Table Schema: the fields are the columns of the model's table, the primaryKey names a row.

        `extra`: the model's JSON column for what the descriptor does not know. `newest_by`: the field by which "newest" goes.
        Raises: InputError that names the field and what of it cannot be kept.
        """
        told = describe_target(descriptor, model_name, extra=extra, newest_by=newest_by)
        declared = {"slug": slug, "label": label, "columns": told.columns, "checks": told.checks, "target": told.target}
        return type(
            f"{cls.__name__}_{slug}", (cls,), {"__doc__": f"{label}, as a Table Schema tells them.", **declared}
        )

    def rows_per_batch(self, columns: int, row_bytes: int = 0) -> int:
        """Give `batch_rows`, of a wide file or one with large cells fewer."""
        return max(1, min(self.batch_rows, MOST_CELLS // max(1, columns), MOST_BYTES // max(1, row_bytes)))

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Tell which rows break checks. The sound ones are merged: `prepare` and `merge` do that."""
        for row in rows:
            if row.problems:
                told = ";".join(f"{problem.check}:{problem.column}" for problem in row.problems)
                yield reject_problems(row.number, told)

    @contextmanager
    def prepare(self, batch: BatchInfo, source: TableSource) -> Iterator[Prepared]:
        """Clean a batch and write it where the database takes it from. Again: yes."""
        reader, scratch = make_reader(self.target, self, source, batch.job.options), settings.SCRATCH_DIR
        told = reader, scratch, _groups_of(batch.job), connect_duck(scratch)

        def find(wait: bool) -> Groups | None:
            return find_groups(*told) if wait else find_groups_unless_busy(*told)

        with prepare_batch(reader, find, batch.first_row, batch.last_row, scratch) as prepared:
            yield prepared

    def merge(self, batch: BatchInfo, prepared: Prepared) -> MergeCounts:
        """Merge a prepared batch, inside the engine's transaction."""
        counts: MergeCounts = import_module(MERGE).merge_batch(batch.job, prepared)
        return counts

    def result_cells(self, row: Row, result: Outcome | None, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Give one line of the results; the note of a row that went well says where its values went."""
        ok = result is not None and result.outcome == "ok"
        note = result.message if result is not None and ok else ""
        keys = [row.cells.get(name, "") for name in _key_cells(self.target)]
        return (str(row.number), *keys, str(ok), "" if ok else describe_failure(result), note)

    def export_lines(self, caller: Any, asked: Mapping[str, Any]) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
        """Give the rows of the table that were asked for, for a workbook. Shape: (the header, a line for each row)."""
        raise NotImplementedError

    def close(self, job: JobInfo) -> None:
        """Remove what the batches of this machine shared."""
        drop_groups(settings.SCRATCH_DIR, _groups_of(job))


def _key_cells(target: Target) -> list[str]:
    """Name the kind columns of which the keys are made."""
    fields = [(name, target.find_field(name)) for _, name in target.keys]
    return [field.cell if field is not None else name for name, field in fields]


def _groups_of(job: JobInfo) -> str:
    """Name the files that say which rows of a job are about the same thing."""
    return f"groups-{job.id}"
