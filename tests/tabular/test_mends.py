"""Mends: each fault that can be repaired without guessing is; all other rows stay cell for cell; the rest is left alone."""

from __future__ import annotations

import csv
from itertools import chain
from pathlib import Path

import openpyxl
import pytest

from rowmill.contracts import Column, Inspection, Rules
from rowmill.errors import InputError
from rowmill.registry import get_check
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.mends import MENDS, MendReport, apply_mends, get_mend
from tests.zoo.faults import Faulty, faulty_files, whole_file_faults
from tests.zoo.sound import make_table, write

LINE = 5
UNMENDABLE = (
    "short_row",
    "very_short_row",
    "shifted_row",
    "text_after_quote",
    "nul_byte",
    "nul_in_quoted",
    "truncated_utf8",
    "overlong_utf8",
    "ff_byte",
    "joined_rows",
    "split_row",
    "unterminated_last_row",
    "truncated_file",
    "truncated_in_quotes",
    "duplicate_header",
    "empty_header_cell",
    "header_short",
    "header_long",
    "no_header",
    "header_quote_text",
    "header_bad_utf8",
    "header_nul",
    "one_bad_byte",
    "bad_date",
    "bad_number",
    "html",
    "empty",
    "gzip_cut",
)


def zoo() -> dict[str, Faulty]:
    return {f.name.removesuffix("_5"): f for f in chain(faulty_files(), whole_file_faults())}


def judge(path: Path, data: bytes) -> Inspection:
    path.write_bytes(data)
    return inspect_table(path)


def mend_all(tmp_path: Path, data: bytes, *more: str) -> tuple[MendReport, Inspection, list[list[str]]]:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    slugs = [c.mend for c in judge(path, data).causes if c.mend]
    report = apply_mends(path, out, [*slugs, *more])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv", "out.csv"]
    with out.open(newline="", encoding="utf-8") as file:
        return report, inspect_table(out), list(csv.reader(file))


@pytest.mark.parametrize("name", UNMENDABLE)
def test_what_would_be_guessed_gets_no_mend(name: str, tmp_path: Path) -> None:
    found = judge(tmp_path / "in.csv", zoo()[name].data)
    assert found.causes
    assert {c.mend for c in found.causes} == {""}
    assert {c.clears for c in found.causes} == {0}


# fault -> (the mends that clear it, the name in its row where another than the table's)
ONE_ROW: dict[str, tuple[tuple[str, ...], str]] = {
    "long_row": (("quote-delimiter",), "{first}, {last}"),
    "long_row_empty_extra": (("trailing-delimiter",), ""),
    "long_row_many_empty": (("trailing-delimiter",), ""),
    "unterminated_quote": (("close-quote",), ""),
    "unterminated_quote_last_column": (("close-quote",), ""),
    "unterminated_quote_first_column": (("close-quote",), ""),
    "closing_quote_only": (("quote-cells",), '{first} {last}"'),
    "bare_quote_mid_field": (("quote-cells",), '{first} "x" {last}'),
    "one_bare_quote": (("quote-cells",), '{first}" {last}'),
    "unescaped_quote_in_quoted": (("escape-quotes",), '{first} "Al" {last}'),
    "space_after_quote": (("quote-spaces",), ""),
    "backslash_escape": (("escape-quotes",), 'A "B" C'),
    "semicolon_row": (("delimiter",), ""),
    "tab_row": (("delimiter",), ""),
    "blank_line": (("blank-lines",), ""),
    "spaces_line": (("blank-lines",), ""),
    "tabs_line": (("blank-lines",), ""),
    "repeated_header": (("repeated-header",), ""),
    "bom_mid_file": (("bom",), ""),
    "bom_in_cell": (("bom",), ""),
    "space_before_quote": (("quote-spaces",), "Doe, Ann"),
    "space_before_quote_no_comma": (("quote-cells",), ' "Doe Ann"'),
    "ctrl_z": (("control-z",), "{first}{last}"),
    "cr_only_line_end": (("newlines",), ""),
    "crlf_line_in_lf": (("newlines",), ""),
    "lone_cr_in_cell": (("lone-cr",), "{first}\r{last}"),
    "typographic_quotes": (("typographic-quotes",), ""),
    "typographic_quotes_comma": (("typographic-quotes",), "Doe, Ann"),
}


def the_table() -> list[list[str]]:
    table = make_table(20)
    table[1][1] = "Zoë Ångström"
    return table


@pytest.mark.parametrize("name", ONE_ROW)
def test_a_mend_clears_its_fault_and_touches_nothing_else(name: str, tmp_path: Path) -> None:
    slugs, cell = ONE_ROW[name]
    report, found, rows = mend_all(tmp_path, zoo()[name].data)
    table = the_table()
    if cell:
        first, last = table[4][1].split(" ")
        table[4][1] = cell.format(first=first, last=last)
    assert rows == table
    assert (found.verdict, found.findings) == ("sound", ())
    assert dict(report.applied) == dict.fromkeys(slugs, 1)
    assert (report.left_out, report.still_broken) == (0, 0)


def test_untouched_records_keep_their_bytes(tmp_path: Path) -> None:
    data = zoo()["semicolon_row"].data
    mend_all(tmp_path, data)
    before, after = data.split(b"\n"), (tmp_path / "out.csv").read_bytes().split(b"\n")
    assert [i for i, (b, a) in enumerate(zip(before, after, strict=True), 1) if b != a] == [LINE]


