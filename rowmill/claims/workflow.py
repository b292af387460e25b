"""The workflow engine: ask a payer, for a practice, about one claim, and say what became of it.

Payer x transaction x practice: the payer comes from the registry, the practice brings TIN and payer account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from importlib import import_module
from typing import Any

from rowmill.claims.attempts import Spent, ask_until_settled
from rowmill.claims.call_loop import start_call
from rowmill.claims.connectors import borrow_connector, pace_for
from rowmill.claims.identity import pick_claim
from rowmill.claims.inquiry import FIELDS, read_inquiry
from rowmill.claims.pace import Held, Pace
from rowmill.contracts import CLAIM_STATUS, Answer, Claim, Inquiry, Outcome, PayerProfile
from rowmill.errors import InputError, NotFound, Snooze
from rowmill.registry import get_payer

# By name, because that module brings Django's models along: kinds must load without a database (`rowmill check`).
ACCOUNTS = "rowmill.claims.accounts"


class WorkflowEngine:
    """Ask one payer one transaction for one practice.

    `practice` is a practice of the org (anything with `org_id` and `pk`), its id or its TIN; these two need `org_id`.
    `profile` saves the look-up of the payer account. An engine is cheap: connections, tokens and limits belong to the
    account.
    """

    def __init__(
        self,
        provider_code: str = "UHC",
        transaction_code: str = CLAIM_STATUS,
        practice: Any = None,
        *,
        org_id: int | None = None,
        payer_id: str | None = None,
        profile: PayerProfile | None = None,
    ) -> None:
        self.provider_code = provider_code
        self.transaction_code = transaction_code
        self._practice = practice
        self._org_id = org_id if org_id is not None else getattr(practice, "org_id", None)
        self._payer_id = payer_id
        self._profile = profile

    @property
    def profile(self) -> PayerProfile:
        """Give the payer account, opened for use.

        Cost: the first time a query, so never on the call loop. Raises: NotFound, Snooze, InputError.
        """
        if self._profile is None:
            if self._org_id is None:
                raise InputError("Say for which practice, or for which org, the payer shall be asked.")
            practice = self._practice
            tin = practice if isinstance(practice, str) else None
            practice_id = practice if isinstance(practice, int) else getattr(practice, "pk", None)
            self._profile = open_profile(
                self._org_id, self.provider_code, tin=tin, practice_id=practice_id, payer_id=self._payer_id
            )
        return self._profile

    @property
    def pace(self) -> Pace:
        """Give the pace of the account. Raises: as `profile`."""
        return pace_for(self.provider_code, self.profile)

    def refusal(self, row_number: int = 0) -> Outcome | None:
        """Give the outcome UNSUPPORTED where payer or transaction is none that can be asked."""
        try:
            payer = get_payer(self.provider_code)
        except NotFound:
            return Outcome(row_number, "rejected", "UNSUPPORTED", "There is no connector for this payer.")
        if self.transaction_code not in payer.transactions:
            return Outcome(row_number, "rejected", "UNSUPPORTED", f"{payer.label} cannot be asked for this.")
        return None

    async def execute_async(self, inquiry: Inquiry, row_number: int = 0) -> Outcome:
        """Ask once; on the call loop, and within the account's pace, which the caller keeps.

        Raises: PayerError.
        """
        refused = self.refusal(row_number)
        if refused is not None:
            return refused
        profile = self.profile
        asked = replace(inquiry, tin=profile.tin, payer_id=profile.payer_id)
        async with borrow_connector(self.provider_code, profile) as connector:
            answer = await connector.lookup(asked)
        return judge_answer(inquiry, answer, row_number)

    def execute(self, inquiry: Inquiry | Mapping[str, Any] | None = None, **fields: Any) -> Outcome:
        """Ask about one claim and wait for the outcome, with the same patience as a job has.

        `fields` are the input columns (claim_number, last_name, date_of_birth as text or date ...), or a dict of them,
        or one Inquiry.
        Raises: Snooze when the payer lets nothing through for now; NotFound where there is no such practice or account.
        Again: yes. Not from an event loop: there `execute_async` is the one.
        """
        refused = self.refusal()
        if refused is not None:
            return refused
        try:
            asked = inquiry if isinstance(inquiry, Inquiry) else self._read_fields({**(inquiry or {}), **fields})
        except InputError as error:
            return Outcome(0, "rejected", "INVALID_INPUT", str(error))
        pace = self.pace

        async def ask() -> Outcome:
            return await ask_until_settled(lambda: self.execute_async(asked), pace, 0, spent=Spent(), first=True)

        try:
            return start_call(ask()).result()
        except Held as held:
            raise Snooze(held.seconds, held.reason) from None

    def _read_fields(self, fields: Mapping[str, Any]) -> Inquiry:
        """Read fields as a row's cells are read. Raises: InputError."""
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise InputError(f"There is no field {unknown[0]!r}. Known: {', '.join(FIELDS)}.")
        cells = {name: "" if value is None else str(value) for name, value in fields.items()}
        return read_inquiry(self.transaction_code, cells)


def open_profile(
    org_id: int, provider_code: str, *, tin: str | None, practice_id: int | None, payer_id: str | None
) -> PayerProfile:
    """Open the org's account for a payer. Cost: a query. Raises: NotFound with details["code"], Snooze."""
    profile = import_module(ACCOUNTS).open_profile(
        org_id, provider_code, tin=tin, practice_id=practice_id, payer_id=payer_id
    )
    assert isinstance(profile, PayerProfile)
    return profile


def judge_answer(inquiry: Inquiry, answer: Answer, row_number: int) -> Outcome:
    """Turn a payer's answer into the row's outcome; only a claim of the row's own member gets into it."""
    picked = pick_claim(inquiry, answer, row_number)
    if isinstance(picked, Outcome):
        return picked
    return Outcome(row_number, "ok", answer=answer_dict(picked, answer))


def answer_dict(claim: Claim, answer: Answer) -> dict[str, Any]:
    """Give a claim as JSON types: dates in ISO form, amounts as text with two decimals, None where there is none.

    Shape: what Outcome.answer holds, and what the results and the JSON API read.
    """
    return {
        "claim_number": claim.claim_number,
        "status": claim.status_text,
        "normalized_status": claim.status,
        "category_code": claim.category_code,
        "status_code": claim.status_code,
        "patient_name": f"{claim.first_name} {claim.last_name}".strip(),
        "total_charged": _amount(claim.total_charged),
        "total_allowed": _amount(claim.total_allowed),
        "total_paid": _amount(claim.total_paid),
        "patient_responsibility": _amount(claim.patient_responsibility),
        "processed_date": _day(claim.processed_on),
        "first_service_date": _day(claim.first_service_on),
        "last_service_date": _day(claim.last_service_on),
        "check_number": claim.check_number,
        "parts": [dict(part) for part in claim.parts],
        "searched_from": _day(answer.searched_from),
        "searched_to": _day(answer.searched_to),
        "trace_id": answer.trace_id,
    }


def _amount(value: Decimal | None) -> str | None:
    """Write an amount with two decimals."""
    return None if value is None else f"{value:.2f}"


def _day(value: date | None) -> str | None:
    """Write a day in ISO form."""
    return None if value is None else value.isoformat()
