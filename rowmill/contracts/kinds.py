"""The contract of a kind: the row that it gets, the outcome that it yields, the job and the batch that it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal
from uuid import UUID

from rowmill.contracts.tables import Column

OutcomeWord = Literal["ok", "not_found", "rejected", "failed"]
OUTCOMES: tuple[OutcomeWord, ...] = ("ok", "not_found", "rejected", "failed")


@dataclass(frozen=True, slots=True)
class Problem:
    """A check that a row breaks: the check's slug and the kind column it is on ("" for a rule over the row)."""

    check: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One data row, every cell as it was written.

    `cells` holds every column of the kind by name ("" where the file has none), `extra` the others by header.
    """

    number: int
    line: int
    cells: Mapping[str, str]
    extra: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row.

    `code` is stable and in capitals (NOT_FOUND, MEMBER_MISMATCH ...), "" for ok. `message` never holds a cell's value.
    `answer` is what the payer said, as JSON types; it is stored sealed.
    """

    row_number: int
    outcome: OutcomeWord
    code: str = ""
    message: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class JobInfo:
    """What a kind sees of a job. `options` are the job's own (dates, payer, practice ...), never a cell."""

    id: UUID
    org_id: int
    kind: str
    options: Mapping[str, Any]
    row_count: int


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """What a kind sees of a batch: its job and the rows first..last, both inclusive.

    `stopping()` turns true when the job is being cancelled or the lease is lost: give up calls in flight and return.
    `lane`: work of the lane "interactive" goes before that of "bulk".
    """

    id: int
    job: JobInfo
    first_row: int
    last_row: int
    stopping: Callable[[], bool] = lambda: False
    lane: str = "bulk"


@dataclass(frozen=True, slots=True)
class TableSource:
    """The columnar copy of a file: row_number, line_number, c1..cN as written, problems ("check:column;check:column").

    `mapping` is kind column -> position. Not `checked`: the mapping was changed since, so the problems are of another one.
    """

    path: Path
    header: tuple[str, ...]
    mapping: Mapping[str, int]
    checked: bool = True


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What became of a batch's rows: inserted + updated + unchanged + the rejected among `outcomes` = all of them.

    `outcomes` are of the rejected rows, and (as ok) of the `duplicates`: unchanged rows that gave way to another row of
    the file. A row that went well has none.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: int = 0
    outcomes: tuple[Outcome, ...] = ()


class Kind:
    """What a row means, and what is done with it. A new kind is one file in kinds/ and one line in registry.KINDS."""

    slug: ClassVar[str] = ""
    label: ClassVar[str] = ""
    columns: ClassVar[tuple[Column, ...]] = ()
    checks: ClassVar[tuple[str, ...]] = ()
    batch_rows: ClassVar[int] = 1000
    checkpoint_rows: ClassVar[int] = 500
    lease_seconds: ClassVar[int] = 60
    max_attempts: ClassVar[int] = 5
    result_header: ClassVar[tuple[str, ...]] = ("row", "success", "error")
    merges: ClassVar[bool] = False  # then a batch is done whole, by `prepare` and `merge` instead of `process`
    makes_jobs: ClassVar[bool] = True  # else a line of work takes its files in, and no job runs over them

    def rows_per_batch(self, columns: int, row_bytes: int = 0) -> int:
        """Give how many rows of a file with so many columns one batch has; a row of it has about `row_bytes`."""
        return self.batch_rows

    def judge(self, upload: Any, usual: Callable[[Any], Any]) -> Any:
        """Judge an upload that the caller holds; a kind may have a way of its own. Raises: what the usual way raises."""
        return usual(upload)

    def follow(self, upload: Any, state: str) -> None:
        """Take note that an upload is all here ("CHECKING") or never will be ("ABORTED"), in the transaction that says so."""

    def open(self, job: JobInfo) -> None:
        """Prepare the job before its first batch. May run twice."""

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Work through the rows and yield one Outcome for each, in any order.

        Raises: Snooze for "not yet" (costs no attempt); anything else costs the batch an attempt.
        Again: yes; it gets the rows that have no settled result.
        """
        raise NotImplementedError

    def prepare(self, batch: BatchInfo, source: TableSource) -> AbstractContextManager[Any]:
        """Make ready what `merge` writes, for as long as the `with` lasts, outside any transaction. Again: yes."""
        raise NotImplementedError

    def merge(self, batch: BatchInfo, prepared: Any) -> MergeCounts:
        """Write a batch into its table, inside the transaction that marks it done. Raises: Snooze for "not yet"."""
        raise NotImplementedError

    def close(self, job: JobInfo) -> None:
        """Tidy up after the last batch, also of a job that was cancelled. May run twice."""

    def result_cells(self, row: Row, result: Outcome | None, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Give one line of the results, matching `result_header`; `result` is None for a row not processed.

        `options` of the export: "iso_dates" (bool).
        """
        success = "True" if result is not None and result.outcome == "ok" else "False"
        error = "" if result is not None and result.outcome == "ok" else describe_failure(result)
        return (str(row.number), success, error)


def describe_failure(result: Outcome | None) -> str:
    """Give `CODE: sentence` for a row that is not ok."""
    if result is None:
        return "NOT_PROCESSED: This row was not processed."
    return f"{result.code}: {result.message}" if result.message else result.code
