"""Whether a row costs the same in a small and in a large job: a kind that does nothing, 10^4, 10^5 and 10^6 rows, one worker.

A real `rowmill worker` process on a private Postgres (fsync on) that keeps what was written before. Told are the whole job,
from its submission to COMPLETED, and the work alone, from the first claim on: a job has a fixed cost too, and in a small one
it weighs more. The worker's largest process is told as well, by its own peak.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from pathlib import Path
from typing import Any

from cluster import Cluster, cluster
from steps import wait_for

SIZES = (10_000, 100_000, 1_000_000)


def run_job(made: Cluster, rows: int) -> tuple[float, float]:
    """Take a file in, unmeasured, and have it worked off. Units: seconds of the whole job, seconds from its first claim."""
    from rowmill.jobs.submit import submit_job
    from rowmill.models import Job, Result

    upload = ready_upload(made, rows)
    begun = time.perf_counter()
    job = submit_job(upload, None, {})
    wait_for(job)
    taken = time.perf_counter() - begun
    assert Result.objects.filter(job=job, outcome="ok").count() == rows
    job = Job.objects.get(pk=job.pk)
    assert job.started_at is not None
    assert job.finished_at is not None
    return taken, (job.finished_at - job.started_at).total_seconds()


def ready_upload(made: Cluster, rows: int) -> Any:
    """Take a file in and judge it."""
    from rowmill.uploads.inspect import inspect_upload
    from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole

    upload = begin_upload(made.caller, "nothing", "bench.csv")
    lines = (b"%09d\n" % number for number in range(1, rows + 1))
    size, sha256 = receive_whole(upload, [b"id\n", *lines], 1 << 30)
    return inspect_upload(finish_upload(upload, size, sha256))


def largest_process(pid: int) -> int:
    """Give the peak of a process or of its largest child. Units: MB."""
    import psutil

    peaks = []
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        peaks.append(int(found[1]) // 1024 if found else 0)
    return max(peaks)


def main() -> None:
    """Run the sizes, print the table, then the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=SIZES[-1], help="the largest job")
    parser.add_argument("--runs", type=int, default=3, help="jobs of each size; the median counts")
    parser.add_argument("--concurrency", type=int, default=2, help="batches at a time")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    costs: dict[int, float] = {}
    with cluster(broker=True, sync=True) as made:
        made.start_workers(1, options.concurrency)
        run_job(made, 1_000)
        print(f"{'rows':>12}{'seconds':>10}{'rows/s':>10}{'work alone':>12}{'of it, a row':>14}{'largest process':>17}")
        for rows in sorted({size for size in SIZES if size < options.rows} | {options.rows}):
            told = [run_job(made, rows) for _ in range(options.runs)]
            whole, work = (statistics.median(one) for one in zip(*told, strict=True))
            peak = largest_process(made.workers[0].pid)
            costs[rows] = work / rows
            figures |= {
                f"rows_per_second_{rows}": round(rows / whole),
                f"work_us_a_row_{rows}": round(work / rows * 1e6, 1),
            }
            figures["worker_peak_mb"] = peak
            per_row = f"{work / rows * 1e6:.1f} µs"
            print(f"{rows:>12,}{whole:>10.2f}{rows / whole:>10,.0f}{work:>12.2f}{per_row:>14}{peak:>14} MB", flush=True)
    most, least = max(costs.values()), min(costs.values())
    print(f"\nThe dearest row costs {most / least:.2f} times the cheapest.")
    print(json.dumps({"name": "flat", "ratios": {"dearest_cheapest": round(most / least, 3)}, "figures": figures}))


if __name__ == "__main__":
    main()
