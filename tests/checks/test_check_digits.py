"""Check digits as SQL hold against the same sums in plain Python, and shapes against every code there could be."""

from __future__ import annotations

import re
from itertools import product
from string import ascii_uppercase

from hypothesis import given
from hypothesis import strategies as st

from rowmill.registry import get_check
from tests.checks.sql import bad_ones

CODES = """
    AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD
    TN TX UT VT VA WA WV WI WY DC AS GU MP PR VI FM MH PW AA AE AP
"""
STATES = set(re.findall(r"\w+", CODES))


def fits(number: str) -> bool:
    """Do as ISO/IEC 7812-1 says, with the digits as texts: double every second from the right, add up the figures."""
    figures = [str(int(d) * 2) if place % 2 else d for place, d in enumerate(reversed(number))]
    return sum(int(figure) for figure in "".join(figures)) % 10 == 0


def with_digit(number: str) -> str:
    return next(number + digit for digit in "0123456789" if fits(number + digit))


@given(st.lists(st.text("0123456789", min_size=1, max_size=21), min_size=1, max_size=50))
def test_luhn_is_what_plain_python_says(numbers: list[str]) -> None:
    numbers += [with_digit(number) for number in numbers]
    assert bad_ones(get_check("luhn"), numbers) == [not (2 <= len(n) <= 19 and fits(n)) for n in numbers]


@given(st.lists(st.from_regex(r"[0-9]{9}", fullmatch=True), min_size=1, max_size=50))
def test_an_npi_is_what_plain_python_says_of_it_behind_80840(bodies: list[str]) -> None:
    numbers = [body + digit for body in bodies for digit in "0123456789"]
    assert bad_ones(get_check("npi"), numbers) == [not (n[0] in "12" and fits("80840" + n)) for n in numbers]


@given(st.from_regex(r"[12][0-9]{8}", fullmatch=True), st.integers(0, 9), st.integers(1, 9))
def test_one_wrong_digit_of_an_npi_is_always_found(body: str, place: int, by: int) -> None:
    number = with_digit("80840" + body)[5:]
    wrong = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]
    assert bad_ones(get_check("npi"), [number, wrong]) == [False, True]


def test_the_states_are_those_of_the_postal_service_and_no_other() -> None:
    codes = ["".join(pair) for pair in product(ascii_uppercase, repeat=2)]
    taken = {code for code, bad in zip(codes, bad_ones(get_check("us-state"), codes), strict=True) if not bad}
    assert taken == STATES
    assert len(STATES) == 62
    assert bad_ones(get_check("us-state"), ["\u212as", "k\u017f", "KS"]) == [True, True, False]


def test_area_codes_are_those_of_the_plan() -> None:
    codes = [f"{n:03}" for n in range(1000)]
    taken = [
        c
        for c, bad in zip(codes, bad_ones(get_check("phone"), [f"{c}-555-0123" for c in codes]), strict=True)
        if not bad
    ]
    assert taken == [c for c in codes if c[0] in "23456789" and c[1] != "9" and c[1:] != "11"]
