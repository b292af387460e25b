"""What a precheck writes down after each of its stages: JSON without a cell's value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from rowmill.contracts import Finding, Inspection
from rowmill.models import Upload
from rowmill.tabular.wording import WORDING
from rowmill.uploads.inspect import KEPT_FINDINGS

OF_CELLS = "odd-value"  # the one code of the structure's list that is about a cell


def tell_metadata(upload: Upload, known: Inspection) -> dict[str, Any]:
    """Say how a file is written. The hash comes last; a header that looks like a row of data is not repeated."""
    dialect = asdict(known.dialect) if known.dialect else {}
    words = ("encoding", "bom", "delimiter", "quote", "newline")
    doubtful = any(finding.code == "header-missing" for finding in known.findings)
    return {
        "file_name": upload.name,
        "kind": upload.kind,
        "size_bytes": known.size_bytes or upload.size_bytes,
        "sha256": known.sha256 or upload.sha256,
        **{word: dialect.get(word) for word in words},
        "sheet": known.sheet,
        "header": [] if doubtful else list(known.header),
        "columns": len(known.header),
    }


def tell_integrity(known: Inspection) -> dict[str, Any]:
    """Say what the structure is like: the balance, how often each code was found, the map of the damage."""
    found = [finding for finding in known.findings if is_of_structure(finding)]
    return {
        "read_bytes": known.size_bytes,
        "size_bytes": known.size_bytes,
        "balance": {**asdict(known.balance), "balances": known.balance.balances},
        "sound": known.verdict == "sound",
        **_count(found),
        "damage": known.damage,
    }


def tell_validation(kind: str, inspection: Inspection) -> dict[str, Any]:
    """Say what became of the rows: how many break a check, and the causes behind all that was found."""
    return {
        "kind": kind,
        "verdict": inspection.verdict,
        "rows": inspection.row_count,
        "rejected_rows": inspection.rejected_rows,
        **_count(finding for finding in inspection.findings if not is_of_structure(finding)),
        "causes": [asdict(cause) for cause in inspection.causes],
        "mapping": dict(inspection.mapping),
        "seconds": inspection.seconds,
    }


def tell_findings(known: Inspection) -> list[dict[str, Any]]:
    """Give the findings as they are kept, the first thousand of them."""
    return [asdict(finding) for finding in known.findings[:KEPT_FINDINGS]]


def is_of_structure(finding: Finding) -> bool:
    """Tell whether a finding is about the file's structure, and not about a cell."""
    return finding.code in WORDING and finding.code != OF_CELLS


def add_error(inspection: Inspection, finding: Finding) -> Inspection:
    """Add one finding that makes a file unsound."""
    return replace(inspection, verdict="unsound", findings=(finding, *inspection.findings))


def _count(findings: Iterable[Finding]) -> dict[str, Any]:
    """Count places: the errors, the warnings, and those of each code."""
    found = list(findings)
    counts: Counter[str] = Counter()
    for finding in found:
        counts[finding.code] += finding.count
    errors = sum(finding.count for finding in found if finding.severity == "error")
    return {"errors": errors, "warnings": counts.total() - errors, "counts": dict(counts.most_common())}
