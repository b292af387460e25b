"""From a POST's commit to the first row worked: idle and busy, with the broker's ring and by polling alone.

Real processes: two `rowmill worker` on a private Postgres, a payer that answers after 0.1 s. Busy: a job of 200,000 rows holds
every thread for bulk and every call of the same account.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

from cluster import Cluster, cluster
from fan_out import echo_payer
from steps import submit_claims, use_payer, wait_for


def first_row(made: Cluster, name: str) -> float:
    """Submit ten rows; gives the seconds from the job's row to its first result, both by the database's clock."""
    from rowmill.models import Result

    job = submit_claims(made.caller, 10, name)
    wait_for(job)
    first = Result.objects.filter(job=job).order_by("written_at").values_list("written_at", flat=True)[0]
    job.refresh_from_db()
    return float((first - job.created_at).total_seconds())


def measure(broker: bool, runs: int) -> tuple[list[float], list[float]]:
    """Measure on a cluster of its own. Shape: (idle, busy), seconds."""
    waits: tuple[list[float], list[float]] = ([], [])
    with cluster(broker=broker) as made, echo_payer(0.1) as payer:
        use_payer(made.caller, payer, 100)
        made.start_workers(2, 4)
        first_row(made, "WARM")
        for run in range(runs):
            time.sleep(1.5 + run % 3 * 0.3)
            waits[0].append(first_row(made, f"IDLE{run}"))
        big = submit_claims(made.caller, 200_000, "BIG")
        time.sleep(3)
        for run in range(runs):
            time.sleep(1.5 + run % 3 * 0.3)
            waits[1].append(first_row(made, f"BUSY{run}"))
        from rowmill.jobs.steer import cancel_job

        cancel_job(made.caller, big)
    return waits


def main() -> None:
    """Run both ways, each in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="jobs of each; the median counts")
    parser.add_argument("--one", choices=("ring", "poll"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one == "ring", options.runs)))
        return
    taken = {}
    for way in ("ring", "poll"):
        done = subprocess.run(
            [sys.executable, __file__, "--one", way, "--runs", str(options.runs)], stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise SystemExit("the run failed")
        idle, busy = json.loads(done.stdout.splitlines()[-1])
        taken[way, "idle"], taken[way, "busy"] = idle, busy
    print(f"{'':<24}{'median s':>10}{'worst s':>9}")
    figures = {}
    for (way, load), seconds in taken.items():
        words = f"{'with the broker' if way == 'ring' else 'polling alone'}, {load}"
        print(f"{words:<24}{statistics.median(seconds):>10.2f}{max(seconds):>9.2f}")
        figures[f"{way}_{load}_seconds"] = round(statistics.median(seconds), 3)
        figures[f"{way}_{load}_worst_seconds"] = round(max(seconds), 3)
    ratios = {
        load: round(figures[f"ring_{load}_seconds"] / figures[f"poll_{load}_seconds"], 3) for load in ("idle", "busy")
    }
    print(json.dumps({"name": "start", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
