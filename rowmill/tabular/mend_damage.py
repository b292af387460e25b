"""Mends of what a spreadsheet did to cells, where nothing of them is lost: days as numbers, leading zeros, numbers as 1.2E+11."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from rowmill.tabular.column_names import fixed_width, is_postal, words_of
from rowmill.tabular.excel_damage import AMERICAN, find_excel_damage, is_american
from rowmill.tabular.load import quote_text
from rowmill.tabular.mend_cells import find_forms
from rowmill.tabular.reading import Reading

SERIAL, ZEROS, WRITTEN_OUT = "serial-date", "leading-zeros", "written-out"
BY_CODE: Mapping[str, str] = {
    "excel-serial-date": SERIAL,
    "excel-lost-zeros": ZEROS,
    "excel-scientific": WRITTEN_OUT,
}
# Day 0 of a spreadsheet that counts from 1900 (and takes that year for a leap year).
_DAY_ZERO = date(1899, 12, 30)
_SERIAL, _NUMBER = re.compile(rb"[2-5][0-9]{4}|60000"), re.compile(rb"[1-9][0-9]*")
_SCIENTIFIC = re.compile(rb"([0-9])\.([0-9]+)E\+([0-9]{2})")
# A spreadsheet writes numbers from 12 digits on with an E, and keeps 15 digits.
_LEAST_EXPONENT, _MOST_EXPONENT = 11, 14
_SLACK = timedelta(366)
_AMERICAN = frozenset(("zip", "zipcode"))


@dataclass(frozen=True, slots=True)
class Repair:
    """How the damaged cells of a column get back what they were: by bytes, b"" for a cell that is left, and in SQL."""

    place: int
    slug: str
    mend: Callable[[Sequence[bytes]], bytes]
    sql: str


def find_repair(reading: Reading, code: str, place: int, slug: str) -> Repair | None:
    """Give what repairs a column with damage of a code, None where it would be a guess. Cost: a pass over the column."""
    if code == "excel-serial-date":
        return _from_serials(reading, place, slug)
    if code == "excel-lost-zeros":
        return _with_zeros(reading, place, slug)
    return _written_out(place, slug) if code == "excel-scientific" else None


def repairs_of(reading: Reading, chosen: Mapping[str, int]) -> list[Repair]:
    """Give the repairs that were chosen, by slug -> 1-based column: of columns where that damage is found again."""
    wanted = {(slug.partition(":")[0], place): slug for slug, place in chosen.items()}
    found = find_excel_damage(reading) if wanted else []
    told = [(f.code, f.column or 0, wanted.get((BY_CODE.get(f.code, ""), f.column or 0))) for f in found]
    repairs = [find_repair(reading, code, place, slug) for code, place, slug in told if slug]
    return [repair for repair in repairs if repair is not None]


def count_repaired(reading: Reading, repair: Repair) -> int:
    """Count the cells that a repair changes."""
    assert reading.con is not None
    found = reading.con.execute(f"SELECT count_if({repair.sql} <> c{repair.place}) FROM {reading.rows_sql}").fetchall()
    return int(found[0][0] or 0)


def _from_serials(reading: Reading, place: int, slug: str) -> Repair | None:
    """Write days as dates in the form of the column's other dates, if they all lie where those do, give or take a year.

    Days counted from 1904, as old Macs did, would lie four years away.
    """
    assert reading.con is not None
    forms = find_forms(reading.con, str(reading.rows_sql), place).forms
    if len(forms) != 1:
        return None
    form, cell = forms[0], f"c{place}"
    is_serial = f"regexp_full_match({cell}, '[2-5][0-9]{{4}}|60000')"
    day = f"(DATE '{_DAY_ZERO}' + CAST(CASE WHEN {is_serial} THEN {cell} ELSE '0' END AS INTEGER))"
    read = f"CAST({form.as_date(cell)} AS DATE)"
    low, high, first, last = reading.con.execute(
        f"SELECT min({read}), max({read}), min({day}) FILTER ({is_serial}), max({day}) FILTER ({is_serial})"
        f" FROM {reading.rows_sql}"
    ).fetchall()[0]
    if None in (low, high, first, last) or first < low - _SLACK or last > high + _SLACK:
        return None

    def mend(cells: Sequence[bytes]) -> bytes:
        if _SERIAL.fullmatch(cells[place - 1]) is None:
            return b""
        return (_DAY_ZERO + timedelta(int(cells[place - 1]))).strftime(form.code).encode()

    written = f"strftime({day}, {quote_text(form.code)})"
    return Repair(place, slug, mend, f"CASE WHEN {is_serial} THEN {written} ELSE {cell} END")


def _with_zeros(reading: Reading, place: int, slug: str) -> Repair | None:
    """Fill numbers up to the length that a column of such a name has, where at most half of the digits are missing.

    Not drug codes: one of ten digits may be whole, and its eleventh stands where its maker's part ends. Nor postal codes of
    which nothing says that they are American: those of other countries have four digits.
    """
    names = [words_of(name) for name in reading.inspection.header]
    width = fixed_width(names[place - 1])
    if not width:
        return None
    least, cell = (width + 1) // 2, f"c{place}"
    country = (
        next((i for i, words in enumerate(names) if words & {"country"}), -1) if is_postal(names[place - 1]) else -1
    )
    if "ndc" in names[place - 1] or (is_postal(names[place - 1]) and country < 0 and not names[place - 1] & _AMERICAN):
        return None
    there = f" AND {is_american(f'c{country + 1}')}" if country >= 0 else ""

    def mend(cells: Sequence[bytes]) -> bytes:
        value = cells[place - 1]
        if not least <= len(value) < width or _NUMBER.fullmatch(value) is None:
            return b""
        if country >= 0 and cells[country].decode("utf-8", "replace").strip(" ").upper() not in AMERICAN:
            return b""
        return value.rjust(width, b"0")

    short = f"strlen({cell}) BETWEEN {least} AND {width - 1} AND regexp_full_match({cell}, '[1-9][0-9]*'){there}"
    return Repair(place, slug, mend, f"CASE WHEN {short} THEN lpad({cell}, {width}, '0') ELSE {cell} END")


def _written_out(place: int, slug: str) -> Repair:
    """Write numbers with an E out where all of their digits are there."""

    def mend(cells: Sequence[bytes]) -> bytes:
        match = _SCIENTIFIC.fullmatch(cells[place - 1])
        if match is None or not _LEAST_EXPONENT <= int(match[3]) <= _MOST_EXPONENT or len(match[2]) != int(match[3]):
            return b""
        return match[1] + match[2]

    cell = f"c{place}"
    exponents = " OR ".join(
        f"regexp_full_match({cell}, '[0-9]\\.[0-9]{{{n}}}E\\+{n}')" for n in range(_LEAST_EXPONENT, _MOST_EXPONENT + 1)
    )
    digits = f"substr({cell}, 1, 1) || substr({cell}, 3, strlen({cell}) - 6)"
    return Repair(place, slug, mend, f"CASE WHEN {exponents} THEN {digits} ELSE {cell} END")
