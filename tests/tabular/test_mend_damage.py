"""What a spreadsheet did to cells is mended where nothing of them is lost, and only there."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest

from rowmill.contracts import Cause
from rowmill.tabular.examples import examples
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.mends import apply_mends

ROWS = 200


def mend(tmp_path: Path, columns: dict[str, list[str]]) -> tuple[list[Cause], dict[str, list[str]]]:
    """Judge a table, take every mend that is offered, and give the columns that come out."""
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    causes = [cause for cause in inspect_table(path, thorough=True).causes if cause.code.startswith("excel-")]
    done = apply_mends(path, out, [cause.mend for cause in causes if cause.mend]).applied
    assert done == {cause.mend: cause.clears for cause in causes if cause.mend}
    with out.open(newline="") as file:
        head, *rows = csv.reader(file)
    return causes, dict(zip(head, map(list, zip(*rows, strict=True)), strict=True))


def days(form: str = "%Y-%m-%d", first: date = date(2020, 1, 1)) -> list[str]:
    return [(first + timedelta(3 * n)).strftime(form) for n in range(ROWS)]


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%m/%d/%Y", "%d.%m.%Y"])
def test_day_numbers_become_dates_like_the_others(tmp_path: Path, form: str) -> None:
    was = days(form)
    damaged = [str((date(2020, 1, 1) + timedelta(3 * n) - date(1899, 12, 30)).days) for n in range(ROWS)]
    cells = [bad if n % 5 == 1 else cell for n, (cell, bad) in enumerate(zip(was, damaged, strict=True))]
    (cause,), got = mend(tmp_path, {"id": [f"a{n}" for n in range(ROWS)], "visited": cells})
    assert (cause.mend, cause.clears) == ("serial-date:visited", ROWS // 5)
    assert cause.message.endswith("One mend clears 40 cells.")
    assert got["visited"] == was
    ((first, *_),) = examples(tmp_path / "in.csv", [cause])
    assert (first.line, first.before, first.after) == (3, damaged[1], was[1])


def test_day_numbers_counted_from_1904_are_left(tmp_path: Path) -> None:
    cells = days()
    cells[7] = str((date(2020, 1, 22) - date(1904, 1, 1)).days)
    (cause,), got = mend(tmp_path, {"id": ["x"] * ROWS, "visited": cells})
    assert (cause.code, cause.mend) == ("excel-serial-date", "")
    assert got["visited"] == cells


def test_day_numbers_with_a_time_of_day_are_left(tmp_path: Path) -> None:
    cells = days()
    cells[7], cells[9] = "43850.5", "43850"
    (cause,), got = mend(tmp_path, {"id": ["x"] * ROWS, "visited": cells})
    assert (cause.count, cause.clears) == (2, 1)
    assert "of the others too little is left" in cause.message
    assert (got["visited"][7], got["visited"][9]) == ("43850.5", "2020-01-20")


def test_zip_codes_get_their_zeros_back_but_not_those_of_other_countries(tmp_path: Path) -> None:
    rng = Random(4)
    was = [f"{rng.randrange(501, 99_951):05}" for _ in range(ROWS)]
    lands = ["US" if n % 10 else "France" for n in range(ROWS)]
    cells = [zip_.lstrip("0") for zip_ in was]
    cells[20] = "7"
    lands[20] = "US"
    (cause,), got = mend(tmp_path, {"zip": cells, "country": lands, "note": ['say "a"'] * ROWS})
    short = [n for n, cell in enumerate(cells) if len(cell) < 5 and lands[n] == "US"]
    assert (cause.mend, cause.count, cause.clears) == ("leading-zeros:zip", len(short), len(short) - 1)
    want = [was[n] if lands[n] == "US" and n != 20 else cell for n, cell in enumerate(cells)]
    assert got["zip"] == want


@pytest.mark.parametrize(
    ("name", "whole", "short"), [("ndc", "50242040601", "5024204062"), ("postal_code", "10115", "1010")]
)
def test_a_shorter_number_that_may_be_whole_is_left(tmp_path: Path, name: str, whole: str, short: str) -> None:
    cells = [whole if n % 4 else short for n in range(ROWS)]
    (cause,), got = mend(tmp_path, {name: cells, "x": ["a"] * ROWS})
    assert (cause.code, cause.mend, cause.clears) == ("excel-lost-zeros", "", 0)
    assert got[name] == cells


def test_numbers_without_a_known_length_keep_what_they_have(tmp_path: Path) -> None:
    rng = Random(4)
    was = [f"{rng.randrange(10**9):09}" for _ in range(ROWS)]
    cells = [cell.lstrip("0") if n % 40 == 3 else "0" + cell[1:] for n, cell in enumerate(was)]
    cells[3] = "1234567"
    (cause,), got = mend(tmp_path, {"member_id": cells, "x": ["a"] * ROWS})
    assert (cause.code, cause.mend) == ("excel-lost-zeros", "")
    assert got["member_id"] == cells


def test_numbers_with_an_e_are_written_out_where_all_digits_are_there(tmp_path: Path) -> None:
    rng = Random(4)
    cells = [str(rng.randrange(10**11, 10**12)) for _ in range(ROWS)]
    cells[5], cells[6], cells[7] = "1.23457E+11", "1.23456789012E+11", "9.8765432101234E+13"
    (cause,), got = mend(tmp_path, {"claim_number": cells, "x": ["a"] * ROWS})
    assert (cause.mend, cause.count, cause.clears) == ("written-out:claim_number", 3, 2)
    assert got["claim_number"][5] == "1.23457E+11"
    assert got["claim_number"][6:8] == ["123456789012", "98765432101234"]


def test_what_is_gone_gets_no_mend(tmp_path: Path) -> None:
    rng = Random(4)
    rounded = [str(rng.randrange(10**14, 10**15)) + "0" for _ in range(ROWS)]
    codes = [f"{rng.randrange(10, 99)}{rng.choice('ABC')}{rng.randrange(10)}" for _ in range(ROWS)]
    codes[9] = "4-Mar"
    causes, got = mend(tmp_path, {"card": rounded, "code": codes})
    assert {(cause.code, cause.mend, cause.clears) for cause in causes} == {
        ("excel-rounded", "", 0),
        ("excel-month-day", "", 0),
    }
    assert got == {"card": rounded, "code": codes}
