"""Part of an import: the declared transformations that make a typed value of a cell, each one DuckDB SQL expression.

A cleaner gets a cell without blanks at its ends and gives the value; NULL for a blank cell and for one that it cannot read.
"""

from __future__ import annotations

from dataclasses import dataclass

# Every sign of Unicode's category Zs, which is what DuckDB's trim takes off by itself, and what else stands for a blank.
_ZS = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
# Signs without width, which a copy from a page leaves at the ends of a cell; those that join letters are not among them.
_NO_WIDTH = "\u200b\u200e\u200f\u2060\ufeff"
WHITE = f"E'{_ZS}\\t\\r\\n{_NO_WIDTH}'"
_GAP = "E'\\x1f'"
# What an export of ours puts an apostrophe before (tabular.writers), as people do by hand: "'+1 212 ..." is "+1 212 ...".
_MARKED = "''([=+@\uff1d\uff0b\uff0d\uff20-])"
_SPACE = f"[\\s\\p{{Zs}}{_NO_WIDTH}]"
_NUMBER = "(?:\\d{1,3}(?:,\\d{3})+|\\d+)(?:\\.\\d+)?"
_SCALE = "(?:[kK]|[mM]{1,2}|[mM][nN]|[bB]|[bB][nN]|[tT]|[tT]housand|[mM]illion|[bB]illion|[tT]rillion)"
_TO = "\\s*(?:-|\u2013|\u2014|to)\\s*"
_SIGN = "(?:US|CA|AU)?[$\u20ac\u00a3\u00a5]"
# Of an amount no more than 15 digits stand before the point: SQLite keeps a double, and Django reads no longer one back.
_COUNTED, _AMOUNT = "BIGINT", "DECIMAL(17, 2)"
_CODE = "(?:USD|EUR|GBP|CAD|AUD|CHF|INR|JPY)"


@dataclass(frozen=True, slots=True)
class Cleaner:
    """One transformation. `sql`: `{column}` stands for the trimmed cell. `type` is DuckDB's type of what comes out.

    `made_by`: it is what the cleaner of that slug makes, cast to this one's type.
    """

    slug: str
    help: str
    type: str
    sql: str
    made_by: str = ""

    def on(self, column: str) -> str:
        """Give the expression for a column."""
        return self.sql.replace("{column}", column)


def trimmed(column: str) -> str:
    """Give a cell without blanks at its ends, and without the apostrophe that keeps a spreadsheet from running it."""
    return f"regexp_replace(trim({column}, {WHITE}), '^{_MARKED}', '\\1')"


def edges(columns: list[str]) -> str:
    """Give the condition for a row of which `trimmed` changes some cell: one look instead of one for each cell."""
    pattern = f"(?:^|\\x1f)(?:{_SPACE}|{_MARKED})|{_SPACE}(?:\\x1f|$)"
    return f"regexp_matches(concat_ws({_GAP}, {', '.join(columns)}), '{pattern}')"


def _once(value: str, name: str, then: str) -> str:
    """Work a value out once and look at it several times: a list of one. A plan grows with its text, and is made anew
    for every batch."""
    return f"list_transform([{value}], lambda {name}: {then})[1]"


def _scaled(number: str, scale: str) -> str:
    """Give one number with its scale, both as written."""
    return (
        f"try_cast(replace({number}, ',', '') AS DECIMAL(22, 4)) * CASE WHEN {scale} = '' THEN 1 "
        f"WHEN lower({scale}) IN ('k', 'thousand') THEN 1000 WHEN lower({scale})[1] = 'm' THEN 1000000 "
        f"WHEN lower({scale})[1] = 'b' THEN 1000000000 ELSE 1000000000000 END"
    )


# The groups of both: a sign, a number and its scale, the upper end of a range and its scale.
_PARTS = "['sign', 'a', 'a_scale', 'b', 'b_scale']"
_COUNT = (
    f"^()[~<>]?\\s*({_NUMBER})\\s*({_SCALE}?)(?:{_TO}({_NUMBER})\\s*({_SCALE}?)|\\s*\\+)?(?:\\s*(?:employees|people))?$"
)
_SUM = f"(?:{_SIGN}|{_CODE})?\\s*({_NUMBER})\\s*({_SCALE}?)\\s*{_CODE}?"
_MONEY = f"^(-?){_SUM}(?:{_TO}{_SUM}|\\s*\\+)?$"


