"""The first half of a merge: DuckDB reads rows of the columnar copy and makes typed values of their cells, by declaration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rowmill.contracts import Column, Kind, TableSource
from rowmill.errors import ConfigError
from rowmill.merging.target import POLICIES, Plan, Target, TargetField, plan_merge
from rowmill.registry import get_check
from rowmill.tabular.cleaning import CLEANERS, edges, trimmed
from rowmill.tabular.header import fold
from rowmill.tabular.load import BLANK, quote_name, quote_text
from rowmill.tabular.rows import name_columns

ROW = ("row_number", "line_number", "match_key", "adopts")
_EXPRESSIONS = 150
# A JSON object of filled texts that every database takes: no NUL and no half of a character by its number.
_JSON_TEXT = '"(?:[^"\\\\\\x00-\\x1f]|\\\\(?:["\\\\/bfnrt]|u00(?:0[1-9a-f]|1[0-9a-f])))+"'
_OBJECT = f"\\{{{_JSON_TEXT}: ?{_JSON_TEXT}(?:, ?{_JSON_TEXT}: ?{_JSON_TEXT})*\\}}"
_ROW_TYPES = {"row_number": "BIGINT", "line_number": "BIGINT", "adopts": "BOOLEAN"}


@dataclass(frozen=True, slots=True)
class Reader:
    """Writes the SQL that reads a file for a plan. `columns` and `checks` are the kind's, `source` is the file."""

    source: TableSource
    plan: Plan
    columns: Sequence[Column]
    row_checks: Sequence[str]

    @property
    def names(self) -> tuple[str, ...]:
        """Give the columns that `typed` yields."""
        return (*ROW, *self.plan.columns)

    def place(self, kind_column: str) -> str:
        """Give the cell of a kind column, '' where the file has none."""
        place = self.source.mapping.get(kind_column)
        return f"c{place}" if place else "''"

    def key_of(self, index: int) -> str:
        """Give the cleaned cell of a key, '' where it is blank."""
        _, name = self.plan.target.keys[index]
        return f"coalesce({self._clean(name)}, '')"

    def extra_places(self) -> list[int]:
        """Give the positions of the columns that go into `extra`."""
        taken = {*self.source.mapping.values(), *self.plan.ignored}
        return [place for place in range(1, len(self.source.header) + 1) if place not in taken]

    def rows(self, where: str, places: Iterable[int] | None = None) -> str:
        """Write the query for rows as written: row_number, line_number, problem, cN. `places`: only these."""
        wanted = sorted(set(range(1, len(self.source.header) + 1) if places is None else places))
        cells = "".join(f", c{place}" for place in wanted)
        read = f"read_parquet({quote_text(str(self.source.path))})"
        return f"SELECT row_number, line_number, {self._problem()} AS problem{cells} FROM {read} WHERE {where}"

    def edged(self, places: Iterable[int]) -> str:
        """Write the condition for a row of which some cell has a blank at an end."""
        return edges([f"c{place}" for place in places]) if places else "false"

    def trimmed(self, rows: str, places: Iterable[int]) -> str:
        """Write the query that takes blanks off the ends of the cells of rows."""
        if not (wanted := list(places)):
            return rows
        cells = ", ".join(
            f"CASE WHEN edged THEN {trimmed(f'c{place}')} ELSE c{place} END AS c{place}" for place in wanted
        )
        return (
            f"SELECT * EXCLUDE (edged) REPLACE ({cells}) FROM (SELECT *, {self.edged(wanted)} AS edged FROM ({rows}))"
        )

    def needed_places(self) -> list[int]:
        """Give the positions that a merge reads."""
        return [*self.source.mapping.values(), *(self.extra_places() if self._has_extra() else ())]

    def key_places(self) -> list[int]:
        """Give the positions that tell which rows are about the same thing."""
        names = [name for _, name in self.plan.target.keys] + [self.plan.target.newest_by]
        fields = [field for name in names if (field := self.plan.target.find_field(name)) is not None]
        found = [self.source.mapping[field.cell] for field in fields if field.cell in self.source.mapping]
        return found if self.source.checked else sorted({*found, *self.source.mapping.values()})

    def typed(self, rows: str, adopts: str = "true") -> str:
        """Write the query that makes typed columns of trimmed rows: ROW and the plan's columns."""
        columns = ", ".join(f"{self._column(name)} AS {quote_name(name)}" for name in self.plan.columns)
        return (
            f"SELECT row_number, line_number, {self.match_key()} AS match_key, {adopts} AS adopts"
            f"{', ' + columns if columns else ''} FROM ({rows})"
        )

    def match_key(self) -> str:
        """Give what names a row: the first of its keys that is filled."""
        cases = "".join(
            f" WHEN {self.key_of(i)} <> '' THEN '{letter}:' || {self.key_of(i)}"
            for i, (letter, _) in enumerate(self.plan.target.keys)
        )
        return f"CASE{cases} END"

    def newest(self) -> str:
        """Give the date by which the newer row is told, NULL where the file has none."""
        name = self.plan.target.newest_by
        return self._clean(name) if name else "NULL"

    def _clean(self, name: str) -> str:
        """Give the value of a declared field."""
        field = self.plan.target.find_field(name)
        assert field is not None
        return CLEANERS[field.clean].on(self.place(field.cell))

    def _column(self, name: str) -> str:
        """Give the value of any column of the plan."""
        if name == self.plan.target.extra:
            return self._extra()
        for gathered, clean, sources in self.plan.target.gathered:
            if name == gathered:
                return self._gather(clean, sources)
        return self._clean(name)

    def _gather(self, clean: str, sources: Sequence[str]) -> str:
        """Give a JSON object of several fields; the cleaner makes nothing that JSON would have to escape."""
        places = [(name, self.place(name)) for name in sources if name in self.source.mapping]
        cells = ", ".join(place for _, place in places)
        names = ", ".join(quote_text(f'"{name}":"') for name, _ in places)
        # One expression over a list of the cells: a plan for each of them would take longer than a batch's work.
        told = f"list_transform([{cells}], lambda v, i: [{names}][i] || {CLEANERS[clean].on('v')} || '\"')"
        filled = f"list_filter({told}, lambda one: one IS NOT NULL)"
        return f"nullif('{{' || array_to_string({filled}, ',') || '}}', '{{}}')"

    def _has_extra(self) -> bool:
        return self.plan.target.extra in self.plan.columns

    def _extra(self) -> str:
        """Give a JSON object of the filled cells of unknown columns, by header."""
        names = name_columns(self.source.header)
        places = self.extra_places()
        members = [quote_text(_json_text(names[p - 1]) + ":") for p in places]
        if len(places) > _EXPRESSIONS:  # each expression has memory of its own, for 2,048 rows, however few there are
            cells = ", ".join(f"c{p}" for p in places)
            told = f"CASE WHEN v <> '' THEN [{', '.join(members)}][i] || to_json(v)::VARCHAR END"
            filled = f"list_filter(list_transform([{cells}], lambda v, i: {told}), lambda one: one IS NOT NULL)"
            return f"nullif('{{' || array_to_string({filled}, ',') || '}}', '{{}}')"
        parts = ", ".join(
            f"CASE WHEN c{p} <> '' THEN {self._member(p, member)} END"
            for p, member in zip(places, members, strict=True)
        )
        blank = " AND ".join(f"c{p} = ''" for p in places)
        return f"CASE WHEN {blank} THEN NULL ELSE '{{' || concat_ws(',', {parts}) || '}}' END"

    def _member(self, place: int, name: str) -> str:
        """Give a filled cell as a member of the object; a whole object of texts, as an export has it, as its members."""
        plain = f"{name} || to_json(c{place})::VARCHAR"
        if fold(self.source.header[place - 1]) != fold(self.plan.target.extra):
            return plain
        return f"CASE WHEN regexp_full_match(c{place}, '{_OBJECT}') THEN c{place}[2:-2] ELSE {plain} END"

    def _problem(self) -> str:
        """Give the problems of a row as the copy would have them, for a mapping that was changed since."""
        if self.source.checked:
            return "problems"
        found = []
        for column in self.columns:
            if column.name in self.source.mapping:
                cell = f"c{self.source.mapping[column.name]}"
                slugs = [slug for slug in column.checks if slug != "required"]
                found += [
                    self._problem_of(slug, column.name, cell)
                    for slug in (["required"] if column.filled else []) + slugs
                ]
        found += [self._row_problem(slug) for slug in self.row_checks]
        told = ", ".join(one for one in found if one)
        return f"nullif(concat_ws(';', {told}), '')" if told else "NULL::VARCHAR"

    def _problem_of(self, slug: str, name: str, cell: str) -> str:
        """Give one check's word on one column, '' for a check that only warns."""
        check = get_check(slug)
        if check.severity != "error":
            return ""
        condition = check.bad_when
        if slug != "required":  # which alone looks at blank cells
            condition = f"NOT ({BLANK}) AND ({condition})"
        return f"CASE WHEN {condition.replace('{column}', cell)} THEN {quote_text(f'{slug}:{name}')} END"

    def _row_problem(self, slug: str) -> str:
        """Give a row check's word."""
        check = get_check(slug)
        condition = check.bad_when
        for column in self.columns:
            condition = condition.replace("{" + column.name + "}", self.place(column.name))
        return f"CASE WHEN {condition} THEN {quote_text(f'{slug}:')} END" if check.severity == "error" else ""

    def type_of(self, name: str) -> str:
        """Give DuckDB's type of a column that `typed` yields."""
        field = self.plan.target.find_field(name) if name in self.plan.columns else None
        return CLEANERS[field.clean].type if field is not None else _ROW_TYPES.get(name, "VARCHAR")

    def followed(self, field: TargetField) -> bool:
        """Tell whether a field changes with another one that the plan has."""
        return bool(field.follows) and field.follows in self.plan.columns


def make_reader(target: Target, kind: Kind, source: TableSource, options: Mapping[str, Any]) -> Reader:
    """Make the reader of a file for a job's options. Raises: ConfigError for a policy that is not known."""
    policy = str(options.get("duplicates") or "update")
    if policy not in POLICIES:
        raise ConfigError(f"There is no way called {policy!r} to treat what is there already.")
    ignored = frozenset(int(place) for place in options.get("ignored") or ())
    free = set(range(1, len(source.header) + 1)) - set(source.mapping.values()) - ignored
    plan = plan_merge(target, tuple(source.mapping), policy, ignored, bool(free))  # type: ignore[arg-type]
    return Reader(source, plan, kind.columns, kind.checks)


def _json_text(text: str) -> str:
    """Write a JSON text."""
    out = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if ord(c) >= 32 else f"\\u{ord(c):04x}" for c in out) + '"'
