"""One, two and four workers on one payer account: calls a second against what they could make, and against the account's limit.

Real processes on a private Postgres. A worker of two threads with batches of 25 rows has at most 50 calls in flight; the
account allows --in-flight for all together. The payer takes a second for each call and counts the calls in flight at its end.
"""

from __future__ import annotations

import argparse
import json
import statistics

from cluster import Cluster, cluster
from fan_out import echo_payer, most_in_flight
from steps import submit_claims, use_payer, wait_for

EACH = 50


def measure(made: Cluster, rows: int, name: str) -> float:
    """Work a job off. Gives rows a second in the middle half of the job, by the database's clock."""
    from rowmill.models import Result

    job = submit_claims(made.caller, rows, name, "claims_few")
    wait_for(job)
    assert Result.objects.filter(job=job, outcome="ok").count() == rows
    ends = list(Result.objects.filter(job=job).order_by("written_at").values_list("written_at", flat=True))
    first, last = rows // 4, 3 * rows // 4
    return (last - first) / (ends[last] - ends[first]).total_seconds()


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, default=100, help="calls in flight that the account allows")
    parser.add_argument("--seconds", type=int, default=20, help="about how long each job shall take")
    parser.add_argument("--runs", type=int, default=3, help="jobs for each number of workers; the median counts")
    options = parser.parse_args()
    ratios: dict[str, float] = {}
    figures: dict[str, float] = {"in_flight": options.in_flight}
    print(
        f"{'workers':>8}{'could make':>12}{'allowed':>9}{'calls/s':>9}{'of what is possible':>21}{'most in flight':>16}"
    )
    with cluster(broker=True) as made:
        for count in (1, 2, 4):
            with echo_payer(1.0) as payer:
                use_payer(made.caller, payer, options.in_flight)
                made.start_workers(count, 2)
                possible = min(EACH * count, options.in_flight)
                measure(made, possible * 4, f"W{count}W")
                rates = [measure(made, possible * options.seconds, f"W{count}R{run}") for run in range(options.runs)]
                made.stop_workers()
                rate, most = statistics.median(rates), most_in_flight(payer, False)
            ratios[f"possible_{count}"] = round(rate / possible, 3)
            figures[f"calls_per_second_{count}"] = round(rate, 1)
            figures[f"most_in_flight_{count}"] = most
            print(f"{count:>8}{EACH * count:>12}{options.in_flight:>9}{rate:>9.1f}{rate / possible:>21.1%}{most:>16}")
            assert most <= options.in_flight
    print(json.dumps({"name": "workers", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
