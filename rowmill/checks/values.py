"""Checks for what a cell is: a number, a yes or no, a day in one written form, a point in time.

Source: Frictionless Table Schema v1 (types and their default formats), ISO 8601, RFC 3339, RFC 9562 (UUID).
"""

from __future__ import annotations

from rowmill.contracts import Check

CELL = "trim({column})"
# True of most cells that trim() would leave as they are, and of no other: ASCII, without a blank at either end.
BARE = (
    "{column} >= '!' AND {column} < '\u00a0' AND NOT ends_with({column}, ' ') AND strlen({column}) = length({column})"
)
# Digits in RE2 are those of ASCII: 1 written full-width is no digit here.
_NUMBER = "[-+]?(\\d+\\.?\\d*|\\.\\d+)"
_BOOLEANS = "'true', 'True', 'TRUE', '1', 'false', 'False', 'FALSE', '0'"
_CLOCK = "([01]\\d|2[0-3]):[0-5]\\d"


def unless(fit: str, bad: str) -> str:
    """Give the condition `bad`, asked only of cells of which `fit` is not true.

    `fit` may be true of no cell that is bad. It looks at the cell as it stands: trim() goes through every character and
    takes longer than most checks, and nearly every cell has no blanks around it.
    """
    return f"CASE WHEN {fit} THEN false ELSE {bad} END"


def matches(pattern: str, cell: str = "{column}") -> str:
    """Give the condition for cells that a pattern, made by us, matches as a whole."""
    return f"regexp_full_match({cell}, '{pattern}')"


def not_matching(pattern: str) -> str:
    """Give the condition for cells that a pattern, made by us, does not match as a whole; none of ours takes blanks at an end."""
    return unless(matches(pattern), f"NOT {matches(pattern, CELL)}")


def as_day(*forms: tuple[str, str], cut: str = "") -> str:
    """Give the SQL for the day that a cell is in one of some forms, each with the pattern for it; NULL for none.

    The pattern comes first, because try_strptime alone takes one-digit years and trailing blanks. `cut`: what of the cell
    is read as the day.
    """
    whens = " ".join(
        f"WHEN {matches(pattern, cell)} THEN try_strptime({cell}{cut}, '{form}')"
        for cell in ("{column}", CELL)
        for pattern, form in forms
    )
    return f"CASE {whens} END"


def sure_day(form: str, zero: str = "0?") -> str:
    """Give the pattern for cells that are a day in a form for sure: every day but the 29th of February.

    `zero`: what stands before a single digit.
    """
    every, written = f"{zero}[1-9]|1\\d|2[0-8]", form.replace(".", "\\.").replace("%Y", "[1-9]\\d{3}")
    months = (
        (f"{zero}[13578]|1[02]", f"{every}|29|3[01]"),
        (f"{zero}[469]|11", f"{every}|29|30"),
        (f"{zero}2", every),
    )
    return "(" + "|".join(written.replace("%m", f"({m})").replace("%d", f"({d})") for m, d in months) + ")"


def outside(value: str, low: str, high: str) -> str:
    """Give the condition for what lies below or above two limits; BETWEEN would have `value` worked out twice."""
    return f"list_transform([{value}], lambda v: v < {low} OR v > {high})[1]"


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
    bad_when=unless(f"list_contains([{_BOOLEANS}], {{column}})", f"NOT list_contains([{_BOOLEANS}], {CELL})"),
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
    bad_when=unless(matches(sure_day("%Y-%m-%d", zero="0")), as_day(("\\d{4}-\\d{2}-\\d{2}", "%Y-%m-%d")) + " IS NULL"),
)
DATE_US = Check(
    slug="date-us",
    title="this is not a date written as month, day, year",
    help="Write it as 01/15/1980, and look whether that day exists.",
    bad_when=unless(matches(sure_day("%m/%d/%Y")), as_day(("\\d{1,2}/\\d{1,2}/\\d{4}", "%m/%d/%Y")) + " IS NULL"),
)
# All three separators that are in use, but one of them twice.
DATE_EUROPEAN = Check(
    slug="date-european",
    title="this is not a date written as day, month, year",
    help="Write it as 15.01.1980, and look whether that day exists.",
    bad_when=unless(
        matches(f"{sure_day('%d.%m.%Y')}|{sure_day('%d/%m/%Y')}|{sure_day('%d-%m-%Y')}"),
        as_day(
            ("\\d{1,2}\\.\\d{1,2}\\.\\d{4}", "%d.%m.%Y"),
            ("\\d{1,2}/\\d{1,2}/\\d{4}", "%d/%m/%Y"),
            ("\\d{1,2}-\\d{1,2}-\\d{4}", "%d-%m-%Y"),
        )
        + " IS NULL",
    ),
)


def _not_a_moment(pattern: str) -> str:
    """Give the condition for cells that are no day with a time in the shape of a pattern."""
    return as_day((pattern, "%Y-%m-%d"), cut="[:10]") + " IS NULL"


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
