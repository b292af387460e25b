"""Measure what twenty checks cost on a table of 48 columns, beside DuckDB's bare reading of the same cells.

    python bench/checks.py --rows 1000000 --runs 3

Prints a table and, as its last line, JSON: {"name", "ratios", "figures"}; the ratio is the seconds of the scan with the
checks over those of a scan that only reads every cell. `checks_seconds` is what the checks add; the processors' time
holds on a machine that is busy with other things too.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from rowmill.registry import get_check
from rowmill.tabular import load
from rowmill.tabular.load import Bad
from rowmill.tabular.records import Shape

COLUMNS = 48
SLUGS = (
    "required", "date", "date-not-future", "date-iso", "integer", "decimal", "number", "boolean", "uuid", "email",
    "phone", "url", "us-state", "zip", "npi", "icd-10-cm", "cpt", "hcpcs", "time", "year",
)  # fmt: skip
MADE = {
    "required": "Ann", "date": "02/17/1961", "date-not-future": "1980-05-06", "date-iso": "2024-01-31",
    "integer": "12345", "decimal": "12.50", "number": "1234.5", "boolean": "true",
    "uuid": "0b6f6f0e-6a3b-4f57-9a52-3c2f8d1b7a10", "email": "ann@clinic.test", "phone": "(555) 210-0199",
    "url": "https://clinic.test/a", "us-state": "NY", "zip": "01234", "npi": "1234567893", "icd-10-cm": "E11.9",
    "cpt": "99213", "hcpcs": "J1100", "time": "13:45:00", "year": "1999",
}  # fmt: skip


def make_file(path: Path, rows: int) -> None:
    """Write 48 columns from a seed: one for each check, filled fit, one cell in a hundred unfit; the rest plain text."""
    rng = random.Random(48)
    names = [f"c{i}" for i in range(1, COLUMNS + 1)]
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(names) + "\n")
        for number in range(rows):
            cells = [MADE[slug] for slug in SLUGS] + [f"text {number % 997}"] * (COLUMNS - len(SLUGS))
            if number % 5 == 0:
                cells[rng.randrange(len(SLUGS))] = "?"
            file.write(",".join(f'"{cell}"' if "," in cell else cell for cell in cells) + "\n")


def conditions() -> list[Bad]:
    """Put each check on its column."""
    bad = []
    for place, slug in enumerate(SLUGS, 1):
        check = get_check(slug)
        name = f"c{place}"
        blank = load.BLANK.replace("{column}", name)
        condition = check.bad_when.replace("{column}", name)
        bad.append(Bad(f"{slug}:{name}", f"CASE WHEN {blank} THEN false ELSE ({condition}) END", True))
    return bad


def main() -> None:
    """Make the file, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; the median counts")
    options = parser.parse_args()
    bare, checked, bad = [], [], conditions()
    with tempfile.TemporaryDirectory(prefix="rowmill-bench-") as folder:
        path = Path(folder) / "table.csv"
        make_file(path, options.rows)
        size = path.stat().st_size
        source = load.csv_source([path], Shape(ord(","), ord('"'), b"\n", COLUMNS))
        every_cell = " + ".join(f"count_if(strlen(c{i}) > 1000)" for i in range(1, COLUMNS + 1))
        con = load.connect([path], Path(folder), 1_000_000_000)
        for _ in range(options.runs):
            begun, busy = time.perf_counter(), time.process_time()
            con.execute(f"SELECT count(*), {every_cell} FROM {source}").fetchall()
            read, read_busy = time.perf_counter(), time.process_time()
            _, rejected, counts, _ = load.count_rows(con, source, bad)
            checked.append((time.perf_counter() - read, time.process_time() - read_busy))
            bare.append((read - begun, read_busy - busy))
            assert rejected, "some cells are unfit"
            assert sum(count > 0 for count in counts) >= len(SLUGS) - 2, "nearly every check finds its own"
        con.close()
    plain, full = (statistics.median(elapsed for elapsed, _ in runs) for runs in (bare, checked))
    plain_busy, full_busy = (statistics.median(busy for _, busy in runs) for runs in (bare, checked))
    per_million = 1_000_000 / options.rows
    print(f"{options.rows:,} rows x {COLUMNS} columns, {size / 1e6:,.0f} MB")
    print(
        f"every cell read   {plain:8.2f} s\nwith {len(SLUGS)} checks    {full:8.2f} s\nthe checks add    {full - plain:8.2f} s"
    )
    print(f"of all processors {full_busy - plain_busy:8.2f} s")
    figures = {
        "rows": options.rows,
        "read_seconds": round(plain, 3),
        "checked_seconds": round(full, 3),
        "checks_seconds_per_million_rows": round((full - plain) * per_million, 3),
        "checks_processor_seconds_per_million_rows": round((full_busy - plain_busy) * per_million, 3),
    }
    ratios = {"bare_read": round(full / plain, 3), "bare_read_processor": round(full_busy / plain_busy, 3)}
    print(json.dumps({"name": "checks", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
