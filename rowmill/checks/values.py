"""Checks for what a cell is: a number, a yes or no, a day in one written form, a point in time.

Source: Frictionless Table Schema v1 (types and their default formats), ISO 8601, RFC 3339, RFC 9562 (UUID).
"""

from __future__ import annotations

from rowmill.contracts import Check

CELL = "trim({column})"
# Digits in RE2 are those of ASCII: 1 written full-width is no digit here.
_NUMBER = "[-+]?(\\d+\\.?\\d*|\\.\\d+)"
_CLOCK = "([01]\\d|2[0-3]):[0-5]\\d"


def not_matching(pattern: str) -> str:
    """Give the condition for cells that a pattern, made by us, does not match as a whole."""
    return f"NOT regexp_full_match({CELL}, '{pattern}')"


def not_a_day(pattern: str, form: str) -> str:
    """Give the condition for cells that are no day of the calendar in a form; the pattern first, see basic.AS_DATE."""
    return f"CASE WHEN regexp_full_match({CELL}, '{pattern}') THEN try_strptime({CELL}, '{form}') IS NULL ELSE true END"


INTEGER = Check(
    slug="integer",
    title="this is not a whole number",
    help="Write digits only, with a minus before them if needed: 42, -7.",
    bad_when=not_matching("[-+]?\\d+"),
)
DECIMAL = Check(
    slug="decimal",
    title="this is not a number with a decimal point",
    help="Write digits and one point, without separators of thousands or signs of currency: 1234.50.",
    bad_when=not_matching(_NUMBER),
)
NUMBER = Check(
    slug="number",
    title="this is not a number",
    help="Write digits and one point, without separators of thousands: 1234.50; 1.5E3 is taken too.",
    bad_when=not_matching(f"({_NUMBER}([eE][-+]?\\d+)?|NaN|-?INF)"),
)
BOOLEAN = Check(
    slug="boolean",
    title="this is neither true nor false",
    help="Write true or false, or 1 or 0.",
    bad_when=f"{CELL} NOT IN ('true', 'True', 'TRUE', '1', 'false', 'False', 'FALSE', '0')",
)
YES_NO = Check(
    slug="yes-no",
    title="this is neither yes nor no",
    help="Write yes or no, or Y or N.",
    bad_when=not_matching("[Yy]([Ee][Ss])?|[Nn][Oo]?"),
)
DATE_ISO = Check(
    slug="date-iso",
    title="this is not a date written as year, month, day",
    help="Write it as 1980-01-15, and look whether that day exists.",
    bad_when=not_a_day("\\d{4}-\\d{2}-\\d{2}", "%Y-%m-%d"),
)
DATE_US = Check(
    slug="date-us",
    title="this is not a date written as month, day, year",
    help="Write it as 01/15/1980, and look whether that day exists.",
    bad_when=not_a_day("\\d{1,2}/\\d{1,2}/\\d{4}", "%m/%d/%Y"),
)
# All three separators that are in use, but one of them twice; they are made one for the calendar.
DATE_EUROPEAN = Check(
    slug="date-european",
    title="this is not a date written as day, month, year",
    help="Write it as 15.01.1980, and look whether that day exists.",
    bad_when=(
        f"CASE WHEN regexp_full_match({CELL}, '\\d{{1,2}}(\\.\\d{{1,2}}\\.|/\\d{{1,2}}/|-\\d{{1,2}}-)\\d{{4}}') "
        f"THEN try_strptime(translate({CELL}, '/-', '..'), '%d.%m.%Y') IS NULL ELSE true END"
    ),
)


def _not_a_moment(pattern: str) -> str:
    """Give the condition for cells that are no day with a time in the shape of a pattern."""
    return (
        f"CASE WHEN regexp_full_match({CELL}, '{pattern}') THEN try_strptime({CELL}[:10], '%Y-%m-%d') IS NULL "
        "ELSE true END"
    )


DATE_TIME = Check(
    slug="date-time",
    title="this is not a date with a time",
    help="Write it as 1980-01-15T09:30:00, with the zone behind it if it matters: Z or -05:00.",
    bad_when=_not_a_moment(f"\\d{{4}}-\\d{{2}}-\\d{{2}}[Tt ]{_CLOCK}(:[0-5]\\d(\\.\\d+)?)?([Zz]|[-+]{_CLOCK})?"),
)
DATE_TIME_UTC = Check(
    slug="date-time-utc",
    title="this is not a date with a time in UTC",
    help="Write it as 1980-01-15T09:30:00Z.",
    bad_when=_not_a_moment(f"\\d{{4}}-\\d{{2}}-\\d{{2}}T{_CLOCK}:[0-5]\\d(\\.\\d+)?Z"),
)
TIME = Check(
    slug="time",
    title="this is not a time of day",
    help="Write hours, minutes and seconds of 24 hours: 09:30:00.",
    bad_when=not_matching(f"{_CLOCK}:[0-5]\\d"),
)
YEAR = Check(
    slug="year",
    title="this is not a year",
    help="Write its four digits: 1980.",
    bad_when=not_matching("\\d{4}"),
)
YEAR_MONTH = Check(
    slug="year-month",
    title="this is not a year with a month",
    help="Write it as 1980-01.",
    bad_when=not_matching("\\d{4}-(0[1-9]|1[0-2])"),
)
UUID = Check(
    slug="uuid",
    title="this is not a UUID",
    help="Take it as it was given: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.",
    bad_when=not_matching("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
)
