"""The first look at the cells says the same, whether the loader's pass takes it or a scan of its own does."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowmill.contracts import Finding
from rowmill.tabular import clean, first_look
from rowmill.tabular.child import inspect_in_child
from rowmill.tabular.excel_damage import find_excel_damage
from rowmill.tabular.first_look import FirstLook, may_hold
from rowmill.tabular.inspect import open_table

HEAD = "member_id,zip,visited_on,note\n"


def rows(count: int, zip_code: str = "02139", note: str = "some more words") -> str:
    """Write so many rows, each 50th of them with a ZIP that has lost its zero."""
    return "".join(
        f"M{n:07},{zip_code.lstrip('0') if n % 50 == 0 else zip_code},2024-03-05,{note}\n" for n in range(count)
    )


def both_ways(path: Path) -> tuple[list[Finding], FirstLook]:
    """Find the damage with the loader's look, hold it against one without, and give both."""
    with open_table(path, thorough=True) as reading:
        look = reading.look
        assert look is not None
        told = [finding for finding in reading.inspection.findings if finding.code.startswith("excel-")]
    with open_table(path) as reading:
        assert reading.look is None
        assert sorted(find_excel_damage(reading), key=str) == sorted(told, key=str)
    return told, look


def taken(look: FirstLook) -> bool:
    """Tell whether the loader has taken the look: then no source is needed for the counts."""
    return bool(look.counts(None, "", may_be_cut=False))


def test_the_pass_over_a_sound_file_takes_the_look(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(HEAD + rows(3_000))
    found, look = both_ways(tmp_path / "in.csv")
    assert [(one.code, one.line, one.count) for one in found] == [("excel-lost-zeros", 2, 60)]
    assert taken(look)


def test_parts_of_a_broken_file_are_looked_at_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean, "PART_BYTES", 100_000)
    (tmp_path / "in.csv").write_text(HEAD + rows(3_000) + "too few\n" + rows(6_000))
    found, look = both_ways(tmp_path / "in.csv")
    assert [(one.code, one.line, one.count) for one in found] == [("excel-lost-zeros", 2, 180)]
    assert taken(look)


def test_a_first_part_too_short_to_learn_from_is_not_relied_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean, "PART_BYTES", 10_000)
    (tmp_path / "in.csv").write_text(HEAD + "too few\n" + rows(300) + rows(3_000, "10001"))
    found, look = both_ways(tmp_path / "in.csv")
    assert [(one.code, one.line, one.count) for one in found] == [("excel-lost-zeros", 3, 6)]
    # By now a scan of its own has taken it.
    assert look.columns[1].filled == first_look._SAMPLE_ROWS


@pytest.mark.parametrize("words", ["long words ", "long words\n"])
def test_a_cut_cell_among_words_is_found_however_its_row_is_written(tmp_path: Path, words: str) -> None:
    cut = (words * 3_000)[: first_look.CELL_CHARACTERS]
    (tmp_path / "in.csv").write_text(HEAD + rows(2_100) + f'M1,02139,2024-03-05,"{cut}"\n' + rows(10))
    found, _ = both_ways(tmp_path / "in.csv")
    assert {one.code for one in found} == {"excel-cut-cell", "excel-lost-zeros"}
    assert [one.line for one in found if one.code == "excel-cut-cell"] == [2_102]


def test_only_a_text_with_a_long_line_may_hold_a_cut_cell(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(rows(5_000))
    assert not may_hold(path, 10)
    assert may_hold(path, 13)
    for before in (0, 7_000, 400_000):
        path.write_bytes(b"short\n" * (before // 6) + b"x" * first_look.CELL_CHARACTERS + b"\n" + b"short\n" * 50)
        assert may_hold(path, 10)


def test_a_wide_file_takes_no_more_memory_than_there_is(tmp_path: Path) -> None:
    names = [f"column {n} of many" for n in range(150)]
    lines = [",".join(f"{n}{row}" for n in range(150)) for row in range(3)]
    (tmp_path / "in.csv").write_text("\n".join([",".join(names), *lines, ""]))
    with open_table(tmp_path / "in.csv", thorough=True) as reading:
        assert [(one.code, one.message) for one in reading.inspection.findings] == []
        assert reading.look is not None
        assert [column.width for column in reading.look.columns[98:102]] == [3, 3, 4, 4]


@pytest.mark.parametrize("at_once", [2, 500])
def test_so_many_looks_that_they_are_counted_apart_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    dates = "".join(f"M{n:07},02139,2024-03-05,{'45.2' if n % 9 else 'a. b.'}\n" for n in range(500))
    for text in (HEAD + rows(3_000), HEAD + dates, HEAD):
        (tmp_path / "in.csv").write_text(text)
        found, _ = both_ways(tmp_path / "in.csv")
        with monkeypatch.context() as patched:
            patched.setattr(first_look, "_MOST_LOOKS", 0)
            patched.setattr(first_look, "_AT_ONCE", at_once)
            assert both_ways(tmp_path / "in.csv")[0] == found


@pytest.mark.slow
def test_two_thousand_columns_are_judged_and_copied_in_the_memory_that_there_is(tmp_path: Path) -> None:
    columns, kept = 2_000, 2_100
    with (tmp_path / "in.csv").open("w") as file:
        file.write("id," + ",".join(f"c{n}" for n in range(1, columns)) + "\n")
        for n in range(kept):
            file.write(f"{n}," + ",".join(["7"] * (columns - 1)) + "\n")
    path = tmp_path / "table.parquet"
    told = inspect_in_child(tmp_path / "in.csv", table_out=path, memory_bytes=1 << 30, thorough=True)
    assert (told.verdict, told.row_count) == ("sound", kept)
    assert path.exists()
