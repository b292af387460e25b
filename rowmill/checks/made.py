"""Checks that are made to measure: lengths, limits, patterns, lists, and conditions over several columns.

Each maker's check has a slug that names what it asks, always the same for the same. `dataclasses.replace` gives it another
slug, title, help or severity. A value stands in the SQL as a quoted text that holds no brace, so that none is a placeholder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import permutations
from typing import Any, Literal

import duckdb

from rowmill.checks.basic import AS_DATE
from rowmill.checks.values import BARE, CELL, as_day, matches, outside, sure_day, unless
from rowmill.contracts import Check
from rowmill.errors import InputError
from rowmill.tabular.load import BLANK, quote_text

MOST_PATTERN = 500
MOST_VALUES = 1000
_FEW_VALUES = 20  # a list of so many is looked through faster than DuckDB joins it
MOST_SLUG = 60
MOST_SAID = 120
# What DuckDB's trim takes off: every sign of Unicode's category Zs.
BLANKS = " \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_WHOLE_DIGITS, _DECIMALS = 18, 6
_SEPARATORS = {".": "dots", "/": "slashes", "-": "dashes", "": "compact"}
_DIGITS = {"%Y": "\\d{4}", "%m": "\\d{1,2}", "%d": "\\d{1,2}"}
# Every order of year, month and day with one separator: form -> what its slug says.
FORMS = {
    sep.join(parts): "".join(p[1].lower() for p in parts) + f"-{name}"
    for parts in permutations(("%Y", "%m", "%d"))
    for sep, name in _SEPARATORS.items()
}
_NUMBER = "[-+]?(\\d+\\.?\\d*|\\.\\d+)([eE][-+]?\\d+)?"

Number = int | float | str | Decimal
Sign = Literal["<", "<=", "=", "<>", ">=", ">"]
Sense = Literal["text", "number", "date"]
_SIGNS = {
    "<": ("before", "has to be less than"),
    "<=": ("up-to", "may not be more than"),
    "=": ("same-as", "has to be the same as"),
    "<>": ("other-than", "may not be the same as"),
    ">=": ("from", "may not be less than"),
    ">": ("after", "has to be more than"),
}


def quote_value(text: str) -> str:
    """Write an SQL text in which no `{` stands, so that nothing in it is taken for a placeholder. Raises: InputError."""
    if "\x00" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InputError("A value of a check holds a character that stands for no sign.")
    return "(" + " || chr(123) || ".join(quote_text(part) for part in text.split("{")) + ")"


def digest(*words: str) -> str:
    """Give a short name for words that fit in no slug."""
    return hashlib.sha256("\x1f".join(words).encode()).hexdigest()[:12]


def _slug(first: str, *words: str) -> str:
    """Put a slug together; words that are too long for it give way to their digest."""
    slug = "-".join((first, *words))
    return slug if len(slug) <= MOST_SLUG else f"{first}-{digest(*words)}"


def _between(low: Any, high: Any) -> list[str]:
    """Give the words of a slug for two limits."""
    return [
        f"{word}-{limit}".replace("--", "-minus-") for word, limit in (("from", low), ("to", high)) if limit is not None
    ]


def _say_limits(low: Any, high: Any) -> str:
    """Say two limits to people."""
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"{low} or more" if high is None else f"{high} or less"


def _keywords(**limits: Any) -> tuple[tuple[str, Any], ...]:
    """Give the words of a Table Schema for what is set."""
    return tuple((word, value) for word, value in limits.items() if value is not None)


def _need_order(low: Any, high: Any, what: str) -> None:
    """Refuse limits that no cell can keep, or none at all. Raises: InputError."""
    if low is None and high is None:
        raise InputError(f"A check of {what} needs a least or a greatest value.")
    if low is not None and high is not None and low > high:
        raise InputError(f"A check of {what} has a least value above its greatest one.")


# ------------------------------------------------------------------------------------------------ one column


def length(least: int | None = None, most: int | None = None) -> Check:
    """Make a check of how many characters a cell has, blanks around it not counted. Raises: InputError.

    Units: characters of Unicode, both limits inclusive.
    """
    _need_order(least, most, "length")
    if any(limit is not None and (type(limit) is not int or not 0 <= limit < 10**9) for limit in (least, most)):
        raise InputError("A check of length needs whole numbers from 0.")
    fits = f"strlen({{column}}) <= {most}" if least is None else f"{BARE} AND strlen({{column}}) >= {least}"
    fits += f" AND strlen({{column}}) <= {most}" if None not in (least, most) else ""
    parts = [f"length({CELL}) < {least}"] if least is not None else []
    parts += [f"length({CELL}) > {most}"] if most is not None else []
    said = _say_limits(least, most)
    return Check(
        _slug("length", *_between(least, most)),
        f"this has not the right length: {said} characters are needed",
        "Look whether something was cut off, or got into the wrong column.",
        unless(fits, f"({' OR '.join(parts)})"),
        keywords=_keywords(minLength=least, maxLength=most),
    )


def read_number(value: Number) -> Decimal:
    """Give the number exactly, written the shortest way. Raises: InputError for what is none, or has too many digits."""
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise InputError("A limit is not a number.")
    if (number and number.adjusted() >= _WHOLE_DIGITS) or number != round(number, _DECIMALS):
        raise InputError(f"A limit has more than {_WHOLE_DIGITS} digits before the point or {_DECIMALS} behind it.")
    whole = number.to_integral_value()
    return Decimal(f"{whole:f}") + 0 if number == whole else Decimal(f"{number:f}".rstrip("0"))


def number_range(least: Number | None = None, most: Number | None = None) -> Check:
    """Make a check of a number's size; cells that are no number are left to `number`. Raises: InputError.

    Units: both limits inclusive; exact to 12 digits behind the point.
    """
    low = None if least is None else read_number(least)
    high = None if most is None else read_number(most)
    _need_order(low, high, "size")
    beyond = " OR ".join(
        f"coalesce(TRY_CAST({CELL} AS DECIMAL(38,12)) {sign} CAST('{limit:f}' AS DECIMAL(38,12)), "
        f"TRY_CAST({CELL} AS DOUBLE) {sign} CAST('{limit:f}' AS DOUBLE), false)"
        for sign, limit in (("<", low), (">", high))
        if limit is not None
    )
    inside = "".join(
        f" AND TRY_CAST({{column}} AS DECIMAL(38,12)) {sign} CAST('{limit:f}' AS DECIMAL(38,12))"
        for sign, limit in ((">=", low), ("<=", high))
        if limit is not None
    )
    ends = [end for end, limit in (("NaN", low or high or 0), ("INF", high), ("-INF", low)) if limit is not None]
    low_text, high_text = (None if limit is None else f"{limit:f}" for limit in (low, high))
    return Check(
        _slug("number", *_between(low_text, high_text)),
        f"this number is out of its limits: {_say_limits(low_text, high_text)} is taken",
        "Look whether a point is missing or misplaced, or the sign is wrong.",
        unless(
            matches(_NUMBER) + inside,
            f"CASE WHEN {matches(_NUMBER, CELL)} THEN {beyond} "
            f"ELSE list_contains([{', '.join(map(quote_text, ends))}], {CELL}) END",
        ),
        keywords=_keywords(minimum=low_text, maximum=high_text),
    )


def _as_day(form: str) -> str:
    """Give the SQL for the day that a cell is in a form, NULL for none. Raises: InputError."""
    if form == "any":
        return AS_DATE
    if form not in FORMS:
        raise InputError("A form of dates needs %Y, %m and %d, each once, with one of . / - between them or nothing.")
    compact = form.count("%") * 2 == len(form)
    pattern = "".join(
        _DIGITS.get(part, "\\.") if part != "/" and part != "-" else part for part in re.findall("%.|[./-]", form)
    )
    if compact:
        pattern = pattern.replace("{1,2}", "{2}")
    return f"({as_day((pattern, form))})"


def date_form(form: str) -> Check:
    """Make a check of dates in one form, such as `%d.%m.%Y`; one digit for day or month will do. Raises: InputError."""
    day = _as_day(form)
    if form not in FORMS:
        raise InputError("A form of dates is needed, such as %d.%m.%Y.")
    said = form.replace("%Y", "1980").replace("%m", "01").replace("%d", "15")
    return Check(
        f"date-{FORMS[form]}",
        "this is not a date in the form that this column has",
        f"Write it as {said}, and look whether that day exists.",
        unless(matches(sure_day(form, "0?" if set(form) & set("./-") else "0")), f"{day} IS NULL"),
        keywords=(("type", "date"), ("format", form)),
    )


def date_range(first: date | None = None, last: date | None = None, form: str = "any") -> Check:
    """Make a check of how early or late a date may be; cells that are no date are left to `date`. Raises: InputError.

    `form`: "any" for those that the check `date` takes, else one form such as `%d.%m.%Y`. Units: both days inclusive.
    """
    _need_order(first, last, "dates")
    day = _as_day(form)
    shown = [None if limit is None else limit.isoformat() for limit in (first, last)]
    # The day is midnight in every form.
    bad = outside(day, f"DATE '{shown[0]}'", f"DATE '{shown[1]}'")
    if first is None or last is None:
        bad = f"{day} > DATE '{shown[1]}'" if first is None else f"{day} < DATE '{shown[0]}'"
    said = " ".join(f"{word} {limit}" for word, limit in zip(("from", "to"), shown, strict=True) if limit)
    return Check(
        _slug("date", *([] if form == "any" else [FORMS[form]]), *_between(*shown)),
        f"this date is out of its limits: dates {said} are taken",
        "Correct the year, or look whether day and month are exchanged.",
        f"coalesce({bad}, false)",
        keywords=_keywords(minimum=shown[0], maximum=shown[1]) + (() if form == "any" else (("format", form),)),
    )


@cache
def _try_pattern(expression: str) -> str:
    """Give what RE2 has against a pattern, "" where it takes it."""
    with duckdb.connect() as con:
        try:
            con.execute("SELECT regexp_full_match('', ?)", [expression]).fetchall()
        except duckdb.Error as error:
            return str(error).rpartition("Error: ")[2].partition(":")[0].strip() or "it cannot be read"
    return ""


def pattern(expression: str) -> Check:
    """Make a check of a regular expression that the whole cell has to match, blanks around it not counted.

    Raises: InputError for what RE2 does not take: looking ahead or behind, references back.
    Source: https://github.com/google/re2/wiki/Syntax; `\\d` and `\\w` are of ASCII.
    """
    if not expression or len(expression) > MOST_PATTERN:
        raise InputError(f"A pattern needs 1 to {MOST_PATTERN} characters.")
    quoted = quote_value(expression)
    if wrong := _try_pattern(expression):
        raise InputError(f"The pattern is none that RE2 takes: {wrong}.")
    return Check(
        f"pattern-{digest(expression)}",
        "this has not the form that this column needs",
        "Compare it with the rows above and below.",
        unless(f"{BARE} AND regexp_full_match({{column}}, {quoted})", f"NOT regexp_full_match({CELL}, {quoted})"),
        keywords=(("pattern", expression),),
    )


def one_of(values: Sequence[str], *, any_case: bool = False) -> Check:
    """Make a check of the values that a cell may have; `any_case` takes other spellings too. Raises: InputError."""
    wanted = tuple(dict.fromkeys(values))
    if not wanted or len(wanted) > MOST_VALUES or isinstance(values, str):
        raise InputError(f"A list of values needs 1 to {MOST_VALUES} of them.")
    if any(value != value.strip(BLANKS) or not value.strip() for value in wanted):
        raise InputError("A value of a list is blank or has blanks around it; cells are compared without.")
    said = ", ".join(wanted)
    cell, listed = CELL, ", ".join(map(quote_value, wanted))
    if any_case:
        cell, listed = f"lower({CELL})", ", ".join(f"lower({quote_value(value)})" for value in wanted)
    bad = f"{cell} NOT IN ({listed})"
    if len(wanted) <= _FEW_VALUES:
        bad = f"NOT list_contains([{listed}], {cell})"
        bad = bad if any_case else unless(f"list_contains([{listed}], {{column}})", bad)
    return Check(
        f"one-of-{'any-case-' if any_case else ''}{digest(*sorted(wanted))}",
        "this is none of the values that this column takes",
        f"Write one of: {said}." if len(said) <= MOST_SAID else "Take one of the values that are agreed.",
        bad,
        keywords=() if any_case else (("enum", wanted),),
    )


# ------------------------------------------------------------------------------------------------ several columns


def _place(column: str) -> str:
    """Give the placeholder of a column. Raises: InputError."""
    if not column or set("{};") & set(column) or column == "*":
        raise InputError("A column of a check needs a name without braces and semicolons.")
    return "{" + column + "}"


def _blank(column: str) -> str:
    """Give the condition for a blank cell of a column."""
    return BLANK.replace("{column}", _place(column))


def _as(sense: Sense, column: str) -> str:
    """Give the SQL for what a column's cell says, NULL where it says nothing of that sense."""
    if sense == "date":
        return AS_DATE.replace("{column}", _place(column))
    cell = CELL.replace("{column}", _place(column))
    if sense == "number":
        return f"CASE WHEN regexp_full_match({cell}, '{_NUMBER}') THEN TRY_CAST({cell} AS DECIMAL(38,12)) END"
    return f"CASE WHEN {_blank(column)} THEN NULL ELSE {cell} END"


