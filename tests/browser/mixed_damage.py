"""Makes a table of many rows whose damage has three causes: always the same bytes for the same seed."""

from __future__ import annotations

import random
from pathlib import Path

HEADER = "patient_id,first_name,last_name,born,visited,amount,note\n"


def make_damaged(path: Path, rows: int = 300_000, errors: int = 40_000, seed: int = 7) -> None:
    """Write it: rows a field short, rows a field long, and quotes that never close, far apart from each other."""
    dice = random.Random(seed)
    bad = set(dice.sample(range(20, rows), errors))
    swallowed = 0
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.write(HEADER)
        for number in range(rows):
            cells = [f"{number:07d}", f"Ann{number % 97}", f"Oak{number % 89}", "1980-01-15", "2026-10-02"]
            cells += [f"{dice.random() * 1000:.2f}", "kept"]
            if number in bad:
                if number % 3 == 0 and swallowed < 40:
                    cells[6] = '"kept'
                    swallowed += 1
                elif number % 2:
                    cells.pop()
                else:
                    cells.append("surplus")
            out.write(",".join(cells) + "\n")