def _whole(number: str, scale: str) -> str:
    """Give the condition for a number of things: 1.5M, 50.0, but neither 1.5 nor 1.200, which is a thousand elsewhere."""
    return f"({scale} <> '' OR regexp_full_match({number}, '[\\d,]*(?:\\.0{{1,2}})?'))"


def _is_below(one: str, other: str) -> str:
    """Give the condition for the smaller of two numbers, without their scales."""
    return (
        f"try_cast(replace({one}, ',', '') AS DECIMAL(22, 4)) < try_cast(replace({other}, ',', '') AS DECIMAL(22, 4))"
    )


def _least(pattern: str, plain: str, kind: str) -> str:
    """Give the number of a cell, of a range its lower end; 1-10M begins at a million, 500-1K does not at 500,000."""
    shared = (
        f"CASE WHEN p.a_scale = '' AND p.b_scale <> '' AND {_is_below('p.a', 'p.b')} THEN p.b_scale ELSE p.a_scale END"
    )
    number = _scaled("p.a", "p.a_scale") if kind == _COUNTED else _once(shared, "s", _scaled("p.a", "s"))
    value = f"CASE WHEN p.sign = '-' THEN -1 ELSE 1 END * {number}"
    fits = "p.a <> ''"
    if kind == _COUNTED:
        fits += f" AND {_whole('p.a', 'p.a_scale')} AND {_whole('p.b', 'p.b_scale')}"
    read = _once(
        f"regexp_extract({{column}}, '{pattern}', {_PARTS})",
        "p",
        f"CASE WHEN {fits} THEN try_cast({value} AS {kind}) END",
    )
    return (
        f"CASE WHEN {{column}} = '' THEN NULL WHEN regexp_full_match({{column}}, '{plain}') "
        f"THEN try_cast({{column}} AS {kind}) ELSE {read} END"
    )


def _most(pattern: str, kind: str) -> str:
    """Give the upper end of a range, NULL where there is none."""
    range_ = " OR ".join(f"contains({{column}}, '{sign}')" for sign in ("-", "\u2013", "\u2014", "to"))
    read = _once(
        f"regexp_extract({{column}}, '{pattern}', {_PARTS})",
        "p",
        f"CASE WHEN p.b <> '' THEN try_cast({_scaled('p.b', 'p.b_scale')} AS {kind}) END",
    )
    return f"CASE WHEN {range_} THEN {read} END"


# Where a point in time is meant, what stands behind the day; T or a blank before it, a zone behind it.
_CLOCK = "(\\d{1,2}:\\d{2}(?::\\d{2})?)(?:\\.\\d+)?(?: ?([AaPp][Mm]))?(?: ?(Z|UTC|GMT|[-+](?:0\\d|1[0-5]):?[0-5]\\d))?"
_WITH_CLOCK = f"^(.*?)[T ,]+{_CLOCK}$"
_CLOCK_PARTS = "['day', 'clock', 'half', 'zone']"
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
    clock = (
        "CASE WHEN p.half <> '' THEN try_strptime(p.clock || ' ' || upper(p.half), ['%I:%M:%S %p', '%I:%M %p']) "
        "ELSE try_strptime(p.clock, ['%H:%M:%S', '%H:%M']) END"
    )
    minutes = (
        "CASE WHEN p.zone[1] IN ('+', '-') THEN (CASE WHEN p.zone[1] = '-' THEN -1 ELSE 1 END) * "
        "(try_cast(p.zone[2:3] AS INTEGER) * 60 + try_cast(p.zone[-2:] AS INTEGER)) ELSE 0 END"
    )
    day = _once("CASE WHEN p.clock <> '' THEN p.day ELSE {column} END", "d", _day("d"))
    since = (
        f"CASE WHEN p.clock <> '' THEN (({clock}) - TIMESTAMP '1900-01-01') - to_minutes({minutes}) "
        "ELSE INTERVAL 0 SECOND END"
    )
    parts = f"CASE WHEN contains({{column}}, ':') THEN regexp_extract({{column}}, '{_WITH_CLOCK}', {_CLOCK_PARTS}) END"
    # No program reads a year back that is before 1 or after 9999, be it for the zone only.
    kept = "CASE WHEN m BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59' THEN m END"
    read = _once(_once(parts, "p", f"{day} + {since}"), "m", kept)
    return (
        f"CASE WHEN {{column}} = '' THEN NULL WHEN regexp_full_match({{column}}, '{_ISO_MOMENT}') "
        f"THEN try_cast(rtrim({{column}}, 'Z') AS TIMESTAMP) ELSE {read} END"
    )


