"""Worker processes that import contacts on one Postgres while it crashes and they are killed.

python -m tests.crash.merge_crowd prepare DATA_DIR ROWS    (DATABASE_URL says where)
python -m tests.crash.merge_crowd work DATA_DIR            until no job is at work any more
python -m tests.crash.merge_crowd compare DATA_DIR         what the two orgs have, as one line of JSON

Two orgs get the same two files. In the org "calm" they are imported by `prepare` without any trouble, in the org "acme" the
first one too; the second is what the workers do. Afterwards both orgs must have the same, to the letter.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.crash.crowd import insist

BATCH_ROWS = 100


def prepare(rows: str) -> None:
    """Make the tables, both orgs, and all of the imports but the one under test, which is left to do."""
    from rowmill.cli.serving import prepare_database

    prepare_database()
    from rowmill.jobs.submit import submit_job
    from rowmill.orgs import add_member, create_org, find_caller

    with TemporaryDirectory() as folder:
        files = _make_files(Path(folder), int(rows))
    for org in ("calm", "acme"):
        caller = find_caller(add_member(create_org(org), f"alice@{org}.test", "admin", None))
        for number, data in enumerate(files):
            submit_job(_take_in(caller, data), None, {})
            if (org, number) != ("acme", 1):
                _run_out()


def _make_files(folder: Path, rows: int) -> list[bytes]:
    """Make two files: the second has the contacts of the first with other values, and a quarter more."""
    from rowmill.contacts.sample import make_contacts

    made = []
    for seed, number in ((1, rows), (2, rows * 5 // 4)):
        make_contacts(number, seed, folder / "contacts.csv")
        made.append((folder / "contacts.csv").read_bytes())
    return made


def _take_in(caller: Any, data: bytes) -> Any:
    from rowmill.uploads.inspect import inspect_upload
    from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole

    upload = begin_upload(caller, "contact_import", "contacts.csv")
    return inspect_upload(finish_upload(upload, *receive_whole(upload, [data], 1 << 26)))


def _run_out() -> None:
    from rowmill.jobs.claim import claim_batch
    from rowmill.jobs.run import run_batch

    while (batch := claim_batch("prepare")) is not None:
        assert run_batch(batch) == "done"


def work() -> None:
    """Run two batches at a time until no job is at work any more."""
    from rowmill.jobs.runner import Runner
    from rowmill.models import FINAL_STATES, Job

    runner = Runner(2, alone=False)
    insist(runner.start)
    while insist(lambda: Job.objects.exclude(state__in=FINAL_STATES).exists()):
        time.sleep(0.1)
    runner.stop()


def compare() -> None:
    """Print what each org has: a hash over its contacts with their provenance, and the counts of its imports."""
    from django.forms.models import model_to_dict

    from rowmill.jobs.progress import read_progress
    from rowmill.models import Contact, Job, OldRow

    told: dict[str, Any] = {}
    for org in ("calm", "acme"):
        jobs = list(Job.objects.filter(org__name=org).select_related("upload").order_by("pk"))
        place = {job.pk: number for number, job in enumerate(jobs)}
        digest = hashlib.sha256()
        for contact in Contact.objects.filter(org__name=org).order_by("match_key"):
            row = {**model_to_dict(contact), "id": 0, "org": 0, "updated_at": 0, "created_at": 0}
            row |= {name: place[getattr(contact, f"{name}_id")] for name in ("created_job", "import_job")}
            digest.update(repr(sorted(row.items())).encode())
        told[org] = [digest.hexdigest(), Contact.objects.filter(org__name=org).count()]
        told[org] += [[job.state, read_progress(job).merged, job.results.count()] for job in jobs]
        told[org].append(OldRow.objects.filter(org__name=org).count())
    print(json.dumps(told))


if __name__ == "__main__":
    os.environ |= {"ROWMILL_LOG_LEVEL": "CRITICAL", "ROWMILL_MIN_FREE_BYTES": "0", "ROWMILL_SWEEP_SECONDS": "0.5"}
    from rowmill.cli.serving import set_up_django

    set_up_django(Path(sys.argv[2]))
    from rowmill.kinds.contact_import import ContactImport

    ContactImport.batch_rows, ContactImport.lease_seconds = BATCH_ROWS, 6
    ContactImport.max_attempts = 1000  # deaths are no fault of any row here
    {"prepare": prepare, "work": work, "compare": compare}[sys.argv[1]](*sys.argv[3:])
