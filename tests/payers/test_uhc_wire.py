"""What is read out of UnitedHealthcare's answers, whatever shape they are in."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowmill.contracts import Claim
from rowmill.errors import PayerError
from rowmill.payers.statuses import CATEGORIES, Part, normalize_status
from rowmill.payers.uhc_wire import read_amount, read_claim, read_date, search_range
from tests.claims.made import inquiry


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("1144.21", Decimal("1144.21")),
        ("1,144.21", Decimal("1144.21")),
        ("$5", Decimal("5")),
        ("-20.00", Decimal("-20.00")),
        (" 0.00 ", Decimal("0.00")),
        (7, Decimal(7)),
        (Decimal("7.5"), Decimal("7.5")),
        ("10XXX.89", None),
        ("", None),
        ("NaN", None),
        ("1e9", None),
        (None, None),
        (True, None),
        ([], None),
    ],
)
def test_amounts(told: object, read: Decimal | None) -> None:
    assert read_amount(told) == read


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("02/17/2026", date(2026, 2, 17)),
        ("2026-02-17", date(2026, 2, 17)),
        ("2026-02-17T00:00:00", date(2026, 2, 17)),
        ("02/30/2026", None),
        ("", None),
        (None, None),
        (20260217, None),
    ],
)
def test_dates(told: object, read: date | None) -> None:
    assert read_date(told) == read


@pytest.mark.parametrize(
    ("words", "codes", "status"),
    [
        ("Finalized", [("F1", "65")], "PAID"),
        ("Finalized", [("F2", "585")], "DENIED"),
        ("Finalized", [("F1", "65"), ("F1", "65")], "PAID"),
        ("Multiple Status", [("F1", "65"), ("F2", "585")], "MULTIPLE"),
        ("Finalized", [], "FINALIZED"),
        ("In Review", [], "PENDING"),
        ("Something new", [], "UNKNOWN"),
        ("Finalized", [("Z9", "1")], "UNKNOWN"),
        ("Pending", [("D0", "0")], "NOT_FOUND"),
        ("Pending", [("A4", "0")], "NOT_FOUND"),
        ("Pending", [("A1", "35")], "NOT_FOUND"),
        ("Pending", [("", "")], "PENDING"),
    ],
)
def test_normalised_status(words: str, codes: list[tuple[str, str]], status: str) -> None:
    assert normalize_status(words, [Part("", *code) for code in codes]) == status


def test_every_category_has_a_word() -> None:
    assert {"A0", "P3", "F3F", "R16", "RQ", "D0"} <= CATEGORIES.keys()
    assert "R2" not in CATEGORIES


def test_a_claim_that_the_status_says_is_not_there_is_none() -> None:
    assert read_claim({"claimStatusCrosswalkData": [{"claim507Code": "D0"}]}) is None


_TEXT = st.text("F1X09./-$,e Null", max_size=10)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT | st.decimals(allow_nan=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_FIELDS = ("claimNumber", "claimStatus", "member", "claimEvents", "claimLevelTotalAmount", "payments")


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({}, optional={**dict.fromkeys((*_FIELDS, "claimStatusCrosswalkData"), _JSON)}))
def test_no_claim_crashes_the_reader(data: dict[str, Any]) -> None:
    claim = read_claim(data)
    assert claim is None or isinstance(claim, Claim)


def test_a_claim_that_is_no_object() -> None:
    with pytest.raises(PayerError):
        read_claim("C1")


def test_the_range_to_search() -> None:
    day = date(2026, 3, 1)
    assert search_range(inquiry("C")) is None
    assert search_range(inquiry("C", first_service_on=day, last_service_on=day)) == (day, day)
    assert search_range(inquiry("C", first_service_on=day)) == (day, date(2026, 5, 29))
    assert search_range(inquiry("C", last_service_on=day)) == (date(2025, 12, 2), day)


@pytest.mark.parametrize("last", [date(2026, 2, 28), date(2026, 5, 30)])
def test_a_range_that_cannot_be_searched(last: date) -> None:
    with pytest.raises(PayerError) as caught:
        search_range(inquiry("C", first_service_on=date(2026, 3, 1), last_service_on=last))
    assert (caught.value.code, caught.value.blame) == ("DATE_OUT_OF_RANGE", "row")
