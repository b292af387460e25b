"""Two faults in one file, side by side and far apart: each is told at its line, and no other line is."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.reading import Limits
from tests.zoo.fault_table import FAULTS, Fault, Text, Way
from tests.zoo.one_database import one_database
from tests.zoo.scale import scaled

WAY = Way("lf", "comma", "utf8", rows=scaled(60, 400))
INSERTED = ("blank", "white_space", "repeated_header")
# What comes after a change of encoding is of the other one too.
OF_A_ROW = [
    f
    for f in FAULTS
    if f.codes and f.name != "two_encodings" and f.fits(WAY, "middle") and f.line(Text(WAY, False), 9) == 10
]
PLACES = ((30, 31), (30, 32), (3, WAY.rows - 3))
PAIRS = [(a, b, at) for a, b in itertools.product(OF_A_ROW, repeat=2) for at in PLACES]


@pytest.fixture(scope="module", autouse=True)
def _one_database() -> Iterator[None]:
    with one_database():
        yield


def untold(first: Fault, second: Fault, at: tuple[int, int], path: Path) -> list[str]:
    """Put two faults into a file and say what was told of them wrongly."""
    text = Text(WAY, quoted=False)
    # The later one first: a line that is put in moves what stands below.
    second.put(text, at[1])
    first.put(text, at[0])
    lines = [text.line(at[0]), text.line(at[1] + (first.name in INSERTED))]
    path.write_bytes(text.data())
    inspection = inspect_table(path, limits=Limits(threads=1))
    found = [(f.code, f.line) for f in inspection.findings]
    wanted = list(zip((first, second), lines, strict=True))
    if first.name == second.name == "mixed_newlines":
        wanted = wanted[:1]  # told once a file
    # Bad bytes on two lines among sound ones are two encodings.
    also = ("mixed-encodings",) if first.name == second.name == "bad_bytes" else ()
    wrong = [f"{f.name} is untold at {n}" for f, n in wanted if not {(c, n) for c in (*f.codes, *also)} & set(found)]
    wrong += [f"alarm {f}" for f in found if f[1] not in lines]
    grave = "unsound" if "refused" in (first.gets, second.gets) else "sound"
    if wrong or inspection.verdict != grave or not inspection.balance.balances:
        return [f"{first.name} and {second.name} at {at}: {wrong} {inspection.verdict} {found[:5]}"]
    return []


def test_two_faults_are_told_each_at_its_line(tmp_path: Path) -> None:
    drawn = random.Random(2).sample(PAIRS, 40)
    assert [w for pair in drawn for w in untold(*pair, tmp_path / "in.csv")] == []


@pytest.mark.slow
@pytest.mark.parametrize("at", PLACES)
def test_any_two_faults_are_told_each_at_its_line(at: tuple[int, int], tmp_path: Path) -> None:
    assert [w for a, b, place in PAIRS if place == at for w in untold(a, b, at, tmp_path / "in.csv")] == []
