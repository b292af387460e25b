"""Part of an import: the declared transformations that make a typed value of a cell, each one DuckDB SQL expression.

A cleaner gets a cell without blanks at its ends and gives the value; NULL for a blank cell and for one that it cannot read.
"""

from __future__ import annotations

from dataclasses import dataclass

WHITE = "E' \\t\\r\\n\u00a0\ufeff'"
_GAP = "E'\\x1f'"
_SPACE = "[\\s\\x{a0}\\x{feff}]"
_NUMBER = "(?:\\d{1,3}(?:,\\d{3})+|\\d+)(?:\\.\\d+)?"
_SCALE = "(?:[kK]|[mM]{1,2}|[mM][nN]|[bB]|[bB][nN]|[tT]|[tT]housand|[mM]illion|[bB]illion|[tT]rillion)"
_TO = "\\s*(?:-|\u2013|\u2014|to)\\s*"
_SIGN = "(?:US|CA|AU)?[$\u20ac\u00a3\u00a5]"
_CODE = "(?:USD|EUR|GBP|CAD|AUD|CHF|INR|JPY)"


@dataclass(frozen=True, slots=True)
class Cleaner:
    """One transformation. `sql`: `{column}` stands for the trimmed cell. `type` is DuckDB's type of what comes out."""

    slug: str
    help: str
    type: str
    sql: str

    def on(self, column: str) -> str:
        """Give the expression for a column."""
        return self.sql.replace("{column}", column)


def trimmed(column: str) -> str:
    """Give a cell without blanks at its ends."""
    return f"trim({column}, {WHITE})"


def edges(columns: list[str]) -> str:
    """Give the condition for a row of which some cell has a blank at an end: one look instead of one for each cell."""
    pattern = f"(?:^|\\x1f){_SPACE}|{_SPACE}(?:\\x1f|$)"
    return f"regexp_matches(concat_ws({_GAP}, {', '.join(columns)}), '{pattern}')"


def _scaled(cell: str, pattern: str, number: int, scale: int) -> str:
    """Read one number with its scale out of a cell by the groups of a pattern."""
    text = f"replace(regexp_extract({cell}, '{pattern}', {number}), ',', '')"
    factor = (
        f"CASE lower(regexp_extract({cell}, '{pattern}', {scale}))[1] "
        "WHEN 'k' THEN 1000 WHEN 'm' THEN 1000000 WHEN 'b' THEN 1000000000 WHEN 't' THEN "
        f"CASE WHEN lower(regexp_extract({cell}, '{pattern}', {scale})) = 'thousand' THEN 1000 ELSE 1000000000000 END "
        "ELSE 1 END"
    )
    return f"try_cast({text} AS DECIMAL(22, 4)) * {factor}"


_COUNT = (
    f"^[~<>]?\\s*({_NUMBER})\\s*({_SCALE}?)(?:{_TO}({_NUMBER})\\s*({_SCALE}?)|\\s*\\+)?(?:\\s*(?:employees|people))?$"
)
_SUM = f"(?:{_SIGN}|{_CODE})?\\s*({_NUMBER})\\s*({_SCALE}?)\\s*{_CODE}?"
_MONEY = f"^(-?){_SUM}(?:{_TO}{_SUM}|\\s*\\+)?$"


def _least(pattern: str, plain: str, kind: str, number: int, scale: int) -> str:
    """Give the number of a cell, of a range its lower end."""
    value = _scaled("{column}", pattern, number, scale)
    return (
        f"CASE WHEN {{column}} = '' THEN NULL WHEN regexp_full_match({{column}}, '{plain}') "
        f"THEN try_cast({{column}} AS {kind}) "
        f"WHEN regexp_full_match({{column}}, '{pattern}') THEN try_cast({value} AS {kind}) END"
    )


def _most(pattern: str, kind: str, number: int, scale: int) -> str:
    """Give the upper end of a range, NULL where there is none."""
    value = _scaled("{column}", pattern, number, scale)
    single = "NOT contains({column}, '-') AND NOT regexp_matches({column}, '\u2013|\u2014|to')"
    return (
        f"CASE WHEN ({single}) OR NOT regexp_full_match({{column}}, '{pattern}') "
        f"OR regexp_extract({{column}}, '{pattern}', {number}) = '' THEN NULL ELSE try_cast({value} AS {kind}) END"
    )


