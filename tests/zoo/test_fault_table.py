"""What each fault gets, at each place of a file, in every way a file is written: its verdict, code, line and column."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowmill.contracts import Inspection
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.reading import Limits
from tests.zoo.fault_table import ENCODINGS, FAULTS, NAME, NEWLINES, SURPLUS, Fault, Text, Way, cases, place_of
from tests.zoo.one_database import one_database
from tests.zoo.scale import ALL

Case = tuple[Fault, str, Way]


@pytest.fixture(scope="module", autouse=True)
def _one_database() -> Iterator[None]:
    with one_database():
        yield


def told(fault: Fault, place: str, way: Way, path: Path) -> list[str]:
    """Put a fault into a file and say what was told of it wrongly."""
    at = place_of(place, way)
    text = Text(way, quoted=place == "after_quoted")
    fault.put(text, at)
    path.write_bytes(text.data())
    inspection = inspect_table(path, limits=Limits(threads=1))
    wrong = compare(fault, fault.line(text, at), text.named, way, inspection)
    return [f"{fault.name} {place} {way}: {w}" for w in wrong]


def compare(fault: Fault, line: int, named: int, way: Way, inspection: Inspection) -> list[str]:
    wrong = []
    found = [(f.code, f.line, f.column) for f in inspection.findings]
    if inspection.verdict != ("unsound" if fault.gets == "refused" else "sound"):
        wrong.append(f"{inspection.verdict} {found}")
    if not inspection.balance.balances:
        wrong.append(f"out of balance {inspection.balance}")
    if fault.gets == "nothing":
        return wrong + ([f"alarm {found}"] if found else [])
    column = {NAME: named + 1, SURPLUS: way.columns + 1}.get(fault.column or 0, fault.column)
    hits = [f for f in inspection.findings if f.code in fault.codes]
    if not hits:
        return [*wrong, f"not told: {found}"]
    if hits[0].line != line:
        wrong.append(f"told at line {hits[0].line}, is at {line}")
    if column != 0 and hits[0].column != column:
        wrong.append(f"told in column {hits[0].column}, is in {column}")
    if more := [f for f in found if f[0] not in fault.codes and f[:2] != ("mixed-newlines", line)]:
        wrong.append(f"told besides: {more}")
    return wrong


SAMPLE = 3


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
@pytest.mark.parametrize("columns", [1, 4, 300])
def test_what_a_fault_gets(fault: Fault, columns: int, tmp_path: Path) -> None:
    own = [c for c in cases(columns) if c[0] is fault]
    few = random.Random(f"{fault.name} {columns}").sample(own, min(len(own), SAMPLE if columns == 4 else 1))
    assert [w for c in few for w in told(*c, tmp_path / "in.csv")] == []


def drawn(columns: int = 4) -> list[Case]:
    """Give each fault at each place with each newline in each encoding, and of the delimiters one in turn."""
    if ALL:
        return list(cases(columns))
    alike: dict[tuple[str, ...], list[Case]] = {}
    for case in cases(columns):
        alike.setdefault((case[0].name, case[1], case[2].newline, case[2].encoding), []).append(case)
    return [same[number % len(same)] for number, same in enumerate(alike.values())]


@pytest.mark.slow
@pytest.mark.parametrize("newline", NEWLINES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_every_fault_gets_written_in_every_way(newline: str, encoding: str, tmp_path: Path) -> None:
    own = [c for c in drawn() if (c[2].newline, c[2].encoding) == (newline, encoding)]
    assert len(own) > 90
    assert [w for c in own for w in told(*c, tmp_path / "in.csv")] == []


@pytest.mark.slow
@pytest.mark.skipif(not ALL, reason="runs with ZOO_SCALE=all (make zoo)")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("columns", [1, 300])
def test_what_every_fault_gets_in_narrow_and_wide_tables(columns: int, tmp_path: Path) -> None:
    assert [w for c in cases(columns) for w in told(*c, tmp_path / "in.csv")] == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_what_a_fault_gets_late_in_a_long_file(fault: Fault, tmp_path: Path) -> None:
    way = Way("lf", "comma", "utf8", rows=30_000)  # far behind any sample, four blocks of the scan long
    places = [p for p in ("middle", "last", "after_quoted") if fault.fits(way, p)]
    assert [w for p in places for w in told(fault, p, way, tmp_path / "in.csv")] == []
