"""Rows from the copy: any batch, only some, all of them, from many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rowmill.contracts import Column, Inspection, Problem, Rules
from rowmill.registry import get_check
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.rows import count_rows, iter_rows, name_columns, read_rows


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Inspection]:
    folder = tmp_path_factory.mktemp("rows")
    lines = [f"{n},{'' if n % 7 == 0 else f'name {n}'},{n * 2},\n" for n in range(1, 50_001)]
    (folder / "in.csv").write_text("id,name,,more\n" + "".join(lines))
    column = Column("name", required=True, filled=True)
    found = inspect_table(
        folder / "in.csv", Rules([column], {"required": get_check("required")}), table_out=folder / "t"
    )
    return folder / "t", found


def test_a_batch_of_rows(table: tuple[Path, Inspection]) -> None:
    path, found = table
    rows = read_rows(path, found.header, found.mapping, 20_475, 20_490, columns=("name", "tin"))
    assert [r.number for r in rows] == list(range(20_475, 20_491))
    assert rows[0].line == 20_476
    assert rows[0].cells == {"name": "" if 20_475 % 7 == 0 else "name 20475", "tin": ""}
    assert rows[0].extra == {"id": "20475", "column_3": "40950", "more": ""}
    assert {r.number for r in rows if r.problems} == {n for n in range(20_475, 20_491) if n % 7 == 0}
    assert next(r for r in rows if r.problems).problems == (Problem("required", "name"),)


def test_only_some_rows(table: tuple[Path, Inspection]) -> None:
    path, found = table
    assert [r.number for r in read_rows(path, found.header, found.mapping, 10, 20, only={12, 15, 99})] == [12, 15]
    assert read_rows(path, found.header, found.mapping, 10, 20, only=[]) == []


def test_all_rows_in_file_order(table: tuple[Path, Inspection]) -> None:
    path, found = table
    assert count_rows(path) == 50_000
    assert [r.number for r in iter_rows(path, found.header, found.mapping)] == list(range(1, 50_001))


def test_many_threads_read_at_once(table: tuple[Path, Inspection]) -> None:
    path, found = table
    with ThreadPoolExecutor(8) as pool:
        batches = pool.map(lambda n: read_rows(path, found.header, found.mapping, n, n + 9), range(1, 40_000, 1000))
    assert [b[0].number for b in batches] == list(range(1, 40_000, 1000))


def test_columns_without_a_name_of_their_own_get_one() -> None:
    assert name_columns(["a", "", "A", "a_2", " "]) == ["a", "column_2", "A_2", "a_2_2", "column_5"]
