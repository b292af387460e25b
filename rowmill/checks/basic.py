"""Checks for everyday fields: is it there, is it a date, has a spreadsheet eaten its digits."""

from __future__ import annotations

from rowmill.checks.values import CELL, as_day, matches, outside, sure_day, unless
from rowmill.contracts import Check
from rowmill.tabular.load import BLANK

# Both forms that payers' files use. try_strptime knows the calendar: 02/30/2020 is no date. Midnight behind a day is how
# many programs write a day that they keep as a point in time; any other hour is no date.
AS_DATE = as_day(
    ("\\d{4}-\\d{2}-\\d{2}([ T]00:00(:00(\\.0+)?)?)?", "%Y-%m-%d"),
    ("\\d{1,2}/\\d{1,2}/\\d{4}", "%m/%d/%Y"),
    cut="[:10]",
)

# What is written so lies in the years from 1900 up to one that is over, if it is a date at all.
_FIRST, _PAST = "TIMESTAMP '1900-01-01'", "(19\\d\\d|20[01]\\d|202[0-5])"
_SHORTENED = "[-+]?\\d+([.,]\\d+)?[eE]\\+?\\d{1,3}"

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
    bad_when=unless(
        matches(f"{sure_day('%Y-%m-%d', zero='0')}( 00:00:00)?|{sure_day('%m/%d/%Y')}"), f"{AS_DATE} IS NULL"
    ),
)
DATE_NOT_FUTURE = Check(
    slug="date-not-future",
    title="this date lies in the future or before 1900",
    help="Correct the year; dates from 1900 to today are taken.",
    bad_when=unless(
        matches(f"{_PAST}-\\d\\d-\\d\\d|\\d\\d?/\\d\\d?/{_PAST}"),
        f"coalesce({outside(AS_DATE, _FIRST, 'current_localtimestamp()')}, false)",
    ),
)
LOST_DIGITS = Check(
    slug="lost-digits",
    title="a spreadsheet has shortened this number, its last digits are lost",
    help="Take the number from where it first came from; format the column as text before opening the file.",
    bad_when=unless("NOT (contains({column}, 'E') OR contains({column}, 'e'))", matches(_SHORTENED, CELL)),
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
