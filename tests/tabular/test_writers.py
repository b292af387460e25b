"""Results files: in order, whole, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from rowmill.tabular.writers import make_harmless, write_csv, write_xlsx

ACTIVE = "=+-@\t\r\n＝＋－＠"


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8))
def test_no_cell_begins_as_a_formula(cell: str) -> None:
    (name, _), (value, other) = read(b"".join(write_csv([cell, "b"], [[cell, "x"]])))
    assert other == "x"
    assert name == value
    number = cell.lstrip("+-").replace(".", "").isdigit()
    assert number or not value.startswith(tuple(ACTIVE))


@pytest.mark.parametrize("active", ACTIVE)
def test_each_active_sign_is_disarmed(active: str) -> None:
    assert make_harmless(f"{active}SUM(A1)") == f"'{active}SUM(A1)"


def test_plain_numbers_stay() -> None:
    assert [make_harmless(n) for n in ("-12.50", "+3", "-1+1", "-")] == ["-12.50", "+3", "'-1+1", "'-"]


def test_a_machine_gets_the_bytes_as_they_are() -> None:
    data = b"".join(write_csv(["a", "b"], [["=x", 'q"'], ["ä", ""]], safe=False, bom=False))
    assert data == 'a,b\r\n=x,"q"""\r\nä,\r\n'.encode()


def test_csv_is_streamed() -> None:
    blocks = list(write_csv(["n"], ([str(n)] for n in range(3_000))))
    assert len(blocks) > 5
    assert len(read(b"".join(blocks))) == 3_001


def test_a_workbook_holds_texts_only() -> None:
    out = io.BytesIO()
    cells = ["=1+1", "007", "http://example.org", "a\x00b", "x" * 40_000, ""]
    write_xlsx(["a", "b", "c", "d", "e", "f"], [cells], out)
    rows = CalamineWorkbook.from_object(io.BytesIO(out.getvalue())).get_sheet_by_index(0).to_python()
    assert rows[0] == ["a", "b", "c", "d", "e", "f"]
    assert rows[1] == ["=1+1", "007", "http://example.org", "a\ufffdb", "x" * 32_767, ""]


def test_rows_beyond_a_sheet_go_to_the_next() -> None:
    out = io.BytesIO()
    write_xlsx(["n"], ([str(n)] for n in range(25)), out, sheet_rows=11)
    book = CalamineWorkbook.from_object(io.BytesIO(out.getvalue()))
    assert book.sheet_names == ["Results", "Results 2", "Results 3"]
    pages = [book.get_sheet_by_name(n).to_python() for n in book.sheet_names]
    assert [p[0] for p in pages] == [["n"]] * 3
    assert [c for p in pages for (c,) in p[1:]] == [str(n) for n in range(25)]


def test_a_workbook_without_rows_has_its_header() -> None:
    out = io.BytesIO()
    write_xlsx(["a", "b"], [], out)
    assert CalamineWorkbook.from_object(io.BytesIO(out.getvalue())).get_sheet_by_index(0).to_python() == [["a", "b"]]
