"""The locks behind the engine's promises, always taken in one order: upload, batch, job, org (docs/adr/0008-postgres.md).

On SQLite none is needed, since a write transaction has the database to itself from its first statement on.
"""

from __future__ import annotations

from django.db import close_old_connections, connection

from rowmill.models import Job, Upload

_GATE = 0x526F77  # the advisory locks of jobs, apart from anybody else's
_SHARED_GATE = "SELECT pg_advisory_xact_lock_shared(%s, %s)"
_GATE_ALONE = "SELECT pg_advisory_xact_lock(%s, %s)"


def read_shared_state(job_id: int) -> str:
    """Read a job's state such that no cancel, retry or end of it commits before this transaction ends.

    Many transactions may hold a job so at once. Call it after the batch is held, inside the transaction.
    """
    if connection.vendor == "postgresql":
        _pass_gate(_SHARED_GATE, job_id)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT state FROM {Job._meta.db_table} WHERE id = %s FOR SHARE", [job_id])
            return str(cursor.fetchone()[0])
    return Job.objects.values_list("state", flat=True).get(pk=job_id)


def hold_job(job_id: int) -> Job:
    """Lock a job alone and read it with its upload; wait for checkpoints under way. Never hold one, then a batch."""
    if connection.vendor == "postgresql":
        _pass_gate(_GATE_ALONE, job_id)
    return Job.objects.select_for_update(no_key=True, of=("self",)).select_related("upload").get(pk=job_id)


def hold_upload(upload_id: int) -> Upload:
    """Lock an upload alone and read it, so that no job is made over it, and none is the last to go, meanwhile."""
    return Upload.objects.select_for_update(no_key=True).get(pk=upload_id)


def _pass_gate(sql: str, job_id: int) -> None:
    """Queue for a job. On the row alone those who share it would pass a waiting cancel for ever (seen: 18 s)."""
    with connection.cursor() as cursor:
        cursor.execute(sql, [_GATE, job_id % 2**31])


def free_connection() -> None:
    """Give this thread's connection back to the pool, or drop it where it broke. SQLite's stays open.

    Whoever waits (for a payer, for a ring) calls it first, so that no connection is held meanwhile.
    """
    if not connection.in_atomic_block:
        close_old_connections()
