"""What goes over the wire to UnitedHealthcare: the inquiry's body, and a claim read out of its answer.

Source: Optum Real "Claim Inquiry API" 1.0.0 (OpenAPI, developer.optum.com), facts/payers.md §1A.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from rowmill.contracts import Claim, Inquiry
from rowmill.errors import Blame, PayerError
from rowmill.payers.statuses import (
    APPLICATION_DOWN,
    BAD_QUESTION,
    NOT_FOUND,
    NOT_RESPONDING,
    SYSTEM_DOWN,
    Part,
    normalize_status,
)

OPERATION: Final = "searchClaim"
MAX_RANGE_DAYS: Final = 90
# Only what CLAIM_STATUS needs (minimum necessary): no diagnoses, no lines, no addresses.
STATUS_QUERY: Final = """\
query searchClaim($searchClaimInput: SearchClaimInput!) {
  searchClaim(searchClaimInput: $searchClaimInput) {
    claims {
      claimNumber
      claimStatus
      member { subscriberId memberId firstName lastName dateOfBirth }
      claimEvents { processedDate serviceStartDate serviceEndDate }
      claimLevelTotalAmount {
        totalBilledChargeAmount totalAllowedAmount totalPaidAmount totalPatientResponsibilityAmount
      }
      payments { paymentNumber }
      claimStatusCrosswalkData { claim507Code claim508Code adjudicatedClaimSuffixCode }
    }
    pagination { hasMoreRecords nextPageToken }
  }
}"""
NOTHING_FOUND: Final = frozenset({"LCLM_PS_201", "LCLM_PS_307"})
NO_CLAIMS: Final[Mapping[str, Any]] = {"data": {OPERATION: {"claims": []}}}
_BAD_INQUIRY: Final[tuple[str, Blame, str]] = ("INVALID_REQUEST", "row", "UHC does not accept this inquiry.")
_BAD_DATES: Final[tuple[str, Blame, str]] = (
    "DATE_OUT_OF_RANGE",
    "row",
    "UHC cannot search these days of service.",
)
_NOT_ENTITLED: Final[tuple[str, Blame, str]] = (
    "NOT_ENTITLED",
    "setup",
    "UHC does not let this account ask for this payer ID.",
)
_DOWN: Final[tuple[str, Blame, str]] = ("PAYER_UNAVAILABLE", "world", "UHC's claim system is not available.")
# Codes in `errors` -> code, blame and text of ours. Others are the payer's own trouble.
ERROR_CODES: Final[dict[str, tuple[str, Blame, str]]] = {
    **dict.fromkeys(("GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"), _BAD_INQUIRY),
    **dict.fromkeys((f"LCLM_PS_{n}" for n in (102, 106, 108, 111, 113)), _BAD_INQUIRY),
    **dict.fromkeys(("LCLM_PS_107", "LCLM_PS_112"), _BAD_DATES),
    **dict.fromkeys(("LCLM_PS_105", "LCLM_PS_202", "LCLM_PS_302"), _NOT_ENTITLED),
    **dict.fromkeys(("LCLM_PS_303", "LCLM_PS_304", "LCLM_PS_305", "LCLM_PS_500", "LCLM_PA_500"), _DOWN),
    "LCLM_PS_301": ("PAYER_TIMEOUT", "world", "UHC's claim system did not answer in time."),
}
_AMOUNT = re.compile(r"-?\d{1,13}(\.\d{1,4})?", re.ASCII)
_US_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)


def inquiry_body(inquiry: Inquiry, payer_id: str) -> dict[str, Any]:
    """Build the GraphQL body that asks for one claim by its number.

    Raises: PayerError when the dates cannot be asked.
    """
    search = {"payerId": payer_id, "claimNumber": inquiry.claim_number}
    dates = search_range(inquiry)
    if dates:
        search["serviceStartDate"], search["serviceEndDate"] = (f"{day:%m/%d/%Y}" for day in dates)
    return {"operationName": OPERATION, "query": STATUS_QUERY, "variables": {"searchClaimInput": search}}


def search_range(inquiry: Inquiry) -> tuple[date, date] | None:
    """Give the days of service to search, None where the inquiry names none.

    Units: both ends inclusive. One end alone is widened to the longest range the payer takes.
    Raises: PayerError DATE_OUT_OF_RANGE when the range is reversed or too long.
    """
    widest = timedelta(days=MAX_RANGE_DAYS - 1)
    start, end = inquiry.first_service_on, inquiry.last_service_on
    if start is None:
        if end is None:
            return None
        start = end - widest
    elif end is None:
        end = start + widest
    if end < start:
        raise PayerError("DATE_OUT_OF_RANGE", "row", "The last day of service lies before the first.")
    if end - start > widest:
        raise PayerError("DATE_OUT_OF_RANGE", "row", f"UHC searches at most {MAX_RANGE_DAYS} days of service at once.")
    return start, end


def read_claim(data: object) -> Claim | None:
    """Read one claim; None where its status says that there is no such claim.

    Raises: PayerError where the status says that the payer's own systems did not answer, or the claim is no object.
    """
    if not isinstance(data, Mapping):
        raise PayerError("BAD_RESPONSE", "world", "UHC's answer has another shape than agreed.")
    member, events, totals = (_object(data, name) for name in ("member", "claimEvents", "claimLevelTotalAmount"))
    parts = _parts(data)
    _raise_for_parts(parts)
    words = _text(data, "claimStatus")
    status = normalize_status(words, parts)
    if status == NOT_FOUND:
        return None
    return Claim(
        claim_number=_text(data, "claimNumber"),
        status=status,
        status_text=words,
        category_code=parts[0].category_code if parts else "",
        status_code=parts[0].status_code if parts else "",
        first_name=_text(member, "firstName"),
        last_name=_text(member, "lastName"),
        date_of_birth=read_date(member.get("dateOfBirth")),
        subscriber_id=_text(member, "subscriberId") or _text(member, "memberId"),
        total_charged=read_amount(totals.get("totalBilledChargeAmount")),
        total_allowed=read_amount(totals.get("totalAllowedAmount")),
        total_paid=read_amount(totals.get("totalPaidAmount")),
        patient_responsibility=read_amount(totals.get("totalPatientResponsibilityAmount")),
        processed_on=read_date(events.get("processedDate")),
        first_service_on=read_date(events.get("serviceStartDate")),
        last_service_on=read_date(events.get("serviceEndDate")),
        check_number=_check_number(data),
        parts=tuple(_part_as_dict(part) for part in parts) if len(parts) > 1 else (),
    )


def read_amount(value: object) -> Decimal | None:
    """Read an amount; None where there is none or it is no number, such as a masked "10XXX.89"."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    text = str(value).strip().removeprefix("$").replace(",", "")
    return Decimal(text) if _AMOUNT.fullmatch(text) else None


