"""Makes contact files of invented people in the layout of an Apollo.io export, and the book of what must come of each row."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, NamedTuple

HEADER = (
    "First Name", "Last Name", "Title", "Company", "Company Name for Emails", "Email", "Email Status",
    "Primary Email Source", "Email Confidence", "Seniority", "Departments", "Contact Owner", "First Phone",
    "Work Direct Phone", "Mobile Phone", "Corporate Phone", "Stage", "Lists", "Last Contacted", "Account Owner",
    "# Employees", "Industry", "Keywords", "Person Linkedin Url", "Website", "Company Linkedin Url", "Facebook Url",
    "Twitter Url", "City", "State", "Country", "Company Address", "Company City", "Company State", "Company Country",
    "Company Phone", "SEO Description", "Technologies", "Annual Revenue", "Total Funding", "Latest Funding",
    "Latest Funding Amount", "Last Raised At", "Email Sent", "Replied", "Apollo Contact Id", "Apollo Account Id",
    "Favourite Colour",
)  # fmt: skip
BAD, DUPLICATE = 2, 3  # of each hundred rows
_FIRST = (
    "Ana",
    "Björn",
    "Chloé",
    "Dmitri",
    "Efua",
    "Fatıma",
    "Grzegorz",
    "Hiroko",
    "Íñigo",
    "Jürgen",
    "Łucja",
    "Mei 梅",
)
_LAST = (
    "Ångström",
    "Brown",
    "Çelik",
    "D'Souza",
    "Evans",
    "Fernández",
    "Gómez",
    "Hoffmann",
    "Ivanova",
    "Jensen",
    "O'Neil",
)
_TITLE = ("Head of Sales", "VP, Marketing", "Software Engineer", 'Chief "Everything" Officer', "Buyer", "Owner")
_COMPANY = ("Acme", "Globex", "Initech", "Umbrella Süd", "Hooli", "Müller & Söhne", "Stark, Inc.", "Wayne")
_CITY = (
    ("Berlin", "Berlin", "Germany"),
    ("Austin", "Texas", "United States"),
    ("São Paulo", "SP", "Brazil"),
    ("東京", "", "Japan"),
)
_INDUSTRY = (
    "information technology & services",
    "hospital & health care",
    "retail",
    "construction",
    "wine and spirits",
)
_WORDS = (
    "cloud",
    "saas",
    "b2b",
    "logistics",
    "retail",
    "payments",
    "e-commerce",
    "analytics",
    "health",
    "food",
    "energy",
)
_STAGE = ("Cold", "Approaching", "Replied", "Interested", "Not Interested", "Do Not Contact")
_RANK = ("Owner", "Founder", "C suite", "VP", "Director", "Manager", "Senior", "Entry")
_FUNDING = ("Seed", "Series A", "Series B", "Venture (Round not Specified)", "")
_ABOUT = (
    "Makes things that people need, in small lots and on time.",
    'We build "better" tools,\nfor teams of any size.',
    "Öffnungszeiten und Preise auf Anfrage; family owned since 1904.",
    "",
)
_SIZES = ("11-50", "51-200", "7", "1,200", "10,001+", "240", "3.5k", "")
_MONEY = ("$1.2M", "3400000", "$3,400", "12.5M", "", "900K", "$1M-$10M", "2.1B")
_COLUMN = {name: place for place, name in enumerate(HEADER)}


class BookRow(NamedTuple):
    """What must come of one row of a file that is imported into an empty table with the policy "update".

    `expect` is inserted, duplicate (of row `of`, which stands for both) or rejected for `reasons` ("check:column").
    """

    row: int
    expect: str
    contact_id: str
    of: int | None = None
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the line of the book."""
        return {k: v for k, v in self._asdict().items() if v not in (None, ())}


