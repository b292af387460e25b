"""The rows of a table of one's own as a list, newest first, with the import that brought each; and as a CSV file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from django.db.models import QuerySet

from rowmill import audit
from rowmill.contracts import Kind
from rowmill.errors import InputError, NotFound
from rowmill.merging.target import Target
from rowmill.models import Job, Merged
from rowmill.orgs import Caller, fetch, own
from rowmill.registry import KINDS, get_kind
from rowmill.tables.counting import Total, count_rows
from rowmill.tabular.writers import write_csv

ELSEWHERE = frozenset({"contact_import"})  # it has pages of its own
PAGE_ROWS, MOST_ROWS = 50, 200
STRETCH_ROWS = 2_000
MOST_KEY = 1_000


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A kind's table: its columns with their labels in the order of the declaration, and the labels of what names a row."""

    slug: str
    label: str
    target: Target
    columns: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """Name what is taken home of it: the columns, and where the table keeps what no column is there for."""
        return (*(name for name, _ in self.columns), *([self.target.extra] if self.target.extra else []))

    @property
    def header(self) -> tuple[str, ...]:
        """Give the same as an import calls them."""
        return tuple(field.cell if (field := self.target.find_field(name)) else name for name in self.fields)


@dataclass(frozen=True, slots=True)
class RowPage:
    """A page of rows, newest first. `older`, `newer`: the id to go on from in that direction; None at an end."""

    rows: tuple[Merged, ...]
    total: Total
    older: int | None
    newer: int | None


def list_tables() -> tuple[OwnTable, ...]:
    """Give the tables that kinds of this installation merge into, but the contacts."""
    return tuple(read_table(slug) for slug in KINDS if slug not in ELSEWHERE and get_kind(slug).merges)


def find_table(slug: str) -> OwnTable:
    """Give the table of a kind. Raises: NotFound for a kind that has none, or pages of its own."""
    if slug not in KINDS or slug in ELSEWHERE or not get_kind(slug).merges:
        raise NotFound("There is no such table.")
    return read_table(slug)


def read_table(slug: str) -> OwnTable:
    """Say how a kind's table is shown."""
    return _read_table(get_kind(slug))


@cache
def _read_table(kind: Kind) -> OwnTable:
    """Put the labels of the kind's columns to the columns of its table."""
    target: Target = kind.target  # type: ignore[attr-defined]
    labels = {column.name: column.label or column.name for column in kind.columns}
    columns = [(one.name, labels.get(one.cell, one.name)) for one in target.fields]
    told = dict(columns)
    return OwnTable(
        kind.slug, kind.label, target, tuple(columns), tuple(told.get(name, name) for _, name in target.keys)
    )


def list_rows(
    caller: Caller, table: OwnTable, *, job: str = "", before: int = 0, after: int = 0, size: int = PAGE_ROWS
) -> RowPage:
    """Give a page: the newest rows, or the next ones older than the id `before`, or newer than `after`.

    `job`: only those that this import brought. Raises: NotFound for a job of nobody or of another org.
    Cost: an index read of the page; the count has its own limits.
    """
    found = _find(caller, table, job)
    total = count_rows(found, guessed=False)
    if after:
        read = list(found.filter(pk__gt=after).order_by("pk")[: size + 1])
        rows, newer = read[:size][::-1], len(read) > size
        older = True
    else:
        read = list((found.filter(pk__lt=before) if before else found).order_by("-pk")[: size + 1])
        rows, older = read[:size], len(read) > size
        newer = bool(before)
    ends = (rows[-1].pk if rows and older else None, rows[0].pk if rows and newer else None)
    return RowPage(tuple(rows), total, *ends)


def search_key(caller: Caller, table: OwnTable, text: str) -> RowPage:
    """Give the row that a key names, as a whole. Raises: InputError bad_option. Cost: a look into the index of keys."""
    key = text.strip()
    if len(key) > MOST_KEY or "\0" in key:
        raise InputError(f"A key has at most {MOST_KEY:,} characters.", code="bad_option", field="key")
    names = [f"{letter}:{key}" for letter, _ in table.target.keys]
    rows = tuple(_find(caller, table, "").filter(match_key__in=names).order_by("-pk")) if key else ()
    return RowPage(rows, Total(len(rows), "exact"), None, None)


def find_jobs(caller: Caller, rows: Sequence[Merged]) -> dict[int, Job]:
    """Give the imports that brought these rows, or wrote them last, by number."""
    numbers = {number for one in rows for number in (one.created_job_id, one.import_job_id) if number}
    return own(caller, Job).select_related("upload").in_bulk(numbers)


def export_rows(caller: Caller, table: OwnTable, *, job: str = "", bom: bool) -> Iterator[bytes]:
    """Give all rows as CSV, block by block, oldest first. The header is one that an import maps by itself.

    Cells that a spreadsheet would run get an apostrophe. Raises: NotFound. Cost: memory stays flat.
    """
    found = _find(caller, table, job)
    total = count_rows(found, guessed=False)
    audit.record(
        caller.org, caller.user, "table.export", "table", table.slug, export="csv", narrowed=bool(job),
        rows=total.number, rows_are=total.word,
    )  # fmt: skip
    return write_csv(table.header, _lines(found, table.fields), safe=True, bom=bom)


def show_cell(value: Any) -> str:
    """Say a value in the words of a page."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {show_cell(one)}" for name, one in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"{value:%d %b %Y}".removeprefix("0")
    return write_cell(value)


def write_cell(value: Any) -> str:
    """Write a value as a cell that an import reads back as the same value."""
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"  # as a Table Schema has them
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value)


def _find(caller: Caller, table: OwnTable, job: str) -> QuerySet[Merged]:
    """Give the org's rows, in no order. Raises: NotFound."""
    found = own(caller, table.target.model)
    return found.filter(created_job=fetch(caller, own(caller, Job).filter(kind=table.slug), job)) if job else found


def _lines(found: QuerySet[Merged], fields: Sequence[str]) -> Iterator[list[str]]:
    """Give each row as a line of cells, by short reads: no transaction stays open between them."""
    last = 0
    while True:
        rows = list(found.filter(pk__gt=last).order_by("pk").values_list("pk", *fields)[:STRETCH_ROWS])
        for _, *values in rows:
            yield [write_cell(value) for value in values]
        if len(rows) < STRETCH_ROWS:
            return
        last = rows[-1][0]
