"""Whose claim it is: the rule, and that nothing of another member's claim comes through."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from rowmill.claims.identity import is_own_claim, pick_claim
from rowmill.claims.workflow import judge_answer
from rowmill.contracts import Answer, Claim, Outcome
from tests.claims.made import inquiry

OWN = Claim(
    "C-1",
    "PAID",
    "Finalized",
    first_name="JORDAN",
    last_name="SAMPLE",
    date_of_birth=date(1980, 1, 15),
    subscriber_id="SIM000123456",
    total_paid=Decimal("5"),
)
OTHER = replace(
    OWN,
    first_name="ROBIN",
    last_name="ELSEWHERE",
    date_of_birth=date(1971, 7, 4),
    subscriber_id="SIM000987654",
    check_number="LEAK",
)


@pytest.mark.parametrize(
    ("asked", "told", "own"),
    [
        ("SIM1", "sim1 ", True),
        ("00123", "123", True),
        ("123", "00123", True),
        ("12-34 5", "12345", True),
        ("123", "1230", False),
        ("000", "0", False),
        ("", "", False),
        ("A1", "", False),
    ],
)
def test_subscriber_ids(asked: str, told: str, own: bool) -> None:
    row = inquiry("C-1", subscriber_id=asked, last_name="Nobody")
    assert is_own_claim(row, replace(OWN, subscriber_id=told)) is own


@pytest.mark.parametrize(
    ("asked", "told", "own"),
    [
        ("Müller", "MULLER", True),
        ("Larkspur-Moss", "LARKSPUR MOSS", True),
        ("O'Thistle", "OTHISTLE", True),
        ("de la Cruz", "DELACRUZ", True),
        ("Sample", "Samples", False),
        ("", "", False),
    ],
)
def test_last_names(asked: str, told: str, own: bool) -> None:
    row = inquiry("C-1", subscriber_id="elsewhere", last_name=asked)
    assert is_own_claim(row, replace(OWN, last_name=told)) is own


def test_a_last_name_without_the_birthday_proves_nothing() -> None:
    row = inquiry("C-1", subscriber_id="elsewhere")
    assert not is_own_claim(row, replace(OWN, date_of_birth=date(1980, 1, 16)))
    assert not is_own_claim(row, replace(OWN, date_of_birth=None))
    assert not is_own_claim(replace(row, date_of_birth=None), replace(OWN, date_of_birth=None))


def judge(*claims: Claim, **changes: object) -> Outcome:
    return judge_answer(inquiry("C-1", **changes), Answer(claims), 3)


def test_one_claim_of_the_member_is_ok() -> None:
    outcome = judge(OWN)
    assert (outcome.row_number, outcome.outcome, outcome.code) == (3, "ok", "")
    assert outcome.answer["total_paid"] == "5.00"


def test_another_members_claim_is_a_mismatch_and_tells_nothing() -> None:
    outcome = judge(OTHER)
    assert (outcome.outcome, outcome.code, outcome.answer) == ("rejected", "MEMBER_MISMATCH", {})
    for value in ("ROBIN", "ELSEWHERE", "987654", "LEAK", "1971"):
        assert value not in repr(outcome)


def test_two_other_members_are_a_mismatch_too() -> None:
    assert judge(OTHER, replace(OTHER, first_name="SOMEBODY")).code == "MEMBER_MISMATCH"


def test_the_same_claim_told_twice_is_one() -> None:
    assert judge(OWN, OWN).outcome == "ok"


def test_the_members_claim_among_others_is_found() -> None:
    outcome = judge(OTHER, OWN)
    assert outcome.outcome == "ok"
    assert "LEAK" not in repr(outcome)


def test_two_different_claims_of_the_member_are_too_many() -> None:
    outcome = judge(OWN, replace(OWN, total_paid=Decimal("6")), OTHER)
    assert (outcome.outcome, outcome.code, outcome.answer) == ("rejected", "MULTIPLE_MATCHES", {})
    assert "2 different claims" in outcome.message


def test_a_claim_of_another_number_is_not_the_one_asked_for() -> None:
    assert judge(replace(OWN, claim_number="C-2")).code == "NOT_FOUND"
    assert judge(replace(OWN, claim_number="c1")).outcome == "ok"
    assert judge(replace(OWN, claim_number="")).outcome == "ok"


def test_not_found_says_which_range_was_searched() -> None:
    answer = Answer((), date(2025, 7, 28), date(2025, 8, 12))
    outcome = pick_claim(inquiry("C-1"), answer, 3)
    assert isinstance(outcome, Outcome)
    assert (outcome.outcome, outcome.code) == ("not_found", "NOT_FOUND_IN_DATE_RANGE")
    assert outcome.message == "Claim not found in the date range asked for."
    assert outcome.answer == {"searched_from": "2025-07-28", "searched_to": "2025-08-12"}
