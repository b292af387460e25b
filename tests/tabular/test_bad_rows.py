"""Bad rows are counted and listed in one reading as they are in two."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from rowmill.tabular import bad_rows, load
from rowmill.tabular.bad_rows import BadRows
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
