"""Checks for the codes of US health care: NPI with its check digit, Luhn, diagnoses and procedures by their shape.

Source: CMS, "Requirements for National Provider Identifier (NPI) and NPI Check Digit" (45 CFR 162.406); ISO/IEC 7812-1
(Luhn, at most 19 digits); CDC and CMS, ICD-10-CM Official Guidelines (3 to 7 characters); AMA CPT categories I, II, III
and PLA, CMS HCPCS level II. Shape only: no list of codes is held, so a code of the right shape may not exist.
"""

from __future__ import annotations

from rowmill.checks.values import CELL, matches, not_matching
from rowmill.contracts import Check

_MOST_DIGITS = 19
# The digits of the prefix 80840, doubled in turn and added up: how an NPI counts as the number of a health card.
_PREFIX_SUM = 24
_CPT = "\\d{4}[0-9FTUMftum]"


def _misses_luhn(pattern: str, digits: int, more: int = 0) -> str:
    """Give the condition for cells that a pattern does not match, or whose digits, every second one from the right doubled,
    add up to no multiple of ten.

    A doubled digit d counts the sum of its figures, 2d - 9 for d above 4: to the last digit 2d + d // 5. And the last digit of
    the whole sum is that of the quotients by powers of ten, so no digit has to be cut out: n, twice n // 10, n // 50, less
    n // 100, and so on with every second digit. The number is read once, in the list: measured 0.08 s for a million NPIs,
    where a sum of single digits took 2 s.
    """
    added, taken = ["whole"], []
    for place in range(1, digits, 2):
        added += [f"2 * (whole // {10**place}::UBIGINT)", f"whole // {5 * 10**place}::UBIGINT"]
        taken += [f" - whole // {10 ** (place + 1)}::UBIGINT"] if place + 1 < digits else []
    total = f"{' + '.join(added)} + {more}{''.join(taken)}"
    number = f"coalesce(TRY_CAST({{column}} AS UBIGINT), TRY_CAST({CELL} AS UBIGINT))"
    misses = f"list_transform([{number}], lambda whole: ({total}) % 10 <> 0)[1]"
    fits = f"CASE WHEN {matches(pattern)} THEN true ELSE {matches(pattern, CELL)} END"
    return f"CASE WHEN {fits} THEN {misses} ELSE true END"


LUHN = Check(
    slug="luhn",
    title="the check digit of this number is wrong",
    help="Compare it digit by digit with where it came from; 2 to 19 digits without blanks are needed.",
    bad_when=_misses_luhn(f"\\d{{2,{_MOST_DIGITS}}}", _MOST_DIGITS),
)
NPI = Check(
    slug="npi",
    title="this is not an NPI: ten digits are needed, the first 1 or 2, the last a check digit that fits",
    help="Compare it digit by digit with the provider's record in NPPES.",
    bad_when=_misses_luhn("[12]\\d{9}", 10, _PREFIX_SUM),
)
ICD_10_CM = Check(
    slug="icd-10-cm",
    title="this has not the shape of an ICD-10-CM code: a letter, a digit, then one to five letters or digits",
    help="Take the code from the superbill, with or without its dot: E11.9.",
    bad_when=not_matching("[A-Za-z]\\d[A-Za-z0-9](\\.?[A-Za-z0-9]{1,4})?"),
)
CPT = Check(
    slug="cpt",
    title="this has not the shape of a CPT code: five digits, or four and one of F, T, U, M",
    help="Take the code from the superbill, without modifiers; look whether a leading zero was lost.",
    bad_when=not_matching(_CPT),
)
HCPCS = Check(
    slug="hcpcs",
    title="this has not the shape of an HCPCS code: a CPT code, or a letter from A to V and four digits",
    help="Take the code from the superbill, without modifiers; look whether a leading zero was lost.",
    bad_when=not_matching(f"{_CPT}|[A-Va-v]\\d{{4}}"),
)
