"""Checks for the columns of a claims file, by the shapes that payers take."""

from __future__ import annotations

from rowmill.checks.values import not_matching
from rowmill.contracts import Check

CLAIM_NUMBER = Check(
    slug="claim-number",
    title="this is not a claim number: 1 to 50 letters, digits and dashes are allowed",
    help="Take the number as the payer writes it, without blanks or other signs.",
    bad_when=not_matching("[A-Za-z0-9-]{1,50}"),
)
SUBSCRIBER_ID = Check(
    slug="subscriber-id",
    title="this is not a subscriber ID: 2 to 80 characters are allowed",
    help="Take the ID from the member's card.",
    bad_when="NOT length(trim({column})) BETWEEN 2 AND 80",
)
TIN = Check(
    slug="tin",
    title="this is not a TIN: nine digits are needed, a dash is allowed",
    help="Write it as 123456789 or 12-3456789; look whether a leading zero was lost.",
    bad_when=not_matching("\\d{2}-?\\d{7}"),
)
