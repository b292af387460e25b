"""A thorough look at a sound table: what a spreadsheet has done to its cells, column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rowmill.contracts import Finding
from rowmill.tabular import load
from rowmill.tabular.column_names import is_date, is_identifier, is_postal
from rowmill.tabular.damage_map import with_map
from rowmill.tabular.first_look import CELL_CHARACTERS, DATE, DECIMAL, DIGITS, Column, FirstLook, may_hold
from rowmill.tabular.load import Bad
from rowmill.tabular.notes import Notes, sort_findings
from rowmill.tabular.reading import Reading

AMERICAN = ("", "US", "USA", "U.S.", "U.S.A.", "UNITED STATES", "UNITED STATES OF AMERICA")
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"

# The scan of columns under suspicion: true for a damaged cell.
_CUT = f"CASE WHEN strlen({{c}}) >= {CELL_CHARACTERS} THEN length({{c}}) = {CELL_CHARACTERS} ELSE false END"
_SCIENTIFIC = (
    "CASE WHEN strlen({c}) NOT BETWEEN 5 AND 22 THEN false WHEN contains({c}, 'E+')"
    " THEN regexp_full_match({c}, '-?\\d(\\.\\d+)?E\\+\\d\\d') ELSE false END"
)
_MONTH_DAY = (
    "CASE WHEN strlen({c}) NOT BETWEEN 5 AND 6 THEN false WHEN contains({c}, '-')"
    f" THEN regexp_full_match({{c}}, '\\d{{{{1,2}}}}-({_MONTHS})|({_MONTHS})-\\d{{{{1,2}}}}') ELSE false END"
)
_ROUNDED = (
    "CASE WHEN strlen({c}) NOT BETWEEN 16 AND 30 THEN false WHEN suffix({c}, '0')"
    " THEN regexp_full_match({c}, '[1-9]\\d{{14}}0+') ELSE false END"
)
_SERIAL = (
    "CASE WHEN strlen({c}) NOT BETWEEN 5 AND 17 OR {c} < '1' OR {c} >= '6' THEN false"
    " ELSE regexp_full_match({c}, '([2-5]\\d{{4}}|60000)(\\.\\d+)?') END"
)
_SHORT = "CASE WHEN strlen({c}) BETWEEN 1 AND {below} THEN regexp_full_match({c}, '[1-9]\\d*') ELSE false END"
_ZERO_LED = "CASE WHEN strlen({c}) = {width} AND {c} < '1' THEN regexp_full_match({c}, '0\\d+') ELSE false END"


@dataclass(frozen=True, slots=True)
class _Suspicion:
    """A column that may have one kind of damage: the damaged cells, and what is counted beside them to judge it."""

    code: str
    column: Column
    damaged: str
    judge: Callable[[Column, dict[str, int]], dict[str, int] | None]
    counts: tuple[tuple[str, str], ...] = ()


def find_excel_damage(reading: Reading) -> list[Finding]:
    """Tell for each column what a spreadsheet has damaged: one warning with its first place, `count` cells in all.

    A pattern alone is no damage: it counts where the column's other cells, or its name, say that it does not belong.
    Shape: nothing for a file whose rows cannot be relied on. The conditions are added to `reading.bad`.
    Cost: one scan of the rows where the loader's pass did not take the first look, one of the columns under suspicion, one
    more where there is damage.
    """
    con, source, ledger = reading.con, reading.rows_sql, reading.ledger
    if con is None or source is None or ledger is None or not reading.trusted or not ledger.rows or not reading.listed:
        return []
    names = reading.inspection.header
    suspicions = _suspect(reading, reading.look or FirstLook(names))
    suspected = _weigh(con, source, suspicions) if suspicions else []
    if not suspected:
        return []
    bad = [Bad(f"{s.code}:{s.column.place}", s.damaged.format(c=s.column.cell), rejects=False) for s, _ in suspected]
    listed = reading.listed
    listed.add(listed.begin(bad), source, [words["damaged"] for _, words in suspected])
    notes = Notes(names, unit="Sheet row" if reading.inspection.sheet else "Line")
    for (suspicion, words), one in zip(suspected, bad, strict=True):
        [(line, record)] = ledger.places(listed.first(one.label, 1))
        notes.add(suspicion.code, line=line, row=record, column=suspicion.column.place, **words)
    reading.bad = [*reading.bad, *bad]
    counts = {(s.code, s.column.place): words["damaged"] for s, words in suspected}
    return [replace(f, count=counts[f.code, f.column or 0]) for f in notes.findings()]


def add_excel_damage(reading: Reading) -> None:
    """Put what is found among the findings of a reading, and on its map."""
    found = find_excel_damage(reading)
    if found:
        told = sort_findings([*reading.inspection.findings, *found])
        reading.inspection = replace(reading.inspection, findings=told)
        reading.inspection = with_map(reading)


# ------------------------------------------------------------------------------------------------ what to look for


def _suspect(reading: Reading, look: FirstLook) -> list[_Suspicion]:
    """Give what is to be looked at more closely, by the first look at all cells."""
    assert reading.rows_sql is not None
    counts, columns = look.counts(reading.con, reading.rows_sql, may_be_cut=_may_be_cut(reading)), look.columns
    suspicions: list[_Suspicion] = []
    for column in columns:
        if counts.get((column.place, "date")):
            shape = (("filled", "{c} <> ''"), ("dates", DATE))
            suspicions.append(_Suspicion("excel-serial-date", column, _SERIAL, _judge_serial, shape))
        if counts[column.place, "odd"]:
            suspicions += _odd_cells(column)
        short, kept = counts.get((column.place, "short"), 0), counts.get((column.place, "kept"), 0)
        if short and (column.known_width or kept > 1):
            suspicions.append(_lost_zeros(column, columns))
    return suspicions


def _may_be_cut(reading: Reading) -> bool:
    """Tell whether some row is as long as a cell that a spreadsheet has cut."""
    text, shape, ledger = reading.text_path, reading.shape, reading.ledger
    if text is None or shape is None or ledger is None or ledger.continuation:
        return True
    return may_hold(text, shape.line_end)


def _odd_cells(column: Column) -> Iterator[_Suspicion]:
    """Yield what the odd cells of a column may be."""
    filled, digits = ("filled", "{c} <> ''"), ("digits", DIGITS)
    yield _Suspicion("excel-cut-cell", column, _CUT, _any)
    yield _Suspicion(
        "excel-scientific",
        column,
        _SCIENTIFIC,
        _judge_scientific,
        (
            filled,
            digits,
            ("decimals", DECIMAL),
            ("small", "CASE WHEN strlen({c}) < 6 THEN " + DIGITS + " ELSE false END"),
            ("low", _SCIENTIFIC.replace("\\d\\d')", "0\\d')")),
        ),
    )
    others = (("dates", DATE), ("months", f"regexp_matches({{c}}, '{_MONTHS}')"), ("spaced", "contains({c}, ' ')"))
    yield _Suspicion("excel-month-day", column, _MONTH_DAY, _judge_month_day, (filled, *others))
    if column.mostly(column.digits):
        yield _rounded(column, filled)


def _rounded(column: Column, filled: tuple[str, str]) -> _Suspicion:
    """Look for numbers of 16 digits and more whose digits behind the 15th are zeros."""
    long = "CASE WHEN strlen({c}) BETWEEN 16 AND {most} THEN regexp_full_match({c}, '[1-9]\\d+') ELSE false END"
    sharp = _ROUNDED.replace("\\d{{14}}0+", "\\d{{13}}[1-9]0+")
    counts = (
        filled,
        ("long", long.replace("{most}", "30")),
        ("middling", long.replace("{most}", "17")),
        ("sharp", sharp),
        ("round", "CASE WHEN strlen({c}) > 17 THEN suffix({c}, '000') ELSE false END"),
    )
    return _Suspicion("excel-rounded", column, _ROUNDED, _judge_rounded, counts)


def _lost_zeros(column: Column, columns: Sequence[Column]) -> _Suspicion:
    """Look for numbers that are shorter than the column's known, or usual, number of digits."""
    width = column.known_width or column.width
    where = ""
    if is_postal(column.words):
        country = next((c for c in columns if c.words & {"country"}), None)
        where = f" AND {is_american(country.cell)}" if country else ""
    short = _SHORT.replace("{below}", str(width - 1)) + where
    counts = [
        ("filled", "{c} <> ''"),
        ("digits", DIGITS),
        ("full", f"CASE WHEN strlen({{c}}) = {width} THEN {DIGITS} ELSE false END"),
        ("zero_led", _ZERO_LED.replace("{width}", str(width))),
        ("longer", f"strlen({{c}}) > {width}"),
        ("lettered", "regexp_matches({c}, '[A-Za-z]')"),
    ]
    return _Suspicion("excel-lost-zeros", replace(column, width=width), short, _judge_zeros, tuple(counts))


