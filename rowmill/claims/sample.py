"""Made-up claims files: invented people, known answers. Same seed, same bytes; no real person, number or provider."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, NamedTuple

from rowmill.claims.book import BookLine, Expected

HEADER = ("claim_number", "first_name", "last_name", "date_of_birth", "subscriber_id", "clinic_note")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _words(
    "Amberly Bexley Corwin Delphine Edmar Fennick Gisela Harlow Ilara Jorvik Kestrel Lumen Maribeth Novalie Osric "
    "Perrin Quillon Rosalba Sorrel Tamsin Ulric Vesper Wrenna Xanthe Yorick Zephra"
)
_LAST = _words(
    "Ashgrove Birchwater Cobblestone Dunmarrow Elderfen Foxglade Greywick Hollowby Inkpen Juniperfield Kettlewise "
    "Larkspur-Moss Millrace O'Thistle Pennyworthy Quaystone Rushbrook Saltmarsh Tanglewood Umberley Vanterpool "
    "Windlestraw Yarrowdale Zellerby"
)
_NOTES = ("", "", "", "", "call back", "sent twice", "second look, see chart", 'asked for "EOB"', "räumt auf", "00017")
# Cells a spreadsheet would take for formulas: they must come back harmless.
_RISKY_NOTES = ("=1+1", "+49 000 0000", "-12", "@clinic", '=HYPERLINK("#x")')

_EPOCH = date(2026, 1, 5)
_BIRTHS = date(1931, 1, 1)


class Person(NamedTuple):
    """An invented member."""

    first: str
    last: str
    born: date
    subscriber: str


class Case(NamedTuple):
    """One row in the making: its cells but for the note, what the payer knows, and what must come of it."""

    cells: tuple[str, str, str, str, str]
    expect: Expected
    answer: dict[str, Any]


# ------------------------------------------------------------------------------------------------ people and claims


def _person(dice: Random, row: int) -> Person:
    first = _FIRST[int(dice.random() * len(_FIRST))]
    last = _LAST[int(dice.random() * len(_LAST))]
    born = _BIRTHS + timedelta(days=int(dice.random() * 32000))
    return Person(first, last, born, f"SIM{int(dice.random() * 10**7):09d}")


def _claim_number(dice: Random, row: int) -> str:
    """Give a number that no other row has; one in five begins with zeros and is digits only."""
    check = int(dice.random() * 1000)
    return f"00{row:07d}{check:03d}" if dice.random() < 0.2 else f"CLM{row:07d}-{check:03d}"


@lru_cache(maxsize=1 << 16)
def _us(day: date) -> str:
    return f"{day.month:02d}/{day.day:02d}/{day.year:04d}"


def _dollars(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _cells(number: str, person: Person, row: int) -> tuple[str, str, str, str, str]:
    born = _us(person.born) if row % 3 == 0 else person.born.isoformat()
    return number, person.first, person.last, born, person.subscriber


class _Money(NamedTuple):
    charged: str
    allowed: str
    paid: str
    patient: str


def _money(dice: Random) -> _Money:
    charged = 4000 + int(dice.random() * 400000)
    allowed = int(charged * (0.4 + dice.random() * 0.5))
    paid = int(allowed * (0.5 + dice.random() * 0.5))
    return _Money(_dollars(charged), _dollars(allowed), _dollars(paid), _dollars(allowed - paid))


def _record(dice: Random, number: str, person: Person, status: str, *parts: str) -> dict[str, Any]:
    """Give a claim in the simulator's short form; a part is "category/status code"."""
    served = _EPOCH - timedelta(days=20 + int(dice.random() * 300))
    split = [[f"{i:02d}", *part.split("/")] for i, part in enumerate(parts, 1)]
    record: dict[str, Any] = {"number": number, "status": status, "parts": split}
    record |= {"first": person.first, "last": person.last, "dob": _us(person.born), "sub": person.subscriber}
    record |= {"received": _us(served + timedelta(days=4)), "from": _us(served), "to": _us(served)}
    record["processed"] = _us(served + timedelta(days=18))
    return record


def _expect(record: dict[str, Any]) -> Expected:
    """Give what the results must show of a claim that is found and is the member's own."""
    processed = record.get("processed") or ""
    month, day, year = processed.split("/") if processed else ("", "", "")
    charged = record.get("charged") or ""
    return Expected(
        status=record["status"],
        patient_name=f"{record['first']} {record['last']}",
        total_charged="" if "X" in charged else charged,
        total_paid=record.get("paid") or "",
        processed_date=f"{year}-{month}-{day}" if processed else "",
    )


