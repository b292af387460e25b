"""The last step: a result for every row, joined to the row it belongs to, in file order, in bounded memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.models import Count, Q, QuerySet

from rowmill.contracts import OUTCOMES, Outcome, OutcomeWord, Row
from rowmill.errors import ConfigError, InputError, NotFound, ObjectChanged
from rowmill.jobs.checkpoint import answer_place
from rowmill.jobs.silent import add_silent, silent_rows
from rowmill.models import AuditEvent, Job, Result
from rowmill.orgs import org_sealer
from rowmill.registry import get_kind, rules_of
from rowmill.tabular.failed_rows import LINE, WRONG
from rowmill.tabular.rows import find_rows, iter_rows, name_columns, read_rows
from rowmill.uploads.places import hold_table

UNPROCESSED = "unprocessed"
OUTCOME_WORDS: tuple[str, ...] = (*OUTCOMES, UNPROCESSED)
_PAGE_ROWS = 2000

CURES: dict[str, str] = {
    "NOT_FOUND": "Check the claim number and the practice. The payer may know the claim only after a day.",
    "NOT_FOUND_IN_DATE_RANGE": "Widen the dates, or leave them out.",
    "MEMBER_MISMATCH": "The payer has this number for another member. Correct the name, date of birth or subscriber ID.",
    "MULTIPLE_MATCHES": "Several claims fit. Add service dates or the patient account number to the row.",
    "INVALID_INPUT": "Correct the cell in the file and send the corrected rows.",
    "INVALID_REQUEST": "The payer refused what was asked. Check the row's cells.",
    "UNKNOWN_TIN": "Add the practice with this TIN under Settings, or correct the TIN.",
    "UNKNOWN_PAYER": "Add a payer account with this payer ID under Settings, or correct the ID.",
    "UNSUPPORTED": "This payer does not answer this kind of inquiry.",
    "RETRIES_EXHAUSTED": "The payer did not answer in time. Retry later: only these rows are asked again.",
    "BAD_RESPONSE": "The payer's answer could not be read. Retry later; if it stays, tell the payer.",
    "AMBIGUOUS_KEY": "Give the row the ID of the one that is meant, then send the corrected rows.",
    "POISON_ROW": "Look at this row's cells, then retry.",
    "NOT_PROCESSED": "Retry: only the rows without a result are asked.",
}


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One row with what became of it. `values` are the results file's columns by name."""

    row_number: int
    line: int
    cells: Mapping[str, str]
    outcome: str
    code: str
    message: str
    answer: Mapping[str, Any]
    attempts: int
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ResultPage:
    """One page of results. Units: `page` and `pages` 1-based."""

    rows: tuple[ResultLine, ...]
    total: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Rows that ended the same way: how many, and what helps."""

    outcome: str
    code: str
    message: str
    count: int
    cure: str


def read_outcomes(text: str) -> frozenset[str] | None:
    """Read `ok,rejected`; None means all. Raises: InputError bad_option for an unknown word."""
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    unknown = words - set(OUTCOME_WORDS)
    if unknown:
        raise InputError(f"outcome takes {', '.join(OUTCOME_WORDS)}, separated by commas.", code="bad_option")
    return words or None


def iter_results(
    job: Job, outcomes: Collection[str] | None = None
) -> tuple[tuple[str, ...], Iterator[tuple[str, ...]]]:
    """Give the results file. Shape: (header, lines in file order), the file's own extra columns at the end.

    Raises: NotFound where the job's bytes are gone.
    """
    with _table(job):
        pass  # so that what is gone is told before the first line
    rows = _open_rows(job)
    extra = extra_header(job)
    header = (*get_kind(job.kind).result_header, *extra)
    return header, _result_lines(job, rows, extra, frozenset(outcomes or OUTCOME_WORDS))


def iter_left_rows(job: Job) -> tuple[tuple[str, ...], Iterator[tuple[str, ...]]]:
    """Give the rows that were rejected or failed, to be mended and sent again. Shape: as `iter_results`.

    Line, what is wrong, then the cells in the file's own columns, by which they map again.
    Raises: NotFound where the job's bytes are gone.
    """
    with _table(job):
        pass
    return (LINE, WRONG, *job.upload.header), _left_lines(job)


def _left_lines(job: Job) -> Iterator[tuple[str, ...]]:
    """Read them, some at a time."""
    left = Result.objects.filter(job=job, outcome__in=("rejected", "failed")).order_by("row_number")
    names = name_columns(job.upload.header)
    last = 0
    with _table(job) as table:
        while found := list(left.filter(row_number__gt=last).values_list("row_number", "message")[:_PAGE_ROWS]):
            words, last = dict(found), found[-1][0]
            rows = read_rows(table, job.upload.header, {}, found[0][0], last, only=set(words))
            for row in rows:
                yield (str(row.line), words[row.number], *(row.extra.get(name, "") for name in names))


def extra_header(job: Job) -> tuple[str, ...]:
    """Give the file's columns that the kind does not know, in file order, each with a name of its own."""
    known = set(job.upload.mapping.values())
    names = name_columns(job.upload.header)
    return tuple(name for position, name in enumerate(names, start=1) if position not in known)