def compare(left: str, sign: Sign, right: str, sense: Sense = "text") -> Check:
    """Make a check over a row that compares two of its cells; a blank one, or one of another sense, is left to others.

    Raises: InputError.
    """
    if sign not in _SIGNS:
        raise InputError(f"Two columns can be compared by {', '.join(_SIGNS)}.")
    word, said = _SIGNS[sign]
    return Check(
        f"compare-{word}-{digest(left, right, sense)}",
        f"{left} {said} {right}",
        "Look which of the two is wrong, or whether they are exchanged.",
        f"coalesce(NOT (({_as(sense, left)}) {sign} ({_as(sense, right)})), false)",
    )


def needs(column: str, *others: str, only_for: Sequence[str] = ()) -> Check:
    """Make a check over a row: where a column is filled (with one of `only_for`), the others have to be too.

    Raises: InputError.
    """
    if not others:
        raise InputError("A check of what a column needs has to name another one.")
    missing = " OR ".join(f"({_blank(other)})" for other in others)
    cell = CELL.replace("{column}", _place(column))
    when = f"{cell} IN ({', '.join(map(quote_value, only_for))})" if only_for else f"NOT ({_blank(column)})"
    return Check(
        f"needs-{digest(column, '', *others, '', *only_for)}",
        f"{', '.join(others)} {'has' if len(others) == 1 else 'have'} to be filled, because of {column}",
        "Fill it in, or correct the other cell.",
        f"({when}) AND ({missing})",
    )


