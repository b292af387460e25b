"""Beside the mapping: the first rows of a file as they would be stored, cleaned and typed, for those who may see the file."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
from django.conf import settings

from rowmill.contracts import Column, TableSource
from rowmill.merging.batches import reject_problems
from rowmill.merging.reader import Reader, make_reader
from rowmill.merging.room import open_room
from rowmill.merging.target import Target
from rowmill.models import Upload
from rowmill.registry import get_kind
from rowmill.uploads.places import hold_table

SHOWN_ROWS = 8


@dataclass(frozen=True, slots=True)
class FirstRow:
    """A row as it would be stored. `values` has the filled columns of the table; `problem` says why it is rejected."""

    row: int
    line: int
    values: Mapping[str, Any]
    problem: str = ""


def read_first_rows(
    upload: Upload, mapping: Mapping[str, int], ignored: Collection[int] = (), *, count: int = SHOWN_ROWS
) -> list[FirstRow] | None:
    """Read the first rows under a mapping, saved or not; None where their cells take more memory than a page may.

    Raises: FileNotFoundError, ObjectChanged, Busy.
    """
    kind: Any = get_kind(upload.kind)
    with hold_table(upload) as path:
        source = TableSource(path, tuple(upload.header), dict(mapping), False)
        reader = make_reader(kind.target, kind, source, {"ignored": sorted(ignored)})
        try:
            problems, found = _read(reader, f"row_number <= {int(count)}")
        except duckdb.OutOfMemoryException:
            return None
    names, before = reader.plan.columns, len(reader.names) - len(reader.plan.columns)
    return [
        FirstRow(
            row[0],
            row[1],
            {
                name: _opened(kind.target, name, value)
                for name, value in zip(names, row[before:], strict=True)
                if value is not None
            },
            reject_problems(row[0], problems[row[0]]).message if problems[row[0]] else "",
        )
        for row in found
    ]


def _read(reader: Reader, where: str) -> tuple[dict[int, str], list[tuple[Any, ...]]]:
    """Read rows as an import would. Shape: the problems of each by its number, its typed values."""
    rows = reader.merged_rows(where)
    with open_room(settings.SCRATCH_DIR) as con:
        problems = dict(con.execute(f"SELECT row_number, coalesce(problem, '') FROM ({rows})").fetchall())
        trimmed = reader.trimmed(rows, reader.needed_places())
        return problems, con.execute(f"SELECT * FROM ({reader.typed(trimmed)}) ORDER BY row_number").fetchall()


def _opened(target: Target, name: str, value: Any) -> Any:
    """Give lists and objects as what they are; DuckDB gives them as JSON texts."""
    field = target.find_field(name)
    is_json = name in target.objects or (field is not None and field.clean == "list")
    return json.loads(value) if is_json and isinstance(value, str) else value


def stored_columns(upload: Upload, rows: Iterable[FirstRow]) -> list[Column]:
    """Give the columns that some of the rows fill, in the order of the kind; what is gathered besides comes last."""
    kind: Any = get_kind(upload.kind)
    filled = {name for row in rows for name in row.values}
    known = [column for column in kind.columns if column.name in filled]
    others = sorted(filled - {column.name for column in known})
    return [*known, *(Column(name, name.replace("_", " ").capitalize()) for name in others)]
