"""Whether a row costs the same in a small and in a large job: a kind that does nothing, 10^4, 10^5 and 10^6 rows, one worker.

A real `rowmill worker` process on a private Postgres (fsync on) that keeps what was written before. A whole job is measured,
from its submission to COMPLETED: its fixed cost weighs more in a small one. The worker's largest process is told by its own peak.
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


def run_job(made: Cluster, rows: int) -> float:
    """Take a file in, unmeasured, and have it worked off. Units: seconds, from its submission to COMPLETED."""
    from rowmill.jobs.submit import submit_job
    from rowmill.models import Result

    upload = ready_upload(made, rows)
    begun = time.perf_counter()
    job = submit_job(upload, None, {})
    wait_for(job)
    taken = time.perf_counter() - begun
    assert Result.objects.filter(job=job, outcome="ok").count() == rows
    return taken


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
        print(f"{'rows':>12}{'seconds':>10}{'rows/s':>10}{'a row':>12}{'largest process':>18}")
        for rows in sorted({size for size in SIZES if size < options.rows} | {options.rows}):
            whole = statistics.median(run_job(made, rows) for _ in range(options.runs))
            peak, costs[rows] = largest_process(made.workers[0].pid), whole / rows
            figures |= {f"rows_per_second_{rows}": round(rows / whole), "worker_peak_mb": peak}
            print(
                f"{rows:>12,}{whole:>10.2f}{rows / whole:>10,.0f}{whole / rows * 1e6:>9.1f} µs{peak:>15} MB", flush=True
            )
    most, least = max(costs.values()), min(costs.values())
    print(f"\nThe dearest row costs {most / least:.2f} times the cheapest.")
    print(json.dumps({"name": "flat", "ratios": {"dearest_cheapest": round(most / least, 3)}, "figures": figures}))


if __name__ == "__main__":
    main()
