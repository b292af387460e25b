"""A claim in the simulator's short form, and the same claim as the claim inquiry API tells it.

The short form (one object in a claim book's `answer.claims`; every field may be left out):
    number status parts [[suffix, 507, 508] ...] first last dob sub charged allowed paid patient
    received processed from to check tin
Dates are MM/DD/YYYY, amounts are strings or null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]

# Our own short labels; X12's lists are not ours to ship.
CATEGORY_WORDS = {
    "A1": "Received",
    "A2": "Accepted",
    "A3": "Rejected before adjudication",
    "P1": "In process",
    "P2": "Under payer review",
    "P3": "Information asked from provider",
    "F0": "Finalized",
    "F1": "Paid",
    "F2": "Denied",
    "F3": "Revised",
    "F4": "No payment coming",
    "R3": "Payer asks for information",
}


def _crosswalk(record: Record) -> list[dict[str, Any]]:
    return [
        {
            "claim507Code": category,
            "claim507CodeDesc": CATEGORY_WORDS.get(category, "Other"),
            "claim508Code": code,
            "claim508CodeDesc": f"Status {code}",
            "adjudicatedClaimSuffixCode": suffix,
            "adjudicatedClaimPaymentNumber": record.get("check"),
        }
        for suffix, category, code in record.get("parts", ())
    ]


def _payments(record: Record) -> list[dict[str, Any]]:
    if not record.get("check"):
        return []
    return [
        {
            "paymentNumber": record["check"],
            "adjudicatedClaimPaymentNumber": record["check"],
            "adjudicatedClaimPaymentAmount": record.get("paid"),
            "checkSeriesDesignator": "SIM",
            "paymentModeCode": "ACH",
            "paymentAmount": record.get("paid"),
            "paymentIssueDate": record.get("processed"),
            "claimPayeeAssignmentCode": "Y",
            "payeeName": "SIMULATED CLINIC",
        }
    ]


def _lines(record: Record) -> list[dict[str, Any]]:
    return [
        {
            "lineKey": "1",
            "lineNumber": "1",
            "unitCount": "1",
            "serviceCode": "SIM01",
            "procedureCode": "SIM01",
            "modifiers": [],
            "lineEvents": {"serviceStartDate": record.get("from"), "serviceEndDate": record.get("to")},
            "lineLevelTotalAmounts": {
                "billedChargeAmount": record.get("charged"),
                "allowedAmount": record.get("allowed"),
                "paidAmount": record.get("paid"),
                "memberResponsiblityAmount": record.get("patient"),
            },
            "lineAdjudicationCodes": [],
        }
    ]


def _amounts(record: Record) -> dict[str, Any]:
    return {
        "totalBilledChargeAmount": record.get("charged"),
        "totalProviderWriteOffAmount": None,
        "totalPatientNotCoveredAmount": None,
        "totalProviderNotCoveredAmount": None,
        "totalAllowedAmount": record.get("allowed"),
        "totaldeductibleAmount": None,
        "totalCopayAmount": None,
        "totalCoinsAmount": None,
        "totalPaidAmount": record.get("paid"),
        "totalPatientResponsibilityAmount": record.get("patient"),
    }


def expand(record: Record) -> dict[str, Any]:
    """Tell a record the way the API does, every field there."""
    number = record.get("number", "")
    return {
        "claimNumber": number,
        "claimReceiptLocatorNumber": f"L{number}",
        "claimInventoryControlNumber": f"I{number}",
        "claimStatus": record.get("status"),
        "isMedicarePendProcess": False,
        "hasClaimDetails": True,
        "member": {
            "subscriberId": record.get("sub"),
            "policyNumber": "SIMPOL",
            "firstName": record.get("first"),
            "lastName": record.get("last"),
            "middleInitial": None,
            "dateOfBirth": record.get("dob"),
            "relationshipCode": "18",
            "dependentSequenceNumber": "00",
            "memberId": record.get("sub"),
        },
        "provider": {
            "submitted": {
                "billingTin": record.get("tin", "000000001"),
                "billingProviderName": "SIMULATED CLINIC",
                "billingNpi": "1000000000",
                "renderingProviderName": None,
            },
            "adjudicated": None,
        },
        "claimEvents": {
            "receivedDate": record.get("received"),
            "processedDate": record.get("processed"),
            "processedTime": "07.42.49",
            "serviceStartDate": record.get("from"),
            "serviceEndDate": record.get("to"),
            "statusEffectiveDate": record.get("processed") or record.get("received"),
        },
        "claimLevelInfo": {"patientAccountNumber": record.get("account"), "claimType": "P", "claimFlagTag": None},
        "claimLevelTotalAmount": _amounts(record),
        "payments": _payments(record),
        "claimStatusCrosswalkData": _crosswalk(record),
        "claimAdjudicationCodes": [],
        "documents": [],
        "claimDetailedInformation": {"diagnosisCodes": [], "claimLineActions": [], "lines": _lines(record)},
    }


def dress(claim: dict[str, Any], draw: float) -> None:
    """Change what does not matter: the case of names, a field nobody knows, a null more.

    A client that reads only what it asked for, and compares names regardless of case, sees no difference.
    """
    member = claim.get("member") or {}
    manner = int(draw * 1000) % 4
    for key in ("firstName", "lastName"):
        if member.get(key) and manner < 2:
            member[key] = member[key].upper() if manner else member[key].lower()
    if manner == 2:
        claim["x-vendorNote"] = {"generation": 2, "flags": [None]}
    if manner == 3:
        claim["documents"] = None
        claim["claimLevelInfo"] = None


_WORD = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


def words_of(query: str) -> frozenset[str]:
    """Give every word of a GraphQL query."""
    return frozenset(_WORD.findall(query))


def select(value: Any, words: frozenset[str]) -> Any:
    """Keep the fields whose names stand anywhere in the query: coarse, but nobody gets what he did not ask for.

    Fields that no API has (their names hold a dash) stay: that is how unknown extras reach a client.
    """
    if isinstance(value, dict):
        return {key: select(item, words) for key, item in value.items() if key in words or "-" in key}
    if isinstance(value, list):
        return [select(item, words) for item in value]
    return value


def _names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(_names(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(_names(item) for item in value))
    return set()


# Fields of the API that the simulator knows but never fills.
_NEVER_FILLED = frozenset(
    words_of(
        "providerNetworkStatus payeeAddress claimCodeType code description documentType documentName documentId "
        "coordinationOfBenefits claimLevelIndicators lineIndicators inventoryControlNumberSuffix revenueCode "
        "deductibleAmount copayAmount coinsuranceAmount type pagination hasMoreRecords nextPageToken claims __typename"
    )
)
KNOWN_FIELDS = frozenset(_names(expand({"check": "1", "parts": [["01", "F1", "65"]]}))) | _NEVER_FILLED
