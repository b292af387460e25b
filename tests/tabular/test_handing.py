"""What is handed out of a judged file: examples, failed rows, the workbook with notes; in the limited child as well."""

from __future__ import annotations

import csv
from pathlib import Path

import openpyxl
import pytest

from rowmill.contracts import NO_RULES, Column, Rules
from rowmill.errors import ChildError
from rowmill.registry import get_check
from rowmill.tabular import child
from rowmill.tabular.annotate import write_annotated
from rowmill.tabular.examples import as_json, examples
from rowmill.tabular.failed_rows import write_failed_rows
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.mend_child import mend_in_child
from rowmill.tabular.mends import MENDS

COLUMNS = (Column("id", required=True, filled=True), Column("dob", type="date", checks=("date",)))
RULES = Rules(COLUMNS, {slug: get_check(slug) for slug in ("required", "date")})
HEAD = "id,name,dob\n"
BODY = '1,Ann,1980-01-15\n2,"Bob,1981-02-03\n3,=1+1;x,31.12.1999\n\n4;Dora;1985-05-05\n5,Eve,1990-09-09,x,y\n6,"a\nb",nope\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text(HEAD + BODY, encoding="utf-8")
    return path


def read(out: Path) -> list[list[str]]:
    with out.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def test_failed_rows_alone(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "failed.csv"
    assert write_failed_rows(path, out, RULES) == 5
    told = read(out)
    assert told[0] == ["Line", "What is wrong", "id", "name", "dob", "Further cells"]
    assert [(row[0], *row[2:]) for row in told[1:]] == [
        ("3", "2", '"Bob', "1981-02-03", ""),
        ("4", "3", "'=1+1;x", "31.12.1999", ""),
        ("6", "4;Dora;1985-05-05", "", "", ""),
        ("7", "5", "Eve", "1990-09-09", "x | y"),
        ("8", "6", "a\nb", "nope", ""),
    ]
    assert told[1][1] == "An unclosed quote on line 3 breaks its row."
    assert told[2][1] == "dob: this is not a date."
    assert sorted(p.name for p in tmp_path.iterdir()) == ["failed.csv", "in.csv"]


def test_nothing_failed(path: Path, tmp_path: Path) -> None:
    path.write_text(HEAD + "1,a,1980-01-15\n", encoding="utf-8")
    assert write_failed_rows(path, tmp_path / "out.csv", RULES) == 0
    assert len(read(tmp_path / "out.csv")) == 1


def test_the_file_with_notes(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "notes.xlsx"
    done = write_annotated(path, out, RULES)
    assert (done.whole, done.rows, done.marked) == (True, 7, 6)
    page = openpyxl.load_workbook(out).active
    assert page is not None
    cells = [[cell.value for cell in row] for row in page.iter_rows()]
    assert cells[0][:5] == ["Line", "What is wrong", "id", "name", "dob"]
    assert [row[0] for row in cells[1:]] == [2, 3, 4, 5, 6, 7, 8]
    assert cells[3][3] == "=1+1;x"
    assert page.cell(4, 4).data_type == "s"
    assert page.cell(4, 5).comment is not None
    assert "not a date" in page.cell(4, 5).comment.text
    assert page.cell(4, 5).fill.bgColor.rgb != page.cell(2, 5).fill.bgColor.rgb
    assert page.cell(2, 5).comment is None


def test_a_file_too_long_for_a_sheet_gives_its_failing_rows(tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "notes.xlsx"
    lines = [f"{n},a,1980-01-15\n" for n in range(1, 101)]
    lines[49] = "50,a\n"
    path.write_text(HEAD + "".join(lines), encoding="utf-8")
    done = write_annotated(path, out, sheet_rows=60)
    assert (done.whole, done.rows, done.marked) == (False, 7, 1)
    page = openpyxl.load_workbook(out).active
    assert page is not None
    assert [row[0].value for row in page.iter_rows(min_row=2)] == [48, 49, 50, 51, 52, 53, 54]
    assert page.cell(1, 2).comment is not None


def test_examples_show_the_real_cells(path: Path) -> None:
    causes = inspect_table(path, RULES).causes
    found = examples(path, causes, RULES)
    told = {one["mend"] or causes[one["cause"]].code: one["pairs"] for one in as_json(causes, found)}
    assert told["close-quote"] == [{"line": 3, "before": '2,"Bob,1981-02-03', "after": '2,"Bob",1981-02-03'}]
    assert told["delimiter"] == [{"line": 6, "before": "4;Dora;1985-05-05", "after": "4,Dora,1985-05-05"}]
    assert told["date-form:dob"] == [{"line": 4, "before": "31.12.1999", "after": "1999-12-31"}]
    assert told["too-many-fields"] == [{"line": 7, "before": "5,Eve,1990-09-09,x,y", "after": ""}]


def test_examples_are_few(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(HEAD + "1,a,1980-01-15\n" * 30 + "1,a,1980-01-15,\n" * 9, encoding="utf-8")
    causes = inspect_table(path).causes
    assert [len(pairs) for pairs in examples(path, causes, limit=2)] == [2]


def test_the_child_does_it_too(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    report = mend_in_child(path, out, ["close-quote", "without-broken-rows"], RULES)
    assert (dict(report.applied), report.left_out) == ({"close-quote": 1, "without-broken-rows": 0}, 2)
    request = {"path": str(path), "rules": RULES.to_json()}
    told = child.run_in_child("failed_rows", request | {"out": str(tmp_path / "f.csv")}, beside=tmp_path)
    assert told == {"rows": 5}
    told = child.run_in_child("annotate", request | {"out": str(tmp_path / "n.xlsx")}, beside=tmp_path)
    assert told == {"whole": True, "rows": 7, "marked": 6}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.csv", "in.csv", "n.xlsx", "out.csv"]
    causes = [
        {"code": c.code, "severity": c.severity, "message": c.message, "count": c.count, "mend": c.mend}
        for c in inspect_table(path).causes
    ]
    assert child.run_in_child("examples", request | {"causes": causes, "rules": NO_RULES.to_json()}, beside=tmp_path)[
        "examples"
    ]


def test_a_child_that_cannot_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"%PDF-1.7\n1 0 obj")
    with pytest.raises(ChildError):
        mend_in_child(path, tmp_path / "out.csv", list(MENDS)[:3])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv"]
