"""Measure how much longer a bad file takes than a clean one: the verdict of the door, and the whole precheck.

    python bench/precheck.py --mb 100 --runs 3

Three files of one size: clean, 5 % of the rows bad, every row bad. A bad row has a field too few, a field too many, a
quote that is not escaped or an impossible date, by turns. Prints a table and, as its last line, JSON: {"name", "ratios",
"figures"}; a ratio is our seconds for the bad file over ours for the clean one, and for the precheck of the clean file
also over DuckDB's bare scan of it. Everything in the limited child, kept ready as a server does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from fast_path import READERS, make_file, run

from rowmill.contracts import Column, Rules
from rowmill.registry import get_check
from rowmill.tabular import child

SHARES = (0, 5, 100)
COLUMNS = (
    Column("patient_id", required=True, filled=True),
    Column("date_of_birth", type="date", required=True, checks=("date",)),
)
RULES = Rules(COLUMNS, {slug: get_check(slug) for slug in ("required", "date")})


def spoil(clean: Path, target: Path, percent: int) -> None:
    """Write the file with that share of its rows bad."""
    every = 100 // percent if percent else 0
    with clean.open("rb") as source, target.open("wb") as out:
        out.write(source.readline())
        for number, line in enumerate(source):
            # The first rows stay as they are: from them the header and the dialect are learnt.
            out.write(_spoilt(line, number // every) if every and number >= 500 and number % every == 0 else line)


def _spoilt(line: bytes, turn: int) -> bytes:
    """Break one row in one of four ways."""
    if turn % 4 == 0:
        return line[: line.rindex(b",")] + b"\n"
    if turn % 4 == 1:
        return line[:-1] + b",surplus\n"
    cells = line.split(b",")
    if turn % 4 == 2:
        cells[1] = b'"said "so" once"'
    else:
        cells[4] = b"1987-02-31"
    return b",".join(cells)


def judge(path: Path) -> float:
    """Time the door's verdict."""
    begun = time.perf_counter()
    found = child.inspect_in_child(path, RULES)
    seconds = time.perf_counter() - begun
    assert found.balance.balances
    return seconds


def precheck(path: Path) -> float:
    """Time all three stages."""
    begun = time.perf_counter()
    request = {"path": str(path), "rules": RULES.to_json()}
    found = child.run_in_child("diagnose", request, beside=path.parent)
    seconds = time.perf_counter() - begun
    assert found["balance"]["balances"]
    return seconds


def main() -> None:
    """Make the files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mb", type=int, default=100, help="size of each file in MB")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; the median counts")
    options = parser.parse_args()
    child.keep_spare()
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="rowmill-bench-") as folder:
        files = {share: Path(folder) / f"bad_{share}.csv" for share in SHARES}
        made = Path(folder) / "made.csv"
        make_file(made, options.mb)
        for share, path in files.items():
            spoil(made, path, share)
        made.unlink()
        for _ in range(options.runs):
            for share, path in files.items():
                for name, work in (("door", judge), ("precheck", precheck)):
                    time.sleep(1.5)  # the spare child gets ready
                    taken.setdefault(f"{name}_{share}", []).append(work(path))
            taken.setdefault("duckdb_distinct", []).append(run(READERS["duckdb_distinct"], files[0])[0])
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    print(f"{'what':<18}{'seconds':>9}{'MB/s':>9}")
    for name, took in seconds.items():
        print(f"{name:<18}{took:>9.2f}{options.mb / took:>9,.0f}")
    ratios = {
        f"{name}_{share}_over_clean": round(seconds[f"{name}_{share}"] / seconds[f"{name}_0"], 2)
        for name in ("door", "precheck")
        for share in SHARES[1:]
    }
    ratios["precheck_over_duckdb_distinct"] = round(seconds["precheck_0"] / seconds["duckdb_distinct"], 2)
    figures = {f"{name}_seconds": round(took, 3) for name, took in seconds.items()} | {"mb": options.mb}
    print(json.dumps({"name": "precheck", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
