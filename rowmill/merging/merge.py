"""The second half of a merge, inside the batch's own transaction: stage the rows, find what is there, change what differs."""

from __future__ import annotations

from typing import Any

from django.db import connection

from rowmill.contracts import JobInfo, MergeCounts, Outcome
from rowmill.errors import Snooze
from rowmill.faults import fault_point
from rowmill.merging.batches import Prepared
from rowmill.merging.statements import FOUND, STAGED, Statements
from rowmill.models import LIVE_STATES, Job

_BLOCK = 1 << 18
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
        load_staged(cursor, statements, prepared)
        fault_point("staged")
        _lock(cursor, statements)
        outcomes = settle_keys(cursor, statements)
        inserted = updated = 0
        for which in passes(cursor):
            one = _merge_pass(cursor, statements, which)
            inserted, updated = inserted + one[0], updated + one[1]
        for sql in statements.unstage():
            cursor.execute(sql)
    staged = prepared.rows - len(outcomes)
    return MergeCounts(
        inserted=inserted,
        updated=updated,
        unchanged=staged - inserted - updated + prepared.duplicates,
        duplicates=prepared.duplicates,
        outcomes=(*prepared.outcomes, *outcomes),
    )


def load_staged(cursor: Any, statements: Statements, prepared: Prepared) -> None:
    """Put a batch's rows into a temporary table."""
    for sql in (*statements.stage(), *statements.plan_for_probes()):
        cursor.execute(sql)
    names = ", ".join(prepared.names)
    if prepared.file is None:
        marks = ", ".join(["%s"] * len(prepared.names))
        cursor.executemany(f"INSERT INTO {STAGED} ({names}) VALUES ({marks})", prepared.values)
        return
    prepared.file.seek(0)
    with connection.wrap_database_errors, cursor.copy(f"COPY {STAGED} ({names}) FROM STDIN (FORMAT csv)") as copy:
        while block := prepared.file.read(_BLOCK):
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
    fault_point("merged")
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
