"""Decide which claim of a payer's answer is the row's own, so that nobody is shown another member's claim.

The rule. A claim is the row's own when its number is the one asked for (case, blanks and dashes aside) and either
- the subscriber ids are equal: blanks and dashes aside, in any case, first as written and then without leading zeros,
  which spreadsheets lose; or
- last name and date of birth are both equal: names are compared without accents, case, blanks, dashes and apostrophes.
A missing value proves nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rowmill.contracts import Answer, Claim, Inquiry, Outcome


def pick_claim(inquiry: Inquiry, answer: Answer, row_number: int) -> Claim | Outcome:
    """Give the row's own claim, or the outcome that says why there is none.

    Such an outcome tells nothing of the claims found but, where there were several, their number.
    """
    claims = _distinct([claim for claim in answer.claims if _same_number(claim, inquiry)])
    if not claims:
        return _not_found(answer, row_number)
    own = [claim for claim in claims if is_own_claim(inquiry, claim)]
    if len(own) == 1:
        return own[0]
    if not own:
        return Outcome(row_number, "rejected", "MEMBER_MISMATCH", "The claim is another member's than the row names.")
    return Outcome(
        row_number, "rejected", "MULTIPLE_MATCHES", f"The payer knows {len(own)} different claims with this number."
    )


def is_own_claim(inquiry: Inquiry, claim: Claim) -> bool:
    """Tell whether a claim belongs to the member that the row names."""
    if _same_id(inquiry.subscriber_id, claim.subscriber_id):
        return True
    last_name = _fold(inquiry.last_name)
    born_alike = inquiry.date_of_birth is not None and inquiry.date_of_birth == claim.date_of_birth
    return bool(last_name) and born_alike and last_name == _fold(claim.last_name)


def _not_found(answer: Answer, row_number: int) -> Outcome:
    """Say that there is no such claim, and in which range when dates were used."""
    if answer.searched_from is None:
        return Outcome(row_number, "not_found", "NOT_FOUND", "The payer knows no claim with this number.")
    # The days may be the row's own cells: they go into the sealed answer, and from there into the results' sentence.
    message = "Claim not found in the date range asked for."
    searched = {"searched_from": str(answer.searched_from), "searched_to": str(answer.searched_to)}
    return Outcome(row_number, "not_found", "NOT_FOUND_IN_DATE_RANGE", message, searched)


def _distinct(claims: Sequence[Claim]) -> list[Claim]:
    """Drop claims that are told twice in the same words; a payer does that."""
    kept: list[Claim] = []
    for claim in claims:
        if claim not in kept:
            kept.append(claim)
    return kept


def _same_number(claim: Claim, inquiry: Inquiry) -> bool:
    """Tell whether the claim has the number asked for; one without a number was found by it."""
    return not claim.claim_number or _squeeze(claim.claim_number) == _squeeze(inquiry.claim_number)


def _same_id(asked: str, told: str) -> bool:
    """Compare two subscriber ids, as written and then without leading zeros."""
    left, right = _squeeze(asked), _squeeze(told)
    if not left or not right:
        return False
    return left == right or (left.lstrip("0") == right.lstrip("0") != "")


def _squeeze(text: str) -> str:
    """Fold case and drop blanks and dashes."""
    return "".join(text.split()).replace("-", "").casefold()


def _fold(name: str) -> str:
    """Fold a name to its bare letters and digits: no accents, case, blanks, dashes or apostrophes."""
    bare = unicodedata.normalize("NFKD", name.casefold())
    return "".join(char for char in bare if char.isalnum())
