"""What a claim costs while few and while many batches wait: 10 of one job, and 100,000 of 2,000 jobs of 20 orgs.

On SQLite in a file and on a private Postgres. A second table: eight threads claim and finish at once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SIZES = ((10, 1, 1), (100_000, 2_000, 20))


def fill(batches: int, jobs: int, orgs: int) -> None:
    """Make so many waiting batches, evenly among jobs and orgs."""
    from django.db import connection

    from rowmill.models import Batch, Job, Org, Upload

    Batch.objects.all().delete()
    Job.objects.all().delete()
    made = [Org.objects.get_or_create(name=f"org {number}")[0] for number in range(orgs)]
    each = batches // jobs
    for number in range(jobs):
        org = made[number % orgs]
        upload = Upload.objects.create(org=org, kind="claim_status", name="made.csv", state="READY")
        job = Job.objects.create(org=org, upload=upload, kind="claim_status", total_rows=each * 10)
        Batch.objects.bulk_create(
            Batch(org=org, job=job, first_row=first, last_row=first + 9) for first in range(1, each * 10 + 1, 10)
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def claim_and_end() -> float:
    """Claim one batch and end it. Gives the seconds that the claim took; -1 where none was due."""
    from rowmill.jobs.claim import claim_batch
    from rowmill.models import Batch

    began = time.perf_counter()
    batch = claim_batch("bench")
    seconds = time.perf_counter() - began
    if batch is None:
        return -1.0
    Batch.objects.filter(pk=batch.pk).update(state="waiting")
    return seconds


def together(threads: int, seconds: float) -> float:
    """Claim in many threads at once. Gives the claims a second."""
    from django.db import connections

    until, counts = time.monotonic() + seconds, []

    def work() -> None:
        count = 0
        while time.monotonic() < until:
            count += claim_and_end() >= 0
        counts.append(count)
        connections.close_all()

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / seconds


def child(claims: int) -> None:
    """Measure on the database of DATABASE_URL, and print JSON."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "rowmill.settings"
    django.setup()
    from django.core.management import call_command

    from rowmill.jobs.turns import jobs_in_turn

    call_command("migrate", verbosity=0)
    told = {}
    for batches, jobs, orgs in SIZES:
        fill(batches, jobs, orgs)
        assert len(jobs_in_turn("bulk")) == jobs
        took = [claim_and_end() for _ in range(claims)]
        told[f"ms_{batches}"] = round(statistics.median(took) * 1000, 3)
        told[f"ms_p95_{batches}"] = round(sorted(took)[int(0.95 * claims)] * 1000, 3)
        told[f"a_second_8_threads_{batches}"] = round(together(8, 3.0), 1)
    print(json.dumps(told))


def measure(url: str, folder: str, claims: int) -> dict[str, float]:
    """Measure in a process of its own."""
    environment = {**os.environ, "DATABASE_URL": url, "ROWMILL_DATA_DIR": folder, "ROWMILL_LOG_LEVEL": "ERROR"}
    command = [sys.executable, __file__, "--child", "--claims", str(claims)]
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=300)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.claims)
        return
    from tests.servers.postgres import Postgres

    figures: dict[str, float] = {}
    print(f"{'database':<10} {'waiting':>8} {'a claim, ms':>12} {'95 of 100, ms':>14} {'8 threads, claims/s':>20}")
    with Postgres() as server, tempfile.TemporaryDirectory() as folder:
        for name, url in (("sqlite", ""), ("postgres", server.new_database())):
            told = measure(url, folder, options.claims)
            figures |= {f"{name}_{key}": value for key, value in told.items()}
            for batches, _, _ in SIZES:
                a_second = told[f"a_second_8_threads_{batches}"]
                print(
                    f"{name:<10} {batches:>8,} {told[f'ms_{batches}']:>12.2f} {told[f'ms_p95_{batches}']:>14.2f} {a_second:>20.0f}"
                )
    ratios = {
        f"{name}_100000_over_10": round(figures[f"{name}_ms_100000"] / figures[f"{name}_ms_10"], 2)
        for name in ("sqlite", "postgres")
    }
    print(json.dumps({"name": "claim", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
