"""What is judged together is judged as the precise reader judges it record by record."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rowmill.tabular import scan
from rowmill.tabular.inspect import open_table

PIECES = (
    '"',
    ",",
    ";",
    "\n",
    "\r\n",
    "\r",
    "\0",
    "\x1a",
    "\ufeff",
    " ",
    "\u201c",
    '""',
    ",,",
    '"a"b',
    'x"y',
    "a;b;c;d",
)


def make_file(rng: random.Random) -> bytes:
    """Write a table of any dialect, and break some of its lines, or all."""
    columns, newline = rng.choice([1, 2, 4, 5]), rng.choice(["\n", "\n", "\r\n", "\r"])
    between = rng.choice([",", ",", ";", "\t"])
    cells = ["12", "345", "Zoë", "", f'"a {between} b"', '"q ""x"" y"', f'"two{newline}lines"', "word word"]
    header = between.join(f"h{i}" for i in range(columns))
    rows = rng.choice([5, 30, 300])
    lines = [header] + [between.join(rng.choice(cells) for _ in range(columns)) for _ in range(rows)]
    for at in rng.sample(range(1, len(lines)), rng.choice([0, 1, 3, rows])):
        lines[at] = break_line(rng, lines[at], header, between)
    data = newline.join(lines) + newline * rng.randrange(2)
    return data.encode("utf-8" if rng.random() < 0.8 else "cp1252", "replace")


def break_line(rng: random.Random, line: str, header: str, between: str) -> str:
    """Put one fault into a line."""
    at = rng.randrange(len(line) + 1)
    somewhere = line[:at] + rng.choice(PIECES) + line[at + rng.randrange(2) :]
    whole = (header, line.rpartition(between)[0], line + between, "", "  ", line.replace(between, "|"), "Total")
    return rng.choice([*whole, *[somewhere] * len(whole)])


def look(path: Path) -> tuple[object, ...]:
    with open_table(path) as reading:
        ledger = reading.ledger
        if ledger is None:
            return (reading.inspection.findings,)
        rows = None
        if reading.trusted and reading.con is not None:
            rows = reading.con.execute(f"SELECT * FROM {reading.rows_sql}").fetchall()
        shifts = [list(shift) for shift in (ledger.shift_rows, ledger.shift_lines, ledger.shift_records)]
        return reading.inspection.findings, reading.inspection.balance, list(ledger.breaks), shifts, rows


@pytest.mark.parametrize("seed", range(60))
def test_together_as_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "in.csv"
    path.write_bytes(make_file(rng))
    monkeypatch.setattr(scan, "BLOCK", rng.choice([64, 200, 1000, 1 << 18]))
    together = look(path)
    monkeypatch.setattr(scan, "ONLY_PRECISE", True)
    assert together == look(path)