def _open_rows(job: Job) -> Iterator[Row]:
    """Read all rows of the job's file. Raises: NotFound."""
    with _table(job) as table:
        yield from iter_rows(table, job.upload.header, job.upload.mapping)


@contextmanager
def _table(job: Job) -> Iterator[Path]:
    """Give the path of the columnar copy, while the `with` lasts. Raises: NotFound once it is purged."""
    if job.deleted_at is not None or job.upload.purged_at is not None:
        raise NotFound("The results of this job have been removed.")
    with ExitStack() as held:
        try:
            path = held.enter_context(hold_table(job.upload))
        except (FileNotFoundError, ObjectChanged):
            raise NotFound("The file of this job is no longer stored.") from None
        yield path


def _result_lines(
    job: Job, rows: Iterator[Row], extra: Sequence[str], wanted: frozenset[str]
) -> Iterator[tuple[str, ...]]:
    """Join rows and results, block by block."""
    kind = get_kind(job.kind)
    options = {"iso_dates": job.org.iso_dates}
    for block in _blocks(rows, _PAGE_ROWS):
        results = _results_between(job, block[0].number, block[-1].number)
        for row in block:
            result = results.get(row.number)
            if (result.outcome if result else UNPROCESSED) in wanted:
                cells = kind.result_cells(row, result, options)
                yield (*cells, *(row.extra.get(name, "") for name in extra))


