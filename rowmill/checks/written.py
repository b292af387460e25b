"""Checks for what people and CRM programs write into cells: counts, amounts, days, yes and no, phones, web addresses.

What is taken is what `tabular.cleaning` can read, so that a cell that passes never loses its value.
"""

from __future__ import annotations

from rowmill.contracts import Check
from rowmill.tabular.cleaning import trimmed, unreadable

# Plain patterns: cells that surely can be read, each a part of what its cleaner takes. Days up to the 28th always exist.
_WHOLE = "(?:\\d{1,12}|\\d{1,3}(?:,\\d{3}){1,3}|\\d{1,6}(?:\\.\\d{1,3})?[kKmMbB])"
_AMOUNT = "(?:(?:\\d{1,12}|\\d{1,3}(?:,\\d{3}){1,3})(?:\\.\\d{1,2})?|\\d{1,6}(?:\\.\\d{1,3})?[kKmMbB])"
_DAY = (
    "(?:[12]\\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\\d|2[0-8])|(?:0?[1-9]|1[0-2])/(?:0?[1-9]|1\\d|2[0-8])/[12]\\d{3}"
    "|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?:0?[1-9]|1\\d|2[0-8]),? [12]\\d{3})"
)
_FLAG = "true|false|yes|no|[yntf10x]|on|off"
_CLOCK = "(?:[T ](?:[01]\\d|2[0-3]):[0-5]\\d(?::[0-5]\\d(?:\\.\\d+)?)?(?:Z|[-+](?:0\\d|1[0-5]):[0-5]\\d)?)?"
_PLAIN_WEB = "(?:https?://)?(?:[a-z0-9][a-z0-9-]*\\.)+[a-z]{2,}(?:/[!-~]*)?"
_WEB = "(?i)(https?://)?([a-z0-9\\x{a1}-\\x{10ffff}]([a-z0-9\\x{a1}-\\x{10ffff}_-]*)\\.)+[a-z\\x{a1}-\\x{10ffff}]{2,}(:\\d{1,5})?([/?#]\\S*)?"

COUNT_WRITTEN = Check(
    slug="count-written",
    title="this is not a number of things",
    help="Write a whole number; 1,200, 1.2M, 11-50 and 10,001+ are understood. A date such as Nov-50 was made by a spreadsheet.",
    bad_when=unreadable("count", f"{_WHOLE}(?:\\+|-{_WHOLE})?"),
)
MONEY_WRITTEN = Check(
    slug="money-written",
    title="this is not an amount of money",
    help="Write an amount; 3400, $3,400, 1.2M and $1M-$10M are understood.",
    bad_when=unreadable("money", f"[$]?{_AMOUNT}(?:\\+|-[$]?{_AMOUNT})?"),
)
SHARE_WRITTEN = Check(
    slug="share-written",
    title="this is not a number or a percentage",
    help="Write a number such as 95, 0.95 or 95%.",
    bad_when=unreadable("share", "\\d{1,4}(?:\\.\\d+)? ?%?"),
)
DAY_WRITTEN = Check(
    slug="day-written",
    title="this is not a day in one of the usual forms",
    help="Write it as 2026-01-31; 01/31/2026 (month first), 31.01.2026 and Jan 31, 2026 are understood. Look whether it exists.",
    bad_when=unreadable("day", _DAY),
)
MOMENT_WRITTEN = Check(
    slug="moment-written",
    title="this is not a day, with or without a time",
    help="Write it as 2026-01-31 or 2026-01-31 14:05; a zone may stand behind it, without one it is UTC.",
    bad_when=unreadable("moment", _DAY + _CLOCK),
)
FLAG_WRITTEN = Check(
    slug="flag-written",
    title="this is neither yes nor no",
    help="Write yes or no; true, false, y, n, 1 and 0 are understood.",
    # The words of the cleaner, as a pattern: of a list of them DuckDB makes a join, for every row.
    bad_when=(
        f"CASE WHEN regexp_full_match({{column}}, '(?i:{_FLAG})') THEN false "
        f"ELSE NOT regexp_full_match(lower({trimmed('{column}')}), '{_FLAG}') END"
    ),
)
PHONE_WRITTEN = Check(
    slug="phone-written",
    title="this does not look like a phone number",
    help="It is kept as it is, but nobody can be called by it. Write the digits, with the country before them if it is abroad.",
    bad_when=unreadable("phone-digits", "\\+?\\(?\\d(?:[ .()/-]{0,2}\\d){6,14}"),
    severity="warning",
)
WEB_ADDRESS = Check(
    slug="web-address",
    title="this is not a web address",
    help="Write it without blanks: example.org, www.example.org/page or https://example.org.",
    bad_when=(
        f"CASE WHEN strlen({{column}}) <= 2048 AND regexp_full_match({{column}}, '{_PLAIN_WEB}') THEN false "
        f"ELSE length({trimmed('{column}')}) > 2048 OR NOT regexp_full_match({trimmed('{column}')}, '{_WEB}') END"
    ),
)
FITS_INTEGER = Check(
    slug="fits-integer",
    title="this whole number has more than 18 digits",
    help="Look whether it is a number at all; a long ID belongs into a column of text.",
    bad_when=unreadable("integer", "\\d{1,18}"),
)
FITS_NUMBER = Check(
    slug="fits-number",
    title="this number has more than 18 digits before the point, or more than 6 behind it",
    help="Write fewer digits, without an exponent.",
    bad_when=unreadable("number", "\\d{1,18}"),
)
KEY_LENGTH = Check(
    slug="key-length",
    title="this ID has more than 200 characters",
    help="Look whether the column that was taken for the ID is the right one.",
    bad_when=f"CASE WHEN strlen({{column}}) <= 200 THEN false ELSE length({trimmed('{column}')}) > 200 END",
)
CONTACT_KEY = Check(
    slug="contact-key",
    title="there is neither a contact ID nor an e-mail address in this row",
    help="Fill in one of them: without it nobody can tell whom the row is about.",
    # The comparison settles nearly every row, and trimming with a list of signs is dear.
    bad_when=(
        "CASE WHEN {contact_id} >= '!' AND {contact_id} < '\u00a0' THEN false "
        f"ELSE {trimmed('{contact_id}')} = '' AND {trimmed('{email}')} = '' END"
    ),
)
