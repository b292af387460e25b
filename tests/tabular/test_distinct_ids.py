"""The loader's one pass gathers the distinct IDs, and counts the same as without them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from rowmill.contracts import Column, Rules
from rowmill.registry import get_check
from rowmill.tabular import clean, load
from rowmill.tabular.inspect import open_table
from rowmill.tabular.known_ids import extract_ids

RULES = Rules(
    (Column("patient_id", required=True, filled=True), Column("born", type="date", checks=("date",))),
    {slug: get_check(slug) for slug in ("required", "date")},
    id_column="patient_id",
)
IDS = ("7", "007", " 7", "Zoë", '"a,b"', '"say ""so"""', "", "  ", "\u3042", "x" * 300)


def make_rows(count: int) -> list[tuple[str, str]]:
    rng = random.Random(11)
    return [(rng.choice(IDS), rng.choice(["1987-01-02", "1987-02-31", ""])) for _ in range(count)]


def write(path: Path, rows: list[tuple[str, str]], end: str = "") -> Path:
    lines = ["patient_id,born", *(f"{one},{born}" for one, born in rows)]
    path.write_text("".join(f"{line}{end}\n" for line in lines))
    return path


def unquoted(one: str) -> str:
    return one[1:-1].replace('""', '"') if one.startswith('"') else one


@pytest.mark.parametrize(("end", "part_bytes"), [("", 4 << 20), (",", 4 << 20), (",", 20_000)])
def test_same_verdict_and_every_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, part_bytes: int) -> None:
    monkeypatch.setattr(clean, "PART_BYTES", part_bytes)
    rows = make_rows(5000)
    path = write(tmp_path / "in.csv", rows, end)
    with open_table(path, replace(RULES, id_column="")) as plain:
        assert plain.inspection.distinct_ids is None
        expected = replace(plain.inspection, seconds=0, distinct_ids=8)
        assert expected.rejected_rows == sum(1 for one, born in rows if not one.strip() or born == "1987-02-31")
    with open_table(path, RULES) as reading:
        assert replace(reading.inspection, seconds=0) == expected
        assert reading.ids_of == 1
        assert reading.con is not None
        gathered = dict(reading.con.execute(f"SELECT id, times FROM {load.DISTINCT_IDS}").fetchall())
    assert gathered == {unquoted(one): sum(1 for r in rows if r[0] == one) for one in IDS}


def test_extracted_without_another_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", make_rows(200))
    with open_table(path, RULES, table_out=tmp_path / "ids") as reading:
        reading.rows_sql = None
        assert extract_ids(reading, 1, tmp_path / "ids", places=False) == len(IDS)
    found = duckdb.sql(f"SELECT id FROM read_parquet('{tmp_path / 'ids'}')").fetchall()
    assert {row[0] for row in found} == {unquoted(one) for one in IDS}


def test_none_where_the_column_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", make_rows(20))
    with open_table(path, replace(RULES, id_column="member")) as reading:
        assert (reading.inspection.distinct_ids, reading.ids_of) == (None, None)


def test_too_many_ids_for_the_memory_are_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(con: duckdb.DuckDBPyConnection) -> int:
        raise duckdb.OutOfMemoryException

    monkeypatch.setattr(load, "count_ids", refuse)
    path = write(tmp_path / "in.csv", [("7", "1987-01-02")] * 20)
    with open_table(path, RULES) as reading:
        assert reading.inspection.verdict == "sound"
        assert (reading.inspection.distinct_ids, reading.ids_of, reading.inspection.row_count) == (None, None, 20)
