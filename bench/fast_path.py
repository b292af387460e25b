"""Measure the fast path (verdict, independent account, hash) against plain readers of the same file.

    python bench/fast_path.py --mb 100 --runs 3

Prints a table for people and, as its last line, JSON: {"name", "ratios", "figures"}; a ratio is our seconds over theirs,
from the same run. Every reader runs in a process of its own. `ours` is measured as a server uses it: the limited child is
started ahead (`keep_spare`); the clock runs from the request to the verdict. `ours_cold` starts the child too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEADER = "patient_id,encounter,first_name,last_name,date_of_birth,amount,sex,zip,place,code,visited_on,note\n"
FIRST = ("Ann", "Bob", "Carla", "Dmitri", "Eve", "Jürgen", "Zoë", "Omar")

READERS = {
    "duckdb_distinct": """
import duckdb
columns = {f"c{i}": "VARCHAR" for i in range(1, 13)}
con = duckdb.connect()
begin()
con.execute("SELECT DISTINCT c1 FROM read_csv(?, auto_detect=false, header=true, delim=',', quote='\\"', escape='\\"', "
            "columns={" + ", ".join(f"'{n}': 'VARCHAR'" for n in columns) + "})", [path]).fetchall()
end()
""",
    "csv_module": """
import csv
begin()
with open(path, newline="", encoding="utf-8") as file:
    ids = set()
    for row in csv.reader(file, strict=True):
        if len(row) != 12:
            raise SystemExit(1)
        ids.add(row[0])
end()
""",
    "pandas": """
import pandas
begin()
pandas.read_csv(path, dtype=str, keep_default_na=False)["patient_id"].unique()
end()
""",
    "polars": """
import polars
begin()
polars.scan_csv(path, infer_schema=False).select(polars.col("patient_id").unique()).collect(engine="streaming")
end()
""",
}
OURS = """
import sys
from pathlib import Path
from rowmill.contracts import Column, Rules
from rowmill.registry import get_check
from rowmill.tabular import child
if spare:
    child.keep_spare()
    time.sleep(1.5)
column = Column("patient_id", required=True, filled=True)
checks = {"required": get_check("required")}
begin()
found = child.inspect_in_child(Path(path), Rules([column], checks))
end()
if found.verdict != "sound" or not found.balance.balances or not found.sha256:
    raise SystemExit(1)
"""
FRAME = """
import json, resource, sys, time
path, spare = sys.argv[1], sys.argv[2] == "spare"
clock = []
def begin(): clock.append(time.perf_counter())
def end(): clock.append(time.perf_counter())
{body}
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps([clock[1] - clock[0], peak / 1024]))
"""


def make_file(path: Path, megabytes: int) -> None:
    """Write a table of twelve columns from a seed: 50,000 IDs, accents, a tenth of the rows with a quoted cell."""
    rng = random.Random(20)
    ids = [f"P{rng.randrange(10**7):07}" for _ in range(50_000)]
    with path.open("wb") as file:
        file.write(HEADER.encode())
        while file.tell() < megabytes * 1_000_000:
            file.write("".join(_line(rng, ids) for _ in range(5_000)).encode())


def _line(rng: random.Random, ids: list[str]) -> str:
    """Write one row."""
    place = (
        f'"{rng.choice(FIRST)}stadt, {rng.choice("ABCDE")}"' if rng.random() < 0.1 else f"Place {rng.randrange(999)}"
    )
    cells = (
        rng.choice(ids),
        str(rng.randrange(10**9)),
        rng.choice(FIRST),
        rng.choice(FIRST) + "son",
        f"19{rng.randrange(100):02}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
        f"{rng.randrange(10**6) / 100:.2f}",
        rng.choice("MF"),
        f"{rng.randrange(10**5):05}",
        place,
        f"E{rng.randrange(10**4):04}",
        f"2024-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
        f"note {rng.randrange(10**6)}",
    )
    return ",".join(cells) + "\n"


def run(body: str, path: Path, spare: bool = False) -> tuple[float, float]:
    """Run one reader in a process of its own. Gives seconds and peak MB of the biggest process."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", FRAME.format(body=body), str(path), "spare" if spare else "cold"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"A reader failed: {done.stderr[-2000:]}")
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def measure(path: Path, runs: int) -> dict[str, tuple[float, float]]:
    """Run everybody in turn, `runs` times. Gives the median of the seconds and the highest peak."""
    everybody = {"ours": (OURS, True), "ours_cold": (OURS, False)} | {n: (b, False) for n, b in READERS.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in everybody}
    for _ in range(runs):
        for name, (body, spare) in everybody.items():
            taken[name].append(run(body, path, spare))
    return {n: (statistics.median(s for s, _ in t), max(p for _, p in t)) for n, t in taken.items()}


def main() -> None:
    """Make the file, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mb", type=int, default=100, help="size of the file in MB")
    parser.add_argument("--runs", type=int, default=3, help="runs per reader; the median counts")
    parser.add_argument("--memory-mb", type=int, default=500, help="a second file on which only our memory is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rowmill-bench-") as folder:
        path = Path(folder) / "table.csv"
        begun = time.perf_counter()
        make_file(path, options.mb)
        print(f"Made {path.stat().st_size / 1e6:,.0f} MB in {time.perf_counter() - begun:.1f} s. Measuring ...")
        taken = measure(path, options.runs)
        path.unlink()
        figures: dict[str, float] = {"mb": options.mb, "runs": options.runs}
        if options.memory_mb:
            make_file(path, options.memory_mb)
            figures[f"ours_peak_mb_at_{options.memory_mb}"] = round(run(OURS, path, True)[1], 1)
    ours = taken["ours"][0]
    print(f"\n{'reader':<18}{'seconds':>9}{'MB/s':>9}{'peak MB':>9}{'ours is':>12}")
    for name, (seconds, peak) in taken.items():
        print(f"{name:<18}{seconds:>9.3f}{options.mb / seconds:>9,.0f}{peak:>9,.0f}{ours / seconds:>11.2f}x")
        figures[f"{name}_seconds"] = round(seconds, 4)
    figures[f"ours_peak_mb_at_{options.mb}"] = round(taken["ours"][1], 1)
    ratios = {n: round(ours / s, 3) for n, (s, _) in taken.items() if n not in ("ours", "ours_cold")}
    ratios["duckdb_distinct_cold"] = round(taken["ours_cold"][0] / taken["duckdb_distinct"][0], 3)
    print(json.dumps({"name": "fast-path", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
