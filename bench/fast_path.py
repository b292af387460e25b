"""Measure the fast path (verdict, independent account, hash, distinct IDs) against plain readers of the same file.

    python bench/fast_path.py --mb 100 --runs 3

Prints a table for people and, as its last line, JSON: {"name", "ratios", "figures"}; a ratio is our seconds over theirs,
from the same run. Every reader runs in a process of its own. `ours` is measured as a server uses it: the limited child is
started ahead (`keep_spare`); the clock runs from the request to the verdict. `ours_cold` starts the child too.
`ours_without_ids` is the verdict of a kind that has no column of IDs. CPU seconds are of all threads: on a machine that does
something else besides, their ratios say more than those of the seconds.
"""

from __future__ import annotations

import argparse
import itertools
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
MOST_MADE_MB = 100
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
import psutil
from pathlib import Path
from rowmill.contracts import Column, Rules
from rowmill.registry import get_check
from rowmill.tabular import child
spent = 0.0
if how == "spare":
    child.keep_spare()
    waiting, before = psutil.Process(child._spare._child.pid), -1.0
    while spent != before:
        time.sleep(1)
        before, spent = spent, sum(waiting.cpu_times()[:2])
column = Column("patient_id", required=True, filled=True)
rules = Rules([column], {"required": get_check("required")}, id_column=ID_COLUMN)
begin(spent)
found = child.inspect_in_child(Path(path), rules)
end()
if found.verdict != "sound" or not found.balance.balances or not found.sha256 or bool(found.distinct_ids) != bool(ID_COLUMN):
    raise SystemExit(1)
"""
WITH_IDS, WITHOUT_IDS = OURS.replace("ID_COLUMN", "'patient_id'"), OURS.replace("ID_COLUMN", "''")
FRAME = """
import json, resource, sys, time
path, how = sys.argv[1:]
clock = []
def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)
def begin(spent=0.0): clock.extend((cpu() + spent, time.perf_counter()))
def end(): clock.extend((time.perf_counter(), cpu()))
{body}
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps([clock[2] - clock[1], peak / 1024, clock[3] - clock[0]]))
"""


def make_file(path: Path, megabytes: int) -> None:
    """Write a table of twelve columns from a seed: 50,000 IDs, accents, a tenth of the rows with a quoted cell.

    From MOST_MADE_MB on its rows come again: making them takes longer than all that is measured.
    """
    rng = random.Random(20)
    ids = [f"P{rng.randrange(10**7):07}" for _ in range(50_000)]
    pieces: list[bytes] = []
    with path.open("wb") as file:
        file.write(HEADER.encode())
        for turn in itertools.count():
            if file.tell() >= megabytes * 1_000_000:
                return
            if file.tell() < MOST_MADE_MB * 1_000_000:
                pieces.append("".join(_line(rng, ids) for _ in range(5_000)).encode())
            file.write(pieces[turn % len(pieces)])


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


def run(body: str, path: Path, spare: bool = False) -> tuple[float, float, float]:
    """Run one reader in a process of its own. Gives seconds, peak MB of the biggest process, and CPU seconds."""
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
    seconds, peak, cpu = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak, cpu


def measure(path: Path, runs: int) -> dict[str, tuple[float, float, float]]:
    """Run everybody in turn, `runs` times. Gives the median of the seconds, the highest peak, the median of CPU seconds."""
    everybody = {"ours": (WITH_IDS, True), "ours_without_ids": (WITHOUT_IDS, True), "ours_cold": (WITH_IDS, False)}
    everybody |= {name: (body, False) for name, body in READERS.items()}
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in everybody}
    for _ in range(runs):
        for name, (body, spare) in everybody.items():
            taken[name].append(run(body, path, spare))
    return {
        name: (statistics.median(s for s, _, _ in t), max(p for _, p, _ in t), statistics.median(c for _, _, c in t))
        for name, t in taken.items()
    }


def main() -> None:
    """Make the file, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mb", type=int, default=100, help="size of the file in MB")
    parser.add_argument("--runs", type=int, default=3, help="runs per reader; the median counts")
    parser.add_argument("--memory-mb", type=int, default=0, help="a second file on which only our memory is measured")
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
            figures[f"ours_peak_mb_at_{options.memory_mb}"] = round(run(WITH_IDS, path, True)[1], 1)
    ours, _, our_cpu = taken["ours"]
    print(f"\n{'reader':<18}{'seconds':>9}{'MB/s':>9}{'peak MB':>9}{'ours is':>12}{'CPU s':>9}{'ours is':>12}")
    for name, (seconds, peak, cpu) in taken.items():
        speed, ratio, cpu_ratio = options.mb / seconds, ours / seconds, our_cpu / cpu
        print(f"{name:<18}{seconds:>9.3f}{speed:>9,.0f}{peak:>9,.0f}{ratio:>11.2f}x{cpu:>9.3f}{cpu_ratio:>11.2f}x")
        figures[f"{name}_seconds"] = round(seconds, 4)
        figures[f"{name}_cpu_seconds"] = round(cpu, 4)
    figures[f"ours_peak_mb_at_{options.mb}"] = round(taken["ours"][1], 1)
    others = {name: took for name, took in taken.items() if not name.startswith("ours")}
    ratios = {name: round(ours / seconds, 3) for name, (seconds, _, _) in others.items()}
    ratios |= {f"{name}_cpu": round(our_cpu / cpu, 3) for name, (_, _, cpu) in others.items()}
    ratios["duckdb_distinct_cold"] = round(taken["ours_cold"][0] / taken["duckdb_distinct"][0], 3)
    print(json.dumps({"name": "fast-path", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
