"""The merge in plain Python, one row at a time: shares nothing with the SQL but the rules it has to follow."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

BLANKS: dict[str, Any] = {
    "contact_id": "", "email": "", "first_name": "", "employees": None, "employees_most": None, "keywords": [],
    "phone_numbers": {}, "mobile_phone": "", "extra": {}, "last_contacted": None,
}  # fmt: skip
Row = dict[str, Any]


@dataclass
class Model:
    """The org's contacts, and what became of the rows of each import."""

    contacts: list[Row] = field(default_factory=list)

    def merge(self, rows: list[Row], policy: str, batch_rows: int) -> dict[str, int]:
        """Merge a file of sound rows. Gives the counts."""
        counts = dict.fromkeys(("inserted", "updated", "unchanged", "duplicates", "rejected"), 0)
        groups, ambiguous, shared = group(rows)
        counts["rejected"] += len(ambiguous)
        standing: dict[int, tuple[str, Row, bool]] = {}
        for key, members in groups.items():
            winner, row = stand_for(members, rows, policy)
            if key.startswith("i:"):
                row["contact_id"] = key[2:]
            standing[winner] = key, row, any(n in shared for n in members)
            counts["duplicates"] += len(members) - 1
            counts["unchanged"] += len(members) - 1
        for first in range(0, len(rows), batch_rows):
            batch = [(n, *standing[n]) for n in range(first, first + batch_rows) if n in standing]
            self._merge_batch(batch, policy, counts)
        return counts

    def _merge_batch(self, batch: list[tuple[int, str, Row, bool]], policy: str, counts: dict[str, int]) -> None:
        early: list[tuple[Row | None, Row]] = []
        late: list[tuple[Row | None, Row]] = []
        for _, key, row, shared in batch:
            same_mail = [c for c in self.contacts if c["email"] == row["email"] != ""]
            if key.startswith("i:"):
                found = [c for c in self.contacts if c["contact_id"] == key[2:]]
                if not found and not shared:
                    found = [c for c in same_mail if c["contact_id"] == ""]
                early.append((found[0] if found else None, row))
                continue
            without = [c for c in same_mail if c["contact_id"] == ""]
            if len(same_mail) > 1 and not without:
                counts["rejected"] += 1
            else:
                meant = same_mail[0] if len(same_mail) == 1 else without[0] if without else None
                late.append((meant, row))
        for target, row in early + late:
            counts[self._apply(target, row, policy)] += 1

    def _apply(self, target: Row | None, row: Row, policy: str) -> str:
        if target is None:
            self.contacts.append(dict(row))
            return "inserted"
        before = dict(target)
        if policy == "update" or (policy == "newest" and is_newer(row, target)):
            overlay(target, row)
        elif policy == "blanks":
            overlay(target, before, base=row)
        return "updated" if target != before else "unchanged"


def is_newer(row: Row, target: Row) -> bool:
    if target["last_contacted"] is None:
        return True
    return row["last_contacted"] is not None and row["last_contacted"] >= target["last_contacted"]


def overlay(target: Row, over: Row, base: Row | None = None) -> None:
    """Write over what `over` has filled in; with a `base`, that is what lies below it."""
    below = dict(target if base is None else base)
    for name, blank in BLANKS.items():
        if isinstance(blank, dict):
            target[name] = {**below[name], **over[name]}
        elif name == "employees_most":
            target[name] = over[name] if over["employees"] is not None else below[name]
        else:
            target[name] = over[name] if over[name] != blank else below[name]


def group(rows: list[Row]) -> tuple[dict[str, list[int]], set[int], set[int]]:
    """Say which rows are about the same one. Shape: (key -> their places, ambiguous rows, rows that share an address)."""
    ids: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["contact_id"] and row["email"]:
            ids[row["email"]].add(row["contact_id"])
    groups: dict[str, list[int]] = defaultdict(list)
    ambiguous, shared = set(), set()
    for n, row in enumerate(rows):
        of_mail = ids[row["email"]] if row["email"] else set()
        if row["contact_id"]:
            groups["i:" + row["contact_id"]].append(n)
            if len(of_mail) > 1:
                shared.add(n)
        elif len(of_mail) > 1:
            ambiguous.add(n)
        else:
            groups["i:" + next(iter(of_mail)) if of_mail else "m:" + row["email"]].append(n)
    return groups, ambiguous, shared


def stand_for(members: list[int], rows: list[Row], policy: str) -> tuple[int, Row]:
    """Give the row that stands for several, and its place."""
    if policy == "skip":
        return members[0], dict(rows[members[0]])
    if policy == "newest":
        winner = max(members, key=lambda n: (rows[n]["last_contacted"] is not None, rows[n]["last_contacted"], n))
        return winner, dict(rows[winner])
    joined = dict(rows[members[0]])
    for n in members[1:]:
        if policy == "update":
            overlay(joined, rows[n])
        else:
            overlay(joined, dict(joined), base=rows[n])
    return (members[-1] if policy == "update" else members[0]), joined
