"""Checks for how people and places are reached: e-mail, phone, web addresses, US states and ZIP codes. Shapes only.

Source: RFC 5321 and 5322 (mailbox, ASCII only), the North American Numbering Plan (NANPA), ITU-T E.164, RFC 3986 (URI),
USPS Publication 28 appendix B (states, the district, territories, military mail).
"""

from __future__ import annotations

from rowmill.checks.values import CELL, not_matching
from rowmill.contracts import Check

_ATOM = "[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+"  # the quote is doubled: this stands inside an SQL text
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# The area code's middle digit is not 9 (kept for longer numbers), and neither part ends in 11 (services: 411, 911).
_AREA = "[2-9]([02-8]\\d|1[02-9])"
_OFFICE = "[2-9]([02-9]\\d|1[02-9])"
_MAILBOX = f"{_ATOM}(\\.{_ATOM})*@({_LABEL}\\.)+{_LABEL}"
_URI_SIGN = "([A-Za-z0-9._~:/?#@!$&''()*+,;=\\[\\]-]|%[0-9A-Fa-f]{2})"
_HOST = f"({_LABEL}(\\.{_LABEL})*\\.?|\\[[0-9A-Fa-f:.]{{2,45}}\\])"
_STATES = (
    "A[LKZRSAEP]|C[AOT]|D[EC]|F[LM]|G[AU]|HI|I[DLNA]|K[SY]|LA|M[EDAINSOTPH]|N[EVHJMYCD]|O[HKR]|P[ARW]|RI|S[CD]|T[NX]|UT|V[TAI]|"
    "W[AVIY]"
)

EMAIL = Check(
    slug="email",
    title="this is not an e-mail address",
    help="Write one address, without a name or brackets around it: ann@example.org.",
    bad_when=(  # up to 64 bytes no length can be wrong: most cells are settled by one look, without trimming
        f"CASE WHEN strlen({{column}}) <= 64 AND regexp_full_match({{column}}, '{_MAILBOX}') THEN false "
        f"ELSE length({CELL}) > 254 OR strpos({CELL}, '@') > 65 OR {not_matching(_MAILBOX)} END"
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
    bad_when=f"length({CELL}) > 2048 OR "
    + not_matching(f"[Hh][Tt][Tt][Pp][Ss]?://{_HOST}(:\\d{{1,5}})?([/?#]{_URI_SIGN}*)?"),
)
URI = Check(
    slug="uri",
    title="this is not a URI",
    help="Write it whole, with its scheme before it: https://example.org, urn:isbn:0451450523.",
    bad_when=f"length({CELL}) > 2048 OR " + not_matching(f"[A-Za-z][A-Za-z0-9+.-]*:{_URI_SIGN}+"),
)
US_STATE = Check(
    slug="us-state",
    title="this is not the two-letter code of a US state or territory",
    help="Write the code of the postal service: CA for California, DC, PR.",
    # RE2 folds a few signs outside ASCII as well: they are kept out first.
    bad_when=not_matching("[A-Za-z]{2}") + " OR " + not_matching(f"(?i){_STATES}"),
)
ZIP = Check(
    slug="zip",
    title="this is not a ZIP code: five digits are needed, or nine",
    help="Write it as 02134 or 02134-1234; look whether a leading zero was lost.",
    bad_when=f"{CELL}[:5] = '00000' OR " + not_matching("\\d{5}(-?\\d{4})?"),
)
ZIP_PLUS_4 = Check(
    slug="zip-plus-4",
    title="this is not a ZIP+4 code: nine digits are needed",
    help="Write it as 02134-1234; look whether a leading zero was lost.",
    bad_when=f"{CELL}[:5] = '00000' OR " + not_matching("\\d{5}-?\\d{4}"),
)
