"""Random workbooks, written by openpyxl and XlsxWriter: what we read is what was written, and what openpyxl reads."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import openpyxl
import pytest
import xlsxwriter

from rowmill.tabular.convert import convert

SIGNS = list("abcXYZ0189 ,;\"'\t|\n.-_#=+@<>&") + ["\u00e4", "\u20ac", "\u4e2d", "\U0001f600", "\u201c", "\ufeff"]
Cell = tuple[Any, str, str]  # value, number format, what must come


def random_cell(dice: Random) -> Cell:
    kind = dice.randrange(9)
    if kind == 0:
        return None, "General", ""
    if kind <= 2:
        text = "x" + "".join(dice.choice(SIGNS) for _ in range(dice.randrange(12)))
        return text, "General", text
    if kind == 3:
        number = dice.randrange(-(10**9), 10**9)
        return number, dice.choice(["General", "0", "#,##0"]), str(number)
    if kind == 4:
        cents = Decimal(dice.randrange(-(10**7), 10**7)) / 100
        return (
            float(cents),
            dice.choice(["General", "0.00", '"$"#,##0.00']),
            f"{cents:f}".rstrip("0").rstrip(".") if cents % 1 else str(int(cents)),
        )
    if kind == 5:
        number = dice.randrange(10**5)
        return number, "00000", f"{number:05d}"
    if kind == 6:
        day = date.fromordinal(dice.randrange(date(1900, 3, 1).toordinal(), date(2100, 1, 1).toordinal()))
        return day, dice.choice(["yyyy-mm-dd", "mm/dd/yyyy", "d-mmm-yy"]), day.isoformat()
    if kind == 7:
        moment = datetime(2020, 1, 1 + dice.randrange(28), dice.randrange(24), dice.randrange(60), dice.randrange(60))
        return moment, "yyyy-mm-dd hh:mm:ss", moment.isoformat(" ")
    truth = dice.random() < 0.5
    return truth, "General", str(truth).upper()


def by_openpyxl(rows: list[list[Cell]]) -> bytes:
    book = openpyxl.Workbook()
    for r, cells in enumerate(rows, 1):
        for c, (value, code, _) in enumerate(cells, 1):
            if value is not None:
                book.active.cell(r, c, value).number_format = code
                if isinstance(value, str):
                    book.active.cell(r, c).data_type = "s"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def by_xlsxwriter(rows: list[list[Cell]], **options: Any) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True, **options}) as book:
        sheet = book.add_worksheet()
        for r, cells in enumerate(rows):
            for c, (value, code, _) in enumerate(cells):
                style = book.add_format({"num_format": code})
                if isinstance(value, bool):
                    sheet.write_boolean(r, c, value, style)
                elif isinstance(value, (int, float)):
                    sheet.write_number(r, c, value, style)
                elif isinstance(value, (date, time)):
                    sheet.write_datetime(r, c, value, style)
                elif value is not None:
                    sheet.write_string(r, c, value, style)
    return out.getvalue()


def as_1904(rows: list[list[Cell]]) -> bytes:
    early = date(1904, 1, 2)
    kept = [
        [(None, "", "") if isinstance(c[0], date) and not isinstance(c[0], datetime) and c[0] < early else c for c in r]
        for r in rows
    ]
    for row, new in zip(rows, kept, strict=True):
        row[:] = new
    return by_xlsxwriter(rows, date_1904=True)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("write", [by_openpyxl, by_xlsxwriter, as_1904])
def test_what_was_written_is_read(write: Any, seed: int, tmp_path: Path) -> None:
    dice = Random(seed)
    width = dice.randrange(2, 8)
    header: list[Cell] = [(f"column {i}", "General", f"column {i}") for i in range(width)]
    # The last cell is never empty, so that no row is blank or a footer.
    rows = [header] + [
        [*(random_cell(dice) for _ in range(width - 1)), ("end", "General", "end")]
        for _ in range(dice.randrange(1, 60))
    ]
    path, out = tmp_path / "in.xlsx", tmp_path / "out.csv"
    path.write_bytes(write(rows))
    report = convert(path, out)
    assert [f.code for f in report.inspection.findings if f.severity == "error"] == []
    with out.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file, strict=True)) == [[wanted for _, _, wanted in cells] for cells in rows]
    sheet = openpyxl.load_workbook(path, read_only=True, data_only=True).active
    assert report.inspection.balance.lines == sheet.max_row == len(rows)