def is_american(cell: str) -> str:
    """Give the condition for a row of the United States, or of no country."""
    return f"upper(trim({cell})) IN ({', '.join(map(load.quote_text, AMERICAN))})"


# ------------------------------------------------------------------------------------------------ counting and judging


def _weigh(con: Any, source: str, suspicions: Sequence[_Suspicion]) -> list[tuple[_Suspicion, dict[str, int]]]:
    """Count the damaged cells and what stands beside them, and judge each column."""
    asked = [sql.format(c=s.column.cell) for s in suspicions for sql in (s.damaged, *(sql for _, sql in s.counts))]
    numbers = iter(con.execute(f"SELECT {', '.join(f'count_if({sql})' for sql in asked)} FROM {source}").fetchone())
    judged = []
    for suspicion in suspicions:
        counts = {name: next(numbers) for name in ("damaged", *(name for name, _ in suspicion.counts))}
        words = suspicion.judge(suspicion.column, counts) if counts["damaged"] else None
        if words is not None:
            judged.append((suspicion, {"damaged": counts["damaged"]} | words))
    return judged


def _any(column: Column, counts: dict[str, int]) -> dict[str, int] | None:
    """No text is that long by chance."""
    return {}


def _judge_serial(column: Column, counts: dict[str, int]) -> dict[str, int] | None:
    """Day numbers among dates; or nothing but day numbers in a column that is named as a date."""
    among = counts["dates"] >= 3 and 2 * counts["dates"] >= counts["filled"]
    alone = is_date(column.words) and 20 * counts["damaged"] >= 19 * counts["filled"]
    return {"filled": counts["filled"]} if among or alone else None


