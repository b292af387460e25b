"""Normalise what a payer says of a claim: X12's status category and status codes, and the payer's own words.

Labels are our own. An unknown code is UNKNOWN, never dropped.
Source: X12 external code lists 507 and 508, as paraphrased in facts/payers.md §3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MULTIPLE: Final = "MULTIPLE"
NOT_FOUND: Final = "NOT_FOUND"
UNKNOWN: Final = "UNKNOWN"

CATEGORIES: Final[dict[str, str]] = {
    **dict.fromkeys(("A0", "A1", "A2", "A5"), "RECEIVED"),
    **dict.fromkeys(("A3", "A6", "A7", "A8", "F5"), "REJECTED"),
    **dict.fromkeys(("A4", "D0"), NOT_FOUND),
    **dict.fromkeys(("P0", "P1", "P2", "P5"), "PENDING"),
    **dict.fromkeys(("P3", "P4"), "PENDING_INFO"),
    "F0": "FINALIZED",
    "F1": "PAID",
    "F2": "DENIED",
    "F3": "ADJUSTED",
    **dict.fromkeys(("F3F", "F3N"), "FORWARDED"),
    "F4": "NO_PAYMENT",
    **dict.fromkeys(("R0", "R1", "RQ", *(f"R{n}" for n in range(3, 17))), "INFO_REQUESTED"),
}
WORDS: Final[dict[str, str]] = {
    "acknowledged": "RECEIVED",
    "in review": "PENDING",
    "pending": "PENDING",
    "denied": "DENIED",
    "finalized": "FINALIZED",
    "misdirected": "REJECTED",
    "rejected": "REJECTED",
    "multiple status": MULTIPLE,
}
SYSTEM_DOWN: Final = frozenset({"E1"})
NOT_RESPONDING: Final = frozenset({"E2"})
BAD_QUESTION: Final = frozenset({"E0", "E3", "E4"})
NO_SUCH_CLAIM: Final = "35"
APPLICATION_DOWN: Final = "484"


@dataclass(frozen=True, slots=True)
class Part:
    """One status of a claim; a split claim has several."""

    suffix: str
    category_code: str
    status_code: str


def normalize_status(words: str, parts: Sequence[Part]) -> str:
    """Give one word for what became of a claim.

    "Finalized" says only that the payer is done, so the category code decides and the words help where there is none.
    """
    categories = {part.category_code for part in parts if part.category_code}
    if len(categories) > 1:
        return MULTIPLE
    if any(part.status_code == NO_SUCH_CLAIM for part in parts):
        return NOT_FOUND
    if categories:
        return CATEGORIES.get(categories.pop(), UNKNOWN)
    return WORDS.get(words.strip().lower(), UNKNOWN)
