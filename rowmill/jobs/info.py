"""What a kind sees of a job, made from its row."""

from __future__ import annotations

from rowmill.contracts import JobInfo
from rowmill.models import Job


def job_info(job: Job) -> JobInfo:
    """Give the plain facts of a job."""
    return JobInfo(id=job.public_id, org_id=job.org_id, kind=job.kind, options=job.options, row_count=job.total_rows)
