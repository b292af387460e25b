"""What the cleaners make of cells, and that a check and its cleaner agree on what can be read."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from rowmill.registry import get_check
from rowmill.tabular.cleaning import CLEANERS, edges, trimmed
from rowmill.tabular.writers import make_harmless

CELLS: dict[str, dict[str, Any]] = {
    "count": {
        "": None, "12": 12, "1,200": 1200, "1.2M": 1_200_000, "5k - 10k": 5000, "11-50": 11, "10,001+": 10001,
        "51–200 employees": 51, "Nov-50": None, "12,34": None, "1.2.3": None, "many": None, "99999999999999999999": None,
        "1.5": None, "1.200": None, "50.0": 50, "11-50.5": None, "500-1K": 500, "999999999999999999": 999_999_999_999_999_999,
    },
    "count-most": {"": None, "12": None, "11-50": 50, "5k - 10k": 10000, "1.2M": None},
    "money": {
        "3400": Decimal("3400.00"), "$3,400": Decimal("3400.00"), "1.2M": Decimal("1200000.00"), "-$5.50": Decimal("-5.50"),
        "US$ 3.2 billion": Decimal("3200000000.00"), "3 thousand": Decimal("3000.00"), "EUR 5": Decimal("5.00"),
        "5 EUR": Decimal("5.00"), "$1M-$10M": Decimal("1000000.00"), "1,5": None, "much": None, "2T": Decimal("2E12"),
        "$1-10M": Decimal("1000000.00"), "500-1K": Decimal("500.00"), "999999999999999.99": Decimal("999999999999999.99"),
        "1000000000000000": None, "1000T": None, "999999999999999.999": None,
    },
    "money-most": {"$1M-$10M": Decimal("10000000.00"), "$3": None},
    "share": {"95%": Decimal(95), "0.95": Decimal("0.95"), "x": None, "1e3": None},
    "day": {
        "2026-01-31": date(2026, 1, 31), "01/31/2026": date(2026, 1, 31), "31.01.2026": date(2026, 1, 31),
        "Jan 31, 2026": date(2026, 1, 31), "31-Jan-2026": date(2026, 1, 31), "5 May 2026": date(2026, 5, 5),
        "January 3, 2026": date(2026, 1, 3), "2026-01-31T10:11:12Z": date(2026, 1, 31), "13/31/2026": None,
        "02/30/2026": None, "2026-02-30": None, "2026-1-1": None, "soon": None,
        "0000-01-01": None, "01/01/0000": None, "0001-01-01": date(1, 1, 1), "9999-12-31": date(9999, 12, 31),
        "9999-12-31 23:59 -12:00": None, "0001-01-01 00:00 +14:00": None,
    },
    "moment": {
        "2026-01-31": datetime(2026, 1, 31), "2026-01-31T10:11:12Z": datetime(2026, 1, 31, 10, 11, 12),
        "2026-01-31T10:11:12.123-05:00": datetime(2026, 1, 31, 15, 11, 12), "2026-01-31 25:00": None,
        "01/31/2026 3:04 PM": datetime(2026, 1, 31, 15, 4), "Mar 3, 2026": datetime(2026, 3, 3), "noon": None,
        "0000-01-01 10:00": None, "Jan 1, 0001 12:00 am +05:00": None, "9999-12-31T23:59:59-05:00": None,
        "9999-12-31T23:59:59Z": datetime(9999, 12, 31, 23, 59, 59), "2026-01-31T10:00:00+99:99": None,
        "2026-01-31 10:00:00+1400": datetime(2026, 1, 30, 20, 0),
    },
    "flag": {"Yes": True, "0": False, "FALSE": False, "perhaps": None},
    "list": {"a, b;c| d": '["a","b","c","d"]', 'say "x"': '["say \\"x\\""]', " , ": None, "": None},
    "phone-digits": {
        "(212) 555-0123": "+12125550123", "+44 20 7946 0958": "+442079460958", "0044 20 7946 0958": "+442079460958",
        "212.555.0123 x12": "+12125550123", "1-212-555-0123": "+12125550123", "555-0123 ext. 5": "5550123",
        "12": None, "call me": None,
    },
}  # fmt: skip
CHECKED = {"count": "count-written", "money": "money-written", "share": "share-written", "day": "day-written",
           "moment": "moment-written", "flag": "flag-written", "phone-digits": "phone-written"}  # fmt: skip


def ask(sql: str, cell: str) -> Any:
    return duckdb.execute(f"SELECT {sql} FROM (SELECT ?::VARCHAR AS cell)", [cell]).fetchall()[0][0]


@pytest.mark.parametrize("slug", sorted(CELLS))
def test_a_cleaner_reads_what_people_write(slug):
    told = {cell: ask(CLEANERS[slug].on("cell"), cell) for cell in CELLS[slug]}
    assert told == CELLS[slug]


@pytest.mark.parametrize("slug", sorted(CHECKED))
def test_a_check_finds_bad_just_what_its_cleaner_cannot_read(slug):
    for cell, value in CELLS[slug].items():
        if cell:
            for written in (cell, f" {cell}\u00a0", f"\t{cell}"):
                bad = ask(get_check(CHECKED[slug]).bad_when.replace("{column}", "cell"), written)
                assert bad is (value is None), (slug, written)


def test_blanks_of_every_kind_go():
    assert ask(trimmed("cell"), "\ufeff \t\u00a0 a b \r\n") == "a b"


def test_the_apostrophe_goes_that_an_export_put_before_a_cell():
    cells = ["=1+1", "+1 212", "-x", "@x", "\uff1dx", "'quoted'", "'s Gravenhage", "'1"]
    for cell in cells:
        assert ask(trimmed("cell"), make_harmless(cell)) == cell
        assert ask(edges(["'plain'", "cell"]), make_harmless(cell)) is (make_harmless(cell) != cell)


@pytest.mark.parametrize(
    "cell", ["example.org", "https://www.example.org/a?b=c", "http://bücher.example", "EXAMPLE.ORG:8080/x"]
)
def test_web_addresses_that_are_some(cell):
    assert ask(get_check("web-address").bad_when.replace("{column}", "cell"), cell) is False


@pytest.mark.parametrize("cell", ["no address", "http://", "localhost", "a..b", "ftp//x"])
def test_web_addresses_that_are_none(cell):
    assert ask(get_check("web-address").bad_when.replace("{column}", "cell"), cell) is True
