"""The damage map: which stretch of the file each thing found is drawn on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rowmill.contracts import Column, Rules
from rowmill.registry import get_check
from rowmill.tabular.damage_map import draw_map
from rowmill.tabular.inspect import open_table

ROW = "123456789\n"
COLUMNS = (Column("name", required=True, filled=True),)
CHECKS = {"required": get_check("required")}


def draw(tmp_path: Path, data: str | bytes, stretches: int = 10, columns: tuple[Column, ...] = ()) -> str:
    path = tmp_path / "in.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with open_table(path, Rules(columns, CHECKS if columns else {})) as reading:
        drawn = draw_map(reading, stretches)
        assert bool(drawn) == bool(reading.inspection.damage)
        if reading.inspection.damage:
            assert len(reading.inspection.damage) == 200
        return drawn


def table(*odd: tuple[int, str]) -> str:
    """A hundred lines of ten bytes, some of them replaced by others of the same length."""
    lines = ["aaaa,bbbb\n", *["1234,5678\n"] * 99]
    for line, text in odd:
        assert len(text) == 10
        lines[line - 1] = text
    return "".join(lines)


def test_a_clean_file_has_no_map(tmp_path: Path):
    assert draw(tmp_path, table()) == ""


def test_a_break_is_drawn_on_its_stretch(tmp_path: Path):
    assert draw(tmp_path, table((45, "123456789\n"))) == "....e....."


def test_a_warning_is_another_letter_and_an_error_covers_it(tmp_path: Path):
    found = draw(tmp_path, table((2, '123,56"78\n'), (35, '12345"789\n'), (38, '123,56"78\n'), (99, '123,56"78\n')))
    assert found == "w..e.....w"


def test_a_stretch_mostly_in_error_is_told_from_one_with_some(tmp_path: Path):
    odd = [(line, "123456789\n") for line in (12, 13, 14, 15, *range(31, 36), *range(41, 51))]
    assert draw(tmp_path, table(*odd)) == ".e.EE....."


def test_bad_cells_are_counted_once(tmp_path: Path):
    rows = ["1234,5678\n"] * 999
    for place in range(299, 899, 3):
        rows[place] = "    ,5678\n"
    assert draw(tmp_path, "name,none\n" + "".join(rows), columns=COLUMNS) == "...eeeeee."


def test_a_row_longer_than_a_stretch_is_drawn_on_all_of_them(tmp_path: Path):
    text = "aaaa,bbbb\n" + "1234,5678\n" * 9 + "x" * 499 + "\n" + "1234,5678\n" * 40
    assert draw(tmp_path, text) == ".EEEEE...."


def test_a_finding_of_the_header_is_at_the_beginning(tmp_path: Path):
    assert draw(tmp_path, table((1, "aaaa,aaaa\n"))) == "w........."


def test_a_bad_cell_is_drawn_by_its_line(tmp_path: Path):
    text = "name,none\n" + "1234,5678\n" * 48 + "    ,5678\n" + "1234,5678\n" * 50
    assert draw(tmp_path, text, columns=COLUMNS) == "....e....."


def test_bad_cells_beyond_those_that_are_listed(tmp_path: Path):
    rows = ["1234,5678\n"] * 999
    for place in [*range(299, 399), *range(699, 799)]:
        rows[place] = "    ,5678\n"
    assert draw(tmp_path, "name,none\n" + "".join(rows), columns=COLUMNS) == "...E...E.."


def test_every_row_bad(tmp_path: Path):
    assert draw(tmp_path, "name,none\n" + "    ,5678\n" * 999, columns=COLUMNS) == "E" * 10
    assert draw(tmp_path, table()[:500] + "1234 5678\n" * 50) == "....." + "E" * 5


def test_cells_that_break_a_type_are_drawn_where_they_are_told(tmp_path: Path):
    rows = ["1234,5678\n"] * 9999
    for place in range(5000, 5200):
        rows[place] = "1234,five\n"
    assert draw(tmp_path, "name,none\n" + "".join(rows)) == ".....w...."
    for place in range(5000, 8000):
        rows[place] = "1234,five\n"
    assert draw(tmp_path, "name,none\n" + "".join(rows)) == "", "no finding, no colour"


def test_what_is_no_table_has_no_map(tmp_path: Path):
    assert draw(tmp_path, b"%PDF-1.7 and so on") == ""
    assert draw(tmp_path, b"") == ""


def test_a_file_in_utf_16_is_drawn_in_its_text(tmp_path: Path):
    text = table((45, "123456789\n"))
    assert draw(tmp_path, text.encode("utf-16")) == "....e....."


@pytest.mark.parametrize("seed", range(20))
def test_the_stretch_of_any_broken_row_is_red(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    lines = [b"a,b\n"] + [b"%d,%s\n" % (i, b"x" * chance.randrange(60)) for i in range(chance.randrange(5, 400))]
    place = chance.randrange(1, len(lines) - 1)
    lines[place] = b"only one field here\n"
    data = b"".join(lines)
    stretches = chance.randrange(1, 300)
    found = draw(tmp_path, data, stretches)
    assert len(found) == stretches
    start = sum(len(line) for line in lines[:place])
    assert found[start * stretches // len(data)] in "eE"
    assert set(found[: start * stretches // len(data)]) <= {"."}
