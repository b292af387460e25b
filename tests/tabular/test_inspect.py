"""The verdict with a kind's columns and checks, the copy, and the account."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest

from rowmill.contracts import Check, Column, Inspection, Rules
from rowmill.registry import CHECKS, get_check
from rowmill.tabular.bad_rows import BadRows
from rowmill.tabular.inspect import inspect_table

COLUMNS = (
    Column(
        "claim_number",
        required=True,
        filled=True,
        aliases=("claim no", "claim #"),
        checks=("claim-number", "lost-digits"),
    ),
    Column("first_name", required=True, filled=True),
    Column("date_of_birth", required=True, filled=True, aliases=("dob",), checks=("date", "date-not-future")),
    Column("tin", checks=("tin",)),
)
ALL = {slug: get_check(slug) for slug in CHECKS}
HEAD = "claim_number,first_name,date_of_birth,tin,more\n"


def look(tmp_path: Path, text: str | bytes, *, copy: bool = False, checks: Mapping[str, Check] = ALL) -> Inspection:
    path = tmp_path / "in.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return inspect_table(path, Rules(COLUMNS, checks), table_out=tmp_path / "out.parquet" if copy else None)


def copied(tmp_path: Path) -> list[tuple[object, ...]]:
    with duckdb.connect() as con:
        return con.execute("SELECT * FROM read_parquet(?) ORDER BY 1", [str(tmp_path / "out.parquet")]).fetchall()


def codes(inspection: Inspection) -> list[tuple[str, int | None, int | None]]:
    return [(f.code, f.line, f.column) for f in inspection.findings]


def test_a_bad_cell_rejects_its_row_and_not_the_file(tmp_path: Path) -> None:
    text = HEAD + "C1,Ann,1980-01-15,,x\n,Bob,1980-02-30,12-3456789,\nC3, ,05/10/1975,1,\nC4,Eve,1/2/1980,123456789,\n"
    found = look(tmp_path, text, copy=True)
    assert found.verdict == "sound"
    assert (found.row_count, found.rejected_rows) == (4, 2)
    assert sorted(codes(found)) == [("date", 3, 3), ("required", 3, 1), ("required", 4, 2), ("tin", 4, 4)]
    problems = [row[-1] for row in copied(tmp_path)]
    assert problems == [None, "required:claim_number;date:date_of_birth", "required:first_name;tin:tin", None]


def test_cells_arrive_as_they_were_written(tmp_path: Path) -> None:
    text = HEAD + '007,"  Ann ",1980-01-15,,00012345678901234567890\n"a""b",\'B\',1980-01-15,"",1e5\n'
    look(tmp_path, text, copy=True)
    assert [row[2:7] for row in copied(tmp_path)] == [
        ("007", "  Ann ", "1980-01-15", "", "00012345678901234567890"),
        ('a"b', "'B'", "1980-01-15", "", "1e5"),
    ]


def test_line_numbers_of_the_copy_are_physical_lines(tmp_path: Path) -> None:
    text = HEAD + 'C1,"A\nB",1980-01-15,,\n\nC2,b,1980-01-15,,\nC3,"c\n\nd",1980-01-15,,"e\nf"\nC4,d,x,,\n'
    found = look(tmp_path, text, copy=True)
    assert [row[:2] for row in copied(tmp_path)] == [(1, 2), (2, 5), (3, 6), (4, 10)]
    assert ("date", 10, 3) in codes(found)
    assert found.balance.balances
    assert (found.balance.lines, found.balance.blank, found.balance.continuation) == (10, 1, 4)


def test_the_header_is_matched_by_name_and_alias(tmp_path: Path) -> None:
    found = look(tmp_path, "DOB;Claim-No;TIN;FIRST NAME\n1980-01-15;C1;;Ann\n")
    assert found.verdict == "sound"
    assert dict(found.mapping) == {"claim_number": 2, "first_name": 4, "date_of_birth": 1, "tin": 3}
    assert found.dialect is not None
    assert found.dialect.delimiter == ";"


def test_missing_columns_are_named_with_the_nearest_header(tmp_path: Path) -> None:
    found = look(tmp_path, "claim_nmber,first_name\nC1,Ann\n")
    assert found.verdict == "unsound"
    missing = [f for f in found.findings if f.code == "column-missing"]
    assert ["claim_number" in f.message for f in missing] == [True, False]
    assert 'Nearest found: "claim_nmber" (column 1).' in missing[0].message
    assert all(f.line == 1 for f in missing)


def test_a_needed_column_may_not_stand_twice(tmp_path: Path) -> None:
    found = look(tmp_path, "claim_number,Claim Number,first_name,dob\nC1,C2,Ann,1980-01-15\n")
    assert found.verdict == "unsound"
    assert ("column-doubled", 1, 2) in codes(found)


def test_a_header_below_a_preamble_is_found_by_the_kind(tmp_path: Path) -> None:
    found = look(tmp_path, "Claims, of all sorts\n\n" + HEAD + "C1,Ann,1980-01-15,,\n", copy=True)
    assert found.verdict == "sound"
    assert [c for c, _, _ in codes(found)] == ["preamble", "blank-line"]
    assert copied(tmp_path)[0][:3] == (1, 4, "C1")


def test_no_copy_of_a_file_that_is_not_sound(tmp_path: Path) -> None:
    assert look(tmp_path, HEAD + "C1,Ann\n", copy=True).verdict == "unsound"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv"]


def test_bad_cells_are_told_of_an_unsound_file_too(tmp_path: Path) -> None:
    found = look(tmp_path, HEAD + "C1,Ann\nC2,Bob,never,,\n")
    assert codes(found) == [("too-few-fields", 2, None), ("date", 3, 3)]
    assert [f.row for f in found.findings] == [1, 2]


def test_the_hash_is_of_the_original(tmp_path: Path) -> None:
    for data in (b"", b"a,b\n1,2\n", "ä;b\n1;2\n".encode("utf-16"), b"\x1f\x8b123", b"a,b\n1\n" * 9999):
        assert look(tmp_path, data).sha256 == hashlib.sha256(data).hexdigest()


def test_the_verdict_is_told_before_the_copy_exists(tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.parquet"
    path.write_text(HEAD + "C1,Ann,1980-01-15,,\n")
    seen = []
    inspect_table(path, Rules(COLUMNS, ALL), table_out=out, on_verdict=lambda i: seen.append((i.verdict, out.exists())))
    assert seen == [("sound", False)]
    assert out.exists()


def test_where_the_two_counts_differ_the_file_is_not_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = BadRows.take
    monkeypatch.setattr(BadRows, "take", lambda *a: (real(*a)[0] - 1, *real(*a)[1:]))
    found = look(tmp_path, HEAD + "C1,Ann,1980-01-15,,\n", copy=True)
    assert found.verdict == "unsound"
    assert [f.code for f in found.findings] == ["loader-disagrees"]
    assert not (tmp_path / "out.parquet").exists()


def test_many_bad_cells_are_counted_and_the_first_hundred_told(tmp_path: Path) -> None:
    found = look(tmp_path, HEAD + "C1,Ann,never,,\n" * 5_000)
    assert found.rejected_rows == 5_000
    assert len(found.findings) == 100
    assert sum(f.count for f in found.findings) == 5_000
    assert [f.line for f in found.findings[:3]] == [2, 3, 4]


def test_many_faults_are_counted_and_the_first_hundred_told(tmp_path: Path) -> None:
    found = look(tmp_path, HEAD + "C1,Ann,1980-01-15,,\nC1\n" * 5_000)
    assert len(found.findings) == 100
    assert sum(f.count for f in found.findings) == 5_000
    assert found.balance.broken == 5_000


def test_no_cell_is_in_a_finding(tmp_path: Path) -> None:
    secret = "Zyx-Canary-9"
    text = (
        HEAD + f'{secret} {secret},"{secret}" x,{secret},{secret},\n{secret}\n"{secret},{secret},,,\n{secret}\x00,,,,\n'
    )
    found = look(tmp_path, text)
    assert len(found.findings) > 3
    assert secret not in str(found.findings)


def test_a_rule_over_the_row(tmp_path: Path) -> None:
    rule = Check("either", "neither a name nor a TIN", "Fill in one.", "{first_name} = '' AND {tin} = ''")
    path = tmp_path / "in.csv"
    path.write_text("claim_number,first_name,date_of_birth\nC1,,\nC2,Ann,\n")
    columns = [Column("claim_number"), Column("first_name"), Column("tin")]
    found = inspect_table(path, Rules(columns, {"either": rule}, ["either"]))
    assert codes(found) == [("either", 2, None)]
    assert found.rejected_rows == 1


def test_an_inspection_survives_json(tmp_path: Path) -> None:
    found = look(tmp_path, HEAD + "C1,Ann,never,,\n")
    assert Inspection.from_json(found.to_json()) == found


def test_a_copy_of_many_rows_of_several_lines_has_their_lines(tmp_path: Path) -> None:
    """Each row shifts the next one's line: an inequality join over those steps once did not end."""
    look(tmp_path, HEAD + 'C1,"A\nB",1980-01-15,,\n' * 50_000, copy=True)
    with duckdb.connect() as con:
        wrong = con.execute(
            "SELECT count(*) FROM read_parquet(?) WHERE line_number != 2 * row_number", [str(tmp_path / "out.parquet")]
        )
        assert wrong.fetchall() == [(0,)]


@pytest.mark.parametrize(("rows", "warned"), [(65_534, False), (65_535, True), (65_536, False)])
def test_a_table_that_ends_where_a_sheet_does_may_be_cut_off(tmp_path: Path, rows: int, warned: bool) -> None:
    """Its first row has two lines, which are one row of a sheet."""
    path = tmp_path / "in.csv"
    path.write_text('id,note\n0,"a\nb"\n' + "".join(f"{n},x\n" for n in range(1, rows)))
    found = inspect_table(path)
    assert (found.verdict, found.row_count) == ("sound", rows)
    assert codes(found) == ([("cut-at-sheet-end", 65_537, None)] if warned else [])
