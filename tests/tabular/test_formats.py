"""Numbers of a sheet, shown as their cells show them."""

from __future__ import annotations

import contextlib
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.datetime import from_excel

from rowmill.tabular.formats import OutOfCalendar, make_show, show_plain


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("7", "7"),
        ("7.0", "7"),
        ("-0", "0"),
        ("007", "7"),
        ("12.50", "12.5"),
        ("0.30000000000000004", "0.3"),
        ("1234.5599999999999", "1234.56"),
        ("1E-5", "0.00001"),
        ("1.5E-12", "1.5E-12"),
        ("1E+20", "100000000000000000000"),
        ("1E+21", "1E+21"),
        ("123456789012345", "123456789012345"),
        ("1234567890123456", "1234567890123456"),
        ("1.23456789012345E+15", "1234567890123450"),
        ("12345678901234567890", "12345678901234567890"),
        ("-1.5", "-1.5"),
    ],
)
def test_a_plain_number_is_shown_as_general_does(stored: str, shown: str) -> None:
    assert show_plain(stored) == shown


@pytest.mark.parametrize("stored", ["", "x", "1,5", "0x1", "1_000", "inf", "nan", "1E999", "--1", "\u0661"])
def test_what_is_no_number_is_none(stored: str) -> None:
    for show in (show_plain, make_show(164, "yyyy", False), make_show(164, "00000", False)):
        with pytest.raises(ValueError):
            show(stored)


@pytest.mark.parametrize(
    ("code", "stored", "shown"),
    [
        ("00000", "123", "00123"),
        ("00000", "1234567", "1234567"),
        ("00000", "-5", "-00005"),
        ("00000", "12.6", "00013"),
        ("00000\\-0000", "123456789", "12345-6789"),
        ("00000-0000", "1234567", "00123-4567"),
        ("000-00-0000", "12345678", "012-34-5678"),
        ("[<=9999999]###-####;(###) ###-####", "5551234", "555-1234"),
        ("[<=9999999]###\\-####;\\(###\\)\\ ###\\-####", "5551234567", "(555) 123-4567"),
        ('"CLM"0000', "12", "CLM0012"),
        ('"A-"0', "12", "A-12"),
        ("00000;-00000;00000;@", "7", "00007"),
        ("[Red]000", "7", "007"),
        ("0000000000000000", "123456789012345", "0123456789012345"),
        ("000\\ 000", "1234", "001 234"),
        ("General", "12.5", "12.5"),
        ("@", "12", "12"),
        ("0", "12", "12"),
        ("0.00", "12.5", "12.5"),
        ("#,##0.00", "1234.5", "1234.5"),
        ('"$"#,##0.00', "1234.5", "1234.5"),
        ("$#,##0", "1234", "1234"),
        ("[$-409]#,##0", "1234", "1234"),
        ("[$\u20ac-407]\\ 0000", "12", "12"),
        ('_("$"* #,##0.00_);_("$"* \\(#,##0.00\\);_("$"* "-"??_);_(@_)', "0", "0"),
        ("#\\ ##0", "1234567", "1234567"),
        ("0%", "0.125", "0.125"),
        ("0.00E+00", "123456", "123456"),
        ("# ?/?", "0.5", "0.5"),
        ('0" days"', "3", "3"),
        (";;;", "3", "3"),
    ],
)
def test_patterns_of_digits_are_shown_and_decoration_is_not(code: str, stored: str, shown: str) -> None:
    assert make_show(164, code, False)(stored) == shown


@pytest.mark.parametrize(
    ("code", "stored", "shown"),
    [
        ("yyyy-mm-dd", "45000", "2023-03-15"),
        ("m/d/yyyy", "45000.75", "2023-03-15"),
        ("[$-F800]dddd, mmmm dd, yyyy", "45000", "2023-03-15"),
        ("[$-409]d\\-mmm\\-yy;@", "45000", "2023-03-15"),
        ("mmm yyyy", "45000", "2023-03-15"),
        ("yyyy-mm-dd hh:mm:ss", "45000", "2023-03-15 00:00:00"),
        ("m/d/yy h:mm AM/PM", "45000.75", "2023-03-15 18:00:00"),
        ("yyyy-mm-dd hh:mm", "45000.999999", "2023-03-16 00:00:00"),
        ("hh:mm:ss.000", "0.5000000116", "12:00:00.001"),
        ("h:mm", "0.25", "06:00:00"),
        ("mm:ss", "0.25", "06:00:00"),
        ("h:mm", "45000.25", "06:00:00"),
        ("[h]:mm:ss", "1.5", "36:00:00"),
        ("[mm]:ss", "0.5", "12:00:00"),
        ("[h]:mm", "-0.5", "-12:00:00"),
        ("yyyy-mm-dd", "0", "1900-01-00"),
        ("yyyy-mm-dd", "1", "1900-01-01"),
        ("yyyy-mm-dd", "59", "1900-02-28"),
        ("yyyy-mm-dd", "60", "1900-02-29"),
        ("yyyy-mm-dd", "61", "1900-03-01"),
        ("yyyy-mm-dd hh:mm", "0.5", "12:00:00"),
        ("yyyy-mm-dd", "2958465", "9999-12-31"),
        ('"due "yyyy', "45000", "2023-03-15"),
    ],
)
def test_dates_are_shown_in_iso(code: str, stored: str, shown: str) -> None:
    assert make_show(164, code, False)(stored) == shown


def test_the_system_of_1904() -> None:
    show = make_show(14, None, True)
    assert [show(n) for n in ("0", "60", "43538")] == ["1904-01-01", "1904-03-01", "2023-03-15"]
    assert make_show(22, None, True)("0.5") == "1904-01-01 12:00:00"


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "1.5"), (1, "1.5"), (2, "1.5"), (14, "1900-01-01"), (18, "12:00:00")]
)
def test_built_in_formats(number: int, shown: str) -> None:
    assert make_show(number, None, False)("1.5") == shown
    assert make_show(22, None, False)("1.5") == "1900-01-01 12:00:00"
    assert make_show(46, None, False)("1.5") == "36:00:00"


@pytest.mark.parametrize("stored", ["-1", "2958466", "1E+300"])
def test_no_date_is_made_up(stored: str) -> None:
    for code in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm", "h:mm"):
        with pytest.raises(OutOfCalendar):
            make_show(164, code, False)(stored)
    with pytest.raises(OutOfCalendar):
        make_show(164, "yyyy", True)("2957004")


@given(st.integers(61, 2_900_000), st.integers(0, 86_399))
def test_days_and_seconds_are_those_of_openpyxl(day: int, second: int) -> None:
    stored = repr(day + second / 86_400)
    wanted = from_excel(float(stored))
    assert isinstance(wanted, datetime)
    assert make_show(22, None, False)(stored) == (wanted + timedelta(microseconds=500)).strftime(
        "%Y-%m-%d %H:%M:%S"
    ).rjust(19, "0")


@given(st.dates(date(1900, 3, 1)))
def test_every_date_comes_back(day: date) -> None:
    assert make_show(14, None, False)(str((day - date(1899, 12, 30)).days)) == day.isoformat()


@given(st.text(max_size=20), st.floats(-1e16, 1e16))
def test_no_format_code_breaks_it(code: str, value: float) -> None:
    with contextlib.suppress(OutOfCalendar):
        assert make_show(164, code, False)(repr(value)) is not None
