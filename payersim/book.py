"""The claim book: what to answer for which claim number, read from JSON lines, and the prefixes that need no book.

A line: {"claim_number": "...", "answer": {"claims": [record ...], "behaviour": name, "times": n, "paging": how}}.
Everything in `answer` may be left out; other fields of the line are not looked at.
When two lines have the same claim number the last one counts.
"""

from __future__ import annotations

import json
import mmap
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from payersim.records import Record

Paging = Literal["", "empty_last", "no_token", "loop"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a claim number gets: the claims found, and how the first `times` calls (None: all of them) misbehave.

    `paging`: "empty_last" puts an empty page last, "no_token" says there is more but not where, "loop" never ends.
    """

    claims: tuple[Record, ...] = ()
    behaviour: str = ""
    times: int | None = None
    paging: Paging = ""
    page_size: int | None = None


def entry_from(answer: Mapping[str, Any]) -> Entry:
    """Read the `answer` of a line."""
    return Entry(
        claims=tuple(answer.get("claims", ())),
        behaviour=answer.get("behaviour", ""),
        times=answer.get("times"),
        paging=answer.get("paging", ""),
        page_size=answer.get("page_size"),
    )


def same_number(text: str) -> str:
    """Give the form in which claim numbers are compared."""
    return text.strip().upper()


class Book:
    """A book on disk with an index in memory.

    Cost: about 200 bytes of memory a claim; a look-up reads one line.
    """

    def __init__(self, source: IO[bytes] | None = None) -> None:
        self._offsets: dict[str, int] = {}
        self._members: dict[tuple[str, str], list[int]] | None = None
        self._bytes: mmap.mmap | bytes = b""
        if source is None:
            return
        offset = 0
        for line in source:
            if line.strip():
                self._offsets[same_number(json.loads(line)["claim_number"])] = offset
            offset += len(line)
        if offset:
            self._bytes = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)

    @classmethod
    def from_path(cls, path: Path) -> Book:
        """Open a book. Raises: OSError; ValueError or KeyError when a line is not a book's line."""
        with path.open("rb") as source:
            return cls(source)

    @classmethod
    def from_bytes(cls, data: bytes) -> Book:
        """Take a book that came over the wire."""
        with tempfile.TemporaryFile() as spool:
            spool.write(data)
            spool.flush()
            spool.seek(0)
            return cls(spool)

    def __len__(self) -> int:
        return len(self._offsets)

    def get(self, claim_number: str) -> Entry | None:
        """Give the entry of a claim number, None where the book has none."""
        offset = self._offsets.get(same_number(claim_number))
        return None if offset is None else self._read(offset)

    def _read(self, offset: int) -> Entry:
        end = self._bytes.find(b"\n", offset)
        line = self._bytes[offset : end if end >= 0 else len(self._bytes)]
        return entry_from(json.loads(line).get("answer", {}))

    def of_member(self, key: str, value: str) -> Iterator[Record]:
        """Give the claims whose member has this "sub" or this "name" (LAST|FIRST) or "born" (LAST|DOB)."""
        if self._members is None:
            self._members = {}
            for offset in self._offsets.values():
                for record in self._read(offset).claims:
                    for pair in member_keys(record):
                        self._members.setdefault(pair, []).append(offset)
        seen: set[int] = set()
        for offset in self._members.get((key, value.upper()), ()):
            if offset not in seen:
                seen.add(offset)
                yield from (r for r in self._read(offset).claims if (key, value.upper()) in member_keys(r))


def member_keys(record: Record) -> list[tuple[str, str]]:
    """Give the keys under which a claim is found by its member."""
    last, first = str(record.get("last", "")).upper(), str(record.get("first", "")).upper()
    return [
        ("sub", str(record.get("sub", "")).upper()),
        ("name", f"{last}|{first}"),
        ("born", f"{last}|{record.get('dob', '')}"),
    ]


# ------------------------------------------------------------------------------------------------ prefixes

# The person whose claims the prefixes tell of: SIMID tells of somebody else.
STANDARD_MEMBER = {"first": "JORDAN", "last": "SAMPLE", "dob": "01/15/1980", "sub": "SIM000123456"}
OTHER_MEMBER = {"first": "ROBIN", "last": "ELSEWHERE", "dob": "07/04/1971", "sub": "SIM000987654"}


def standard_claim(number: str, status: str, *parts: tuple[str, str, str], **changes: Any) -> Record:
    """Give a claim of the standard member."""
    base: dict[str, Any] = {"number": number, "status": status, "parts": [list(p) for p in parts], **STANDARD_MEMBER}
    dates = {"received": "02/03/2026", "processed": "02/17/2026", "from": "01/20/2026", "to": "01/20/2026"}
    return {**base, **dates, "charged": "250.00", **changes}


def paid_claim(number: str, **changes: Any) -> Record:
    """Give a paid claim of the standard member."""
    amounts = {"allowed": "180.00", "paid": "150.00", "patient": "30.00", "check": f"CK{number}"}
    return standard_claim(number, "Finalized", ("01", "F1", "65"), **{**amounts, **changes})


_STATUS: dict[str, tuple[str, tuple[str, str, str], dict[str, Any]]] = {
    "SIMDN": ("Finalized", ("01", "F2", "585"), {"allowed": "0.00", "paid": "0.00", "patient": "250.00"}),
    "SIMPN": ("Pending", ("01", "P1", "0"), {"processed": None}),
    "SIMPI": ("Pending", ("01", "P3", "21"), {"processed": None}),
}
_BEHAVIOUR: dict[str, tuple[str, int | None]] = {
    "SIM29": ("rate_limited", 1),
    "SIM50": ("unavailable", 2),
    "SIM51": ("server_error", 1),
    "SIM5H": ("html_error", 2),
    "SIM54": ("gateway_timeout", 1),
    "SIM41": ("unauthorized", 1),
    "SIM43": ("forbidden", None),
    "SIM40": ("invalid_request", None),
    "SIMTO": ("hang", None),
    "SIMFX": ("server_error", None),
    "SIMGE": ("graphql_errors", None),
    "SIMGN": ("graphql_not_found", None),
    "SIMBJ": ("bad_json", None),
    "SIMB1": ("bad_json", 1),
    "SIMEB": ("empty_body", None),
    "SIMMD": ("missing_data", None),
    "SIMRS": ("reset", 1),
    "SIMCU": ("cut", 1),
    "SIMDP": ("drip", None),
}


def entry_by_prefix(number: str) -> Entry | None:
    """Give what a claim number that begins with one of the prefixes gets, None for any other number."""
    prefix, paid = number[:5], paid_claim(number)
    if prefix in _BEHAVIOUR:
        behaviour, times = _BEHAVIOUR[prefix]
        return Entry((paid,), behaviour, times)
    if prefix in _STATUS:
        status, part, changes = _STATUS[prefix]
        return Entry((standard_claim(number, status, part, **changes),))
    return _found_by_prefix(prefix, number, paid)


def _found_by_prefix(prefix: str, number: str, paid: Record) -> Entry | None:
    """Give the prefixes about what is found, and how it is told."""
    second = {**paid, "from": "01/27/2026", "to": "01/27/2026", "charged": "410.00"}
    split = standard_claim(number, "Multiple Status", ("01", "F1", "65"), ("02", "F2", "585"), paid="80.00")
    nulls = {**dict.fromkeys(paid), "number": number, "status": "Finalized", "parts": [["01", "F1", "65"]]}
    entries = {
        "SIMPD": Entry((paid,)),
        "SIMNF": Entry(),
        "SIMDR": Entry((paid_claim(number, **{"from": "03/01/2024", "to": "03/01/2024"}),)),
        "SIMMM": Entry((paid, second)),
        "SIMDU": Entry((paid, paid)),
        "SIM2M": Entry((paid, {**second, **OTHER_MEMBER})),
        "SIMID": Entry(({**paid, **OTHER_MEMBER},)),
        "SIMSP": Entry((split,)),
        "SIMMX": Entry(({**paid, "charged": "10XXX.89"},)),
        "SIMNL": Entry(({**nulls, **STANDARD_MEMBER},)),
        "SIMPG": Entry((paid,), paging="empty_last", page_size=1),
        "SIMP3": Entry((paid, paid, paid), page_size=1),
        "SIMHM": Entry((paid,), paging="no_token"),
        "SIMLP": Entry((paid,), paging="loop"),
        "SIMUC": Entry(({**paid, "first": "jordan", "last": "SaMPLE"},)),
    }
    return entries.get(prefix)


_MIX: tuple[tuple[float, str], ...] = (
    (0.70, "SIMPD"),
    (0.82, "SIMDN"),
    (0.92, "SIMPN"),
    (0.95, "SIMPI"),
    (0.99, "SIMNF"),
)


def entry_by_mix(number: str, draw: float) -> Entry:
    """Give what an unknown number gets when unknown numbers are answered by the usual mix of statuses."""
    prefix = next((prefix for share, prefix in _MIX if draw < share), "SIMSP")
    given = entry_by_prefix(prefix + number) or Entry()
    return Entry(tuple({**record, "number": number} for record in given.claims))