_MONEY_LEAST = _least(_MONEY, "-?\\d{1,15}(?:\\.\\d{1,2})?", "DECIMAL(20, 2)", 2, 3)

# Where a point in time is meant, what stands behind the day; T or a blank before it, a zone behind it.
_CLOCK = "(\\d{1,2}:\\d{2}(?::\\d{2})?)(?:\\.\\d+)?(?: ?([AaPp][Mm]))?(?: ?(Z|UTC|GMT|[-+]\\d{2}:?\\d{2}))?"
_WITH_CLOCK = f"^(.*?)[T ,]+{_CLOCK}$"
_FORMS = (
    ("\\d{4}-\\d{2}-\\d{2}", "%Y-%m-%d", "{day}"),
    ("\\d{1,2}/\\d{1,2}/\\d{4}", "%m/%d/%Y", "{day}"),
    ("\\d{4}/\\d{1,2}/\\d{1,2}", "%Y/%m/%d", "{day}"),
    ("\\d{1,2}\\.\\d{1,2}\\.\\d{4}", "%d.%m.%Y", "{day}"),
    ("\\d{1,2}[ -][A-Za-z]{3}[ -]\\d{4}", "%d %b %Y", "replace({day}, '-', ' ')"),
    ("[A-Za-z]{3} \\d{1,2},? \\d{4}", "%b %d %Y", "replace({day}, ',', '')"),
    ("\\d{1,2} [A-Za-z]{4,9} \\d{4}", "%d %B %Y", "{day}"),
    ("[A-Za-z]{4,9} \\d{1,2},? \\d{4}", "%B %d %Y", "replace({day}, ',', '')"),
)


def _day(cell: str) -> str:
    """Give the day of a cell as a timestamp at midnight. The pattern comes first: strptime alone takes too much."""
    cases = "".join(
        f" WHEN regexp_full_match({cell}, '{pattern}') THEN try_strptime({text.replace('{day}', cell)}, '{form}')"
        for pattern, form, text in _FORMS
    )
    return f"CASE WHEN {cell} = '' THEN NULL{cases} END"


_ISO_MOMENT = "[12]\\d{3}-\\d{2}-\\d{2}(?:[T ]\\d{2}:\\d{2}:\\d{2})?Z?"


def _moment() -> str:
    """Give the point in time of a cell in UTC; one that names no zone is taken for UTC."""
    part = [f"regexp_extract({{column}}, '{_WITH_CLOCK}', {group})" for group in range(5)]
    clock = (
        f"CASE WHEN {part[3]} <> '' THEN try_strptime({part[2]} || ' ' || upper({part[3]}), "
        "['%I:%M:%S %p', '%I:%M %p']) "
        f"ELSE try_strptime({part[2]}, ['%H:%M:%S', '%H:%M']) END"
    )
    since = f"(({clock}) - TIMESTAMP '1900-01-01')"
    minutes = (
        f"CASE WHEN {part[4]}[1] IN ('+', '-') THEN (CASE WHEN {part[4]}[1] = '-' THEN -1 ELSE 1 END) * "
        f"(try_cast({part[4]}[2:3] AS INTEGER) * 60 + try_cast({part[4]}[-2:] AS INTEGER)) ELSE 0 END"
    )
    return (
        f"CASE WHEN {{column}} = '' THEN NULL WHEN regexp_full_match({{column}}, '{_ISO_MOMENT}') "
        "THEN try_cast(rtrim({column}, 'Z') AS TIMESTAMP) "
        f"WHEN regexp_full_match({{column}}, '{_WITH_CLOCK}') "
        f"THEN ({_day(part[1])}) + {since} - to_minutes({minutes}) ELSE {_day('{column}')} END"
    )