def _blocks(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Cut a stream into lists."""
    block: list[Row] = []
    for row in rows:
        block.append(row)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _results_between(job: Job, first: int, last: int) -> dict[int, Outcome]:
    """Read the results of a range of rows."""
    written = Result.objects.filter(job=job, row_number__range=(first, last))
    found = {result.row_number: open_result(job, result) for result in written.iterator(chunk_size=_PAGE_ROWS)}
    return add_silent(job, range(first, last + 1), found)


def open_result(job: Job, result: Result) -> Outcome:
    """Open a stored result's sealed answer."""
    answer: dict[str, Any] = {}
    if result.answer:
        place = answer_place(job.public_id, result.row_number)
        try:
            answer = json.loads(org_sealer(job.org_id).open(result.answer, place))
        except ConfigError:
            raise ConfigError("Answers of this job do not open with this installation's key.") from None
    word: OutcomeWord = result.outcome  # type: ignore[assignment]
    return Outcome(result.row_number, word, result.code, result.message, answer, result.attempts)


def page_results(
    job: Job, *, outcome: str = "", code: str = "", search: str = "", page: int = 1, size: int = 50
) -> ResultPage:
    """Give one page of the results table, filtered by outcome, code (or reason) and a text looked for in the row's cells.

    Cost: one read of the columnar copy when searching; else a page of it.
    """
    with _table(job) as table:
        numbers = find_rows(table, search.strip()) if search.strip() else None
        chosen = _chosen(job, outcome, code, numbers)
        total = len(chosen)
        pages = max(1, -(-total // size))
        page = min(max(1, page), pages)
        wanted = chosen[(page - 1) * size : page * size]
        return ResultPage(_lines_for(job, table, wanted), total, page, pages)


def _chosen(job: Job, outcome: str, code: str, found: Collection[int] | None) -> Sequence[int]:
    """Give the numbers of the rows that pass the filters, ascending."""
    results = Result.objects.filter(job=job)
    everything = range(1, job.total_rows + 1)
    if outcome == UNPROCESSED:
        done = set(results.values_list("row_number", flat=True))
        done.update(silent_rows(job, done))
        numbers: Sequence[int] = [number for number in everything if number not in done]
    elif outcome or code:
        chosen = results.filter(_for_reason(code)) if code else results
        chosen = chosen.filter(outcome=outcome) if outcome else chosen
        numbers = list(chosen.order_by("row_number").values_list("row_number", flat=True))
        if outcome == "ok" and not code:
            told = set(results.values_list("row_number", flat=True))
            numbers = sorted({*numbers, *silent_rows(job, told)})
    else:
        numbers = everything
    if found is None:
        return numbers
    kept = set(found)
    return [number for number in numbers if number in kept]


def _for_reason(word: str) -> Q:
    """Give the filter for the rows with a code, or with a reason among those that a bulk kind gives for a row."""
    between = Q(message__startswith=f"{word}; ") | Q(message__endswith=f"; {word}") | Q(message__contains=f"; {word}; ")
    return Q(code=word) | Q(message=word) | between


def _lines_for(job: Job, table: Path, numbers: Sequence[int]) -> tuple[ResultLine, ...]:
    """Read the rows of one page with their results."""
    if not numbers:
        return ()
    kind = get_kind(job.kind)
    options = {"iso_dates": job.org.iso_dates}
    rows = read_rows(table, job.upload.header, job.upload.mapping, min(numbers), max(numbers), only=set(numbers))
    found = {r.row_number: open_result(job, r) for r in Result.objects.filter(job=job, row_number__in=list(numbers))}
    add_silent(job, numbers, found)
    return tuple(
        _as_line(row, found.get(row.number), kind.result_header, kind.result_cells(row, found.get(row.number), options))
        for row in rows
    )


def _as_line(row: Row, result: Outcome | None, header: Sequence[str], cells: Sequence[str]) -> ResultLine:
    """Put one line of the table together."""
    return ResultLine(
        row_number=row.number,
        line=row.line,
        cells=row.cells,
        outcome=result.outcome if result else UNPROCESSED,
        code=result.code if result else "NOT_PROCESSED",
        message=result.message if result else "",
        answer=result.answer if result else {},
        attempts=result.attempts if result else 0,
        values=dict(zip(header, cells, strict=True)),
    )


def causes(job: Job, unprocessed: int = 0) -> list[Cause]:
    """Group what went wrong, most frequent first; `unprocessed` rows are a cause of their own.

    A bulk kind gives a row all its reasons: each is a cause, so that a row may count under several.
    """
    kind = get_kind(job.kind)
    cures = {check.title: check.help for check in rules_of(kind).checks.values()} if kind.merges else {}
    grouped: Counter[tuple[str, str, str]] = Counter()
    results = Result.objects.filter(job=job).exclude(outcome="ok").order_by()
    for row in results.values("outcome", "code", "message").annotate(count=Count("id")):
        for reason in row["message"].split("; ") if kind.merges else [row["message"]]:
            grouped[row["outcome"], row["code"], reason] += row["count"]
    found = [
        Cause(outcome, code, reason, count, cures.get(reason.partition(": ")[2] or reason) or CURES.get(code, ""))
        for (outcome, code, reason), count in grouped.items()
    ]
    if unprocessed:
        found.append(Cause(UNPROCESSED, "NOT_PROCESSED", "Not processed.", unprocessed, CURES["NOT_PROCESSED"]))
    return sorted(found, key=lambda cause: (-cause.count, cause.code, cause.message))


def activity(job: Job) -> QuerySet[AuditEvent]:
    """Give what happened to the job, newest first."""
    return AuditEvent.objects.filter(org=job.org, target_type="job", target_id=str(job.public_id)).order_by("-position")