WHOLE = {
    "trailing_delim_all_rows": ("trailing-delimiter", 20),
    "trailing_delim_header": ("trailing-delimiter", 1),
    "header_quote_open": ("close-quote", 1),
    "mixed_newlines": ("newlines", 13),
    "preamble": ("preamble", 2),
    "footer_total": ("footer", 1),
    "footer_of_full_width": ("footer", 1),
    "footer_after_blank": ("footer", 1),
    "footer_no_newline": ("footer", 1),
    "blank_before_header": ("blank-lines", 2),
    "blank_at_the_end": ("blank-lines", 3),
    "header_ends_another_way": ("newlines", 1),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_table_comes_back_whole(name: str, tmp_path: Path) -> None:
    slug, count = WHOLE[name]
    report, found, rows = mend_all(tmp_path, zoo()[name].data)
    assert rows == make_table(20)
    assert (found.verdict, found.findings) == ("sound", ())
    assert report.applied[slug] == count


def test_lines_of_another_encoding_are_written_anew(tmp_path: Path) -> None:
    report, found, rows = mend_all(tmp_path, zoo()["mixed_encodings"].data)
    assert rows == make_table(20, accents=True)
    assert (found.verdict, dict(report.applied)) == ("sound", {"encoding": 11})


def test_a_file_with_lost_letters_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    assert {c.mend for c in judge(path, zoo()["utf16_odd"].data).causes} == {""}
    with pytest.raises(InputError):
        apply_mends(path, tmp_path / "out.csv", ["footer", "without-broken-rows"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv"]


def test_only_what_is_chosen_is_mended(tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_bytes(b"id,b,c\n1,x,y\n\n2;u;v\n3,p,q,\n4,m,n\n")
    report = apply_mends(path, out, ["delimiter"])
    assert out.read_bytes() == b"id,b,c\n1,x,y\n\n2,u,v\n3,p,q,\n4,m,n\n"
    assert (dict(report.applied), report.still_broken) == ({"delimiter": 1}, 1)
    report = apply_mends(path, out, ["blank-lines", "without-broken-rows"])
    assert out.read_bytes() == b"id,b,c\n1,x,y\n4,m,n\n"
    assert (report.applied["blank-lines"], report.left_out) == (1, 2)


def test_an_unknown_mend_is_refused(tmp_path: Path) -> None:
    for slug in ("no-such", "date-form", "delimiter:x", "header"):
        with pytest.raises(InputError):
            get_mend(slug)
    assert get_mend("date-form:dob").slug == "date-form:dob"
    assert all(slug == mend.slug and mend.title and mend.help for slug, mend in MENDS.items())


def test_other_encodings_come_out_as_utf8(tmp_path: Path) -> None:
    table = make_table(20, accents=True)
    lines = write(table).splitlines(keepends=True)
    text = "".join([*lines[:6], "\n", *lines[6:]])
    for codec in ("utf-16", "cp1252", "utf-8-sig"):
        _, found, rows = mend_all(tmp_path, text.encode(codec))
        assert rows == table
        assert found.findings == ()
        assert found.dialect is not None
        assert found.dialect.encoding == "utf-8"


def told_examples() -> list[tuple[str, str, str]]:
    told, slug = [], ""
    for line in (Path(__file__).parents[2] / "docs" / "mends.md").read_text(encoding="utf-8").splitlines():
        slug = line[3:] if line.startswith("## ") else slug
        cells = [part.strip() for part in line.strip("|").split("|")]
        if line.startswith("| `7") and "byte" not in line:
            told.append((slug, cells[0].strip("`"), cells[1].strip("`")))
    return told


@pytest.mark.parametrize(("slug", "before", "after"), told_examples())
def test_the_page_tells_what_happens(slug: str, before: str, after: str, tmp_path: Path) -> None:
    four = before.count("2020-01-02")
    rows = [f"{n},Ann Oak,{'2020-01-02,' * four}{n}.10\n" for n in range(20, 60)]
    text = ["id,name,day,amount\n" if four else "id,name,amount\n", *rows, before + "\n", *rows]
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    found = judge(path, "".join(text).encode())
    assert [cause.mend for cause in found.causes] == [slug]
    apply_mends(path, out, [slug])
    assert out.read_text(encoding="utf-8").splitlines()[41] == after


def test_every_mend_has_its_section() -> None:
    text = (Path(__file__).parents[2] / "docs" / "mends.md").read_text(encoding="utf-8")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(MENDS)


def test_a_workbook_is_mended_as_a_table(tmp_path: Path) -> None:
    path, out = tmp_path / "in.xlsx", tmp_path / "out.csv"
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for row in (["id", "note", "day"], [1, "two\nlines", "31.12.1999"], [], [2, 'a "b", c', "01.02.2000"]):
        page.append(row)
    book.save(path)
    columns = (Column("id", required=True), Column("day", checks=("date",)))
    found = inspect_table(path, Rules(columns, {slug: get_check(slug) for slug in ("required", "date")}))
    assert [c.mend for c in found.causes] == ["date-form:day", "blank-lines"]
    report = apply_mends(path, out, [c.mend for c in found.causes], Rules(columns))
    assert dict(report.applied) == {"date-form:day": 2, "blank-lines": 1}
    with out.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["id", "note", "day"],
            ["1", "two\nlines", "1999-12-31"],
            ["2", 'a "b", c', "2000-02-01"],
        ]
