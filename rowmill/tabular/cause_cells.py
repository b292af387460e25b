"""Root causes of bad cells: what the failing cells of a column share, and how many one mend clears."""

from __future__ import annotations

from collections.abc import Sequence

from rowmill.contracts import Cause, Finding
from rowmill.tabular.load import Bad
from rowmill.tabular.mend_cells import as_iso, find_forms, may_be_dates, place_of
from rowmill.tabular.mend_damage import BY_CODE, count_repaired, find_repair
from rowmill.tabular.reading import Reading


def find_cell_cause(findings: Sequence[Finding], count: int, reading: Reading) -> Cause:
    """Give the cause behind the cells of one column that break one check."""
    first = findings[0]
    words = first.message.partition(": ")[2].rstrip(".") or first.message
    where = _column(first)
    message = f"{where}: {words} ({_rows(count)}, the first on line {first.line:,})." if first.line else first.message
    mend, clears = "", 0
    place = first.column
    bad = _condition(first, reading)
    about_dates = "date" in f"{first.code} {words}"
    if about_dates and place and bad is not None and _may_be_dates(reading, bad):
        assert reading.con is not None
        found = find_forms(reading.con, str(reading.rows_sql), place)
        clears = _count_cleared(reading, bad, place, as_iso(found.forms, place)) if found.forms else 0
        if clears:
            mend = f"date-form:{first.column_name or place}"
            form = found.forms[0].label
            message = f"{where} holds dates as {form}: one mend clears {_rows(clears)}" + (
                f" of {count:,}." if clears < count else "."
            )
        elif found.doubtful:
            message += " Day and month cannot be told apart in its dates, so no mend is offered."
    return Cause(
        first.code,
        first.severity,
        message,
        count,
        mend,
        clears,
        first.line,
        first.row,
        first.column,
        first.column_name,
        first.byte,
    )


def find_damage_cause(finding: Finding, count: int, reading: Reading) -> Cause:
    """Give the cause behind the cells of one column that a spreadsheet has damaged, with the mend where one is no guess."""
    mend, clears, message = "", 0, finding.message
    if finding.column and finding.code in BY_CODE:
        name = finding.column_name or ""
        name = name if place_of(reading, name) == finding.column else str(finding.column)
        repair = find_repair(reading, finding.code, finding.column, f"{BY_CODE[finding.code]}:{name}")
        clears = count_repaired(reading, repair) if repair is not None else 0
        if repair is not None and clears:
            mend = repair.slug
            message += f" One mend clears {_cells(clears)}"
            message += f" of {count:,}; of the others too little is left to be sure." if clears < count else "."
    return Cause(
        finding.code,
        finding.severity,
        message,
        count,
        mend,
        clears,
        finding.line,
        finding.row,
        finding.column,
        finding.column_name,
        finding.byte,
    )


def _cells(count: int) -> str:
    """Give "1 cell", "38,912 cells"."""
    return f"{count:,} cell" + ("" if count == 1 else "s")


def _column(finding: Finding) -> str:
    """Name a column by number and name."""
    if finding.column is None:
        return "Some rows"
    return f"Column {finding.column}" + (f" ({finding.column_name})" if finding.column_name else "")


def _rows(count: int) -> str:
    """Give "1 row", "38,912 rows"."""
    return f"{count:,} row" + ("" if count == 1 else "s")


def _condition(finding: Finding, reading: Reading) -> Bad | None:
    """Find the condition on one column that a finding comes from."""
    labels = (f"{finding.code}:{finding.column_name}", f"{finding.code}:{finding.column}")
    return next((b for b in reading.bad if b.label in labels and not b.over_all), None)


def _may_be_dates(reading: Reading, bad: Bad) -> bool:
    """Tell whether it is worth looking for the form of a column's dates: some bad cell is one, or that is not known."""
    if reading.con is None or reading.rows_sql is None:
        return False
    cells = reading.listed.dates(bad.label) if reading.listed is not None else None
    return cells is None or may_be_dates(reading.con, cells)


def _count_cleared(reading: Reading, bad: Bad, place: int, iso: str) -> int:
    """Count the bad cells that hold the condition once their dates are written as year-month-day."""
    assert reading.con is not None
    cells = reading.listed.dates(bad.label) if reading.listed is not None else None
    if cells is None:
        cells = f"(SELECT c{place} AS v, count(*) AS n FROM {reading.rows_sql} WHERE ({bad.condition}) GROUP BY v)"
    mended = f"(SELECT n, {iso} AS c{place} FROM (SELECT v AS c{place}, n FROM {cells}))"
    found = reading.con.execute(f"SELECT sum(n) FILTER (NOT ({bad.condition})) FROM {mended}").fetchall()
    return int(found[0][0] or 0)
