"""The zoo of workbooks: each comes out cell for cell, or is refused by its code at its row; none loads wrong in silence."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowmill.tabular.convert import ConvertReport, convert
from tests.zoo.workbooks import (
    MAIN,
    STRICT_DOC,
    STRICT_MAIN,
    TABLE,
    pack,
    parts,
    row,
    sheet,
    strings,
    styles,
    workbook,
)

WANTED = [["id", "n"], ["007", "7"]]


def read(data: bytes, tmp_path: Path, sheet: str | None = None) -> tuple[ConvertReport, list[list[str]]]:
    path, out = tmp_path / "in.bin", tmp_path / "out.csv"
    path.write_bytes(data)
    report = convert(path, out, sheet=sheet)
    assert report.inspection.balance.balances
    if report.rows_written is None:
        return report, []
    with out.open(newline="", encoding="utf-8") as file:
        return report, list(csv.reader(file, strict=True))


def codes(report: ConvertReport) -> list[tuple[str, int | None, int | None]]:
    return [(f.code, f.line, f.column) for f in report.inspection.findings]


def without(name: str) -> dict[str, str]:
    members = parts(sheet(TABLE))
    del members[name]
    return members


def prefixed() -> bytes:
    """As some writers do: every element with a prefix."""
    members = parts(sheet(TABLE))
    body = TABLE.replace("<row", "<x:row").replace("</row", "</x:row").replace("<c ", "<x:c ").replace("</c>", "</x:c>")
    body = body.replace("<v>", "<x:v>").replace("</v>", "</x:v>")
    members["xl/worksheets/sheet1.xml"] = (
        f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData>{body}</x:sheetData></x:worksheet>'
    )
    return pack(members)


def google() -> bytes:
    """As Google Sheets: absolute paths, no dimension, texts shared, empty styled cells, rows with heights."""
    rows = (
        '<row r="1"><c r="A1" s="0" t="s"><v>0</v></c><c r="B1" s="0" t="s"><v>1</v></c><c r="C1" s="0"/></row>'
        '<row r="2" ht="15" customHeight="1"><c r="A2" s="0" t="s"><v>2</v></c><c r="B2" s="0"><v>7.0</v></c></row>'
        '<row r="3"><c r="A3" s="0"/><c r="B3" s="0"/></row>'
    )
    return pack(
        parts(sheet(rows, before='<sheetPr/><sheetViews><sheetView workbookViewId="0"/></sheetViews>'), base="/xl/")
    )


def libre() -> bytes:
    """As LibreOffice: a million repeated rows at the end, types on all cells, custom General."""
    rows = TABLE.replace('<c r="B2">', '<c r="B2" s="1" t="n">') + '<row r="1048576" hidden="false" ht="12.8"/>'
    return workbook(rows, styling=styles("General"))


def sound_books() -> Iterator[object]:
    yield pytest.param(workbook(), id="plain")
    yield pytest.param(google(), id="google")
    yield pytest.param(libre(), id="libreoffice")
    yield pytest.param(prefixed(), id="prefixed")
    yield pytest.param(pack(parts(sheet(TABLE, STRICT_MAIN), main=STRICT_MAIN, doc=STRICT_DOC)), id="strict")
    yield pytest.param(pack(parts(sheet(TABLE, before='<dimension ref="A1"/>'))), id="dimension-too-small")
    yield pytest.param(pack(parts(sheet(TABLE, before='<dimension ref="A1:XFD1048576"/>'))), id="dimension-too-large")
    yield pytest.param(pack(parts(sheet(TABLE), base="/xl/")), id="absolute-paths")
    yield pytest.param(pack(without("_rels/.rels")), id="no-root-relations")
    yield pytest.param(pack(without("xl/styles.xml")), id="no-styles")
    yield pytest.param(
        workbook(
            row(1, "id", "n") + row(2, "007", "7").replace('r="2"', "").replace('r="A2"', "").replace('r="B2"', "")
        ),
        id="no-references",
    )
    inline = pack(
        without("xl/sharedStrings.xml") | {"xl/worksheets/sheet1.xml": sheet(row(1, "id", "n") + row(2, "007", "7"))}
    )
    yield pytest.param(inline, id="inline-texts")
    rich = '<si><r><t>i</t></r><r><rPr><b/></rPr><t>d</t></r><rPh sb="0" eb="1"><t>eye</t></rPh></si><si><t>n</t></si>'
    members = parts(sheet(TABLE)) | {"xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{rich}<si><t>007</t></si></sst>'}
    yield pytest.param(pack(members), id="rich-texts")
    renamed = {n.replace("sharedStrings", "SharedStrings"): p for n, p in parts(sheet(TABLE)).items()}
    yield pytest.param(pack(renamed), id="other-case-of-a-name")
    utf16 = parts(sheet(TABLE)) | {
        "xl/worksheets/sheet1.xml": sheet(TABLE).replace("?>", ' encoding="UTF-16"?>').encode("utf-16")
    }
    yield pytest.param(pack(utf16), id="utf-16")


@pytest.mark.parametrize("data", list(sound_books()))
def test_a_sound_workbook_comes_out_cell_for_cell(data: bytes, tmp_path: Path) -> None:
    report, table = read(data, tmp_path)
    assert codes(report) == []
    assert table == WANTED
    assert report.inspection.sheet == "Sheet1"


def broken_books() -> Iterator[object]:
    def damaged(name: str, rows: str, code: str = "workbook-damaged", **options: object) -> object:
        return pytest.param(workbook(rows, **options), code, id=name)

    yield pytest.param(pack(without("xl/sharedStrings.xml")), "workbook-damaged", id="no-shared-texts")
    yield pytest.param(pack(without("xl/worksheets/sheet1.xml")), "workbook-damaged", id="no-sheet")
    yield pytest.param(pack(without("xl/workbook.xml") | {"xl/a": ""}), "workbook-damaged", id="no-workbook")
    yield damaged("text-out-of-range", TABLE.replace("<v>2</v>", "<v>3</v>"))
    yield damaged("text-below-range", TABLE.replace("<v>2</v>", "<v>-1</v>"))
    yield damaged("style-out-of-range", TABLE.replace('<c r="B2">', '<c r="B2" s="9">'))
    yield damaged("no-number", TABLE.replace("<v>7</v>", "<v>seven</v>"))
    yield damaged("endless-number", TABLE.replace("<v>7</v>", "<v>1E999</v>"))
    yield damaged("unknown-type", TABLE.replace('<c r="B2">', '<c r="B2" t="x">'))
    yield damaged("rows-out-of-order", TABLE.replace('<row r="2">', '<row r="1">'))
    yield damaged("cell-of-another-row", TABLE.replace('r="B2"', 'r="B3"'))
    yield damaged("cells-out-of-order", TABLE.replace('r="A2"', 'r="C2"'))
    yield damaged("doubled-cell", TABLE.replace('r="B2"', 'r="A2"'))
    yield damaged("row-beyond-the-sheet", TABLE.replace('r="2"', 'r="1048577"'))
    yield damaged("column-beyond-the-sheet", TABLE.replace('r="B2"', 'r="XFE2"'))
    yield damaged("too-many-columns", TABLE.replace('r="B2"', 'r="XFD2"'), "too-many-columns")
    yield damaged("cut", TABLE[:-20])
    yield damaged("empty", "", "sheet-empty")
    yield damaged("only-blank-cells", '<row r="1"><c r="A1" s="0"/></row>', "sheet-empty")
    dtd = parts(sheet(TABLE)) | {
        "xl/worksheets/sheet1.xml": sheet(TABLE).replace("?>", '?><!DOCTYPE x [<!ENTITY a "b">]>', 1)
    }
    yield pytest.param(pack(dtd), "workbook-dtd", id="dtd")
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + strings(("&b;", "n", "x"))
    yield pytest.param(pack(parts(sheet(TABLE)) | {"xl/sharedStrings.xml": laughs}), "workbook-dtd", id="laughs")
    yield pytest.param(pack({"mimetype": "application/vnd.oasis", "content.xml": ""}), "not-a-table", id="ods")
    yield pytest.param(pack(without("xl/workbook.xml") | {"xl/workbook.bin": ""}), "not-a-table", id="xlsb")
    yield pytest.param(pack({"[Content_Types].xml": "", "word/document.xml": ""}), "not-a-table", id="docx")
    old = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(22) + (9).to_bytes(2, "little") + bytes(16) + bytes(4) + bytes(460)
    )
    yield pytest.param(old + bytes(1024), "not-a-table", id="xls")
    locked = old + bytes(128) + "EncryptedPackage".encode("utf-16-le") + bytes(900)
    yield pytest.param(locked, "workbook-locked", id="password")


@pytest.mark.parametrize(("data", "code"), list(broken_books()))
def test_a_broken_workbook_is_refused_by_its_code(data: bytes, code: str, tmp_path: Path) -> None:
    report, table = read(data, tmp_path)
    assert table == []
    assert [f.code for f in report.inspection.findings if f.severity == "error"] == [code]
    assert report.inspection.findings[0].mend


def test_the_place_is_the_row_of_the_sheet(tmp_path: Path) -> None:
    rows = (
        row(3, "Claims of March") + row(5, "id", "name", "note") + row(8, "1", "Ann\nLee", "a") + row(9, "2", "", "b")
    )
    rows += '<row r="10"><c r="A10"><v>3</v></c><c r="B10" t="e"><v>#N/A</v></c><c r="C10"><v>1234567890123456</v></c></row>'
    report, table = read(workbook(rows), tmp_path)
    assert table == [
        ["id", "name", "note"],
        ["1", "Ann\nLee", "a"],
        ["2", "", "b"],
        ["3", "#N/A", "1234567890123456"],
    ]
    assert codes(report) == [
        ("blank-line", 1, None),
        ("blank-line", 2, None),
        ("preamble", 3, None),
        ("blank-line", 4, None),
        ("blank-line", 6, None),
        ("blank-line", 7, None),
        ("error-cell", 10, 2),
        ("long-number", 10, 3),
    ]
    error = next(f for f in report.inspection.findings if f.code == "error-cell")
    assert error.message.startswith("Sheet row 10, column name: ")
    balance = report.inspection.balance
    assert (balance.lines, balance.header, balance.rows, balance.blank, balance.preamble_footer) == (10, 1, 3, 5, 1)
    assert balance.continuation == 0


def test_hidden_rows_and_merged_cells_are_told(tmp_path: Path) -> None:
    rows = row(1, "id", "n") + row(2, "a", "b").replace('<row r="2"', '<row r="2" hidden="1"') + row(3, "c", "d")
    merged = '<mergeCells count="1"><mergeCell ref="B2:B3"/></mergeCells>'
    report, table = read(pack(parts(sheet(rows, after=merged))), tmp_path)
    assert table == [["id", "n"], ["a", "b"], ["c", "d"]]
    assert codes(report) == [("hidden-row", 2, None), ("merged-cells", 2, None)]


def test_the_first_visible_sheet_with_data_is_read_and_told(tmp_path: Path) -> None:
    other = row(1, "x") + row(2, "y")
    book = pack(parts(sheet(other), sheet(""), sheet(TABLE), sheet(other), states={1: "hidden"}))
    report, table = read(book, tmp_path)
    assert (report.inspection.sheet, table) == ("Sheet3", WANTED)
    assert [f.code for f in report.inspection.findings] == ["sheet-chosen"]
    assert "Sheet4" in report.inspection.findings[0].message
    for name in ("Sheet1", "sheet4 "):
        report, table = read(book, tmp_path, name)
        assert (table, report.inspection.findings) == ([["x"], ["y"]], ())
    report, table = read(book, tmp_path, "Sheet9")
    assert codes(report) == [("sheet-missing", None, None)]
    assert '"Sheet3"' in report.inspection.findings[0].message


@pytest.mark.parametrize(
    ("cell", "book", "told"),
    [
        ("<f>A1</f>", "", True),
        ("<f>A1</f><v></v>", "", True),
        ("<f>A1</f><v>0</v>", '<calcPr fullCalcOnLoad="1"/>', True),
        ("<f>A1</f><v>0</v>", "", False),
        ("<f>A1</f><v>5</v>", '<calcPr fullCalcOnLoad="1"/>', False),
    ],
)
def test_a_formula_without_its_value_refuses_the_file(cell: str, book: str, told: bool, tmp_path: Path) -> None:
    rows = TABLE.replace("<v>7</v>", cell)
    report, _ = read(workbook(rows, book=book), tmp_path)
    assert codes(report) == ([("formula-not-computed", 2, 2)] if told else [])


def test_a_formula_that_gives_no_text_is_an_empty_cell(tmp_path: Path) -> None:
    rows = TABLE.replace('<c r="B2"><v>7</v>', '<c r="B2" t="str"><f>A1</f><v></v>')
    report, table = read(workbook(rows), tmp_path)
    assert (codes(report), table[1]) == ([], ["007", ""])


def test_a_late_wide_row_widens_the_table(tmp_path: Path) -> None:
    rows = "".join(row(i, f"a{i}", "b") for i in range(1, 400)) + row(400, "a", "b", "c") + row(401, "x", "y")
    report, table = read(workbook(rows), tmp_path)
    assert {len(r) for r in table} == {3}
    assert table[399] == ["a", "b", "c"]
    assert codes(report) == [("header-empty", 1, 3)]


def test_a_note_that_stands_apart_below_the_table_is_a_footer(tmp_path: Path) -> None:
    rows = row(1, "id", "n") + row(2, "1", "") + row(3, "2", "x") + row(5, "Printed on Monday")
    report, table = read(workbook(rows), tmp_path)
    assert table == [["id", "n"], ["1", ""], ["2", "x"]]
    assert [c for c, _, _ in codes(report)] == ["blank-line", "footer"]
    rows += row(6, "3", "y")
    report, table = read(workbook(rows), tmp_path)
    assert table[3:] == [["Printed on Monday", ""], ["3", "y"]]


NASTY = [
    "a,b", 'say "x"', '"', "'", "a\nb,c\nd,e", "\r\n", "tab\there", "  lead", "trail ", "\ufeffbom", "\u201cquoted\u201d",
    "\u2028", "id,n", "=1+1", "007", "1e5", "TRUE", "total",
    "\u00e4\u20ac\U0001f600", ";|^~", "_x", "x_x_", "NULL", "\\", "''", "#N/A",
]  # fmt: skip


@pytest.mark.parametrize("shared", [True, False])
def test_texts_arrive_as_they_are(shared: bool, tmp_path: Path) -> None:
    cells = [(NASTY[i], NASTY[-i - 1]) for i in range(len(NASTY))]
    if shared:
        texts = ("id", "n", *(t for pair in cells for t in pair))
        numbers = [f'<c r="{"AB"[i % 2]}{i // 2 + 1}" t="s"><v>{i}</v></c>' for i in range(len(texts))]
        rows = "".join(f'<row r="{i // 2 + 1}">{numbers[i]}{numbers[i + 1]}</row>' for i in range(0, len(numbers), 2))
    else:
        texts = ()
        rows = row(1, "id", "n") + "".join(row(i, *pair) for i, pair in enumerate(cells, 2))
    # XML itself reads a raw CR as LF: as a character reference it stays what it is.
    members = parts(sheet(rows), texts=texts)
    report, table = read(pack({n: p.replace("\r", "&#13;") for n, p in members.items()}), tmp_path)
    assert [f.code for f in report.inspection.findings if f.severity == "error"] == []
    assert [tuple(r) for r in table[1:]] == cells
    assert report.inspection.balance.lines == len(cells) + 1


def test_escapes_and_odd_characters(tmp_path: Path) -> None:
    report, table = read(workbook(TABLE, texts=("id", "n", "a_x000D_b_x005F_x000A_c_x263A_")), tmp_path)
    assert (codes(report), table[1][0]) == ([], "a\rb_x000A_c\u263a")
    report, _ = read(workbook(TABLE, texts=("id", "n", "a\ufdd0")), tmp_path)
    assert codes(report) == [("odd-character", 2, 1)]
    report, _ = read(workbook(TABLE, texts=("id", "n", "a_xD83D_")), tmp_path)
    assert codes(report) == [("odd-character", 2, 1)]
    report, _ = read(workbook(TABLE, texts=("id", "n", "a_x0000_")), tmp_path)
    assert codes(report) == [("nul-byte", 2, 1)]
    assert all(f.byte is None for f in report.inspection.findings)


def test_one_column_keeps_its_semicolons(tmp_path: Path) -> None:
    rows = row(1, "note") + "".join(row(i, f"a;{i};b|c\td") for i in range(2, 20))
    report, table = read(workbook(rows), tmp_path)
    assert codes(report) == []
    assert table[1:] == [[f"a;{i};b|c\td"] for i in range(2, 20)]
