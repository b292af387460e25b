"""The second half of a merge, inside the batch's own transaction: stage the rows, find what is there, change what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO, Any

from django.db import IntegrityError, connection

from rowmill.contracts import JobInfo, MergeCounts, Outcome
from rowmill.errors import Snooze
from rowmill.faults import fault_point
from rowmill.merging.batches import Prepared
from rowmill.merging.statements import FOUND, STAGED, Statements
from rowmill.models import LIVE_STATES, Job
from rowmill.tabular.load import quote_name

_BLOCK = 1 << 20
_GATE = 0x526F78  # the advisory locks of merges into an org's tables, apart from anybody else's
BUSY = "Another import of this org writes the same rows."
UNCLEAR_WORDS = "Several rows that are there already have this key, so nobody can tell which one is meant."


def merge_batch(job: JobInfo, prepared: Prepared) -> MergeCounts:
    """Merge a prepared batch of a job. Call it inside the transaction that marks the batch done.

    Raises: Snooze where another import was quicker with the same new row; the transaction is then to be rolled back.
    """
    job_id = Job.objects.values_list("pk", flat=True).get(public_id=job.id)
    statements = Statements(prepared.plan, job.org_id, job_id, job.kind)
    with connection.cursor() as cursor:
        _lock(cursor, statements)
        fresh = set_new_apart(cursor, statements, prepared)
        told = _merge_old(cursor, statements, prepared) if fresh < prepared.rows else MergeCounts()
        fault_point("staged")
        if fresh:
            _insert_new(cursor, statements, prepared, fresh)
        fault_point("merged")
    return MergeCounts(
        inserted=fresh + told.inserted,
        updated=told.updated,
        unchanged=told.unchanged + prepared.duplicates,
        duplicates=prepared.duplicates,
        outcomes=(*prepared.outcomes, *told.outcomes),
    )


def _merge_old(cursor: Any, statements: Statements, prepared: Prepared) -> MergeCounts:
    """Merge the rows of a batch that are not new."""
    staged = load_staged(cursor, statements, prepared)
    outcomes = settle_keys(cursor, statements)
    inserted = updated = 0
    for which in passes(cursor):
        one = _merge_pass(cursor, statements, which)
        inserted, updated = inserted + one[0], updated + one[1]
    for sql in statements.unstage():
        cursor.execute(sql)
    unchanged = staged - len(outcomes) - inserted - updated
    return MergeCounts(inserted=inserted, updated=updated, unchanged=unchanged, outcomes=tuple(outcomes))


def set_new_apart(cursor: Any, statements: Statements, prepared: Prepared) -> int:
    """Find out which rows of a batch are about nothing that is in the table by any of its keys. Gives how many."""
    for sql in statements.plan_for_probes():
        cursor.execute(sql)
    cursor.execute(statements.find_old(), [prepared.tell_keys()])
    return prepared.set_apart([row[0] for row in cursor.fetchall()])


def load_staged(cursor: Any, statements: Statements, prepared: Prepared) -> int:
    """Put those rows of a batch into a temporary table that are not new. Gives how many."""
    for sql in statements.stage():
        cursor.execute(sql)
    columns = prepared.reader.names
    names = ", ".join(columns)
    if statements.postgres:
        with prepared.write_csv([quote_name(name) for name in columns], old=True) as file:
            _copy(cursor, f"COPY {STAGED} ({names}) FROM STDIN (FORMAT csv)", file)
        return int(cursor.rowcount)
    marks = ", ".join("?" * len(columns))
    _insert_all(cursor, f"INSERT INTO {STAGED} ({names}) VALUES ({marks})", prepared.read_values(columns, old=True))
    return prepared.old


def _insert_new(cursor: Any, statements: Statements, prepared: Prepared, fresh: int) -> None:
    """Put the new rows of a batch straight into the table. Raises: Snooze where somebody was quicker with one of them."""
    cursor.execute(f"SELECT CAST({statements.now} AS text)")
    (clock,) = cursor.fetchone()
    if not statements.postgres:
        sql, columns, blanks = statements.insert_new(clock)
        _insert_all(cursor, sql, prepared.read_values(columns, old=False, blanks=blanks))
        return
    sql, values = statements.copy_new(clock)
    with prepared.write_csv(values, old=False) as file:
        try:
            _copy(cursor, sql, file)
        except IntegrityError as error:
            if statements.names_key(error.__cause__.diag.constraint_name):  # type: ignore[union-attr]
                raise Snooze(0.0, BUSY) from None
            raise
    if cursor.rowcount != fresh:
        raise RuntimeError("not every new row of a batch came into the table")


def _insert_all(cursor: Any, sql: str, rows: Iterable[Sequence[Any]]) -> None:
    """Run an INSERT of SQLite for each row. Django's own way would keep all rows in memory until the last is there."""
    with connection.wrap_database_errors:
        connection.Database.Cursor.executemany(cursor.cursor, sql, rows)  # type: ignore[attr-defined]


