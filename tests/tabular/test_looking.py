"""A place of the map is found again by seeking, not by judging the file anew."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rowmill.contracts import Column, Inspection, Rules
from rowmill.registry import get_check
from rowmill.tabular import damage_map
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.looking import look
from rowmill.tabular.reading import DEFAULT_LIMITS

RULES = Rules((Column("dob", type="date", required=True, checks=("date",)),), {"date": get_check("date")})


def lines_of(path: Path, found: Inspection, **place: Any) -> list[str]:
    dialect = found.dialect
    request = {"path": str(path), "encoding": dialect.encoding if dialect else "utf-8", "rules": RULES.to_json()}
    told = look(request | place, DEFAULT_LIMITS, lambda told: None)
    return ["".join(text for text, kind in line["parts"] if kind != "invisible") for line in told["lines"]]


def table(bad: set[int], broken: set[int], rows: int = 4000) -> str:
    rng = Random(3)
    lines = ["id,dob,note"]
    for number in range(1, rows + 1):
        dob = "1990-13-40" if number in bad else "1990-01-02"
        lines.append(f"{number},{dob},{'x' * rng.randrange(60)}" + ",more" * (number in broken))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_each_stretch_in_colour_leads_to_a_line_in_trouble(tmp_path: Path, encoding: str) -> None:
    bad, broken = {700, 701, 2500, 3999}, {5, 1200, 3000}
    path = tmp_path / "in.csv"
    path.write_bytes(table(bad, broken).replace("note", "née").encode(encoding))
    found = inspect_table(path, RULES)
    assert [place[0] for place in found.places] == [i for i, letter in enumerate(found.damage) if letter != "."]
    for _, line, byte in found.places:
        assert line - 1 in bad | broken
        assert (byte is not None) == (line - 1 in broken)
        if byte is not None:
            assert f"{line - 1}," in "".join(lines_of(path, found, line=line, byte=byte))


def test_a_line_without_a_byte_is_counted_from_the_mark_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage_map, "_APART_BYTES", 4000)
    path = tmp_path / "in.csv"
    path.write_text(table({39_000}, set(), 40_000))
    found = inspect_table(path, RULES)
    text = path.read_bytes()
    assert len(found.marks) > 2
    for line, byte in found.marks:
        assert text.count(b"\n", 0, byte) == line - 1
    ((_, line, byte),) = found.places
    assert (line, byte) == (39_001, None)
    near = max(mark for mark in found.marks if mark[0] <= line)
    # The bytes above the mark are not read: without their newlines the line is found all the same.
    path.write_bytes(b"x" * near[1] + text[near[1] :])
    assert lines_of(path, found, line=line, near=near)[3].startswith("39000,1990-13-40")


def test_a_packed_file_is_unpacked_and_sought(tmp_path: Path) -> None:
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress(table(set(), {2500}).encode()))
    found = inspect_table(path, RULES)
    ((_, line, byte),) = found.places
    assert lines_of(path, found, line=line, byte=byte)[3].startswith("2500,")
    assert lines_of(path, found, line=line, near=None)[3].startswith("2500,")
