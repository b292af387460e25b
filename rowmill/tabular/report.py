"""`rowmill check`: an inspection as the agreed JSON, and as sentences for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rowmill.contracts import Cause, Dialect, Finding, Inspection
from rowmill.tabular.known_ids import IdAccount, say_cause
from rowmill.tabular.wording import WORDING

# Told as one cause with another code.
_MERGED = {"bad-encoding", "mixed-encodings"}
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", "": "one column"}
_ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "windows-1252": "Windows-1252",
    "shift_jis": "Shift-JIS",
}


def check_json(inspection: Inspection) -> dict[str, Any]:
    """Give the agreed JSON of `rowmill check --json`.

    Units: lines, rows and columns 1-based, bytes 0-based; null where a finding has none.
    """
    balance = asdict(inspection.balance) | {"balances": inspection.balance.balances}
    return {
        "verdict": inspection.verdict,
        "summary": describe(inspection),
        "dialect": asdict(inspection.dialect) if inspection.dialect else None,
        "sheet": inspection.sheet or None,
        "balance": balance,
        "header": list(inspection.header),
        "rejected_rows": inspection.rejected_rows,
        "sha256": inspection.sha256,
        "findings": [_finding(f) for f in inspection.findings],
        "causes": [_cause(c, inspection.findings) for c in inspection.causes],
    }


def ids_json(account: IdAccount) -> dict[str, Any]:
    """Give the account of IDs as JSON: counts, causes with their words, and the unknown IDs one by one."""
    data = asdict(account)
    data["causes"] = [{"cause": c, "count": n, "message": say_cause(c, n)} for c, n in account.causes.items()]
    return {"summary": account.describe(), **data, "balances": account.balances}


def _finding(finding: Finding) -> dict[str, Any]:
    """Give one finding with the agreed keys first."""
    keys = ("code", "severity", "line", "row", "column", "byte", "message", "mend")
    data = asdict(finding)
    return {key: data[key] for key in keys} | {"column_name": finding.column_name, "count": finding.count}


def _cause(cause: Cause, findings: Iterable[Finding]) -> dict[str, Any]:
    """Give one cause: `mend` is a slug or "", `clears` how many places it clears, `advice` what a person can do."""
    first = next((f for f in findings if f.code == cause.code and f.line == cause.line), None)
    return asdict(cause) | {"first_line": cause.line, "advice": first.mend if first else ""}


def _count_causes(inspection: Inspection, stops: Sequence[Finding]) -> int:
    """Count what stops a file: its root causes, and findings that no cause stands for."""
    codes = {f.code for f in stops}
    causes = [c for c in inspection.causes if c.severity == "error" and c.code in codes]
    return len(causes) + len(codes - {c.code for c in causes} - _MERGED) or 1


def describe(inspection: Inspection) -> str:
    """Say the verdict in one sentence or two."""
    if inspection.verdict == "sound":
        return f"Sound. {_shape(inspection)}{_rejected(inspection)}"
    # A bad cell stops its row, not the file: checks have no wording here.
    stops = [f for f in inspection.findings if f.severity == "error" and (f.code in WORDING or f.line is None)]
    count, first = _count_causes(inspection, stops), next(iter(stops), None)
    number = "1 cause stops" if count == 1 else f"{count:,} causes stop"
    return f"{number} this file. The first: {first.message if first else 'the account does not balance.'}"


def _shape(inspection: Inspection) -> str:
    """Say how big the table is and how it is written."""
    rows, columns = inspection.row_count, len(inspection.header)
    words = [_count(rows, "row"), _count(columns, "column")]
    if inspection.dialect is not None:
        words += _dialect(inspection.dialect, columns)
    if inspection.sheet:
        words.append(f'sheet "{inspection.sheet[:60]}"')
    return ", ".join(words) + "."


def _count(number: int, noun: str) -> str:
    """Give "1 row", "482,113 rows"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _dialect(dialect: Dialect, columns: int) -> list[str]:
    """Name the encoding and, where there is more than one column, the delimiter."""
    named = [_ENCODINGS.get(dialect.encoding, dialect.encoding)]
    if columns > 1:
        named.append(_DELIMITERS.get(dialect.delimiter, "another delimiter"))
    return named


def _rejected(inspection: Inspection) -> str:
    """Say how many rows have bad cells."""
    if not inspection.rejected_rows:
        return ""
    return f" {_count(inspection.rejected_rows, 'row')} with a bad cell will be rejected."