def _copy(cursor: Any, sql: str, file: IO[bytes]) -> None:
    """Send a file to COPY."""
    with connection.wrap_database_errors, cursor.copy(sql) as copy:
        while block := file.read(_BLOCK):
            copy.write(block)


def settle_keys(cursor: Any, statements: Statements) -> list[Outcome]:
    """Find out which row of the table is meant where the first key alone does not tell. Gives the rows that stay unclear."""
    keys, columns = statements.plan.target.keys, statements.plan.columns
    if len(keys) < 2 or keys[1][1] not in columns:
        return []
    if keys[0][1] in columns:
        cursor.execute(statements.adopt())
    if not _has_rows(cursor, f"SELECT 1 FROM {STAGED} WHERE match_key LIKE '{keys[1][0]}:%%' LIMIT 1"):
        return []
    cursor.execute(statements.ambiguous())
    unclear = [row[0] for row in cursor.fetchall()]
    if unclear:
        cursor.execute(f"DELETE FROM {STAGED} WHERE row_number IN ({', '.join(str(int(n)) for n in unclear)})")
    cursor.execute(statements.join_second())
    return [Outcome(number, "rejected", "AMBIGUOUS_KEY", UNCLEAR_WORDS) for number in sorted(unclear)]


def passes(cursor: Any) -> list[str]:
    """Give which rows are merged together: those that were told by the second key after the others."""
    late = _has_rows(cursor, f"SELECT 1 FROM {STAGED} WHERE late LIMIT 1")
    return ["s.late IS NULL", "s.late"] if late else ["1 = 1"]


def _merge_pass(cursor: Any, statements: Statements, which: str) -> tuple[int, int]:
    """Merge the staged rows of one pass. Shape: (inserted, updated)."""
    cursor.execute(f"DELETE FROM {FOUND}")
    cursor.execute(statements.find(which))
    cursor.execute(f"SELECT count(*), count(*) FILTER (WHERE differs) FROM {FOUND}")
    found, differing = cursor.fetchone()
    cursor.execute(f"SELECT count(*) FROM {STAGED} AS s WHERE {which}")
    missing = cursor.fetchone()[0] - found
    updated = 0
    if differing:
        cursor.execute(statements.keep_old(which))
        cursor.execute(statements.update(which))
        updated = cursor.rowcount
        fault_point("updated")
    inserted = 0
    if missing:
        cursor.execute(statements.insert(which))
        inserted = cursor.rowcount
    if inserted != missing or updated != differing:
        raise Snooze(0.0, BUSY)
    return inserted, updated


def _lock(cursor: Any, statements: Statements) -> None:
    """Let imports of one org that run at once go batch by batch: a key that is not unique has no index to keep them apart.

    Batches of one job have no row in common, so they pass together. SQLite has one writer.
    """
    if not statements.postgres:
        return
    others = Job.objects.filter(org_id=statements.org_id, state__in=LIVE_STATES).exclude(pk=statements.job_id)
    alone = others.filter(kind=statements.kind).exists()
    word = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    cursor.execute(f"SELECT {word}(%s, %s)", [_GATE, statements.org_id % 2**31])


def hold_table_alone(org_id: int, *, long: bool = False) -> None:
    """Keep every merge of an org out until this transaction ends. `long`: one statement may be about a million rows."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            if long:
                cursor.execute("SET LOCAL statement_timeout = '30min'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_GATE, org_id % 2**31])


def _has_rows(cursor: Any, sql: str) -> bool:
    """Tell whether a query gives a row."""
    cursor.execute(sql.replace("%%", "%"))
    return cursor.fetchone() is not None