def make_contacts(
    rows: int,
    seed: int,
    out: BinaryIO | Path,
    book: BinaryIO | Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Counter[str]:
    """Write a contacts file of so many rows, and beside it the book, in file order.

    Of each full hundred rows 2 break checks and 3 are about a contact of the same hundred. Quoted newlines, Unicode, every
    form of number and date. Gives the rows by what is expected of them. Again: the same rows and seed give the same bytes.
    Cost: about a minute for a million rows; memory does not grow.
    """
    counts: Counter[str] = Counter()
    with _text(out) as table, contextlib.nullcontext() if book is None else _text(book) as pages:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(HEADER)
        encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
        for first in range(1, rows + 1, 100):
            for cells, line in _hundred(Random(f"contacts {seed} {first}"), first, min(rows, first + 99)):
                writer.writerow(cells)
                counts[line.expect] += 1
                if pages is not None:
                    pages.write(encode(line.to_json()) + "\n")
            if on_progress is not None and first % 1000 == 1:
                on_progress(first)
    return counts


def _hundred(dice: Random, first: int, last: int) -> Iterator[tuple[list[str], BookRow]]:
    """Make the rows first..last: which are bad, which come again, and their lines of the book."""
    rows = list(range(first, last + 1))
    special = dice.sample(rows, min(len(rows) // 20 * 5, BAD + 2 * DUPLICATE)) if len(rows) >= 20 else []
    bad, again = set(special[:BAD]), special[BAD:]
    # Of two rows about the same contact the later one stands for both.
    pairs = [sorted(again[i : i + 2]) for i in range(0, len(again) - 1, 2)]
    twin = {pair[0]: pair[1] for pair in pairs}
    kept: dict[int, list[str]] = {}
    for row in rows:
        early = next((e for e, late in pairs if late == row), None)
        cells = _again(dice, kept[early], row) if early is not None else _cells(dice, row)
        kept[row] = cells
        contact_id = cells[_COLUMN["Apollo Contact Id"]]
        if row in bad:
            yield cells, BookRow(row, "rejected", contact_id, None, _spoil(dice, cells, row))
        elif row in twin:
            yield cells, BookRow(row, "duplicate", contact_id, twin[row])
        else:
            yield cells, BookRow(row, "inserted", contact_id)


def _again(dice: Random, cells: list[str], row: int) -> list[str]:
    """Give a contact once more, with another title and a later stage."""
    cells = list(cells)
    cells[_COLUMN["Title"]] = dice.choice(_TITLE)
    cells[_COLUMN["Stage"]] = _STAGE[row % len(_STAGE)]
    return cells


_SPOILED = (
    ("Email", "not-an-address", "email:email"),
    ("# Employees", "Nov-50", "count-written:employees"),
    ("Last Raised At", "2026-13-45", "day-written:last_raised_at"),
    ("Website", "no address at all", "web-address:website"),
    ("Annual Revenue", "much", "money-written:annual_revenue"),
    ("Replied", "perhaps", "flag-written:replied"),
)


def _spoil(dice: Random, cells: list[str], row: int) -> tuple[str, ...]:
    """Break one or two cells of a row. Gives the checks that find it, in the order of the fields."""
    chosen = dice.sample(_SPOILED, 1 + row % 2)
    for name, text, _ in chosen:
        cells[_COLUMN[name]] = text
    return tuple(sorted(reason for _, _, reason in chosen))


def _cells(dice: Random, row: int) -> list[str]:
    """Make one contact."""
    r = dice.random
    first, last = _FIRST[int(r() * len(_FIRST))], _LAST[int(r() * len(_LAST))]
    company = f"{_COMPANY[int(r() * len(_COMPANY))]} {row % 9973}"
    domain = f"company{row % 9973}.example.com"
    city, state, country = _CITY[int(r() * len(_CITY))]
    day = f"{1 + row % 28:02d}"
    words = ", ".join(_WORDS[(row + int(r() * 5)) % len(_WORDS)] for _ in range(1 + row % 6))
    phone = f"+1 {212 + row % 700}-{200 + int(r() * 799)}-{row % 10000:04d}"
    contacted = ("", f"2026-03-{day}", f"2026-03-{day}T0{row % 9}:15:00Z", f"03/{day}/2026", f"Mar {day}, 2026")[
        row % 5
    ]
    return [
        first, last, _TITLE[int(r() * len(_TITLE))], company, company.split()[0], f"person{row}@{domain}",
        ("Verified", "Guessed", "Unavailable")[row % 3], "Apollo", ("0.95", "", "80%")[row % 3],
        _RANK[int(r() * len(_RANK))], ("Sales", "Sales, Marketing", "")[row % 3], f"owner{row % 17}@example.com",
        phone, "" if row % 4 else phone, f"({212 + row % 600}) 555-{row % 10000:04d}" if row % 3 else "",
        "+44 20 7946 " + f"{row % 10000:04d}", _STAGE[int(r() * len(_STAGE))], f"List {row % 40}", contacted,
        f"owner{row % 7}@example.com", _SIZES[int(r() * len(_SIZES))], _INDUSTRY[int(r() * len(_INDUSTRY))], words,
        f"http://www.linkedin.com/in/person-{row}", f"http://www.{domain}" if row % 2 else domain,
        f"http://www.linkedin.com/company/{row % 9973}", f"https://facebook.com/c{row % 9973}",
        f"https://twitter.com/c{row % 9973}" if row % 3 else "", city, state, country,
        f"{row % 300} Main Street, {city}", city, state, country, f"+1 {212 + row % 700}-555-{row % 10000:04d}",
        _ABOUT[int(r() * len(_ABOUT))], "Salesforce, Outlook, Google Analytics" if row % 2 else "",
        _MONEY[int(r() * len(_MONEY))], "" if row % 3 else "4500000", _FUNDING[int(r() * len(_FUNDING))],
        "" if row % 3 else "$1,500,000", f"2024-0{1 + row % 9}-{day}" if row % 3 else "",
        ("True", "False")[row % 2], ("False", "yes", "")[row % 3], f"60f1c2{row:018x}", f"5e0a{row % 9973:020x}",
        ("blue", "", "green, mostly")[row % 3],
    ]  # fmt: skip


@contextlib.contextmanager
def _text(target: BinaryIO | Path) -> Iterator[io.TextIOWrapper]:
    """Write text to a path or to an open binary file, which stays open."""
    with target.open("wb") if isinstance(target, Path) else contextlib.nullcontext(target) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8", newline="", write_through=False)
        try:
            yield text
        finally:
            text.flush()
            text.detach()