# ------------------------------------------------------------------------------------------------ scenarios

Maker = Callable[[Random, int], Case]


def _found(status: str, *parts: str, paid: bool = False, closed: bool = True, masked: bool = False) -> Maker:
    """Make a maker of claims that are found."""

    def make(dice: Random, row: int) -> Case:
        number, person, money = _claim_number(dice, row), _person(dice, row), _money(dice)
        record = _record(dice, number, person, status, *parts)
        record["charged"] = "10XXX.89" if masked else money.charged
        if paid:
            record |= {"allowed": money.allowed, "paid": money.paid, "patient": money.patient, "check": f"SIMCK{row}"}
        elif closed:
            record |= {"allowed": "0.00", "paid": "0.00", "patient": money.charged}
        else:
            record["processed"] = None
        return Case(_cells(number, person, row), _expect(record), {"claims": [record]})

    return make


_paid = _found("Finalized", "F1/65", paid=True)


def _with_twin(dice: Random, row: int) -> Case:
    """The payer tells the same claim twice over."""
    case = _paid(dice, row)
    return case._replace(answer={"claims": case.answer["claims"] * 2})


def _two_members(dice: Random, row: int) -> Case:
    """Two members have a claim of this number; one of them is ours."""
    case = _paid(dice, row)
    other = _record(dice, case.cells[0], _other_person(dice, row, case), "Finalized", "F2/585")
    return case._replace(answer={"claims": [other, *case.answer["claims"]]})


def _recovering(dice: Random, row: int) -> Case:
    """The payer is out of order for two calls, then answers."""
    case = _paid(dice, row)
    return case._replace(answer={**case.answer, "behaviour": "unavailable", "times": 2})


def _out_of_order(dice: Random, row: int) -> Case:
    """The payer never answers for this claim."""
    case = _paid(dice, row)
    behaviour = ("server_error", "html_error", "graphql_errors")[row % 3]
    return case._replace(expect=Expected("failed", "RETRIES_EXHAUSTED"), answer={**case.answer, "behaviour": behaviour})


def _not_found(dice: Random, row: int) -> Case:
    number, person = _claim_number(dice, row), _person(dice, row)
    return Case(_cells(number, person, row), Expected("not_found", "NOT_FOUND"), {"claims": []})


def _other_person(dice: Random, row: int, case: Case) -> Person:
    """Give somebody who differs from the row's member in every respect."""
    other = _person(dice, row)
    last = _LAST[(_LAST.index(case.cells[2]) + 1) % len(_LAST)]
    first = _FIRST[(_FIRST.index(case.cells[1]) + 1) % len(_FIRST)]
    return Person(first, last, date(1930, 2, 3), f"SIM9{other.subscriber[-8:]}")


def _mismatch(dice: Random, row: int) -> Case:
    """The claim is there, but it is somebody else's."""
    case = _paid(dice, row)
    other = _other_person(dice, row, case)
    record = case.answer["claims"][0]
    record |= {"first": other.first, "last": other.last, "dob": _us(other.born), "sub": other.subscriber}
    return case._replace(expect=Expected("rejected", "MEMBER_MISMATCH"))


def _ambiguous(dice: Random, row: int) -> Case:
    """The member has two different claims of this number."""
    case = _paid(dice, row)
    first = case.answer["claims"][0]
    second = {**first, "charged": "77.00", "paid": "11.00", "from": "03/02/2025", "to": "03/02/2025"}
    return case._replace(expect=Expected("rejected", "MULTIPLE_MATCHES"), answer={"claims": [first, second]})


def _bad_date(dice: Random, row: int) -> Case:
    case = _paid(dice, row)
    bad = ("1985-13-07", "02/30/1979", "2091-01-01")[row % 3]
    cells = (*case.cells[:3], bad, case.cells[4])
    return case._replace(cells=cells, expect=Expected("rejected", "INVALID_INPUT"))


def _bad_number(dice: Random, row: int) -> Case:
    case = _paid(dice, row)
    cells = (case.cells[0][:5] + "#" + case.cells[0][5:], *case.cells[1:])
    return case._replace(cells=cells, expect=Expected("rejected", "INVALID_INPUT"), answer={"claims": []})


