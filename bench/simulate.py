"""How long would it take, and what is the bottleneck: the engine's rules under virtual time.

    python bench/simulate.py --rows 1000000 --payers 6 --workers 40     one question
    python bench/simulate.py --table                                     100 thousand to a thousand million rows
    python bench/simulate.py --compare                                   measure costs here, predict, run for real, compare

Prints a table for people and, as its last line, JSON. Jobs of more than --exact rows are simulated up to that many; what
is left goes on at each payer's steady rate. The costs in COSTS were measured by --compare on two shared cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ["ROWMILL_DATA_DIR"] = tempfile.mkdtemp(prefix="rowmill-bench-")
os.environ.update(ROWMILL_LOG_LEVEL="CRITICAL", ROWMILL_MIN_FREE_BYTES="0", ROWMILL_MAX_UPLOAD_BYTES=str(1 << 30))
os.environ.pop("DATABASE_URL", None)

from rowmill.cli.serving import set_up_django  # noqa: E402

set_up_django()

from virtual import Costs, Model, PayerModel, Plan, Trial  # noqa: E402

COSTS = {
    "sqlite": Costs(0.007, 0.0021, 0.00002, 0.00054, 0.006, 0.7, 1),
    "postgres": Costs(0.007, 0.0021, 0.00002, 0.00054, 0.006, 0.7, 8),
}
SHARES = (0.35, 0.25, 0.15, 0.12, 0.08, 0.05)
ADVICE = {
    "calls in flight": "more calls in flight: ask the payer, raise the account's limit; more workers change nothing",
    "calls a minute": "the payer's rate: ask for more, or start earlier; more workers change nothing",
    "threads": "more batches at a time: ROWMILL_CONCURRENCY, then more workers",
    "worker's core": "more workers: a process has one core's worth of Python",
    "database": "a faster database: Postgres for SQLite, its own disk for the WAL; then one Rowmill for each group of orgs",
}


@dataclass(slots=True)
class Forecast:
    """What a run of the model says. Units: seconds; `use`: share of each part in use, from 0 to 1."""

    seconds: float
    use: dict[str, float]
    payer_seconds: list[float]

    @property
    def bottleneck(self) -> str:
        """Name the part that is full. A call that waits for a core holds its place meanwhile, so cores are looked at first."""
        for part in ("database", "worker's core", "calls a minute", "calls in flight"):
            if self.use[part] >= 0.9:
                return part
        return "threads"


def forecast(plan: Plan, exact: int) -> Forecast:
    """Run the model, and draw out to the whole what was simulated in part."""
    rows = sum(payer.rows for payer in plan.payers)
    share = min(1.0, exact / rows)
    small = replace(plan, payers=tuple(replace(p, rows=max(1, round(p.rows * share))) for p in plan.payers))
    model = Model(small)
    model.run()
    ends = [door.ends[-1] + model.saved_at - max(d.ends[-1] for d in model.doors) for door in model.doors]
    if share < 1:
        ends = [
            end + (whole.rows - part.rows) / steady_rate(door.ends)
            for end, door, whole, part in zip(ends, model.doors, plan.payers, small.payers, strict=True)
        ]
    # What is in use is told of the time while the busiest payer works: later there is nothing left to fill.
    last = model.saved_at
    doors = model.doors
    use = {
        "calls in flight": max(d.held / d.payer.in_flight / d.ends[-1] for d in doors),
        "calls a minute": max(
            d.calls / (d.payer.per_minute / 60) / d.ends[-1] if d.payer.per_minute else 0 for d in doors
        ),
        "worker's core": statistics.mean(core.worked for core in model.cores) / last,
        "database": model.database.worked / model.database.servers / last,
        "threads": 1.0,
    }
    return Forecast(max(ends), use, ends)


def steady_rate(ends: list[float]) -> float:
    """Give a payer's answers a second in the middle half of what was simulated."""
    first, last = len(ends) // 4, 3 * len(ends) // 4
    if ends[last] == ends[first]:
        return len(ends) / ends[-1]
    return (last - first) / (ends[last] - ends[first])


def payers_of(options: argparse.Namespace, rows: int) -> tuple[PayerModel, ...]:
    """Share the rows among the payers, unevenly as payers are."""
    shares = [SHARES[n % len(SHARES)] for n in range(options.payers)]
    counts = [max(1, round(rows * share / sum(shares))) for share in shares]
    return tuple(
        PayerModel(count, options.in_flight, options.per_minute, options.latency, options.sigma, options.failures)
        for count in counts
    )


def plan_of(options: argparse.Namespace, rows: int) -> Plan:
    """Make the plan that the options describe."""
    return Plan(
        payers_of(options, rows), options.workers, options.threads, options.batch_rows, costs=COSTS[options.database]
    )


