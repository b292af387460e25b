"""Bad rows are counted and listed in one reading as they are in two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from rowmill.tabular import bad_rows, load
from rowmill.tabular.bad_rows import BadRows, may_take
from rowmill.tabular.load import Bad
from rowmill.tabular.records import Shape

BAD = (
    Bad("required:id", "c1 = ''", rejects=True),
    Bad("date:born", "try_cast(c2 AS DATE) IS NULL", rejects=False),
    Bad("long:id", "CASE WHEN c1 = '' THEN NULL ELSE strlen(c1) > 5 END", rejects=True),
)
LOOKS = ("strlen(c2) > 4", "c1 < '3'")


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Write a thousand rows, some of them bad in one way, some in two."""
    cells = (
        "".join(f"{'' if n % 7 == 0 else n},{'never' if n % 5 == 0 else '1980-01-15'}\n" for n in range(1, 1_001)),
    )
    (tmp_path / "in.csv").write_text("id,born\n" + cells[0] + "1234567,1980-01-15\n")
    return load.csv_source([tmp_path / "in.csv"], Shape(ord(","), ord('"'), b"\n", 2))


@pytest.mark.parametrize("most", [250_000, 1_001, 1_000, 10])
def test_one_reading_says_what_two_say(source: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_rows, "MOST_AT_ONCE", most)
    with duckdb.connect() as con:
        listed = BadRows(con)
        in_two, in_one = listed.begin(BAD), listed.begin(BAD)
        counted = load.count_rows(con, source, BAD, looks=LOOKS)
        listed.add(in_two, source, counted[2], 40)
        assert listed.count(in_one, source, LOOKS, 40) == counted
        assert counted[:3] == (1_001, 143, [142, 200, 1])
        rows = [
            con.execute(f'SELECT n, coalesce(h0, false), h1, v1, coalesce(h2, false) FROM "bad rows {i}"').fetchall()
            for i in (in_two, in_one)
        ]
        assert sorted(rows[0], key=str) == sorted(rows[1], key=str)
        assert len(rows[0]) == 142 + 200 - 28 + 1
        assert listed.first("date:born", 2) == [45, 50]


def test_without_conditions_rows_and_looks_are_counted(source: str) -> None:
    with duckdb.connect() as con:
        listed = BadRows(con)
        number = listed.begin([])
        assert listed.count(number, source, LOOKS, 0)[0] == 1_001
        assert listed.count(number, source, LOOKS, 0)[3] == load.count_rows(con, source, BAD, looks=LOOKS)[3]
        assert listed.count(number, source, (), 0)[2:] == ([], [])


@pytest.mark.parametrize("times", [1, 11, 30])  # up to 90 conditions: three words of bits
def test_all_cores_say_what_one_says(tmp_path: Path, times: int) -> None:
    conditions = [replace(one, label=f"{one.label}{n}") for n in range(times) for one in BAD]
    text = "".join(
        f"{'' if n % 7 == 0 else n},{'never' if n % 500 == 0 else '1980-01-15'}\n" for n in range(1, 300_001)
    )
    (tmp_path / "in.csv").write_text("id,born\n" + text)
    table = load.csv_source([tmp_path / "in.csv"], Shape(ord(","), ord('"'), b"\n", 2), longest_row_bytes=50_000)
    with duckdb.connect() as con:
        con.execute(f"SET threads=4; {load.TELL_STEPS}")
        listed = BadRows(con)
        in_two, at_once = listed.begin(conditions), listed.begin(conditions)
        counted = load.count_rows(con, table, conditions)
        listed.add(in_two, table, counted[2], 40)
        assert listed.take(at_once, table, 40) == counted[:3]
        flags = ", ".join(f"coalesce(h{i}, false)" for i in range(len(conditions)))
        rows = [
            con.execute(f'SELECT n, v1, {flags} FROM "bad rows {i}" ORDER BY n').fetchall() for i in (in_two, at_once)
        ]
        assert rows[0] == rows[1]


def test_rows_that_went_through_a_join_are_not_numbered(source: str) -> None:
    words = Bad("word:id", "c1 IN ('1', '2', '3', '5', '8', '13', '21', '34')", rejects=True)
    assert may_take(BAD)
    assert not may_take([*BAD, words])
    with duckdb.connect() as con:
        con.execute(load.TELL_STEPS)
        listed = BadRows(con)
        assert listed.take(listed.begin([words]), source, 0) is None
        assert listed.take(listed.begin(BAD), source, 0) == load.count_rows(con, source, BAD)[:3]


def test_problems_are_told_of_each_row(source: str) -> None:
    with duckdb.connect() as con:
        con.execute(load.TELL_STEPS)
        listed = BadRows(con)
        listed.take(listed.begin(BAD), source, 0)
        codes = listed.problems([one.label for one in BAD if one.rejects], 1_001)
        texts = dict(con.execute(f"SELECT code, text FROM {load.TEXTS}").fetchall())
        assert codes is not None
        assert texts == {1: "long:id", 2: "required:id"}
        assert [texts.get(code) for code in codes.tolist()] == [
            *("required:id" if n % 7 == 0 else None for n in range(1, 1_001)),
            "long:id",
        ]
        assert listed.problems([], 1_001) is None
        assert listed.problems(["long:id"], 1_001) is not None
        assert BadRows(con).problems(["long:id"], 1_001) is None