def _judge_scientific(column: Column, counts: dict[str, int]) -> dict[str, int] | None:
    """Among codes any; among whole numbers those of 12 digits and more, where the column is no measurement."""
    filled, damaged, digits = counts["filled"], counts["damaged"], counts["digits"]
    codes = filled - damaged - digits - counts["decimals"]
    if counts["decimals"]:
        return None
    among_codes = 2 * codes >= filled
    identifiers = is_identifier(column.words) or (digits > 0 and digits >= damaged and 50 * counts["small"] <= digits)
    if among_codes or (identifiers and not counts["low"] and 10 * codes <= filled):
        return {"filled": filled}
    return None


def _judge_month_day(column: Column, counts: dict[str, int]) -> dict[str, int] | None:
    """Among codes; not where months are usual, nor among dates or sentences."""
    filled, damaged = counts["filled"], counts["damaged"]
    others = filled - damaged
    months = counts["months"] - damaged
    if others < 3 or damaged > others or 50 * months > others:
        return None
    if 5 * counts["dates"] > others or 5 * counts["spaced"] > others or is_date(column.words):
        return None
    return {"filled": filled}


def _judge_rounded(column: Column, counts: dict[str, int]) -> dict[str, int] | None:
    """Far more zeros at the end than chance gives, right behind a 15th digit that is mostly none."""
    long, damaged, middling = counts["long"], counts["damaged"], counts["middling"]
    if 10 * counts["sharp"] < 7 * damaged:
        return None
    nearly_all = long >= 5 and 20 * damaged >= 19 * long
    # Of numbers that all end in 000, as times in nanoseconds do, a tenth look damaged.
    many = not middling and damaged >= 3 and 50 * damaged >= long and 10 * damaged >= 8 * counts["round"]
    return {"long": long} if nearly_all or many else None


def _judge_zeros(column: Column, counts: dict[str, int]) -> dict[str, int] | None:
    """Beside numbers that keep their zeros, or in a column known to have so many digits.

    IDs of which none keeps a zero look like any whole numbers of differing length: to warn of them would be a guess.
    """
    filled, short, full = counts["filled"], counts["damaged"], counts["full"]
    words = {"width": column.width, "filled": filled}
    if column.known_width:
        enough = 5 if is_postal(column.words) else 2
        foreign = is_postal(column.words) and 50 * counts["lettered"] > filled
        return words if enough * full >= filled and not foreign else None
    if counts["digits"] < filled or counts["longer"]:
        return None
    kept = counts["zero_led"]
    return words if kept >= 2 and 5 * full >= 4 * filled and 10 * kept >= kept + short else None
