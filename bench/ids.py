"""Measure which of a table's IDs are unknown: our anti-join beside a Python set and pandas.

    python bench/ids.py --rows 1000000 --runs 3

`--rows` distinct IDs against twice as many known ones, a hundred unknown; both as columnar files, as a cohort keeps them.
Prints a table and, as its last line, JSON: {"name", "ratios", "figures"}; a ratio is our seconds over theirs.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas

from rowmill.tabular.known_ids import joining
from rowmill.tabular.reading import DEFAULT_LIMITS

UNKNOWN = 100


def make_files(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write both lists from a seed, each in an order of its own."""
    rng = random.Random(7)
    known = [f"P{number:09}" for number in rng.sample(range(10**9), 2 * rows)]
    asked = rng.sample(known, rows - UNKNOWN) + [f"X{number:09}" for number in range(UNKNOWN)]
    rng.shuffle(asked)
    paths = folder / "ids.parquet", folder / "known.parquet"
    con = duckdb.connect()
    for path, ids in zip(paths, (asked, known), strict=True):
        con.register("frame", pandas.DataFrame({"id": ids}))
        con.execute(f"COPY (SELECT id FROM frame) TO '{path}' (FORMAT parquet)")
        con.unregister("frame")
    con.close()
    return paths


def by_join(ids: Path, known: Path, temp: Path) -> int:
    """Count the unknown ones as a cohort's check does."""
    with joining(ids, known, temp, DEFAULT_LIMITS) as con:
        return int(con.execute("SELECT count(*) FROM ids ANTI JOIN known USING (id)").fetchall()[0][0])


def _lists(ids: Path, known: Path) -> tuple[list[str], list[str]]:
    """Read both lists."""
    con = duckdb.connect()
    asked, told = ([row[0] for row in con.execute(f"SELECT id FROM '{path}'").fetchall()] for path in (ids, known))
    con.close()
    return asked, told


def by_set(ids: Path, known: Path, temp: Path) -> int:
    """Count them with a Python set."""
    asked, told = _lists(ids, known)
    return len(set(asked) - set(told))


def by_pandas(ids: Path, known: Path, temp: Path) -> int:
    """Count them with pandas."""
    con = duckdb.connect()
    asked, told = (con.execute(f"SELECT id FROM '{path}'").df()["id"] for path in (ids, known))
    con.close()
    return int((~asked.isin(told)).sum())


def main() -> None:
    """Make the lists, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="distinct IDs of the table; twice as many are known"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each; the median counts")
    options = parser.parse_args()
    ways: dict[str, Callable[[Path, Path, Path], int]] = {"ours": by_join, "python_set": by_set, "pandas": by_pandas}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory(prefix="rowmill-bench-") as name:
        folder = Path(name)
        ids, known = make_files(folder, options.rows)
        for _ in range(options.runs):
            for way, work in ways.items():
                begun = time.perf_counter()
                assert work(ids, known, folder) == UNKNOWN
                taken[way].append(time.perf_counter() - begun)
    seconds = {way: statistics.median(times) for way, times in taken.items()}
    for way, took in seconds.items():
        print(f"{way:<12}{took:8.3f} s")
    ratios = {way: round(seconds["ours"] / took, 3) for way, took in seconds.items() if way != "ours"}
    figures = {f"{way}_seconds": round(took, 4) for way, took in seconds.items()} | {"rows": options.rows}
    print(json.dumps({"name": "ids", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