# Of every hundred rows, in shuffled order: name -> (how many, maker). "repeated" rows come again, cell for cell.
_SCENARIOS: dict[str, tuple[int, Maker]] = {
    "paid": (50, _paid),
    "denied": (11, _found("Finalized", "F2/585")),
    "pending": (8, _found("Pending", "P1/0", closed=False)),
    "in_review": (2, _found("In Review", "P2/0", closed=False)),
    "received": (2, _found("Acknowledged", "A2/20", closed=False)),
    "info_requested": (3, _found("Pending", "P3/21", closed=False)),
    "no_payment": (1, _found("Finalized", "F4/1")),
    "split": (2, _found("Multiple Status", "F1/65", "F2/585", paid=True)),
    "masked_amount": (1, _found("Finalized", "F1/65", paid=True, masked=True)),
    "twin": (1, _with_twin),
    "two_members": (1, _two_members),
    "recovering": (2, _recovering),
    "repeated": (2, _paid),
    "not_found": (6, _not_found),
    "bad_date": (2, _bad_date),
    "bad_number": (1, _bad_number),
    "member_mismatch": (2, _mismatch),
    "multiple_matches": (1, _ambiguous),
    "out_of_order": (2, _out_of_order),
}
_HUNDRED = tuple(name for name, (share, _) in _SCENARIOS.items() for _ in range(share))


def _story(dice: Random) -> Iterator[str]:
    """Give a scenario for row after row, without end: shuffled hundreds, so that the shares are exact."""
    while True:
        hundred = list(_HUNDRED)
        dice.shuffle(hundred)
        yield from hundred


def _note(dice: Random, row: int) -> str:
    if row % 25 == 7:
        return _RISKY_NOTES[(row // 25) % len(_RISKY_NOTES)]
    return _NOTES[int(dice.random() * len(_NOTES))]


def _make_lines(rows: int, seed: int) -> Iterator[tuple[tuple[str, ...], BookLine]]:
    """Give each row's cells with its line of the book."""
    dice = Random(f"claims {seed}")
    repeatable: Case | None = None
    for row, scenario in enumerate(islice(_story(dice), rows), 1):
        case = _SCENARIOS[scenario][1](dice, row)
        if scenario == "repeated" and repeatable is not None:
            case = repeatable
        elif scenario in ("paid", "denied"):
            repeatable = case
        line = BookLine(row, case.cells[0], scenario, case.expect, case.answer)
        yield (*case.cells, _note(dice, row)), line


# ------------------------------------------------------------------------------------------------ files


def make_claims(
    rows: int,
    seed: int,
    out: BinaryIO | Path,
    book: BinaryIO | Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Counter[str]:
    """Write a claims file of so many rows, and beside it the book that tells what every row must come to.

    Shape: CSV, UTF-8, comma, newline, a header; the book is JSON lines, one for each row, in file order (`book.py`).
    Gives the expected rows by outcome; `on_progress` gets the rows made so far, every thousand.
    At 100 rows and more, every outcome and every scenario is there.
    Again: the same rows and seed give the same bytes, with a book or without.
    Cost: about half a minute for a million rows with their book; memory does not grow.
    """
    counts: Counter[str] = Counter()
    with _text(out) as table, contextlib.nullcontext() if book is None else _text(book) as pages:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(HEADER)
        encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
        for cells, line in _make_lines(rows, seed):
            writer.writerow(cells)
            counts[line.expect.outcome] += 1
            if on_progress is not None and line.row % 1000 == 0:
                on_progress(line.row)
            if pages is not None:
                pages.write(encode(line.to_json()) + "\n")
    return counts


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


# ------------------------------------------------------------------------------------------------ who asks


def impossible_tin(seed: int = 1) -> str:
    """Give a tax number that cannot exist: nine digits that begin with 00, a prefix never given out."""
    return f"00{Random(f'tin {seed}').randrange(1, 10**7):07d}"


def impossible_npi(seed: int = 1) -> str:
    """Give ten digits that look like an NPI and fail its check digit, so that no provider can have it.

    Source: the NPI's check digit is Luhn's over 80840 and the first nine digits (CMS, "NPI check digit").
    """
    body = f"1{Random(f'npi {seed}').randrange(10**8):08d}"
    return body + str((luhn_digit("80840" + body) + 1) % 10)


def luhn_digit(digits: str) -> int:
    """Give the check digit that Luhn's rule puts behind these digits."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return -total % 10