def words(seconds: float) -> str:
    """Write a time as people say it."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def answer(options: argparse.Namespace) -> dict[str, Any]:
    """Answer one question."""
    plan = plan_of(options, options.rows)
    found = forecast(plan, options.exact)
    print(f"{options.rows:,} rows, {options.payers} payers with {options.in_flight} calls in flight each, ", end="")
    print(f"{options.latency:g} s a call, {options.workers} workers of {options.threads} batches, {options.database}\n")
    print(f"takes        {words(found.seconds)}  ({options.rows / found.seconds:,.1f} rows/s)")
    print(f"bottleneck   {found.bottleneck}")
    print(f"what helps   {ADVICE[found.bottleneck]}\n")
    for part, share in found.use.items():
        if part != "threads":
            print(f"  {part:<18}{share:>7.0%} in use")
    for number, (payer, seconds) in enumerate(zip(plan.payers, found.payer_seconds, strict=True), 1):
        print(f"  payer {number}: {payer.rows:>13,} rows, done after {words(seconds)}")
    return {"rows": options.rows, "seconds": round(found.seconds, 1), "bottleneck": found.bottleneck, "use": found.use}


def table(options: argparse.Namespace) -> dict[str, Any]:
    """Tell times and bottlenecks from 10^5 to 10^9 rows: one machine, a cluster, and a cluster with payers that allow more."""
    ways = {
        "one machine, SQLite": replace_options(options, workers=1, threads=8, database="sqlite"),
        f"{options.workers} workers, Postgres": replace_options(options, database="postgres"),
        "the same, 1,000 in flight": replace_options(options, database="postgres", in_flight=1000),
        "the same, calls of 50 ms": replace_options(options, database="postgres", in_flight=1000, latency=0.05),
        "4 workers, calls of 50 ms": replace_options(
            options, database="postgres", in_flight=1000, latency=0.05, workers=4
        ),
    }
    told: dict[str, Any] = {}
    print(f"{'rows':>14}  " + "  ".join(f"{way:<34}" for way in ways))
    for rows in (10**5, 10**6, 10**7, 10**8, 10**9):
        cells = []
        for way, chosen in ways.items():
            found = forecast(plan_of(chosen, rows), options.exact)
            told.setdefault(way, {})[str(rows)] = [round(found.seconds), found.bottleneck]
            cells.append(f"{words(found.seconds):>12} ({found.bottleneck})")
        print(f"{rows:>14,}  " + "  ".join(f"{cell:<34}" for cell in cells))
    print("\nWhat helps:")
    for part in sorted({told[way][size][1] for way in told for size in told[way]}):
        print(f"  {part:<18}{ADVICE[part]}")
    return told


def replace_options(options: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    """Give the options with some changed."""
    return argparse.Namespace(**{**vars(options), **changes})


# ------------------------------------------------------------------------------------------------ for real


TRIALS = (
    Trial("calls in flight", 1200, 40, 0, 0.5),
    Trial("calls a minute", 1200, 100, 6000, 0.1),
    Trial("several batches", 4000, 200, 0, 1.0),
    Trial("worker's core", 6000, 1000, 0, 0.05),
)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the costs on this machine, predict small runs, run them, and hold one against the other."""
    from real import Real

    with Real() as real:
        costs = real.costs()
        print("Measured here:", json.dumps({name: round(value, 6) for name, value in asdict(costs).items()}), "\n")
        print(
            f"{'run':<18}{'rows':>7}{'in flight':>11}{'per min':>9}{'s a call':>10}{'predicted s':>13}{'real s':>9}{'off':>8}"
        )
        ratios, figures = {}, {"costs": asdict(costs)}
        for trial in TRIALS:
            payer = PayerModel(trial.rows, trial.in_flight, trial.per_minute, trial.latency)
            plan = Plan((payer,), 1, real.threads, real.batch_rows(trial.in_flight), costs=costs)
            predicted = forecast(plan, options.exact).seconds
            seconds = statistics.median(real.run(trial) for _ in range(options.runs))
            ratios[trial.name] = round(predicted / seconds, 3)
            figures[f"{trial.name}, seconds"] = round(seconds, 2)
            print(
                f"{trial.name:<18}{trial.rows:>7,}{trial.in_flight:>11,}{trial.per_minute:>9,}{trial.latency:>10.2f}"
                f"{predicted:>13.2f}{seconds:>9.2f}{predicted / seconds - 1:>8.1%}"
            )
    return {"ratios": ratios, "figures": figures}


def main() -> None:
    """Read the options, do one of the three, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--payers", type=int, default=6)
    parser.add_argument("--workers", type=int, default=40)
    parser.add_argument("--threads", type=int, default=8, help="batches at a time in each worker")
    parser.add_argument("--batch-rows", type=int, default=500)
    parser.add_argument("--in-flight", type=int, default=10, help="calls in flight of each payer")
    parser.add_argument("--per-minute", type=float, default=0.0, help="calls a minute of each payer; 0: no limit")
    parser.add_argument("--latency", type=float, default=9.0, help="seconds of a call (median)")
    parser.add_argument("--sigma", type=float, default=0.3, help="spread of the latency, as sigma of its logarithm")
    parser.add_argument("--failures", type=float, default=0.01, help="share of calls that fail and are made again")
    parser.add_argument("--database", choices=sorted(COSTS), default="postgres")
    parser.add_argument("--exact", type=int, default=200_000, help="simulate up to so many rows, then draw out")
    parser.add_argument("--runs", type=int, default=3, help="real runs of each trial; the median counts")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--table", action="store_true")
    what.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    done: dict[str, Any] = {"name": "simulate", "ratios": {}, "figures": {}}
    if options.compare:
        done |= compare(options)
    else:
        done["figures"] = table(options) if options.table else answer(options)
    print(json.dumps(done))


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(os.environ["ROWMILL_DATA_DIR"], ignore_errors=True)
