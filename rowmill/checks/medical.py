"""Checks for the codes of US health care: NPI with its check digit, Luhn, diagnoses and procedures by their shape.

Source: CMS, "Requirements for National Provider Identifier (NPI) and NPI Check Digit" (45 CFR 162.406); ISO/IEC 7812-1
(Luhn, at most 19 digits); CDC and CMS, ICD-10-CM Official Guidelines (3 to 7 characters); AMA CPT categories I, II, III
and PLA, CMS HCPCS level II. Shape only: no list of codes is held, so a code of the right shape may not exist.
"""

from __future__ import annotations

from rowmill.checks.values import CELL, not_matching
from rowmill.contracts import Check

_MOST_DIGITS = 19
# The digits of the prefix 80840, doubled in turn and added up: how an NPI counts as the number of a health card.
_PREFIX_SUM = 24
_CPT = "\\d{4}[0-9FTUMftum]"


def _luhn_sum(digits: int) -> str:
    """Give the sum of a number's digits, every second one from the right doubled; right to the last digit only.

    A doubled digit of two figures counts their sum: 2d - 9 for d above 4. That is 2d + 1 to the last digit, for which d // 5
    stands here. Digits before the first are zeros and add nothing.
    """
    number = f"TRY_CAST({CELL} AS UBIGINT)"
    terms = []
    for place in range(digits):
        digit = f"({number} // {10**place}::UBIGINT % 10)"
        terms.append(f"2 * {digit} + {digit} // 5" if place % 2 else digit)
    return " + ".join(terms)


LUHN = Check(
    slug="luhn",
    title="the check digit of this number is wrong",
    help="Compare it digit by digit with where it came from; 2 to 19 digits without blanks are needed.",
    bad_when=(
        f"CASE WHEN regexp_full_match({CELL}, '\\d{{2,{_MOST_DIGITS}}}') THEN ({_luhn_sum(_MOST_DIGITS)}) % 10 <> 0 ELSE true END"
    ),
)
NPI = Check(
    slug="npi",
    title="this is not an NPI: ten digits are needed, the first 1 or 2, the last a check digit that fits",
    help="Compare it digit by digit with the provider's record in NPPES.",
    bad_when=(
        f"CASE WHEN regexp_full_match({CELL}, '[12]\\d{{9}}') "
        f"THEN ({_luhn_sum(10)} + {_PREFIX_SUM}) % 10 <> 0 ELSE true END"
    ),
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
