"""Before an import: what it would do, from a real comparison with the table, and nothing is written."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
from django.conf import settings
from django.db import connection, transaction

from rowmill.contracts import Outcome, TableSource
from rowmill.merging.ahead import Prepare, Stretch, prepare_ahead
from rowmill.merging.batches import Prepared, connect_duck, prepare_batch
from rowmill.merging.groups import drop_groups, find_groups
from rowmill.merging.merge import load_staged, passes, set_new_apart, settle_keys
from rowmill.merging.reader import make_reader
from rowmill.merging.statements import FOUND, STAGED, Statements
from rowmill.models import Upload
from rowmill.registry import get_kind
from rowmill.uploads.places import hold_table

STRETCH_ROWS = 10_000
COUNTS = ("inserted", "updated", "unchanged", "duplicates", "rejected", "conflicts")


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of the table that would change: which, by which row of the file, and each column before and after, as in JSON."""

    target_id: int
    row: int
    changes: Mapping[str, tuple[Any, Any]]


@dataclass(slots=True)
class Effect:
    """What an import would do. Units: rows; inserted + updated + unchanged + rejected = all.

    `duplicates` of the unchanged ones give way to another row of the file; `conflicts` of the rejected ones cannot be placed.
    `causes`: how many rows each cause rejects, by its sentence. `examples` are the first rows that would change.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: int = 0
    rejected: int = 0
    conflicts: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    examples: list[Difference] = field(default_factory=list)

    @property
    def share_changed(self) -> float:
        """Give the share of the rows that would change something that is there already."""
        rows = self.inserted + self.updated + self.unchanged + self.rejected
        return self.updated / rows if rows else 0.0

    def add(self, other: Effect) -> None:
        """Add what other rows would do."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.causes.update(other.causes)
        self.examples += other.examples


def preview_import(
    upload: Upload, options: Mapping[str, Any], *, examples: int = 20, on_progress: Callable[[int], None] | None = None
) -> Effect:
    """Compare every row of a READY upload of a bulk kind with the table. Nothing is written.

    `on_progress` hears the rows compared so far. Raises: FileNotFoundError, ObjectChanged, ConfigError for an option.
    Cost: less than that of the import itself; memory as for two batches.
    """
    kind: Any = get_kind(upload.kind)
    effect, scratch = Effect(), settings.SCRATCH_DIR
    with hold_table(upload) as path:
        checked = dict(upload.mapping) == dict(upload.inspection.get("mapping") or {})
        source = TableSource(path, tuple(upload.header), dict(upload.mapping), checked)
        reader = make_reader(kind.target, kind, source, options)
        name = _name(upload, options)
        try:
            groups = find_groups(reader, scratch, name, connect_duck(scratch))
            row_bytes = upload.size_bytes // max(1, upload.row_count)
            stretch = min(STRETCH_ROWS, kind.rows_per_batch(len(upload.header), row_bytes))
            starts = range(1, upload.row_count + 1, stretch)
            stretches = ((first, min(upload.row_count, first + stretch - 1)) for first in starts)

            def prepare(first: int, last: int) -> AbstractContextManager[Prepared]:
                return prepare_batch(reader, lambda _: groups, first, last, scratch)

            with closing(prepare_ahead(prepare, stretches)) as ahead:
                for rows, prepared in ahead:
                    _compare_what_fits(upload, prepare, rows, prepared, effect, examples)
                    if on_progress is not None:
                        on_progress(rows[1])
        finally:
            drop_groups(scratch, name)
    return effect


def _name(upload: Upload, options: Mapping[str, Any]) -> str:
    """Name the files in scratch by what they depend on."""
    depends = json.dumps([str(upload.public_id), dict(upload.mapping), dict(options)], sort_keys=True, default=str)
    return f"groups-preview-{hashlib.sha256(depends.encode()).hexdigest()[:32]}"


def _compare_what_fits(
    upload: Upload,
    prepare: Prepare,
    rows: Stretch,
    holding: AbstractContextManager[Prepared],
    effect: Effect,
    examples: int,
) -> None:
    """Compare a stretch of rows, half by half where it takes more memory than there is."""
    first, last = rows
    try:
        with holding as prepared:
            effect.add(_compare(upload, prepared, examples - len(effect.examples)))
    except duckdb.OutOfMemoryException:
        if first == last:
            raise
        middle = (first + last) // 2
        for half in ((first, middle), (middle + 1, last)):
            _compare_what_fits(upload, prepare, half, prepare(*half), effect, examples)


def _compare(upload: Upload, prepared: Prepared, examples: int) -> Effect:
    """Compare a stretch of rows."""
    effect = Effect()
    statements = Statements(prepared.plan, upload.org_id, 0, upload.kind)
    with transaction.atomic():
        with connection.cursor() as cursor:
            effect.inserted += set_new_apart(cursor, statements, prepared)
            load_staged(cursor, statements, prepared)
            outcomes = settle_keys(cursor, statements)
            _count(effect, prepared, outcomes)
            for which in passes(cursor):
                cursor.execute(statements.find(which))
            _count_found(cursor, effect)
            if examples > 0:
                effect.examples += _differences(cursor, statements, examples)
            for sql in statements.unstage():
                cursor.execute(sql)
        transaction.set_rollback(True)
    return effect


def _count(effect: Effect, prepared: Prepared, outcomes: list[Outcome]) -> None:
    """Count the rows that are not merged."""
    rejected = [one for one in (*prepared.outcomes, *outcomes) if one.outcome == "rejected"]
    effect.duplicates += prepared.duplicates
    effect.unchanged += prepared.duplicates
    effect.rejected += len(rejected)
    effect.conflicts += sum(one.code == "AMBIGUOUS_KEY" for one in rejected)
    effect.causes.update(reason for one in rejected for reason in one.message.split("; "))


def _count_found(cursor: Any, effect: Effect) -> None:
    """Count what would be inserted, updated, left."""
    cursor.execute(f"SELECT (SELECT count(*) FROM {STAGED}), count(*), count(*) FILTER (WHERE differs) FROM {FOUND}")
    staged, found, differing = cursor.fetchone()
    effect.inserted += staged - found
    effect.updated += differing
    effect.unchanged += found - differing


def _differences(cursor: Any, statements: Statements, most: int) -> list[Difference]:
    """Give the first rows that would change, with what changes."""
    names = statements.plan.columns
    cursor.execute(statements.differences(most))
    found = []
    for target_id, row, *values in cursor.fetchall():
        pairs = zip(names, values[: len(names)], values[len(names) :], strict=True)
        sides = {name: (_as_json(_plain(before)), _as_json(_plain(after))) for name, before, after in pairs}
        changes = {name: side for name, side in sides.items() if side[0] != side[1]}
        found.append(Difference(target_id, row, changes))
    return found


def _plain(value: Any) -> Any:
    """Give JSON columns as what they hold; the driver gives them as text."""
    if isinstance(value, str) and value[:1] in "[{" and value[-1:] in "]}":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _as_json(value: Any) -> Any:
    """Write a value as JSON has it, the same one in the same way: SQLite gives now a date, now its text."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | float):
        return f"{value:f}".rstrip("0").rstrip(".") if value % 1 else str(int(value))
    return value
