"""Checks for everyday fields: is it there, is it a date, has a spreadsheet eaten its digits."""

from __future__ import annotations

from rowmill.contracts import Check
from rowmill.tabular.load import BLANK

# Both forms that payers' files use. try_strptime knows the calendar: 02/30/2020 is no date. The pattern comes first
# because try_strptime alone takes one-digit years and trailing blanks. Midnight behind a day is how many programs write a
# day that they keep as a point in time; any other hour is no date.
AS_DATE = (
    "coalesce("
    "CASE WHEN regexp_full_match(trim({column}), '\\d{4}-\\d{2}-\\d{2}([ T]00:00(:00(\\.0+)?)?)?') "
    "THEN try_strptime(trim({column})[:10], '%Y-%m-%d') END, "
    "CASE WHEN regexp_full_match(trim({column}), '\\d{1,2}/\\d{1,2}/\\d{4}') "
    "THEN try_strptime(trim({column}), '%m/%d/%Y') END)"
)

REQUIRED = Check(
    slug="required",
    title="the cell is empty, and this column has to be filled",
    help="Fill in the value, then send the row again.",
    bad_when=BLANK,
)
DATE = Check(
    slug="date",
    title="this is not a date",
    help="Write it as 1980-01-15 or 01/15/1980 (month first), and look whether that day exists.",
    bad_when=f"{AS_DATE} IS NULL",
)
DATE_NOT_FUTURE = Check(
    slug="date-not-future",
    title="this date lies in the future or before 1900",
    help="Correct the year; dates from 1900 to today are taken.",
    bad_when=f"coalesce({AS_DATE} > current_localtimestamp() OR {AS_DATE} < TIMESTAMP '1900-01-01', false)",
)
LOST_DIGITS = Check(
    slug="lost-digits",
    title="a spreadsheet has shortened this number, its last digits are lost",
    help="Take the number from where it first came from; format the column as text before opening the file.",
    bad_when="regexp_full_match(trim({column}), '[-+]?\\d+([.,]\\d+)?[eE]\\+?\\d{1,3}')",
)
UNIQUE = Check(
    slug="unique",
    title="this value stands in other rows too, and every row needs its own",
    help="Look which of these rows is meant, and correct or remove the others.",
    bad_when=(
        "trim({column}) IN (SELECT trim({column}) FROM {*} "
        f"WHERE NOT ({BLANK}) GROUP BY trim({{column}}) HAVING count(*) > 1)"
    ),
    keywords=(("unique", True),),
)
