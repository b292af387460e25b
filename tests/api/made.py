"""Makes uploads and jobs straight in the database, for what needs no engine."""

from __future__ import annotations

import hashlib
from uuid import uuid4

from django.utils import timezone

from rowmill.models import Batch, FindingRecord, Job, Org, Upload, User


def make_upload(
    org: Org, user: User, name: str = "claims.csv", *, state: str = "READY", rows: int = 10, findings: int = 0
):
    """Make an upload with a balance that balances."""
    balance = {
        "lines": rows + 1,
        "header": 1,
        "rows": rows,
        "blank": 0,
        "continuation": 0,
        "preamble_footer": 0,
        "broken": 0,
    }
    upload = Upload.objects.create(
        org=org,
        kind="claim_status",
        name=name,
        state=state,
        size_bytes=100,
        sha256=hashlib.sha256(uuid4().bytes).hexdigest(),
        inspection={"balance": {**balance, "balances": True}, "dialect": None, "rejected_rows": 0},
        row_count=rows,
        created_by=user,
    )
    for position in range(findings):
        FindingRecord.objects.create(
            org=org,
            upload=upload,
            position=position,
            code="open_quote",
            severity="error",
            message="m",
            line=position + 2,
        )
    return upload


def make_job(org: Org, user: User, name: str = "claims.csv", *, state: str = "COMPLETED", rows: int = 10, **fields):
    """Make a job with one batch of which every row but one is ok."""
    upload = make_upload(org, user, name, rows=rows)
    options = {"payer": "UHC", "transaction_code": "CLAIM_STATUS", "practice_id": None, **fields.pop("options", {})}
    started = timezone.now() if state != "PENDING" else None
    job = Job.objects.create(
        org=org,
        upload=upload,
        kind="claim_status",
        state=state,
        total_rows=rows,
        created_by=user,
        options=options,
        processing_started_at=started,
        **fields,
    )
    done = {"ok": rows - 1, "not_found": 1} if state != "PENDING" else {}
    Batch.objects.create(
        org=org, job=job, first_row=1, last_row=rows, state="done" if state == "COMPLETED" else "waiting", **done
    )
    return job
