"""The checks of a kind put on the columns of a file, and the words for the cells that break them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rowmill.contracts import Check, Column, Finding, Rules, Severity
from rowmill.tabular import load
from rowmill.tabular.beside import Loader
from rowmill.tabular.dialect import SampleRow
from rowmill.tabular.header import Header
from rowmill.tabular.infer import Type, infer_types
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.load import Bad
from rowmill.tabular.notes import SHOWN_PER_CODE, Notes
from rowmill.tabular.wording import WORDING

# Beyond this share of the rows, what breaks a column's type is no slip: the column has no such type.
_ODD_SHARE = 0.1


@dataclass(slots=True)
class Conditions:
    """Every condition that runs in the one scan. `types` has the inferred types by label, where there is no kind."""

    checks: Mapping[str, Check]
    header: Header
    bad: list[Bad] = field(default_factory=list)
    types: dict[str, tuple[int, Type]] = field(default_factory=dict)


def put_checks(rules: Rules, header: Header, rows: Sequence[SampleRow]) -> Conditions:
    """Put the kind's checks on their columns; without a kind, the types that the sample shows."""
    checks, conditions = rules.checks, Conditions(rules.checks, header)
    for column in rules.columns:
        if column.name not in header.mapping:
            continue
        name = f"c{header.mapping[column.name]}"
        if column.filled:
            conditions.bad.append(_on_column(checks["required"], column.name, name, blank=True))
        conditions.bad += [_on_column(checks[s], column.name, name) for s in column.checks if s != "required"]
    conditions.bad += [_on_row(checks[slug], rules.columns, header) for slug in rules.row_checks]
    if not rules.columns:
        for place, one in infer_types(rows[header.index + 1 :], len(header.names)).items():
            label = f"odd-value:{place}"
            conditions.types[label] = place, one
            conditions.bad.append(Bad(label, one.odd_when.replace("{column}", f"c{place}"), rejects=False))
    return conditions


def _on_column(check: Check, label: str, name: str, *, blank: bool = False) -> Bad:
    """Put one check on one column. Only `required` looks at blank cells."""
    condition = check.bad_when if blank else f"CASE WHEN {load.BLANK} THEN false ELSE ({check.bad_when}) END"
    return Bad(f"{check.slug}:{label}", condition.replace("{column}", name), check.severity == "error", cell=name)


def _on_row(check: Check, columns: Sequence[Column], header: Header) -> Bad:
    """Fill a check over several columns: {name} of each column of the kind stands for its cell."""
    condition = check.bad_when
    for column in columns:
        cell = f"c{header.mapping[column.name]}" if column.name in header.mapping else "''"
        condition = condition.replace("{" + column.name + "}", cell)
    return Bad(f"{check.slug}:", condition, check.severity == "error")


def note_bad_cells(conditions: Conditions, loader: Loader, ledger: Ledger, notes: Notes) -> None:
    """Tell where each check found bad cells: the first of those that the loader listed."""
    if loader.failed or loader.count != ledger.rows:
        return
    few = max(1, _ODD_SHARE * loader.count)
    hit = [
        (one, count)
        for one, count in zip(conditions.bad, loader.counts, strict=True)
        if count and (one.label not in conditions.types or count <= few)
    ]
    if not hit:
        return
    for one, count in hit:
        rows = loader.listed.first(one.label, SHOWN_PER_CODE)
        for finding in _bad_cells(conditions, one, count, ledger.places(rows), notes):
            notes.add_finding(finding)


def _bad_cells(
    conditions: Conditions, bad: Bad, count: int, places: Sequence[tuple[int, int]], notes: Notes
) -> Iterator[Finding]:
    """Word the findings of one check on one column; the last one told stands for the rest as well."""
    title, mend, column, name = _words(conditions, bad)
    severity: Severity = "error" if bad.rejects else "warning"
    for index, (line, record) in enumerate(places, 1):
        rest = count - len(places) + 1 if index == len(places) else 1
        place = notes.place(line, column, name)
        slug = bad.label.partition(":")[0]
        yield Finding(slug, severity, f"{place}: {title}.", line, record, column, name, None, mend, max(rest, 1))


def _words(conditions: Conditions, bad: Bad) -> tuple[str, str, int | None, str | None]:
    """Give title, mend, column and its name for a condition."""
    slug, _, name = bad.label.partition(":")
    if bad.label in conditions.types:
        column, one = conditions.types[bad.label]
        title = f"this cell is no {one.name}, nearly all others of the column are"
        return title, WORDING["odd-value"].mend, column, conditions.header.names[column - 1] or None
    check = conditions.checks[slug]
    return check.title, check.help, conditions.header.mapping.get(name), name or None
