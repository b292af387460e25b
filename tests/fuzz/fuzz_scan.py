"""Fuzz the reading of tables, led by coverage: `make fuzz SECONDS=60`. A find is written beside the seeds and printed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found]

with atheris.instrument_imports(include=["rowmill.tabular"]):
    from rowmill.tabular.archive import Refused
    from tests.fuzz.against_csv import hold_against_csv

from tests.fuzz.seeds import SEEDS


def try_one(data: bytes) -> None:
    """Judge one input. Anything but a refusal in words is a find."""
    try:
        hold_against_csv(data)
    except Refused:
        return


def main() -> None:
    """Begin with the seeds; `-max_total_time` and the other options are libFuzzer's own."""
    with tempfile.TemporaryDirectory(prefix="rowmill-corpus-") as folder:
        for number, seed in enumerate(SEEDS):
            (Path(folder) / f"{number:03}").write_bytes(seed)
        atheris.Setup([*sys.argv, folder], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
