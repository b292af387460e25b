"""Every check in the registry tells its good examples from its bad ones."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pytest

from rowmill.registry import CHECKS, get_check

# slug: (good cells, bad cells). A check that is new in the registry needs a line here.
EXAMPLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "required": (("x", " x", "0", "-", "é"), ("", " ", "\t", " \u00a0 ", "\r\n")),
    "date": (
        (
            *("1980-01-15", "05/10/1975", "5/1/1975", "2020-02-29", " 1980-01-15 "),
            *("1980-01-15 00:00:00", "1980-01-15T00:00:00.000", "1980-01-15 00:00"),
        ),
        (
            "1980-13-01",
            "2019-02-29",
            "13/05/1980",
            "never",
            "1980/01/15",
            "80-1-1",
            "29.02.2020",
            "1980-01-15 10:00",
            "1980-01-15 00:00:01",
            "2021-02-29 00:00:00",
            "44197",
        ),
    ),
    "date-not-future": (
        ("1900-01-01", "{today:%Y-%m-%d}", "01/01/1900", "no date at all"),
        ("{tomorrow:%Y-%m-%d}", "{tomorrow:%m/%d/%Y}", "1899-12-31", "0080-01-15", "9999-12-31"),
    ),
    "claim-number": (("A-1", "x" * 50, " 123 "), ("x" * 51, "a b", "a/b", "é", "1.5", "#1")),
    "subscriber-id": (("12", "x" * 80, "AB 12"), ("1", "x" * 81, " 1 ")),
    "tin": (("123456789", "12-3456789", " 012345678 "), ("12345678", "1234567890", "123-45-6789", "12345678x")),
    "lost-digits": (("123", "1E5X", "E15", "12-3", "1.5", "1E"), ("1.23E+15", "1E+15", "9.87654e14", "1,23E+15")),
}


def misjudged(slug: str, day: date) -> list[str]:
    """Give the examples that a check takes for what they are not, on a day."""
    good, bad = EXAMPLES[slug]
    days = {"today": day, "tomorrow": day + timedelta(days=1)}
    return [c for c in good if is_bad(slug, c.format(**days))] + [c for c in bad if not is_bad(slug, c.format(**days))]


def is_bad(slug: str, cell: str) -> bool:
    condition = get_check(slug).bad_when.replace("{column}", "c")
    with duckdb.connect() as con:
        return bool(con.execute(f"SELECT {condition} FROM (SELECT ?::VARCHAR AS c)", [cell]).fetchall()[0][0])


@pytest.mark.parametrize("slug", CHECKS)
def test_a_check_tells_good_from_bad(slug: str) -> None:
    day = date.today()
    found = misjudged(slug, day)
    if date.today() != day:  # midnight fell between
        found = misjudged(slug, date.today())
    assert found == []


@pytest.mark.parametrize("slug", CHECKS)
def test_a_check_says_what_happened_and_what_to_do(slug: str) -> None:
    check = get_check(slug)
    assert check.slug == slug
    assert check.title[0].islower()
    assert not check.title.endswith(".")
    assert check.help.endswith(".")
    assert not {"!", "invalid", "oops"} & set(f"{check.title} {check.help}".lower().replace("!", " ! ").split())
