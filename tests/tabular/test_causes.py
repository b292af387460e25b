"""Root causes: findings grouped by what lies behind them, with counts, words, and the mend that clears them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from rowmill.contracts import Cause, Column, Inspection, Rules
from rowmill.registry import get_check
from rowmill.tabular import clean
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.mends import apply_mends

COLUMNS = (
    Column("id", required=True, filled=True),
    Column("dob", type="date", required=True, checks=("date",), aliases=("date of birth",)),
)
CHECKS = {slug: get_check(slug) for slug in ("required", "date")}


def judge(tmp_path: Path, text: str | bytes, columns: tuple[Column, ...] = ()) -> Inspection:
    path = tmp_path / "in.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return inspect_table(path, Rules(columns, CHECKS))


def only(inspection: Inspection) -> Cause:
    (cause,) = inspection.causes
    return cause


def rows(first: int, last: int, tail: str = "") -> str:
    return "".join(f"{n},Ann Oak,2020-01-{n % 28 + 1:02},{n}.50{tail}\n" for n in range(first, last + 1))


HEAD = "id,name,visited,amount\n"


def test_a_sound_file_has_none(tmp_path: Path) -> None:
    assert judge(tmp_path, HEAD + rows(1, 9)).causes == ()


def test_forty_thousand_errors_are_three_causes(tmp_path: Path) -> None:
    block = rows(5001, 7000).replace(",", ";")
    text = HEAD + rows(1, 3000) + rows(3001, 5000, ",") + block + rows(7001, 9000).replace(",2020", ',"2020')
    found = judge(tmp_path, text + rows(9001, 16000))
    assert [(c.code, c.count, c.mend, c.clears) for c in found.causes] == [
        ("too-many-fields", 2000, "trailing-delimiter", 2000),
        ("other-delimiter", 2000, "delimiter", 2000),
        ("quote-not-closed", 2000, "close-quote", 2000),
    ]
    assert [c.message for c in found.causes] == [
        "2,000 rows have too many fields: each ends in surplus delimiters, the first on line 3,002.",
        "Every row from line 5,002 to 7,001 is written with semicolons.",
        "2,000 quotes are never closed, the first on line 7,002.",
    ]
    out = tmp_path / "out.csv"
    apply_mends(tmp_path / "in.csv", out, [c.mend for c in found.causes])
    with out.open(newline="") as file:
        assert list(csv.reader(file)) == [line.split(",") for line in (HEAD + rows(1, 16000)).splitlines()]


def test_a_swallowing_quote_tells_what_it_swallowed(tmp_path: Path) -> None:
    text = (HEAD + rows(1, 40)).replace("9,Ann Oak", '9,"Ann Oak', 1).replace("24,Ann Oak,", '24,Ann Oak",', 1)
    first = judge(tmp_path, text).causes[0]
    assert (first.message, first.line, first.mend) == (
        "An unclosed quote on line 10 swallowed 15 rows.",
        10,
        "close-quote",
    )


def test_different_mends_of_one_code_are_different_causes(tmp_path: Path) -> None:
    text = HEAD + rows(1, 50) + rows(51, 53, ",") + "54,Oak, Ann,2020-01-01,1.00\n55,a,b,c,d,e,f\n"
    found = judge(tmp_path, text + rows(56, 99))
    assert [(c.count, c.mend, c.line) for c in found.causes] == [
        (3, "trailing-delimiter", 52),
        (1, "quote-delimiter", 55),
        (1, "", 56),
    ]


def test_thousands_are_told_from_cells(tmp_path: Path) -> None:
    text = HEAD + rows(1, 50) + "51,Ann Oak,2020-01-01,1,234.50\n" + rows(52, 60)
    assert only(judge(tmp_path, text)).mend == "quote-delimiter"
    out = tmp_path / "out.csv"
    apply_mends(tmp_path / "in.csv", out, ["quote-delimiter"])
    assert '51,Ann Oak,2020-01-01,"1,234.50"\n' in out.read_text()


@pytest.mark.parametrize(
    "row",
    [
        "51,Oak,Ann,Bob\n",
        "51,x,2020-01-01,2020-01-02,1.00\n",
        "51,2020-01-01,1.00,9\n",
        ",51,Ann,2020-01-01,1.00\n",
        "51,Ann,2020-01-01,1.00,more\n",
    ],
)
def test_a_cell_is_not_joined_by_guessing(row: str, tmp_path: Path) -> None:
    found = judge(tmp_path, HEAD + rows(1, 50) + row + rows(52, 60))
    assert all(cause.mend != "quote-delimiter" for cause in found.causes)


def dated(*dates: str) -> str:
    return "id,dob\n" + "".join(f"{n},{day}\n" for n, day in enumerate(dates, 1))


def test_one_date_form_clears_a_column(tmp_path: Path) -> None:
    found = judge(tmp_path, dated(*["31.12.1999"] * 700, "01.02.2000", "1980-01-15", "soon"), COLUMNS)
    cause = only(found)
    assert (cause.code, cause.count, cause.mend, cause.clears) == ("date", 702, "date-form:dob", 701)
    assert cause.message == "Column 2 (dob) holds dates as DD.MM.YYYY: one mend clears 701 rows of 702."
    report = apply_mends(tmp_path / "in.csv", tmp_path / "out.csv", [cause.mend], Rules(COLUMNS))
    assert dict(report.applied) == {"date-form:dob": 701}
    assert (tmp_path / "out.csv").read_text() == dated(*["1999-12-31"] * 700, "2000-02-01", "1980-01-15", "soon")


def test_cells_that_pass_in_another_order_are_turned_too(tmp_path: Path) -> None:
    cause = only(judge(tmp_path, dated("31/12/1999", "01/02/2000"), COLUMNS))
    assert (cause.mend, cause.count, cause.clears) == ("date-form:dob", 1, 1)
    apply_mends(tmp_path / "in.csv", tmp_path / "out.csv", [cause.mend], Rules(COLUMNS))
    assert (tmp_path / "out.csv").read_text() == dated("1999-12-31", "2000-02-01")


def test_day_and_month_are_never_guessed(tmp_path: Path) -> None:
    doubtful = only(judge(tmp_path, dated("01.02.2000", "03.04.2001"), COLUMNS))
    assert (doubtful.mend, doubtful.clears) == ("", 0)
    assert "cannot be told apart" in doubtful.message
    against = only(judge(tmp_path, dated("31/12/1999", "12/31/1999"), COLUMNS))
    assert (against.mend, against.clears) == ("", 0)
    apply_mends(tmp_path / "in.csv", tmp_path / "out.csv", ["date-form:dob"], Rules(COLUMNS))
    assert (tmp_path / "out.csv").read_text() == dated("31/12/1999", "12/31/1999")


@pytest.mark.parametrize("day", ["15-Jan-1980", "15 Jan 1980", "19800115", "1980/01/15", "1980.1.15"])
def test_other_forms_of_dates(day: str, tmp_path: Path) -> None:
    cause = only(judge(tmp_path, dated(day, "1980-01-15"), COLUMNS))
    assert (cause.mend, cause.clears) == ("date-form:dob", 1)
    apply_mends(tmp_path / "in.csv", tmp_path / "out.csv", [cause.mend], Rules(COLUMNS))
    assert (tmp_path / "out.csv").read_text() == dated("1980-01-15", "1980-01-15")


def test_a_near_spelling_of_a_needed_column(tmp_path: Path) -> None:
    found = judge(tmp_path, "id,dobb,x\n1,1980-01-15,a\n", (COLUMNS[0], Column("dob", required=True)))
    assert only(found).mend == "header:dob"
    columns = (COLUMNS[0], Column("dob", required=True))
    report = apply_mends(tmp_path / "in.csv", tmp_path / "out.csv", ["header:dob"], Rules(columns))
    assert (tmp_path / "out.csv").read_text() == "id,dob,x\n1,1980-01-15,a\n"
    assert dict(report.applied) == {"header:dob": 1}


def test_a_name_near_to_two_columns_counts_for_neither(tmp_path: Path) -> None:
    columns = (COLUMNS[0], Column("date_first", required=True), Column("date_firs1", required=True))
    found = judge(tmp_path, "id,date_fir,x\n1,1980-01-15,a\n", columns)
    assert {cause.mend for cause in found.causes} == {""}


def test_causes_hold_no_cell(tmp_path: Path) -> None:
    text = (
        HEAD + rows(1, 20) + '21,"Sesame,2020-01-01,1\n22,Sesame "x,2020-01-01,1\n23;Sesame;2020-01-01;1\n24,Sesame\n'
    )
    found = judge(tmp_path, text + rows(25, 30))
    assert len(found.causes) == 4
    assert "Sesame" not in str(found.causes)


def test_every_place_is_counted_once(tmp_path: Path) -> None:
    text = HEAD + "".join(rows(n, n, "," if n % 3 == 0 else "") if n % 5 else f"{n},short\n" for n in range(1, 9000))
    found = judge(tmp_path, text)
    errors = sum(f.count for f in found.findings if f.severity == "error")
    assert sum(c.count for c in found.causes if c.severity == "error") == errors
    assert len(found.causes) <= 3


def test_a_last_cell_is_not_joined_with_a_surplus_field(tmp_path: Path) -> None:
    text = "id,name\n" + "".join(f"{n},Ann\n" for n in range(1, 40))
    assert only(judge(tmp_path, text + "40,Oak,extra\n41,x\n")).mend == ""
    assert only(judge(tmp_path, text + "40,Oak, Ann\n41,x\n")).mend == "quote-delimiter"


def test_a_clean_copy_read_in_parts_gives_the_same_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD.replace("visited", "dob") + "".join(
        f"{n},Ann,{'2020-02-30' if n % 7 == 3 else '2020-02-03'},1.5{',x' * (n % 11 == 5)}\n" for n in range(1, 3000)
    )
    whole = judge(tmp_path, text, COLUMNS)
    monkeypatch.setattr(clean, "PART_BYTES", 1 << 10)
    monkeypatch.setattr(clean, "MOST_PARTS", 1 << 20)
    parts = judge(tmp_path, text, COLUMNS)
    assert replace(parts, seconds=0) == replace(whole, seconds=0)
    bad = [f.line for f in parts.findings if f.code == "date"]
    assert bad[:3] == [4, 11, 18]
    assert sum(f.count for f in parts.findings if f.code == "date") == sum(
        n % 7 == 3 and n % 11 != 5 for n in range(1, 3000)
    )
