"""A check looks at a cell as it stands before it trims it: blanks at the ends make no difference to what it says."""

from __future__ import annotations

from datetime import date

import pytest

from rowmill.checks.made import (
    BLANKS,
    FORMS,
    date_form,
    date_range,
    length,
    number_range,
    one_of,
    pattern,
)
from rowmill.registry import CHECKS, get_check
from tests.checks import sql
from tests.checks.test_checks import EXAMPLES

MADE = (
    *(length(2), length(most=5), length(2, 5)),
    *(number_range(0, 130), number_range(-5), number_range(most="7.5")),
    *(date_form(form) for form in FORMS),
    *(date_range(date(1900, 1, 1), date(2020, 12, 31)), date_range(last=date(2020, 1, 1))),
    *(date_range(date(1900, 1, 1), date(2020, 12, 31), form) for form in FORMS),
    *(pattern("[A-Z]{2}"), pattern(" ?x* ?"), pattern(".*"), pattern("\\s*\\S+"), one_of(["a", "ß"])),
)
ALL = {slug: get_check(slug) for slug in CHECKS if slug not in ("required", "unique")} | {c.slug: c for c in MADE}
DAYS = tuple(
    form.replace("%Y", "1980").replace("%m", month).replace("%d", day)
    for form in FORMS
    for month, day in (("01", "05"), ("1", "5"), ("02", "29"), ("13", "01"), ("04", "31"))
)
CELLS = tuple({cell for good, bad in EXAMPLES.values() for cell in (*good, *bad)} | {*DAYS, "7.5", "xx", "AB", "ß"})
DRESSINGS = (" {}", "{}  ", "\u00a0{}", "{}\u2003", "\u3000 {} \u1680")


@pytest.mark.parametrize("slug", sorted(ALL))
def test_blanks_at_the_ends_make_no_difference(slug: str) -> None:
    cells = sorted({cell.strip(BLANKS) for cell in CELLS} - {""})
    bare = sql.bad_ones(ALL[slug], cells)
    dressed = sql.bad_ones(ALL[slug], [dressing.replace("{}", cell) for dressing in DRESSINGS for cell in cells])
    assert dressed == bare * len(DRESSINGS)
