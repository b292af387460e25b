"""The zoo: every sound file comes out cell for cell, every fault is told by its code at its line."""

from __future__ import annotations

import csv
from itertools import chain
from pathlib import Path

import pytest

from rowmill.contracts import Inspection
from rowmill.tabular.convert import convert
from rowmill.tabular.inspect import inspect_table
from tests.zoo.faults import FAULTS, Fault, Faulty, faulty_files, make_faulty, whole_file_faults
from tests.zoo.sound import Sound, sound_files

csv.field_size_limit(1 << 30)


def named(files: object) -> list[object]:
    return [pytest.param(f, id=f.name) for f in files]  # type: ignore[attr-defined]


@pytest.mark.parametrize("sound", named(sound_files()))
def test_a_sound_file_comes_out_cell_for_cell(sound: Sound, tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_bytes(sound.data)
    report = convert(path, out)
    inspection = report.inspection
    assert [f.code for f in inspection.findings if f.severity == "error"] == []
    with out.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file, strict=True)) == sound.table
    assert inspection.row_count == len(sound.table) - 1 == report.rows_written
    assert inspection.balance.balances
    assert inspection.balance.rows == inspection.row_count


@pytest.mark.parametrize("sound", named(s for s in sound_files() if s.name != "cr_in_cell"))
def test_a_sound_file_raises_no_alarm(sound: Sound, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(sound.data)
    inspection = inspect_table(path)
    assert inspection.verdict == "sound"
    assert inspection.findings == ()


def judge(faulty: Faulty, tmp_path: Path) -> Inspection:
    path = tmp_path / "in.csv"
    path.write_bytes(faulty.data)
    return inspect_table(path)


def assert_told(faulty: Faulty, inspection: Inspection) -> None:
    assert inspection.verdict == faulty.verdict, inspection.findings
    assert inspection.balance.balances
    if faulty.verdict == "unsound":
        first = next(f for f in inspection.findings if f.severity == "error")
    else:
        first = next(f for f in inspection.findings if f.code in faulty.codes)
    assert first.code in faulty.codes
    assert first.line == faulty.line
    if faulty.rows is not None:
        assert inspection.row_count == faulty.rows


EARLY = chain(
    faulty_files(places=(1, 4, 19)),
    faulty_files(newline="\r\n", suffix="_crlf"),
    whole_file_faults(),
)


@pytest.mark.parametrize("faulty", named(EARLY))
def test_a_fault_is_told_at_its_line(faulty: Faulty, tmp_path: Path) -> None:
    assert_told(faulty, judge(faulty, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("fault", named(FAULTS))
def test_a_fault_late_in_a_long_file_is_told_at_its_line(fault: Fault, tmp_path: Path) -> None:
    faulty = make_faulty(fault, 60_000, 49_999)
    assert_told(faulty, judge(faulty, tmp_path))


def test_every_place_of_a_fault_is_told(tmp_path: Path) -> None:
    lines = [b"id,name,n\n", *(b"%d,x,1\n" % i for i in range(1, 60))]
    for line in (5, 17, 33, 48):
        lines[line - 1] = b"1,x\n"
    inspection = judge(Faulty("", b"".join(lines), "unsound", (), 5), tmp_path)
    assert [f.line for f in inspection.findings] == [5, 17, 33, 48]


def test_the_byte_of_a_fault_is_told_in_the_original_file(tmp_path: Path) -> None:
    text = "id,näme\n1,é\n2,ü,surplus\n"
    for codec, skip in (("utf-8", 0), ("cp1252", 0), ("utf-16", 2)):
        data = text.encode(codec)
        inspection = judge(Faulty("", data, "unsound", (), 3), tmp_path)
        fault = next(f for f in inspection.findings if f.code == "too-many-fields")
        wanted = len("id,näme\n1,é\n".encode(codec)) if codec != "utf-16" else skip + 2 * len("id,näme\n1,é\n")
        assert fault.byte == wanted