_FILLED = "nullif({column}, '')"
_SPLIT = "string_split(replace(replace(replace({column}, ';', ','), '|', ','), E'\\n', ','), ',')"
_EXTENSION = "regexp_replace({column}, '(?i)\\s*(?:x|ext\\.?|extension|#)\\s*\\d{1,6}$', '')"
_BARE = "replace(" * 6 + "{column}" + "".join(f", '{sign}', '')" for sign in " -()./")
# Most numbers have plain decoration, and taking off a few signs is cheaper than a pattern or a translation.
_DIGITS = (
    f"CASE WHEN regexp_full_match({{column}}, '[+0-9 ()./-]+') THEN {_BARE} "
    f"ELSE translate({_EXTENSION}, '()- ./\u2013\u2011\u00a0', '') END"
)
# A list of one, so that the digits are worked out once and looked at several times.
_PHONE = (
    f"CASE WHEN {{column}} = '' THEN NULL ELSE list_transform([{_DIGITS}], lambda d: "
    "CASE WHEN NOT regexp_full_match(d, '\\+?\\d{7,15}') THEN NULL WHEN d[1] = '+' THEN d "
    "WHEN d[1:2] = '00' THEN '+' || d[3:] WHEN length(d) = 10 AND d >= '2' THEN '+1' || d "
    "WHEN length(d) = 11 AND d[1] = '1' AND d[2] >= '2' THEN '+' || d ELSE d END)[1] END"
)
_TRUE = "'true', 'yes', 'y', 't', '1', 'x', 'on'"
_FALSE = "'false', 'no', 'n', 'f', '0', 'off'"

CLEANERS: dict[str, Cleaner] = {
    one.slug: one
    for one in (
        Cleaner("text", "Blanks at the ends are taken off.", "VARCHAR", _FILLED),
        Cleaner("lower", "Blanks at the ends are taken off, capitals become small.", "VARCHAR", f"lower({_FILLED})"),
        Cleaner(
            "count",
            "A whole number as people write it: 1,200, 1.2M, 11-50 (the lower end), 10,001+.",
            "BIGINT",
            _least(_COUNT, "\\d{1,15}", "BIGINT", 1, 2),
        ),
        Cleaner("count-most", "The upper end of a range of numbers.", "BIGINT", _most(_COUNT, "BIGINT", 3, 4)),
        Cleaner(
            "money",
            "An amount as people write it: $3,400, 1.2M, EUR and the like; of a range the lower end.",
            "DECIMAL(20, 2)",
            _MONEY_LEAST.replace(
                f"THEN try_cast({_scaled('{column}', _MONEY, 2, 3)}",
                f"THEN try_cast((CASE WHEN {{column}}[1] = '-' THEN -1 ELSE 1 END) * {_scaled('{column}', _MONEY, 2, 3)}",
            ),
        ),
        Cleaner(
            "money-most",
            "The upper end of a range of amounts.",
            "DECIMAL(20, 2)",
            _most(_MONEY, "DECIMAL(20, 2)", 4, 5),
        ),
        Cleaner(
            "share",
            "A number with or without a percent sign.",
            "DECIMAL(9, 4)",
            "CASE WHEN {column} = '' THEN NULL WHEN regexp_full_match({column}, '\\d{1,4}(?:\\.\\d+)? ?%?') "
            "THEN try_cast(rtrim({column}, '% ') AS DECIMAL(9, 4)) END",
        ),
        Cleaner(
            "day",
            "A day in the usual forms: 2026-01-31, 01/31/2026 (month first), 31.01.2026, Jan 31, 2026.",
            "DATE",
            f"({_moment()})::DATE",
        ),
        Cleaner("moment", "A day, with or without a time; without a zone it is UTC.", "TIMESTAMP", _moment()),
        Cleaner(
            "flag",
            "Yes or no: yes, no, true, false, y, n, 1, 0.",
            "BOOLEAN",
            f"CASE WHEN {{column}} = '' THEN NULL WHEN lower({{column}}) IN ({_TRUE}) THEN true "
            f"WHEN lower({{column}}) IN ({_FALSE}) THEN false END",
        ),
        Cleaner(
            "list",
            "Words separated by commas, semicolons or bars become a list.",
            "VARCHAR",
            "CASE WHEN {column} = '' THEN NULL ELSE nullif(to_json(list_filter(list_transform("
            f"{_SPLIT}, lambda x: trim(x)), lambda x: x <> ''))::VARCHAR, '[]') END",
        ),
        Cleaner(
            "phone-digits",
            "A phone number without its decoration; ten digits are taken for North American.",
            "VARCHAR",
            _PHONE,
        ),
    )
}


def unreadable(slug: str, plain: str) -> str:
    """Give the condition for a cell that a cleaner cannot read; `plain` is a pattern of what surely can be read.

    `{column}` is the cell as written. A pattern is cheaper than trimming, and most cells are plain.
    """
    cleaned = CLEANERS[slug].on(trimmed("{column}"))
    return f"CASE WHEN regexp_full_match({{column}}, '{plain}') THEN false ELSE ({cleaned}) IS NULL END"
