"""The table written anew: CSV and Parquet, with and without broken rows."""

from __future__ import annotations

from pathlib import Path

import duckdb

from rowmill.tabular.convert import convert
from rowmill.tabular.report import check_json, describe

BROKEN = b"id;name;n\r\n1;Ann;2\r\n2;Bob\r\n3;'C,D';4\r\n4;\"x\" y;5\r\n"


def put(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "in.csv"
    path.write_bytes(data)
    return path


def test_quotes_only_where_needed(tmp_path: Path) -> None:
    path = put(tmp_path, b'"id";"a, b";""\r\n"1";"x";""\r\n2;"a,b";"q""q"\r\n')
    report = convert(path, tmp_path / "out.csv")
    assert report.sound
    assert (tmp_path / "out.csv").read_bytes() == b'id,"a, b",\n1,x,\n2,"a,b","q""q"\n'


def test_nothing_is_written_of_a_broken_file(tmp_path: Path) -> None:
    report = convert(put(tmp_path, BROKEN), tmp_path / "out.csv")
    assert not report.sound
    assert report.rows_written is None
    assert [p.name for p in tmp_path.iterdir()] == ["in.csv"]


def test_without_broken_rows(tmp_path: Path) -> None:
    report = convert(put(tmp_path, BROKEN), tmp_path / "out.csv", without_broken_rows=True)
    assert not report.sound
    assert report.rows_written == 2
    assert (tmp_path / "out.csv").read_bytes() == b"id,name,n\n1,Ann,2\n3,\"'C,D'\",4\n"


def test_a_broken_header_is_never_written(tmp_path: Path) -> None:
    report = convert(put(tmp_path, b"id,n\n1,2,3\n4,5,6\n7,8,9\n"), tmp_path / "o", without_broken_rows=True)
    assert report.rows_written is None


def test_parquet_has_the_names_of_the_header(tmp_path: Path) -> None:
    convert(put(tmp_path, b"id,name,name,\n01,a,b,\n"), tmp_path / "out.parquet", to="parquet")
    with duckdb.connect() as con:
        found = con.execute("SELECT * FROM read_parquet(?)", [str(tmp_path / "out.parquet")])
        assert [d[0] for d in found.description or []] == ["id", "name", "name_2", "column_4"]
        assert found.fetchall() == [("01", "a", "b", "")]


def test_the_report_has_the_agreed_keys(tmp_path: Path) -> None:
    report = convert(put(tmp_path, BROKEN), tmp_path / "out.csv")
    data = check_json(report.inspection)
    assert data["verdict"] == "unsound"
    assert {"verdict", "dialect", "balance", "findings", "causes"} <= set(data)
    assert set(data["findings"][0]) >= {"code", "severity", "line", "row", "column", "byte", "message", "mend"}
    assert [(f["code"], f["line"], f["row"]) for f in data["findings"]] == [
        ("too-few-fields", 3, 2),
        ("text-after-quote", 5, 4),
    ]
    assert data["balance"]["lines"] == 5
    assert data["causes"][0]["count"] == 1


def test_the_verdict_in_a_sentence(tmp_path: Path) -> None:
    path = put(tmp_path, b"a;b\r\n" + b"1;2\r\n" * 1234)
    assert describe(convert(path, tmp_path / "o").inspection) == "Sound. 1,234 rows, 2 columns, UTF-8, semicolons."
    path = put(tmp_path, BROKEN)
    told = describe(convert(path, tmp_path / "o").inspection)
    assert told.startswith("2 causes stop this file. The first: Line 3")
