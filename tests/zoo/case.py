"""A file with what has to be said of it, and the table of patients that most of these files are made of."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

Rows = list[list[str]]

GIVEN = ("Ann", "Bob", "Carla", "Dmitri", "Eve", "Omar", "Wu", "Jo", "Renée", "Zoë", "José", "Søren")
FAMILY = ("Smith", "Jones", "Okafor", "Novak", "Lee", "Brown", "Müller", "Núñez", "Ångström", "Grün")
ASCII_ONLY = 8


class Case(NamedTuple):
    """A file and what has to be said of it. `told`: "" nothing, "warning", "error", or "any" of the two."""

    name: str
    data: bytes
    told: str
    codes: frozenset[str]  # one of these has to be told; empty: any code
    line: int  # at a line from here ...
    last: int  # ... to here; 0: no matter where
    table: Rows | None  # what has to come out where it is taken; None: not looked at

    def judge(self, verdict: str, found: list[tuple[str, str, int | None]], table: Rows) -> str:
        """Say what is wrong with an answer: "silent", "false alarm", "line", "code", "cells", or "" for nothing."""
        if self.told == "":
            if found or verdict != "sound":
                return "false alarm"
            return "cells" if self.table is not None and table != self.table else ""
        if self.told == "known or told":
            return "" if found or table == self.table else "silent"
        if verdict == "sound" and not found:
            return "silent"
        if self.told == "warning" and verdict != "sound":
            return "false alarm"
        if self.told == "error" and verdict == "sound":
            return "silent"
        first = [f for f in found if f[0] == "error"] if verdict != "sound" else found
        fit = [f for f in first if not self.codes or f[1] in self.codes]
        if not fit:
            return "code"
        if self.last and not any(line is not None and self.line <= line <= self.last for _, _, line in fit):
            return "line"
        if verdict == "sound" and self.table is not None and table != self.table:
            return "cells"
        return ""


def sound(name: str, data: bytes, table: Rows) -> Case:
    return Case(name, data, "", frozenset(), 0, 0, table)


def warned(name: str, data: bytes, line: int, table: Rows | None, *codes: str, last: int = 0) -> Case:
    return Case(name, data, "warning", frozenset(codes), line, last or line, table)


def refused(name: str, data: bytes, line: int, *codes: str, last: int = 0) -> Case:
    return Case(name, data, "error", frozenset(codes), line, (last or line) if line else 0, None)


def told(name: str, data: bytes, line: int, *, last: int = 0) -> Case:
    """Give a case that has to be told, be it refused or taken with a warning."""
    return Case(name, data, "any", frozenset(), line, (last or line) if line else 0, None)


def draw(rng: random.Random, *, ascii_only: bool = False, rows: int = 0) -> Rows:
    """Draw a table of patients with one column of each everyday kind."""
    n = rows or rng.choice((5, 12, 30, 80))
    given, family = (GIVEN[:ASCII_ONLY], FAMILY[:6]) if ascii_only else (GIVEN, FAMILY)
    makers: dict[str, Callable[[int], str]] = {
        "patient_id": lambda i: f"P{i:06}",
        "name": lambda i: f"{rng.choice(given)} {rng.choice(family)}",
        "visited": lambda i: f"20{rng.randrange(10, 25)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
        "amount": lambda i: f"{rng.randrange(100, 99999) / 100:.2f}",
        "age": lambda i: str(rng.randrange(0, 99)),
        "icd10": lambda i: f"{rng.choice('AEIJM')}{rng.randrange(10, 99)}.{rng.randrange(10)}",
        "note": lambda i: rng.choice(("stable", "", "see chart", "follow up", "left arm, twice", 'says "fine"')),
    }
    names = list(makers)[: rng.choice((4, 5, 6, 7))]
    return [names, *([makers[k](i) for k in names] for i in range(1, n + 1))]


def q(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def number(cell: str) -> bool:
    return cell.replace(".", "", 1).replace(",", "", 1).isdigit()


def minimal(delimiter: str = ",", also: str = "") -> Callable[[str], str]:
    return lambda c: q(c) if any(s in c for s in (delimiter, '"', "\n", "\r", *also)) else c


def text_quoted(cell: str) -> str:
    return cell if number(cell) else q(cell)


def write(table: Rows, delimiter: str = ",", newline: str = "\n", field: Callable[[str], str] | None = None) -> str:
    field = field or minimal(delimiter)
    return "".join(delimiter.join(map(field, row)) + newline for row in table)


def bare(table: Rows, delimiter: str) -> Rows:
    """Take away what a writer without quotes could not write."""
    return [[c.replace('"', "").replace(delimiter, " ") for c in row] for row in table]
