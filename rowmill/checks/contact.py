"""Checks for how people and places are reached: e-mail, phone, web addresses, US states and ZIP codes. Shapes only.

Source: RFC 5321 and 5322 (mailbox, ASCII only), the North American Numbering Plan (NANPA), ITU-T E.164, RFC 3986 (URI),
USPS Publication 28 appendix B (states, the district, territories, military mail).
"""

from __future__ import annotations

from rowmill.checks.values import CELL, matches, not_matching, unless
from rowmill.contracts import Check

_ATOM = "[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+"  # the quote is doubled: this stands inside an SQL text
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# The area code's middle digit is not 9 (kept for longer numbers), and neither part ends in 11 (services: 411, 911).
_AREA = "[2-9]([02-8]\\d|1[02-9])"
_OFFICE = "[2-9]([02-9]\\d|1[02-9])"
_URI_SIGN = "([A-Za-z0-9._~:/?#@!$&''()*+,;=\\[\\]-]|%[0-9A-Fa-f]{2})"
_HOST = f"({_LABEL}(\\.{_LABEL})*\\.?|\\[[0-9A-Fa-f:.]{{2,45}}\\])"
_STATES = (
    "A[LKZRSAEP]|C[AOT]|D[EC]|F[LM]|G[AU]|HI|I[DLNA]|K[SY]|LA|M[EDAINSOTPH]|N[EVHJMYCD]|O[HKR]|P[ARW]|RI|S[CD]|T[NX]|UT|V[TAI]|"
    "W[AVIY]"
)
_MAILBOX = f"{_ATOM}(\\.{_ATOM})*@({_LABEL}\\.)+{_LABEL}"


def _not_within_2048(pattern: str) -> str:
    """Give the condition for cells that a pattern does not match, or that are longer than addresses may be."""
    return unless(
        f"strlen({{column}}) <= 2048 AND {matches(pattern)}", f"(length({CELL}) > 2048 OR NOT {matches(pattern, CELL)})"
    )


def _not_a_zip(pattern: str) -> str:
    """Give the condition for cells that a pattern does not match, or that begin with the area 00000, which there is not."""
    return unless(
        f"NOT starts_with({{column}}, '00000') AND {matches(pattern)}",
        f"(starts_with({CELL}, '00000') OR NOT {matches(pattern, CELL)})",
    )


EMAIL = Check(
    slug="email",
    title="this is not an e-mail address",
    help="Write one address, without a name or brackets around it: ann@example.org.",
    bad_when=unless(
        f"strlen({{column}}) <= 254 AND strpos({{column}}, '@') <= 65 AND {matches(_MAILBOX)}",
        f"(length({CELL}) > 254 OR strpos({CELL}, '@') > 65 OR NOT {matches(_MAILBOX, CELL)})",
    ),
)
PHONE = Check(
    slug="phone",
    title="this is not a phone number of the United States, Canada or the Caribbean",
    help="Write area code and number, ten digits: 212-555-0123 or (212) 555-0123.",
    bad_when=not_matching(
        f"(\\+?1[ .-]?)?(\\({_AREA}\\)|{_AREA})[ .-]?{_OFFICE}[ .-]?\\d{{4}}( ?([Xx]|[Ee][Xx][Tt]\\.?) ?\\d{{1,6}})?"
    ),
)
PHONE_E164 = Check(
    slug="phone-e164",
    title="this is not an international phone number",
    help="Write a plus, the country's code and the number, digits only: +12125550123.",
    bad_when=not_matching("\\+[1-9]\\d{6,14}"),
)
URL = Check(
    slug="url",
    title="this is not a web address",
    help="Write it whole, with https:// before it and no blanks in it.",
    bad_when=_not_within_2048(f"[Hh][Tt][Tt][Pp][Ss]?://{_HOST}(:\\d{{1,5}})?([/?#]{_URI_SIGN}*)?"),
)
URI = Check(
    slug="uri",
    title="this is not a URI",
    help="Write it whole, with its scheme before it: https://example.org, urn:isbn:0451450523.",
    bad_when=_not_within_2048(f"[A-Za-z][A-Za-z0-9+.-]*:{_URI_SIGN}+"),
)
US_STATE = Check(
    slug="us-state",
    title="this is not the two-letter code of a US state or territory",
    help="Write the code of the postal service: CA for California, DC, PR.",
    # RE2 folds a few signs outside ASCII as well: they are kept out first.
    bad_when=unless(matches(_STATES), f"NOT ({matches('[A-Za-z]{2}', CELL)} AND {matches('(?i)' + _STATES, CELL)})"),
)
ZIP = Check(
    slug="zip",
    title="this is not a ZIP code: five digits are needed, or nine",
    help="Write it as 02134 or 02134-1234; look whether a leading zero was lost.",
    bad_when=_not_a_zip("\\d{5}(-?\\d{4})?"),
)
ZIP_PLUS_4 = Check(
    slug="zip-plus-4",
    title="this is not a ZIP+4 code: nine digits are needed",
    help="Write it as 02134-1234; look whether a leading zero was lost.",
    bad_when=_not_a_zip("\\d{5}-?\\d{4}"),
)
