"""The contract of a table: its columns, the checks on them, and the rules that a file is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a kind knows.

    `required`: the header must have it. `filled`: a cell may not be blank (its row is rejected).
    `checks` are slugs of `registry.CHECKS`, each run on this column's non-blank cells.
    `aliases` are other header spellings; case, spaces, dashes and underscores never matter.
    """

    name: str
    label: str = ""
    type: Literal["text", "date", "amount", "integer"] = "text"
    required: bool = False
    filled: bool = False
    aliases: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    help: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A rule over rows: `bad_when` is one DuckDB SQL condition, true for a bad row.

    `{column}` in it is replaced by the quoted name of the column the check is put on, every column is VARCHAR; `{*}`
    by what reads all rows. `help` says in plain words what the person should do. Severity "error" rejects the row.
    `keywords` is the same rule in the words of a Table Schema, where it has some."""

    slug: str
    title: str
    help: str
    bad_when: str
    severity: Severity = "error"
    keywords: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """What a file is held against: columns, every check they name by slug, and the slugs of the checks over the row.

    Without columns the file is judged by itself. `sheet` is the name of the workbook's sheet that is meant; None: the first
    visible one that holds data. `id_column` is the column whose distinct values are gathered along with the rest.
    """

    columns: Sequence[Column] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)
    row_checks: Sequence[str] = ()
    sheet: str | None = None
    id_column: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the rules as plain JSON types: so they are told to the limited child."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rules:
        """Read back what `to_json` gave."""
        columns = (
            Column(**{**c, "aliases": tuple(c["aliases"]), "checks": tuple(c["checks"])}) for c in data["columns"]
        )
        checks = {slug: Check(**check) for slug, check in data["checks"].items()}
        return cls(tuple(columns), checks, tuple(data["row_checks"]), data["sheet"], data.get("id_column", ""))


NO_RULES = Rules()
