"""One payer account asked by four processes on one Postgres: are its limits kept, and used, over a minute.

What counts is what the payer sees: calls in flight at the most, and calls in each minute, after the first five seconds.
In the last run one of the four is killed in the middle (kill -9); its part comes back when its lease is over.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from payersim.testing import Payer, running_apart
from tests.claims.sharing import Sharing, rate, sharing
from tests.servers.postgres import Postgres

LATENCY = 0.5
WARM_SECONDS = 5.0


@contextlib.contextmanager
def started(server: Postgres, workers: int, in_flight: int, per_minute: int) -> Iterator[tuple[Payer, Sharing]]:
    """Start a payer and its askers, and wait until the first calls are answered."""
    with running_apart("--latency-scale", "1") as payer, tempfile.TemporaryDirectory() as folder:
        payer.control("profile", {"name": "calm", "latency": [LATENCY, LATENCY, LATENCY]})
        with sharing(server.new_database(), Path(folder), payer, in_flight, per_minute) as made:
            for _ in range(workers):
                made.start()
            while not payer.stats()["inquiries"]:
                time.sleep(0.05)
            time.sleep(WARM_SECONDS)
            yield payer, made


def kill_one(made: Sharing) -> None:
    """End one of them in the middle of its calls."""
    os.kill(made.workers[0].pid, signal.SIGKILL)


def measure(
    server: Postgres,
    options: argparse.Namespace,
    in_flight: int,
    per_minute: int,
    then: Callable[[Sharing], None] | None,
) -> tuple[float, int]:
    """Run four processes. Shape: (calls a second over the time, calls in flight at the most)."""
    with started(server, options.workers, in_flight, per_minute) as (payer, made):
        if then is not None:
            then(made)
            time.sleep(12.0)  # its lease
        return rate(payer, options.seconds), int(payer.stats()["max_in_flight"])


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    runs = [
        ("100 a minute", 40, 100, None),
        ("1,200 a minute", 40, 1200, None),
        ("3,600 a minute", 80, 3600, None),
        ("40 in flight", 40, 0, None),
        ("40 in flight, one killed", 40, 0, kill_one),
    ]
    ratios: dict[str, float] = {}
    figures: dict[str, float] = {"workers": options.workers, "seconds": options.seconds, "latency_seconds": LATENCY}
    print(f"{'limit':<26} {'allowed/min':>12} {'seen/min':>10} {'of the limit':>13} {'most in flight':>15}")
    with Postgres() as server:
        for name, in_flight, per_minute, then in runs:
            allowed = per_minute or in_flight / LATENCY * 60
            a_second, most = measure(server, options, in_flight, per_minute, then)
            slug = name.replace(",", "").replace(" ", "_")
            ratios[slug] = round(a_second * 60 / allowed, 4)
            figures[f"{slug}_most"], figures[f"{slug}_cap"] = most, in_flight
            print(
                f"{name:<26} {allowed:>12,.0f} {a_second * 60:>10,.0f} {ratios[slug]:>13.1%} {most:>8} of {in_flight:>3}"
            )
    print(json.dumps({"name": "limits", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