def any_of(*columns: str) -> Check:
    """Make a check over a row: at least one of the columns has to be filled. Raises: InputError."""
    if len(columns) < 2:
        raise InputError("A check that one of several columns is filled has to name two or more.")
    return Check(
        f"any-of-{digest(*columns)}",
        f"one of {', '.join(columns)} has to be filled",
        "Fill in one of them, then send the row again.",
        " AND ".join(f"({_blank(column)})" for column in columns),
    )


def unique_together(*columns: str) -> Check:
    """Make a check over all rows: no two may have the same in these columns; rows with a blank one are not looked at.

    Cost: reads the table once more, and keeps what differs; DuckDB puts on the disk what does not fit its memory.
    Raises: InputError.
    """
    if len(columns) < 2 or len(set(columns)) != len(columns):
        raise InputError("Columns that are unique together are two or more, each named once.")
    cells = ", ".join(CELL.replace("{column}", _place(column)) for column in columns)
    filled = " AND ".join(f"NOT ({_blank(column)})" for column in columns)
    return Check(
        f"unique-together-{digest(*columns)}",
        f"other rows have the same in {', '.join(columns)}, and every row needs its own",
        "Look which of these rows is meant, and correct or remove the others.",
        f"row({cells}) IN (SELECT row({cells}) FROM {{*}} WHERE {filled} GROUP BY {cells} HAVING count(*) > 1)",
        keywords=(("primaryKey", columns),),
    )
