"""The workflow engine from Python, and what it reads of fields."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from payersim.testing import Payer, running
from rowmill.claims.call_loop import close_calls
from rowmill.claims.inquiry import read_inquiry
from rowmill.claims.workflow import WorkflowEngine
from rowmill.contracts import CLAIM_STATUS, PayerProfile
from rowmill.errors import InputError, Snooze
from tests.claims.made import inquiry, profile

FIELDS = {"claim_number": "SIMPD1", "last_name": "Sample", "date_of_birth": "01/15/1980"}


@pytest.fixture(scope="module")
def payer() -> Iterator[Payer]:
    with running("calm") as payer:
        yield payer


@pytest.fixture(autouse=True)
def _calls_are_closed() -> Iterator[None]:
    yield
    close_calls()


def test_execute_takes_fields_a_dict_or_an_inquiry(payer: Payer) -> None:
    engine = WorkflowEngine(provider_code="UHC", transaction_code="CLAIM_STATUS", profile=profile(payer))
    for outcome in (engine.execute(**FIELDS), engine.execute(FIELDS), engine.execute(inquiry("SIMPD1"))):
        assert outcome.outcome == "ok"
        assert outcome.answer["normalized_status"] == "PAID"
    born = {**FIELDS, "date_of_birth": date(1980, 1, 15)}
    assert engine.execute(born).outcome == "ok"


def test_execute_has_the_patience_of_a_job(payer: Payer) -> None:
    engine = WorkflowEngine(profile=profile(payer))
    assert engine.execute({**FIELDS, "claim_number": "SIM501"}).attempts == 3
    assert engine.execute({**FIELDS, "claim_number": "SIMFX1"}).code == "RETRIES_EXHAUSTED"


def test_refused_credentials_are_a_snooze_with_a_reason(payer: Payer) -> None:
    with pytest.raises(Snooze, match="refuses our credentials"):
        WorkflowEngine(profile=profile(payer, client_secret="wrong")).execute(FIELDS)


@pytest.mark.parametrize("codes", [("NOBODY", CLAIM_STATUS), ("UHC", "PAYMENT")])
def test_what_cannot_be_asked_is_unsupported(codes: tuple[str, str]) -> None:
    outcome = WorkflowEngine(*codes, org_id=1).execute(FIELDS)
    assert (outcome.outcome, outcome.code) == ("rejected", "UNSUPPORTED")


@pytest.mark.parametrize(
    "fields", [{}, {"claim_number": " "}, {**FIELDS, "date_of_birth": "15/01/1980"}, {**FIELDS, "surname": "x"}]
)
def test_bad_fields_are_invalid_input(payer: Payer, fields: dict[str, str]) -> None:
    outcome = WorkflowEngine(profile=profile(payer)).execute(fields)
    assert (outcome.outcome, outcome.code) == ("rejected", "INVALID_INPUT")
    assert "15/01" not in outcome.message


def test_the_practice_picks_the_account(payer: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def open_profile(org_id: int, code: str, **how: Any) -> PayerProfile:
        asked.append({"org": org_id, **how})
        return profile(payer)

    monkeypatch.setattr("rowmill.claims.workflow.open_profile", open_profile)
    WorkflowEngine(practice=SimpleNamespace(pk=5, org_id=2)).execute(FIELDS)
    WorkflowEngine(practice="001234567", org_id=3).execute(FIELDS)
    assert asked == [
        {"org": 2, "tin": None, "practice_id": 5, "payer_id": None},
        {"org": 3, "tin": "001234567", "practice_id": None, "payer_id": None},
    ]
    with pytest.raises(InputError):
        WorkflowEngine().execute(FIELDS)


def test_cells_into_an_inquiry() -> None:
    read = read_inquiry(CLAIM_STATUS, {"claim_number": " 00ab-1 ", "date_of_birth": "5/1/1975", "subscriber_id": "007"})
    assert (read.claim_number, read.date_of_birth, read.subscriber_id) == ("00AB-1", date(1975, 5, 1), "007")
    assert read.first_service_on is None


@pytest.mark.parametrize("text", ["1980-01-15 00:00:00", "1980-01-15T00:00:00.000000", "1980-01-15"])
def test_midnight_behind_a_day_is_that_day(text: str) -> None:
    read = read_inquiry(CLAIM_STATUS, {"claim_number": "A1", "date_of_birth": text})
    assert read.date_of_birth == date(1980, 1, 15)