_FILLED = "nullif({column}, '')"
_SPLIT = "string_split(replace(replace(replace({column}, ';', ','), '|', ','), E'\\n', ','), ',')"
_WORD = '[^\\s\\pZ,;|"\\\\\\x00-\\x1f]+(?: [^\\s\\pZ,;|"\\\\\\x00-\\x1f]+)*'
# Most lists are words with a comma between them, which need no taking apart.
_LIST = (
    f"CASE WHEN {{column}} = '' THEN NULL WHEN regexp_full_match({{column}}, '{_WORD}(?:, ?{_WORD})*') "
    """THEN '["' || replace(replace({column}, ', ', ','), ',', '","') || '"]' """
    "ELSE nullif(to_json(list_filter(list_transform("
    f"{_SPLIT}, lambda x: trim(x)), lambda x: x <> ''))::VARCHAR, '[]') END"
)
_EXTENSION = "regexp_replace({column}, '(?i)\\s*(?:x|ext\\.?|extension|#)\\s*\\d{1,6}$', '')"
# Taking off a few signs is cheaper than a pattern or a translation, and most numbers have no others.
_BARE = "replace(" * 6 + "{column}" + "".join(f", '{sign}', '')" for sign in " -()./")
_DIGITS = "regexp_full_match(d, '\\+?\\d{7,15}')"
_ODD = _once(f"translate({_EXTENSION}, '()- ./\u2013\u2011\u00a0', '')", "d", f"CASE WHEN {_DIGITS} THEN d END")
_PHONE = (
    "CASE WHEN {column} = '' THEN NULL ELSE "
    + _once(
        _once(_BARE, "d", f"CASE WHEN {_DIGITS} THEN d ELSE {_ODD} END"),
        "d",
        "CASE WHEN starts_with(d, '+') THEN d WHEN starts_with(d, '00') THEN '+' || d[3:] "
        "WHEN length(d) = 10 AND d >= '2' THEN '+1' || d "
        "WHEN length(d) = 11 AND d >= '12' AND d < '2' THEN '+' || d ELSE d END",
    )
    + " END"
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
            _least(_COUNT, "\\d{1,15}", _COUNTED),
        ),
        Cleaner("count-most", "The upper end of a range of numbers.", "BIGINT", _most(_COUNT, _COUNTED)),
        Cleaner(
            "money",
            "An amount as people write it: $3,400, 1.2M, EUR and the like; of a range the lower end.",
            _AMOUNT,
            _least(_MONEY, "-?\\d{1,15}(?:\\.\\d{1,2})?", _AMOUNT),
        ),
        Cleaner(
            "money-most",
            "The upper end of a range of amounts.",
            _AMOUNT,
            _most(_MONEY, _AMOUNT),
        ),
        Cleaner(
            "integer",
            "A whole number in digits, of up to 18 of them.",
            "BIGINT",
            "CASE WHEN regexp_full_match({column}, '[-+]?\\d{1,18}') THEN try_cast({column} AS BIGINT) END",
        ),
        Cleaner(
            "number",
            "A number in digits with a point, of up to 18 digits before and 6 behind it.",
            "DECIMAL(24, 6)",
            "CASE WHEN regexp_full_match({column}, '[-+]?(?:\\d{1,18}(?:\\.\\d{0,6})?|\\.\\d{1,6})') "
            "THEN try_cast({column} AS DECIMAL(24, 6)) END",
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
            made_by="moment",
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
            _LIST,
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
