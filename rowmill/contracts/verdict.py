"""The shapes of a verdict: what is found in a file, what caused it, how its lines add up, and the whole inspection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from rowmill.contracts.tables import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a check, or a defect of the file. Never holds a cell's value.

    Units: `line` physical, 1-based, the header is line 1; `row` data row, 1-based; `column` 1-based; `byte` 0-based.
    `count` is how many places share this code and column; the place told is the first of them.
    """

    code: str
    severity: Severity
    message: str
    line: int | None = None
    row: int | None = None
    column: int | None = None
    column_name: str | None = None
    byte: int | None = None
    mend: str = ""
    count: int = 1


_FINDING = tuple(one.name for one in fields(Finding))


@dataclass(frozen=True, slots=True)
class Cause:
    """One root cause behind many findings, in one sentence without a cell's value.

    `count` places come from it. `mend` names what would clear `clears` of them without guessing (tabular.mends.MENDS);
    "" where a person has to mend the file. `about`: these numbers are reckoned from a sample of the places; else they
    were counted. The place is the first one, in the units of a finding.
    """

    code: str
    severity: Severity
    message: str
    count: int
    mend: str = ""
    clears: int = 0
    line: int | None = None
    row: int | None = None
    column: int | None = None
    column_name: str | None = None
    byte: int | None = None
    about: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the file is written: detected on a sample, then pinned.

    `newline` is "\\n", "\\r\\n", "\\r" or "mixed". `quote` is "" where no quoting is in use.
    """

    encoding: str
    bom: bool
    delimiter: str
    quote: str
    newline: str


@dataclass(frozen=True, slots=True)
class Balance:
    """The account of a file's lines: `lines` = header + rows + blank + continuation + preamble_footer + broken.

    Units: physical lines; `rows` counts the first line of each data row, `continuation` its further lines.
    """

    lines: int = 0
    header: int = 0
    rows: int = 0
    blank: int = 0
    continuation: int = 0
    preamble_footer: int = 0
    broken: int = 0

    @property
    def balances(self) -> bool:
        """Tell whether the parts add up to the whole."""
        return self.lines == (
            self.header + self.rows + self.blank + self.continuation + self.preamble_footer + self.broken
        )


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the fast path says of a file.

    `header` are the header cells as written; `mapping` is kind column -> 1-based position in the file.
    `rejected_rows` counts rows with at least one bad cell of severity error. `sheet` is the name of a workbook's sheet
    that was read; its `dialect` is None, and a line is a row of that sheet. `causes` sum the findings up. `damage` is
    the map of the file in equal stretches of bytes, one letter each: "." sound, "w" a warning, "e" an error, "E" mostly errors.
    `places` has for each of its stretches that is not sound (stretch, line, byte or None) of the first trouble in it;
    `marks` are (line, the byte it begins at) here and there, so that a line of a large file is found without counting.
    `distinct_ids` counts the IDs where the rules name a column of IDs and the rows could be read, blank ones left out.
    """

    verdict: Literal["sound", "unsound"]
    dialect: Dialect | None
    balance: Balance
    header: tuple[str, ...] = ()
    mapping: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    row_count: int = 0
    rejected_rows: int = 0
    size_bytes: int = 0
    sha256: str = ""
    seconds: float = 0.0
    sheet: str = ""
    causes: tuple[Cause, ...] = ()
    damage: str = ""
    places: tuple[tuple[int, int, int | None], ...] = ()
    marks: tuple[tuple[int, int], ...] = ()
    distinct_ids: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the inspection as plain JSON types."""
        data = asdict(replace(self, findings=()))
        data["findings"] = tuple({name: getattr(one, name) for name in _FINDING} for one in self.findings)
        data["balance"]["balances"] = self.balance.balances
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Inspection:
        """Read back what `to_json` gave."""
        values = dict(data)
        balance = {k: v for k, v in values["balance"].items() if k != "balances"}
        values["balance"] = Balance(**balance)
        values["dialect"] = Dialect(**values["dialect"]) if values["dialect"] else None
        values["findings"] = tuple(Finding(**f) for f in values["findings"])
        values["causes"] = tuple(Cause(**c) for c in values.get("causes", ()))
        values["header"] = tuple(values["header"])
        for name in ("places", "marks"):
            values[name] = tuple(tuple(one) for one in values.get(name, ()))
        return cls(**values)
