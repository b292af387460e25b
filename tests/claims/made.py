"""What claims tests are made of: a profile for a simulator, rows, a batch, and the claims kind on that profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from uuid import uuid4

from payersim.testing import Payer
from rowmill.claims.pace import Pace
from rowmill.claims.workflow import WorkflowEngine
from rowmill.contracts import CLAIM_STATUS, BatchInfo, Inquiry, JobInfo, PayerLimits, PayerProfile, Row
from rowmill.kinds.claim_status import ClaimStatus

QUICK = PayerLimits(in_flight=10, read_timeout_seconds=2.0, backoff_base_seconds=0.01)
SAMPLE = {
    "first_name": "Jordan",
    "last_name": "Sample",
    "date_of_birth": "1980-01-15",
    "subscriber_id": "SIM000123456",
}


def profile(payer: Payer, account_id: int = 1, **changes: Any) -> PayerProfile:
    """Give an account at a simulator."""
    values: dict[str, Any] = {
        "account_id": account_id,
        "base_url": payer.base_url,
        "token_url": payer.token_url,
        "client_id": payer.client_id,
        "client_secret": payer.client_secret,
        "tin": "001234567",
        "limits": QUICK,
    }
    return PayerProfile(**{**values, **changes})


def inquiry(claim_number: str, **changes: Any) -> Inquiry:
    """Ask for a claim of the simulator's standard member."""
    values: dict[str, Any] = {
        "transaction": CLAIM_STATUS,
        "claim_number": claim_number,
        "first_name": "Jordan",
        "last_name": "Sample",
        "date_of_birth": date(1980, 1, 15),
        "subscriber_id": "SIM000123456",
    }
    return Inquiry(**{**values, **changes})


def row(number: int, claim_number: str, **cells: str) -> Row:
    """Give a row of the simulator's standard member."""
    blank = {column.name: "" for column in ClaimStatus.columns}
    return Row(number, number + 1, {**blank, **SAMPLE, "claim_number": claim_number, **cells})


def batch(
    rows: int = 10, options: Mapping[str, Any] | None = None, stopping: Callable[[], bool] = lambda: False
) -> BatchInfo:
    """Give a batch of a job of its own."""
    job = JobInfo(uuid4(), 1, "claim_status", options or {}, rows)
    return BatchInfo(1, job, 1, rows, stopping)


class ClaimStatusOn(ClaimStatus):
    """The claims kind, with its account given instead of read from the database."""

    def __init__(self, given: PayerProfile, **seams: Any) -> None:
        super().__init__(**seams)
        self.given = given
        self.told: list[str] = []

    def make_engine(self, provider_code: str, transaction_code: str, practice: Any, **options: Any) -> WorkflowEngine:
        return WorkflowEngine(provider_code, transaction_code, practice, profile=self.given)

    def tell_refused(self, batch: BatchInfo, pace: Pace, code: str) -> None:
        self.told.append(code)
