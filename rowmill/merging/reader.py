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

_LONG = 200  # letters of SQL
ROW = ("row_number", "line_number", "match_key", "adopts")
_EXPRESSIONS, _AT_ONCE = 150, 300  # unknown columns
_GATHERED = "gathered"
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

    def rows(self, where: str, places: Iterable[int]) -> str:
        """Write the query for rows as written: row_number, line_number, problem, and the cells cN of these places."""
        cells = "".join(f", c{place}" for place in sorted(set(places)))
        return f"SELECT row_number, line_number, {self._problem()} AS problem{cells} FROM {self._file()} WHERE {where}"

    def merged_rows(self, where: str, gathered_where: str = "") -> str:
        """Write the query for rows as written with all that a merge reads; of a wide file unknown columns are gathered.

        Some of them at a time: DuckDB takes memory for each column of a query, however few the rows. `gathered_where`: only
        of these rows, where those of `where` are joined to them later.
        """
        rows = self.rows(where, self.needed_places())
        if not self._is_wide:
            return rows
        places = self.extra_places()
        some = [places[start : start + _AT_ONCE] for start in range(0, len(places), _AT_ONCE)]
        joined = "".join(
            f" LEFT JOIN (SELECT row_number, {self._members(one)} AS g{n} FROM {self._file()} WHERE {gathered_where or where}) "
            "USING (row_number)"
            for n, one in enumerate(some)
        )
        told = ", ".join(f"g{n}" for n in range(len(some)))
        return f"SELECT * EXCLUDE ({told}), nullif(concat_ws(',', {told}), '') AS {_GATHERED} FROM ({rows}){joined}"

    def _file(self) -> str:
        return f"read_parquet({quote_text(str(self.source.path))})"

    def edged(self, places: Iterable[int]) -> str:
        """Write the condition for a row of which some cell has a blank at an end."""
        return edges([f"c{place}" for place in places]) if places else "false"

    def trimmed(self, rows: str, places: Iterable[int]) -> str:
        """Write the query that takes blanks off the ends of the cells of rows."""
        wanted = list(places)
        return self.cut(f"SELECT *, {self.edged(wanted)} AS edged FROM ({rows})", wanted)

    def cut(self, rows: str, places: Iterable[int]) -> str:
        """Write the query that takes blanks off the ends of the cells of those rows of which `edged` says so."""
        cells = ", ".join(
            f"CASE WHEN edged THEN {trimmed(f'c{place}')} ELSE c{place} END AS c{place}" for place in places
        )
        return f"SELECT * EXCLUDE (edged) {f'REPLACE ({cells}) ' if cells else ''}FROM ({rows})"

    def needed_places(self) -> list[int]:
        """Give the positions that a merge reads."""
        gathered = self._is_wide or not self._has_extra()
        return [*self.source.mapping.values(), *(() if gathered else self.extra_places())]

    def key_places(self) -> list[int]:
        """Give the positions that tell which rows are about the same thing."""
        names = [name for _, name in self.plan.target.keys] + [self.plan.target.newest_by]
        fields = [field for name in names if (field := self.plan.target.find_field(name)) is not None]
        found = [self.source.mapping[field.cell] for field in fields if field.cell in self.source.mapping]
        return found if self.source.checked else sorted({*found, *self.source.mapping.values()})

    def typed(self, rows: str, adopts: str = "true") -> str:
        """Write the query that makes typed columns of trimmed rows: ROW and the plan's columns."""
        together = self._together()
        columns = ", ".join(f"{self._column(name, together)} AS {quote_name(name)}" for name in self.plan.columns)
        lists = "".join(
            f", list_transform([{', '.join(self.place(one.cell) for one in fields)}], "
            f"lambda v: {CLEANERS[slug].on('v')}) AS {quote_name(slug)}"
            for slug, fields in together.items()
        )
        return (
            f"SELECT row_number, line_number, {self.match_key()} AS match_key, {adopts} AS adopts"
            f"{', ' + columns if columns else ''} FROM (SELECT *{lists} FROM ({rows}))"
        )

    def _together(self) -> dict[str, list[TargetField]]:
        """Give the fields that one long expression cleans: over a list of their cells it is planned once, not for each."""
        found: dict[str, list[TargetField]] = {}
        for field in self.plan.target.fields:
            cleaner = CLEANERS[field.clean]
            if field.name in self.plan.columns and len(cleaner.sql) > _LONG:
                found.setdefault(cleaner.made_by or cleaner.slug, []).append(field)
        return {slug: fields for slug, fields in found.items() if len(fields) > 1}

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

    def _column(self, name: str, together: Mapping[str, Sequence[TargetField]]) -> str:
        """Give the value of any column of the plan."""
        for slug, fields in together.items():
            for index, field in enumerate(fields, 1):
                if field.name == name:
                    return f"{quote_name(slug)}[{index}]::{CLEANERS[field.clean].type}"
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

    @property
    def _is_wide(self) -> bool:
        """Tell whether there are too many unknown columns for an expression each."""
        return self._has_extra() and len(self.extra_places()) > _EXPRESSIONS

    def _members(self, places: Sequence[int]) -> str:
        """Give the filled cells of some unknown columns as members of a JSON object, NULL for none.

        One expression over a list of them: each has memory of its own, for 2,048 rows.
        """
        names = name_columns(self.source.header)
        plain = f"[{', '.join(quote_text(_json_text(names[p - 1]) + ':') for p in places)}][i] || to_json(v)::VARCHAR"
        if opened := [str(n) for n, p in enumerate(places, 1) if self._may_be_object(p)]:
            is_object = f"i IN ({', '.join(opened)}) AND regexp_full_match(v, '{_OBJECT}')"
            plain = f"CASE WHEN {is_object} THEN v[2:-2] ELSE {plain} END"
        cells = f"list_transform([{', '.join(f'c{p}' for p in places)}], lambda v: {trimmed('v')})"
        told = f"list_transform({cells}, lambda v, i: CASE WHEN v <> '' THEN {plain} END)"
        return f"nullif(array_to_string(list_filter({told}, lambda one: one IS NOT NULL), ','), '')"

    def _extra(self) -> str:
        """Give a JSON object of the filled cells of unknown columns, by header."""
        if self._is_wide:
            return f"'{{' || {_GATHERED} || '}}'"
        names = name_columns(self.source.header)
        places = self.extra_places()
        members = [quote_text(_json_text(names[p - 1]) + ":") for p in places]
        parts = ", ".join(
            f"CASE WHEN c{p} <> '' THEN {self._member(p, member)} END"
            for p, member in zip(places, members, strict=True)
        )
        blank = " AND ".join(f"c{p} = ''" for p in places)
        return f"CASE WHEN {blank} THEN NULL ELSE '{{' || concat_ws(',', {parts}) || '}}' END"

    def _member(self, place: int, name: str) -> str:
        """Give a filled cell as a member of the object; a whole object of texts, as an export has it, as its members."""
        plain = f"{name} || to_json(c{place})::VARCHAR"
        if not self._may_be_object(place):
            return plain
        return f"CASE WHEN regexp_full_match(c{place}, '{_OBJECT}') THEN c{place}[2:-2] ELSE {plain} END"

    def _may_be_object(self, place: int) -> bool:
        """Tell whether a column is called as the one that keeps unknown columns."""
        return fold(self.source.header[place - 1]) == fold(self.plan.target.extra)

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