def read_date(value: object) -> date | None:
    """Read a date written MM/DD/YYYY (or as ISO); None where there is none."""
    if not isinstance(value, str):
        return None
    # Not strptime: five dates a claim made it the dearest part of reading an answer.
    text = value.strip()
    parts = _US_DATE.fullmatch(text)
    try:
        if parts is None:
            return date.fromisoformat(text[:10])
        month, day, year = map(int, parts.groups())
        return date(year, month, day)
    except ValueError:
        return None


def _text(data: Mapping[str, Any], name: str) -> str:
    """Give a text field, "" where it is null or missing."""
    value = data.get(name)
    return str(value).strip() if isinstance(value, str | int) else ""


def _object(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Give a nested object, an empty one where it is null or missing."""
    value = data.get(name)
    return value if isinstance(value, Mapping) else {}


def _objects(data: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Give the objects of a list, none where it is null or missing."""
    value = data.get(name)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _parts(data: Mapping[str, Any]) -> list[Part]:
    """Read the statuses of a claim, one for each part of a split one."""
    return [
        Part(
            suffix=_text(item, "adjudicatedClaimSuffixCode"),
            category_code=_text(item, "claim507Code").upper(),
            status_code=_text(item, "claim508Code"),
        )
        for item in _objects(data, "claimStatusCrosswalkData")
    ]


def _raise_for_parts(parts: list[Part]) -> None:
    """Raise for the status codes that are the payer's trouble and not the claim's."""
    for part in parts:
        if part.category_code in SYSTEM_DOWN or part.status_code == APPLICATION_DOWN:
            raise PayerError("PAYER_UNAVAILABLE", "world", "UHC's claim system is not available.")
        if part.category_code in NOT_RESPONDING:
            raise PayerError("PAYER_TIMEOUT", "world", "UHC's claim system did not answer in time.")
        if part.category_code in BAD_QUESTION:
            raise PayerError("INVALID_REQUEST", "row", "UHC cannot answer this inquiry as it was asked.")


def _check_number(data: Mapping[str, Any]) -> str:
    """Give the numbers of the checks that paid the claim, each once."""
    numbers = [_text(payment, "paymentNumber") for payment in _objects(data, "payments")]
    return " ".join(dict.fromkeys(number for number in numbers if number))


def _part_as_dict(part: Part) -> dict[str, str]:
    """Give a part as the contract's Claim carries it."""
    return {"suffix": part.suffix, "category_code": part.category_code, "status_code": part.status_code}
