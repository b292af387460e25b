"""While an import is taken back: rows that a later import changed stay, and that one's undo is told what to go back to instead.

Of imports A, B, C that changed a row one after the other, the undo of B leaves what C made of it. From then on C's old row
is the one that B had kept, what A made; where B had put the row in, C's old row is GONE, and the undo of C removes it. So
when all of them are taken back, in whatever order, what no hand has touched is as before. A change by hand breaks the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db import connection
from django.db.models import Exists, OuterRef
from django.utils import timezone

from rowmill.merging.undo import UNDO_DAYS
from rowmill.models import BatchMerge, Job

GONE = "{}"  # the old row of a row that was not there


def find_later(job: Job) -> list[int]:
    """Give the jobs that may have changed rows after this one, and may be taken back themselves."""
    changed = BatchMerge.objects.filter(job=OuterRef("pk"), updated__gt=0)
    since = timezone.now() - timedelta(days=2 * UNDO_DAYS)
    jobs = Job.objects.filter(Exists(changed), org_id=job.org_id, kind=job.kind, created_at__gte=since)
    return list(jobs.exclude(pk=job.pk).values_list("pk", flat=True))


def pass_old_rows_on(job: Job, table: str, after: int, last: int) -> None:
    """Give the old rows of a batch (ids after..last, `last` included) to whoever changed those rows next.

    Nobody did where the row is as the job left it. Cost: a probe of an index for each row and job.
    """
    if not (later := find_later(job)):
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE rowmill_oldrow AS n SET old = o.old FROM rowmill_oldrow AS o WHERE o.job_id = %s AND o.target = %s "
            f"AND o.target_id > %s AND o.target_id <= %s AND {_among('n', later)} AND n.target = o.target "
            f"AND n.target_id = o.target_id AND {_revision('n')} = o.revision",
            [job.pk, table, after, last],
        )


def pass_new_rows_on(job: Job, table: str, ids: Sequence[int]) -> None:
    """Note with whoever changed these rows first that they are to go: the job had put them in."""
    if not ids or not (later := find_later(job)):
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE rowmill_oldrow AS n SET old = '{GONE}' WHERE {_among('n', later)} AND n.target = %s "
            f"AND n.target_id IN ({', '.join(str(int(one)) for one in ids)}) AND {_revision('n')} = 1",
            [table],
        )


def find_gone(job: Job, table: str, after: int, last: int) -> list[int]:
    """Give the rows of a batch that are as this job left them, and whose old row is that they were not there."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT c.id FROM rowmill_oldrow AS o, {table} AS c WHERE o.job_id = %s AND o.target = %s AND o.target_id > %s "
            f"AND o.target_id <= %s AND c.id = o.target_id AND c.revision = o.revision AND {_revision('o')} IS NULL",
            [job.pk, table, after, last],
        )
        return [row[0] for row in cursor.fetchall()]


def _among(name: str, jobs: Sequence[int]) -> str:
    """Give the condition for old rows of some jobs."""
    return f"{name}.job_id IN ({', '.join(str(int(job)) for job in jobs)})"


def _revision(name: str) -> str:
    """Give the revision that an old row had."""
    told = (
        f"{name}.old ->> 'revision'" if connection.vendor == "postgresql" else f"json_extract({name}.old, '$.revision')"
    )
    return f"CAST({told} AS integer)"
