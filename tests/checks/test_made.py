"""Checks that are made to measure, in a real DuckDB: good and bad cells, slugs, and what is refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowmill import registry
from rowmill.checks.basic import UNIQUE
from rowmill.checks.made import (
    BLANKS,
    FORMS,
    any_of,
    compare,
    date_form,
    date_range,
    length,
    needs,
    number_range,
    one_of,
    pattern,
    unique_together,
)
from rowmill.contracts import Check, Column, Inspection, Rules
from rowmill.errors import ConfigError, InputError
from rowmill.tabular.child import inspect_in_child
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.reading import Limits
from tests.checks.sql import is_bad

CELLS: dict[str, tuple[Check, tuple[str, ...], tuple[str, ...]]] = {
    "length-from-2-to-4": (length(2, 4), ("ab", "abcd", " abcd ", "éééé", "𝒳𝒳"), ("a", "abcde", " a ", "x" * 5000)),
    "length-from-3": (length(3), ("abc", "x" * 5000), ("ab",)),
    "length-to-3": (length(most=3), ("abc", "a"), ("abcd",)),
    "number-from-0-to-100": (
        number_range(0, 100),
        ("0", "100", "100.0", "007", "1e2", "-0", " 5 ", "five", "12,5", "１0１", "0.000000000001"),
        ("-1", "101", "100.000000000001", "-0.5", "1e3", "1e400", "-1e400", "9" * 60, "NaN", "INF", "-INF"),
    ),
    "number-from-minus-1.5": (
        number_range("-1.50"),
        ("-1.5", "0", "1e400", "9" * 60, "INF"),
        ("-1.51", "-2", "-INF", "NaN"),
    ),
    "number-to-999999999999999999": (
        number_range(most=10**18 - 1),
        ("999999999999999999", "-1e400", "-INF", "999999999999999999.0"),
        ("1000000000000000000", "999999999999999999.000001", "INF", "1" + "0" * 40),
    ),
    "date-dmy-dots": (
        date_form("%d.%m.%Y"),
        ("15.01.1980", "5.1.1980"),
        ("01.15.1980", "15/01/1980", "15.01.80", "15x01x1980"),
    ),
    "date-ymd-compact": (
        date_form("%Y%m%d"),
        ("19800115", "20200229"),
        ("1980115", "20190229", "1980-01-15", "１9800115"),
    ),
    "date-mdy-slashes": (date_form("%m/%d/%Y"), ("01/15/1980", "1/5/1980"), ("15/01/1980", "01-15-1980")),
    "date-from-2020-01-01-to-2020-12-31": (
        date_range(date(2020, 1, 1), date(2020, 12, 31)),
        ("2020-01-01", "12/31/2020", "2020-12-31 00:00:00", "no date", "31.12.2021"),
        ("2019-12-31", "2021-01-01", "01/01/2021", "0001-01-01", "9999-12-31"),
    ),
    "date-dmy-slashes-to-2020-12-31": (
        date_range(None, date(2020, 12, 31), "%d/%m/%Y"),
        ("31/12/2020", "12/31/2021"),
        ("1/1/2021",),
    ),
}


@pytest.mark.parametrize("slug", CELLS)
def test_a_made_check_tells_good_from_bad_and_names_what_it_asks(slug: str) -> None:
    check, good, bad = CELLS[slug]
    assert check.slug == slug
    assert [cell for cell in good if is_bad(check, column=cell)] == []
    assert [cell for cell in bad if not is_bad(check, column=cell)] == []


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (pattern("[A-Z]{2}-\\d+"), ("AB-1", " AB-12 "), ("ab-1", "xAB-1", "AB-", "AB-１", "AB-1\n")),
        (pattern("a|bc"), ("a", "bc"), ("ac", "ab", "abc")),
        (pattern("it's \\{column\\}"), ("it's {column}",), ("its", "it's c0")),
        (one_of(("F", "M", "it's", "{column}")), ("F", " M ", "it's", "{column}"), ("f", "FM", "X", "c0", "Ｆ")),
        (one_of(("Yes", "No"), any_case=True), ("yes", "NO", "No"), ("y", "maybe")),
    ],
    ids=lambda value: value.slug if isinstance(value, Check) else "",
)
def test_patterns_and_lists(check: Check, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    assert [cell for cell in good if is_bad(check, column=cell)] == []
    assert [cell for cell in bad if not is_bad(check, column=cell)] == []


def test_a_comparison_looks_at_rows_that_have_both() -> None:
    check = compare("first", "<=", "last", "date")
    for first, last in (
        ("2020-01-01", "2020-01-01"),
        ("1/2/2020", "2020-02-01"),
        ("", "2020-01-01"),
        ("x", "2020-01-01"),
    ):
        assert not is_bad(check, first=first, last=last)
    assert is_bad(check, first="2020-02-01", last="01/31/2020")
    numbers = compare("paid", "<", "charged", "number")
    assert [is_bad(numbers, paid=a, charged=b) for a, b in (("9", "10"), ("10", "9"), ("10", "10.0"), (" ", "9"))] == [
        *(False, True, True, False)
    ]
    texts = compare("a", "<>", "b")
    assert [is_bad(texts, a=a, b=b) for a, b in (("x", "y"), ("x", " x "), ("", ""), ("\t", "\t"), ("9", "9.0"))] == [
        *(False, True, False, False, False)
    ]


@pytest.mark.parametrize("sign", ["<", "<=", "=", "<>", ">=", ">"])
def test_every_sign_compares_as_python_does(sign: Any) -> None:
    judge: Callable[[int, int], bool] = {
        "<": int.__lt__, "<=": int.__le__, "=": int.__eq__, "<>": int.__ne__, ">=": int.__ge__, ">": int.__gt__,
    }[sign]  # fmt: skip
    check = compare("a", sign, "b", "number")
    for a, b in ((1, 2), (2, 2), (10, 9)):
        assert is_bad(check, a=str(a), b=str(b)) is not judge(a, b)


def test_what_a_filled_column_needs() -> None:
    check = needs("payer", "member", "group")
    rows = [("", "", ""), ("P", "1", "2"), ("P", "", "2"), ("P", "1", "\t"), (" ", "1", "")]
    assert [is_bad(check, payer=p, member=m, group=g) for p, m, g in rows] == [False, False, True, True, False]
    only = needs("state", "zip", only_for=("CA", "N'Y"))
    assert [is_bad(only, state=s, zip=z) for s, z in (("CA", ""), (" N'Y ", " "), ("TX", ""), ("CA", "9"))] == [
        *(True, True, False, False)
    ]
    assert [is_bad(any_of("a", "b"), a=a, b=b) for a, b in (("", " "), ("x", ""), ("", "y"))] == [True, False, False]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: length(), "least or a greatest"),
        (lambda: length(5, 2), "above its greatest"),
        (lambda: length(-1), "whole numbers"),
        (lambda: length(True), "whole numbers"),
        (lambda: number_range("x"), "not a number"),
        (lambda: number_range(True), "not a number"),
        (lambda: number_range(float("nan")), "not a number"),
        (lambda: number_range("1e999999999"), "more than 18 digits"),
        (lambda: number_range("0.0000001"), "more than 18 digits"),
        (lambda: number_range(2, 1), "above its greatest"),
        (lambda: date_range(), "least or a greatest"),
        (lambda: date_range(date(2020, 1, 2), date(2020, 1, 1)), "above its greatest"),
        (lambda: date_range(date(2020, 1, 2), None, "%d%b%Y"), "needs %Y, %m and %d"),
        (lambda: date_form("any"), "form of dates is needed"),
        (lambda: date_form("%d.%m/%Y"), "needs %Y, %m and %d"),
        (lambda: date_form("'; DROP"), "needs %Y, %m and %d"),
        (lambda: pattern(""), "1 to 500"),
        (lambda: pattern("x" * 501), "1 to 500"),
        (lambda: pattern("a(?=b)"), "invalid perl operator"),
        (lambda: pattern("(a)\\1"), "invalid escape sequence"),
        (lambda: pattern("(a"), "missing"),
        (lambda: pattern("(((a{100}){100}){100})"), "repetition"),
        (lambda: pattern("a\x00"), "stands for no sign"),
        (lambda: one_of(()), "1 to 1000"),
        (lambda: one_of("FM"), "1 to 1000"),
        (lambda: one_of((" F",)), "blanks around"),
        (lambda: one_of(("",)), "is blank"),
        (lambda: one_of(("\ud800",)), "stands for no sign"),
        (lambda: compare("a", "~", "b"), "compared by"),  # type: ignore[arg-type]
        (lambda: compare("a}", "<", "b"), "without braces"),
        (lambda: needs("a"), "another one"),
        (lambda: any_of("a"), "two or more"),
        (lambda: unique_together("a"), "two or more"),
        (lambda: unique_together("a", "a"), "each named once"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(make: Callable[[], Check], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        make()


def test_the_same_rule_has_the_same_slug_and_another_has_not() -> None:
    assert number_range(1).slug == number_range("1.00").slug == number_range(Decimal(1)).slug == "number-from-1"
    assert one_of(("a", "b")).slug == one_of(("b", "a", "b")).slug != one_of(("a", "c")).slug
    assert compare("a", "<", "b").slug != compare("a", "<", "b", "date").slug != compare("a", "<=", "b", "date").slug
    assert len(number_range("-123456789012345678.123456", "123456789012345678.123456").slug) <= 60
    made = [check for check, *_ in CELLS.values()] + [
        pattern("a"),
        unique_together("a", "b"),
        needs("a", "b"),
        any_of("a", "b"),
    ]
    assert len({check.slug for check in made} | set(registry.CHECKS)) == len(made) + len(registry.CHECKS)
    for check in made:
        assert re.fullmatch(r"[a-z0-9.-]{1,60}", check.slug)
        assert check.title[0].islower() or check.title[0] in "ab"
        assert check.help.endswith(".")


def test_what_trim_takes_off_is_known() -> None:
    signs = [chr(i) for i in range(1, 0x3100) if not 0xD800 <= i < 0xE000]
    assert "".join(s for s in signs if unicodedata.category(s) == "Zs") == BLANKS
    for sign in BLANKS:
        assert not is_bad(one_of(("a",)), column=f"{sign}a{sign}")
        with pytest.raises(InputError):
            one_of((f"a{sign}",))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@given(texts.filter(lambda t: t.strip() and t == t.strip(BLANKS)), texts)
def test_a_value_of_a_list_is_only_ever_a_value(value: str, cell: str) -> None:
    check = one_of((value,))
    assert not is_bad(check, column=value)
    assert is_bad(check, column=cell) == (cell.strip(BLANKS) != value)


limits = st.decimals("-999999", "999999", places=3)


@given(limits, limits, limits)
def test_limits_of_numbers_are_what_python_says(a: Decimal, b: Decimal, value: Decimal) -> None:
    low, high = sorted((a, b))
    check = number_range(low, high)
    for cell in (value, low, high, low - Decimal("0.001"), high + Decimal("0.001")):
        assert is_bad(check, column=f"{cell:f}") == (not low <= cell <= high)


@given(st.dates(date(1000, 1, 1)), st.sampled_from(sorted(FORMS)))
def test_a_form_takes_the_dates_that_are_written_so(day: date, form: str) -> None:
    cell = day.strftime(form)
    assert not is_bad(date_form(form), column=cell)
    assert not is_bad(date_range(day, day, form), column=cell)
    if day < date.max:
        assert is_bad(date_range(date.fromordinal(day.toordinal() + 1), None, form), column=cell)


# ------------------------------------------------------------------------------------------------ in a file

COLUMNS = (
    Column("id", required=True, filled=True, checks=("unique",)),
    Column("visit", required=True),
    Column("table"),
)
TOGETHER = unique_together("visit", "table")
CHECKS = {"required": registry.get_check("required"), "unique": UNIQUE, TOGETHER.slug: TOGETHER}


def look(tmp_path: Path, text: str, checks: dict[str, Check] = CHECKS, out: Path | None = None) -> Inspection:
    path = tmp_path / "in.csv"
    path.write_text(text)
    rows = tuple(slug for slug in checks if slug.startswith(("unique-", "compare-")))
    return inspect_table(path, Rules(COLUMNS, checks, rows), table_out=out)


def test_every_row_of_a_doubled_value_is_told_and_rejected(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    found = look(tmp_path, "id,visit,table\nA,1,x\nB,2,y\n A ,3,x\n,1,x\n,,\nC,,\nD, ,\n", out=out)
    assert found.verdict == "sound"
    assert [(f.code, f.line, f.column) for f in found.findings if f.code != "required"] == [
        *(("unique", 2, 1), (TOGETHER.slug, 2, None), ("unique", 4, 1), (TOGETHER.slug, 5, None)),
    ]
    assert found.rejected_rows == 4  # lines 2, 4, and those without an id
    with duckdb.connect() as con:
        problems = [row[0] for row in con.execute("SELECT problems FROM read_parquet(?)", [str(out)]).fetchall()]
    assert problems == [
        *(f"unique:id;{TOGETHER.slug}:", None, "unique:id", f"required:id;{TOGETHER.slug}:", "required:id", None, None),
    ]


def test_a_warning_takes_the_row(tmp_path: Path) -> None:
    soft = {"required": CHECKS["required"], "unique": replace(UNIQUE, severity="warning")}
    found = look(tmp_path, "id,visit,table\nA,1,x\nA,2,y\n", soft)
    assert [(f.code, f.severity, f.line) for f in found.findings] == [
        ("unique", "warning", 2),
        ("unique", "warning", 3),
    ]
    assert (found.verdict, found.rejected_rows) == ("sound", 0)


def test_a_column_that_the_file_lacks_is_blank_for_a_check_over_the_row(tmp_path: Path) -> None:
    assert look(tmp_path, "id,visit\nA,1\nB,1\n").findings == ()


def test_the_first_places_of_many_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    rows = "".join(f"{n % 30_000},{n},x\n" for n in range(60_000))
    found = look(tmp_path, "id,visit,table\n" + rows, {"required": CHECKS["required"], "unique": UNIQUE})
    assert [f.line for f in found.findings] == list(range(2, 102))
    assert sum(f.count for f in found.findings) == found.rejected_rows == 60_000


def test_unique_holds_in_the_child_with_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,visit,table\n" + "".join(f"{n:032},1,x\n" for n in [*range(400_000), 7]))
    found = inspect_in_child(
        path, Rules(COLUMNS, {"required": CHECKS["required"], "unique": UNIQUE}), memory_bytes=400_000_000
    )
    assert [(f.code, f.line) for f in found.findings] == [("unique", 9), ("unique", 400_002)]
    assert found.rejected_rows == 2


def test_a_file_is_not_blamed_for_too_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,visit,table\n" + "".join(f"{n:032},1,x\n" for n in range(100_000)))
    with pytest.raises(MemoryError):
        inspect_table(path, Rules(COLUMNS, CHECKS), limits=Limits(memory_bytes=5_000_000))


def test_a_made_check_is_added_once_and_never_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CHECKS", dict(registry.CHECKS))
    age = replace(number_range(0, 130), slug="age")
    registry.add_checks([age])
    registry.add_checks([age])
    assert registry.get_check("age") == age
    with pytest.raises(ConfigError, match="'age'"):
        registry.add_checks([replace(age, severity="warning")])
    registry.get_check.cache_clear()
