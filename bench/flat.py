"""Whether a row costs the same in a small and in a large job: a kind that does nothing, 10^4, 10^5 and 10^6 rows, one worker.

Whole job by the embedded runner, on a private Postgres (fsync on) or on SQLite; the database keeps what was written before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import engine  # noqa: E402

from tests.servers.postgres import Postgres  # noqa: E402

SIZES = (10_000, 100_000, 1_000_000)


def main() -> None:
    """Run the sizes, print the table, then the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="postgres")
    parser.add_argument("--rows", type=int, default=SIZES[-1], help="the largest job")
    parser.add_argument(
        "--runs", type=int, default=3, help="jobs of each size but the largest, which runs once; the median counts"
    )
    parser.add_argument("--concurrency", type=int, default=0, help="batches at a time; 0 = as shipped")
    options = parser.parse_args()
    os.environ.pop("DATABASE_URL", None)
    os.environ["ROWMILL_MAX_UPLOAD_BYTES"] = str(1 << 30)
    folder = Path(tempfile.mkdtemp(prefix="rowmill-bench-"))
    costs: dict[int, float] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if options.database == "postgres":
            os.environ["DATABASE_URL"] = stack.enter_context(Postgres(sync=True)).new_database()
        engine.set_up(folder)
        bench = engine.Bench(folder, 1_000, options.concurrency)
        bench.engine()
        print(f"{options.database}\n{'rows':>12}{'seconds':>10}{'rows/s':>10}{'cost of a row':>16}")
        for rows in sorted({size for size in SIZES if size < options.rows} | {options.rows}):
            bench.rows = rows
            bench.file = b"id\n" + b"".join(b"%09d\n" % number for number in range(1, rows + 1))
            seconds = statistics.median(bench.engine() for _ in range(1 if rows == options.rows else options.runs))
            costs[rows] = seconds / rows
            print(f"{rows:>12,}{seconds:>10.2f}{rows / seconds:>10,.0f}{seconds / rows * 1e6:>13.1f} µs", flush=True)
    most, least = max(costs.values()), min(costs.values())
    print(f"\nThe dearest row costs {most / least:.2f} times the cheapest.")
    figures = {f"rows_per_second_{rows}": round(1 / cost) for rows, cost in costs.items()}
    figures["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps({"name": "flat", "ratios": {"dearest_cheapest": round(most / least, 3)}, "figures": figures}))


if __name__ == "__main__":
    main()
