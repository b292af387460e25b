"""What a bulk kind declares: the table it merges into, how each of its columns is made of cells, and what names a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from django.apps import apps

if TYPE_CHECKING:
    from django.db.models import Field

    from rowmill.models import Merged

Policy = Literal["update", "blanks", "skip", "newest"]
POLICIES: dict[str, str] = {
    "update": "Filled cells replace what is there; blank cells change nothing.",
    "blanks": "Only what is blank is filled in.",
    "skip": "What is there already stays as it is.",
    "newest": "The newer of the two wins, by the date that the kind names.",
}


@dataclass(frozen=True, slots=True)
class TargetField:
    """One column of the table, made of the kind column `source` by the cleaner `clean`.

    `follows`: it is part of what the column of that name says (the upper end of a range), and changes with it.
    """

    name: str
    clean: str = "text"
    source: str = ""
    follows: str = ""

    @property
    def cell(self) -> str:
        """Give the kind column that it is made of."""
        return self.source or self.name


@dataclass(frozen=True, slots=True)
class Target:
    """The table of a bulk kind. `model_name` is that of a model on the base `Merged`, by name ("Contact", or "app.Model" of
    another Django app) since a kind is read without a database too.

    `keys`: up to two pairs of a letter and a field; the first that a row has filled names the row. Only the first is
    unique: a row that has the second alone belongs to the one thing that has it, if there is just one.
    `gathered`: a JSON column of what a cleaner makes of several fields, by field. `extra`: the JSON column of all else.
    `newest_by`: the field by which the newer one is told.
    """

    model_name: str
    fields: tuple[TargetField, ...]
    keys: tuple[tuple[str, str], ...]
    gathered: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    extra: str = "extra"
    newest_by: str = ""

    @property
    def model(self) -> type[Merged]:
        """Give the model."""
        app, _, name = self.model_name.rpartition(".")
        found: type[Merged] = apps.get_model(app or "rowmill", name)
        return found

    @property
    def table(self) -> str:
        """Give the table's name."""
        return self.model._meta.db_table

    @property
    def policies(self) -> tuple[str, ...]:
        """Name the policies that a job may have: without a field that tells the newer row, "newest" is none."""
        return tuple(slug for slug in POLICIES if slug != "newest" or self.newest_by)

    @property
    def key_cells(self) -> tuple[str, ...]:
        """Name the kind's columns that the keys are made of: a file has one of them, else nobody can tell its rows."""
        made_of = {one.name: one.cell for one in self.fields}
        return tuple(made_of.get(name, name) for _, name in self.keys)

    @property
    def objects(self) -> frozenset[str]:
        """Name the columns whose JSON objects are joined, member by member, instead of replaced."""
        return frozenset({*(name for name, _, _ in self.gathered), self.extra} - {""})

    def find_field(self, name: str) -> TargetField | None:
        """Give the declared field of that name."""
        return next((one for one in self.fields if one.name == name), None)

    def model_field(self, name: str) -> Field[object, object]:
        """Give Django's field of a column."""
        found: Field[object, object] = self.model._meta.get_field(name)  # type: ignore[assignment]
        return found


@dataclass(frozen=True, slots=True)
class Plan:
    """How one file is merged: under which policy, which columns it fills, which positions nobody wants."""

    target: Target
    policy: Policy
    columns: tuple[str, ...]
    ignored: frozenset[int] = frozenset()


def plan_merge(target: Target, mapping: Sequence[str], policy: Policy, ignored: frozenset[int], extra: bool) -> Plan:
    """Say which columns a file with these mapped kind columns fills."""
    mapped = set(mapping)
    columns = [one.name for one in target.fields if one.cell in mapped]
    columns += [name for name, _, sources in target.gathered if mapped & set(sources)]
    if extra and target.extra:
        columns.append(target.extra)
    # Which contact is meant is written down with it, also where the file has but one of the keys.
    return Plan(target, policy, tuple(columns), ignored)
