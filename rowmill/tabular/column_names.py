"""What the name of a column says of its cells: words, and the kinds of numbers that go by them."""

from __future__ import annotations

import re

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_IDENTIFIER = frozenset(
    (
        *(
            "accession",
            "account",
            "acct",
            "barcode",
            "card",
            "claim",
            "code",
            "codes",
            "ean",
            "encounter",
            "gtin",
            "iban",
        ),
        *(
            "id",
            "ids",
            "imei",
            "invoice",
            "isbn",
            "key",
            "member",
            "mrn",
            "no",
            "nr",
            "num",
            "number",
            "order",
            "patient",
        ),
        *("policy", "reference", "ref", "serial", "sku", "specimen", "subscriber", "tracking", "upc", "visit"),
    )
)
_DATES = frozenset(("date", "dob", "dod", "birthdate", "birthday", "dates"))
_NO_DATES = frozenset(("id", "key", "number", "count", "days", "no"))
_PHONES = frozenset(("phone", "telephone", "tel", "fax", "mobile", "cell"))
_POSTAL = frozenset(("zip", "zipcode", "postal", "postcode"))
# Fields of US health care and commerce whose numbers have so many digits and may begin with a zero.
_WIDTHS: tuple[tuple[frozenset[str], int], ...] = (
    (frozenset(("zip",)), 5),
    (frozenset(("zipcode",)), 5),
    (frozenset(("postal", "code")), 5),
    (frozenset(("postcode",)), 5),
    (frozenset(("ssn",)), 9),
    (frozenset(("social", "security")), 9),
    (frozenset(("tin",)), 9),
    (frozenset(("ein",)), 9),
    (frozenset(("fein",)), 9),
    (frozenset(("tax", "id")), 9),
    (frozenset(("routing",)), 9),
    (frozenset(("ndc",)), 11),
    (frozenset(("revenue", "code")), 4),
    (frozenset(("rev", "code")), 4),
    (frozenset(("cpt",)), 5),
    (frozenset(("drg",)), 3),
    (frozenset(("ccn",)), 6),
)


def words_of(name: str) -> frozenset[str]:
    """Give the words of a name in small letters: "Member ID", "memberId" and "MEMBER_ID" have the same ones."""
    return frozenset(word.lower() for word in _WORD.findall(name))


def is_identifier(words: frozenset[str]) -> bool:
    """Tell the name of what numbers or codes stand for; an "id" alone may as well be counted up."""
    return bool(words & _IDENTIFIER) and words not in ({"id"}, {"no"}, {"number"}, {"key"}, {"num"}, {"nr"})


def is_date(words: frozenset[str]) -> bool:
    """Tell the name of a day."""
    return bool(words & _DATES) and not words & _NO_DATES


def is_phone(words: frozenset[str]) -> bool:
    """Tell the name of a telephone number."""
    return bool(words & _PHONES)


def is_postal(words: frozenset[str]) -> bool:
    """Tell the name of a postal code."""
    return bool(words & _POSTAL)


def fixed_width(words: frozenset[str]) -> int:
    """Give how many digits the numbers of such a column have, 0 where that is not known."""
    return next((width for needed, width in _WIDTHS if needed <= words), 0)
