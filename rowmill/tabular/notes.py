"""What is found while a file is read: each place once, capped per code, worded for people, never with a cell's value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rowmill.contracts import Finding
from rowmill.tabular.wording import WORDING

SHOWN_PER_CODE = 100


class Notes:
    """Collects findings in the order they are met.

    The first hundred places of a code and column stand for themselves; the last of them carries the rest in its
    `count`, so the counts of a code add up to all its places.
    """

    def __init__(self, names: tuple[str, ...] = (), unit: str = "Line") -> None:
        self.names = names
        self.unit = unit
        self._found: list[Finding] = []
        self._more: dict[int, int] = {}
        self._places: dict[tuple[str, int | None], list[int]] = {}
        self.last: tuple[str, int | None, int | None] = "", None, None  # code, column, byte

    def add(
        self,
        code: str,
        *,
        line: int | None = None,
        row: int | None = None,
        column: int | None = None,
        byte: int | None = None,
        **words: object,
    ) -> None:
        """Note one place. `words` fill the wording of the code: numbers and header names, never a cell."""
        self.last = code, column, byte
        places = self._places.setdefault((code, column), [])
        if len(places) == SHOWN_PER_CODE:
            self._more[places[-1]] = self._more.get(places[-1], 0) + 1
            return
        places.append(len(self._found))
        wording = WORDING[code]
        name = self.name(column)
        message = wording.message.format(place=self.place(line, column, name), **words)
        self._found.append(
            Finding(code, wording.severity, message, line, row, column, name, byte, wording.mend.format(**words))
        )

    def add_places(self, code: str, lines: list[int], count: int, column: int | None = None) -> None:
        """Note the first places of a code, of which there are `count` in all."""
        for line in lines:
            self.add(code, line=line, column=column)
        places = self._places[code, column]
        if count > len(lines):
            self._more[places[-1]] = self._more.get(places[-1], 0) + count - len(lines)

    def room(self, code: str, column: int | None) -> int:
        """Give how many more places of a code and column are told one by one."""
        return SHOWN_PER_CODE - len(self._places.get((code, column), ()))

    def add_more(self, code: str, column: int | None, count: int) -> None:
        """Count places beyond those told one by one."""
        if count:
            last = self._places[code, column][-1]
            self._more[last] = self._more.get(last, 0) + count

    def add_finding(self, finding: Finding) -> None:
        """Take over a finding made elsewhere."""
        self._found.append(finding)

    def name(self, column: int | None) -> str | None:
        """Give the name of a column, None where it has none."""
        if column is None or not 0 < column <= len(self.names):
            return None
        return self.names[column - 1] or None

    def place(self, line: int | None, column: int | None, name: str | None) -> str:
        """Say where: "Line 812, column first_name", "Sheet row 812, column 4", "The file"."""
        where = f"{self.unit} {line:,}" if line else "The file"
        if column:
            where += f", column {name}" if name else f", column {column}"
        return where

    @property
    def has_errors(self) -> bool:
        """Tell whether anything found makes the file unsound."""
        return any(f.severity == "error" for f in self._found)

    def findings(self) -> tuple[Finding, ...]:
        """Give the findings, errors first, each kind in the order of the file."""
        found = [replace(f, count=f.count + self._more.get(i, 0)) for i, f in enumerate(self._found)]
        return sort_findings(found)


def sort_findings(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put errors first, each kind in the order of the file."""
    return tuple(sorted(found, key=lambda f: (f.severity != "error", f.line or 0, f.byte or 0)))
