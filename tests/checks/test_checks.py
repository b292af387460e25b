"""Every check in the registry tells its good examples from its bad ones."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from rowmill.registry import CHECKS, get_check
from tests.checks import sql

# slug: (good cells, bad cells). A check that is new in the registry needs a line here.
EXAMPLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "required": (("x", " x", "0", "-", "é"), ("", " ", "\t", " \u00a0 ", "\r\n")),
    "date": (
        (
            *("1980-01-15", "05/10/1975", "5/1/1975", "2020-02-29", " 1980-01-15 "),
            *("1980-01-15 00:00:00", "1980-01-15T00:00:00.000", "1980-01-15 00:00"),
        ),
        (
            "1980-13-01",
            "2019-02-29",
            "13/05/1980",
            "never",
            "1980/01/15",
            "80-1-1",
            "29.02.2020",
            "1980-01-15 10:00",
            "1980-01-15 00:00:01",
            "2021-02-29 00:00:00",
            "44197",
        ),
    ),
    "date-not-future": (
        ("1900-01-01", "{today:%Y-%m-%d}", "01/01/1900", "no date at all"),
        ("{tomorrow:%Y-%m-%d}", "{tomorrow:%m/%d/%Y}", "1899-12-31", "0080-01-15", "9999-12-31"),
    ),
    "claim-number": (("A-1", "x" * 50, " 123 "), ("x" * 51, "a b", "a/b", "é", "1.5", "#1")),
    "subscriber-id": (("12", "x" * 80, "AB 12"), ("1", "x" * 81, " 1 ")),
    "tin": (("123456789", "12-3456789", " 012345678 "), ("12345678", "1234567890", "123-45-6789", "12345678x")),
    "unique": (("once", "never"), ("twice", " twice ")),
    "integer": (
        ("0", "42", "-7", "+7", "007", " 42 ", "9" * 60),
        ("4.2", "4.", "1e3", "1,000", "1 000", "--1", "-", "x", "１２", "٣", "0x1F", "1_000", "42\t", "4\n2"),
    ),
    "decimal": (
        ("0", "42", "-7.5", "+.5", "5.", "007.10", " 1.5 ", "1." + "0" * 60),
        ("1,5", "1,000.00", "$5", "1e3", ".", "-", "1.2.3", "１.5", "NaN", "5 %", "(5)"),
    ),
    "number": (
        ("0", "-7.5", ".5", "1e3", "1.5E+15", "2E-7", "NaN", "INF", "-INF"),
        ("1,5", "1e", "e3", "1e3.5", "nan", "inf", "Infinity", "--1", "１", "1 e3"),
    ),
    "boolean": (
        ("true", "True", "TRUE", "false", "False", "FALSE", "1", "0", " true "),
        ("yes", "tRUE", "t", "2", "01", "wahr", "１", "true false"),
    ),
    "yes-no": (("yes", "No", "Y", "n", "YES", "yEs", " no "), ("ye", "true", "1", "ja", "yes.", "nope", "y n")),
    "date-iso": (
        ("1980-01-15", "2020-02-29", " 1980-01-15 ", "9999-12-31"),
        (
            "1980-1-15",
            "2019-02-29",
            "2020-00-10",
            "01/15/1980",
            "1980-01-15T00:00",
            "80-01-15",
            "1980-01-15x",
            "１980-01-15",
        ),
    ),
    "date-us": (
        ("01/15/1980", "1/5/1980", "02/29/2020", " 12/31/1999 "),
        ("15/01/1980", "02/29/2019", "1980-01-15", "1/5/80", "01-15-1980", "00/10/1980", "1/ 5/1980"),
    ),
    "date-european": (
        ("15.01.1980", "15/01/1980", "15-01-1980", "5.1.1980", "29.02.2020", " 31.12.1999 "),
        ("01.15.1980", "29.02.2019", "15.01/1980", "15.01.80", "1980-01-15", "15 01 1980", "32.01.1980", "15..01.1980"),
    ),
    "date-time": (
        (
            *("1980-01-15T09:30", "1980-01-15 09:30:00", "1980-01-15t09:30:00.123Z", "1980-01-15T23:59:59-05:00"),
            *(" 2020-02-29 00:00 ", "1980-01-15T09:30+05:30"),
        ),
        (
            *("1980-01-15", "1980-01-15T24:00", "1980-01-15T09:60", "2019-02-29T09:30", "09:30", "1980-01-15  09:30"),
            *("1980-01-15T9:30", "01/15/1980 09:30", "1980-01-15T09:30:61Z", "1980-01-15T09:30 PM"),
        ),
    ),
    "date-time-utc": (
        ("1980-01-15T09:30:00Z", "1980-01-15T09:30:00.5Z"),
        (
            "1980-01-15T09:30:00",
            "1980-01-15T09:30Z",
            "1980-01-15 09:30:00Z",
            "2019-02-29T09:30:00Z",
            "1980-01-15T09:30:00+00:00",
        ),
    ),
    "time": (("09:30:00", "00:00:00", "23:59:59"), ("9:30:00", "24:00:00", "09:30", "09:60:00", "09:30:00 AM")),
    "year": (("1980", "0001", " 2020 "), ("80", "19800", "198O", "１９８０", "-100")),
    "year-month": (("1980-01", "1980-12"), ("1980-13", "1980-00", "1980-1", "01-1980", "1980")),
    "uuid": (
        ("123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"),
        (
            "123e4567e89b12d3a456426614174000",
            "123e4567-e89b-12d3-a456-42661417400",
            "g23e4567-e89b-12d3-a456-426614174000",
        ),
    ),
    "email": (
        (
            *(
                "ann@example.org",
                "a@b.co",
                "first.last+tag@sub.example.org",
                "o'hara@example.org",
                "{{a}}|b@example.org",
            ),
            *(
                " ann@example.org ",
                "ANN@EXAMPLE.ORG",
                "x" * 64 + "@example.org",
                "a@1.xn--p1ai",
                "a@" + "b" * 63 + ".org",
            ),
        ),
        (
            *(
                "ann",
                "@example.org",
                "ann@",
                "ann@example",
                "ann@@example.org",
                "a b@example.org",
                "ann@example.org;b@c.de",
            ),
            *(
                ".ann@example.org",
                "ann.@example.org",
                "a..b@example.org",
                "ann@-a.org",
                "ann@a-.org",
                "ann@.org",
                "ann@example.org.",
            ),
            *(
                "Ann <ann@example.org>",
                "x" * 65 + "@example.org",
                "änn@example.org",
                "ann@exämple.org",
                "a@" + "b" * 64 + ".org",
            ),
            *("a@" + "b." * 130 + "org", "ann@example.org\n", "ann\u00a0@example.org"),
        ),
    ),
    "phone": (
        (
            *(
                "2125550123",
                "212-555-0123",
                "(212) 555-0123",
                "(212)555-0123",
                "212.555.0123",
                "212 555 0123",
                " 2125550123 ",
            ),
            *("+12125550123", "1-212-555-0123", "+1 (212) 555-0123", "212-555-0123 x12", "212-555-0123 ext. 4321"),
        ),
        (
            *(
                "555-0123",
                "212555012",
                "21255501234",
                "012-555-0123",
                "112-555-0123",
                "212-155-0123",
                "911-555-0123",
                "212-911-0123",
            ),
            *(
                "292-555-0123",
                "+442071234567",
                "212--555-0123",
                "212-555-O123",
                "２12-555-0123",
                "(212 555-0123",
                "n/a",
            ),
        ),
    ),
    "phone-e164": (
        ("+12125550123", "+442071838750", "+6834000", "+123456789012345"),
        (
            "12125550123",
            "+02125550123",
            "+1 212 555 0123",
            "+123456",
            "+1234567890123456",
            "0012125550123",
            "+１2125550123",
        ),
    ),
    "url": (
        (
            *(
                "https://example.org",
                "http://example.org/",
                "HTTPS://EXAMPLE.ORG/a?b=c#d",
                "http://localhost:8000/x",
                "http://[::1]/",
            ),
            *("https://example.org?q=1", "https://example.org/a%20b", "http://127.0.0.1/it's", " https://example.org "),
        ),
        (
            *(
                "example.org",
                "www.example.org",
                "ftp://example.org",
                "https://",
                "https:/example.org",
                "https://exa mple.org",
            ),
            *(
                "https://example.org/a b",
                "javascript:alert(1)",
                "https://-a.org",
                "https://example.org/ä",
                "https://a_b.org",
            ),
            *("https://example.org/%zz", "https://example.org/" + "x" * 2040, "https://example.org:123456/"),
        ),
    ),
    "uri": (
        ("https://example.org/a", "urn:isbn:0451450523", "mailto:a@b.org", "ftp://x", "a+b.c-d:e"),
        ("example.org", ":x", "1a:x", "urn:", "urn:a b", "urn:ä", "urn:%zz", "urn:" + "x" * 2048),
    ),
    "us-state": (
        ("CA", "NY", "DC", "PR", "GU", "VI", "AS", "MP", "AE", "FM", "ca", "Ca", " TX "),
        ("California", "XX", "C", "CAL", "C A", "US", "ＣＡ", "C.A.", "06", "ON", "CANY"),
    ),
    "zip": (
        ("02134", "02134-1234", "021341234", " 90210 "),
        (
            "2134",
            "0213",
            "021345",
            "02134-123",
            "02134 1234",
            "0213O",
            "00000",
            "00000-0000",
            "０2134",
            "K1A 0B1",
            "02134-",
        ),
    ),
    "zip-plus-4": (("02134-1234", "021341234"), ("02134", "2134-1234", "02134-123", "02134--1234", "00000-1234")),
    "count-written": (("12", "1,200", "1.2M", "11-50", " 10,001+ "), ("Nov-50", "12,34", "many", "9" * 25)),
    "money-written": (("3400", "$3,400", "1.2M", "$1M-$10M", "-5.50"), ("much", "1,5", "$")),
    "share-written": (("95", "0.95", "95%", "95 %"), ("x", "1e3", "%")),
    "day-written": (("2026-01-31", "01/31/2026", "31.01.2026", "Jan 31, 2026"), ("2026-02-30", "13/31/2026", "soon")),
    "moment-written": (("2026-01-31", "2026-01-31T10:11:12Z", "01/31/2026 3:04 PM"), ("2026-01-31 25:00", "noon")),
    "flag-written": (("yes", "No", "TRUE", "0", "y"), ("perhaps", "2")),
    "phone-written": (("(212) 555-0123", "+44 20 7946 0958", "212.555.0123 x12"), ("12", "call me")),
    "web-address": (("example.org", "https://www.example.org/a?b=c", "EXAMPLE.ORG"), ("no address", "http://", "a..b")),
    "fits-integer": (("42", "-7", "+5", "9" * 18), ("9" * 19, "1.5", "x")),
    "fits-number": (("42", "-1234.50", ".5", "1."), ("1.5E3", "9" * 19, "0.1234567", "NaN")),
    "key-length": (("A1", "x" * 200), ("x" * 201,)),
    "luhn": (
        ("79927398713", "4111111111111111", "18", "0000", " 79927398713 ", "00079927398713", "9" * 18 + "8", "0" * 19),
        (
            "79927398710",
            "4111111111111112",
            "0",
            "5",
            "4111 1111 1111 1111",
            "x",
            "7992739871３",
            "0" * 20,
            "-18",
            "1.8",
        ),
    ),
    "npi": (
        ("1234567893", "1245319599", " 1234567893 "),
        (
            *(
                "1234567890",
                "1243567893",
                "123456789",
                "12345678930",
                "0234567893",
                "3234567893",
                "123456789３",
                "1234 567893",
            ),
            *("808401234567893", "1.23E+09", "1234567893x", "npi", "1234567893\t"),
        ),
    ),
    "icd-10-cm": (
        ("E11.9", "e119", "A00", "S72.001A", "s72001a", "U07.1", "C4A.9", "Z3A.01", " I10 "),
        (
            "flu",
            "11.9",
            "E1",
            "EE1.9",
            "E11.",
            "E1.19",
            "E11.99999",
            "E11.9.1",
            "250.00",
            "E 11",
            "Ｅ11.9",
            "ı10",
            "E11,9",
        ),
    ),
    "cpt": (
        ("99213", "00100", "0001F", "0042T", "0001U", "0002M", "0042t", " 99213 "),
        ("9921", "992133", "99213-25", "A0428", "99 13", "9921X", "F0001", "100", "９9213"),
    ),
    "hcpcs": (
        ("99213", "A0428", "j1885", "V5299", "0042T", "G0008"),
        ("W1234", "A042", "A04280", "AA428", "A0428-GM", "0428A", "Á0428"),
    ),
    "lost-digits": (("123", "1E5X", "E15", "12-3", "1.5", "1E"), ("1.23E+15", "1E+15", "9.87654e14", "1,23E+15")),
}


def misjudged(slug: str, day: date) -> list[str]:
    """Give the examples that a check takes for what they are not, on a day."""
    good, bad = EXAMPLES[slug]
    days = {"today": day, "tomorrow": day + timedelta(days=1)}
    return [c for c in good if is_bad(slug, c.format(**days))] + [c for c in bad if not is_bad(slug, c.format(**days))]


ALL_ROWS = "(SELECT 'twice' AS c0 FROM range(2) UNION ALL SELECT 'once' UNION ALL SELECT ' ' FROM range(3))"


def is_bad(slug: str, cell: str) -> bool:
    return sql.is_bad(get_check(slug), all_rows=ALL_ROWS, column=cell)


OVER_ROWS = {"contact-key"}  # tests/merging looks at it


@pytest.mark.parametrize("slug", [slug for slug in CHECKS if slug not in OVER_ROWS])
def test_a_check_tells_good_from_bad(slug: str) -> None:
    day = date.today()
    found = misjudged(slug, day)
    if date.today() != day:  # midnight fell between
        found = misjudged(slug, date.today())
    assert found == []


@pytest.mark.parametrize("slug", CHECKS)
def test_a_check_says_what_happened_and_what_to_do(slug: str) -> None:
    check = get_check(slug)
    assert check.slug == slug
    assert check.title[0].islower()
    assert not check.title.endswith(".")
    assert check.help.endswith(".")
    assert not {"!", "invalid", "oops"} & set(f"{check.title} {check.help}".lower().replace("!", " ! ").split())
