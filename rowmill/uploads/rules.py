"""Before the limited child: what it is told of an upload (its kind's rules, its sheet, its limits), and where it may write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from django.conf import settings

from rowmill.contracts import Check, Kind
from rowmill.models import Upload
from rowmill.registry import get_check, get_kind


def needed_checks(kind: Kind) -> dict[str, Check]:
    """Give every check that a kind names, by slug; `required` comes with any column that must be filled."""
    slugs = {slug for column in kind.columns for slug in column.checks} | set(kind.checks)
    if any(column.filled for column in kind.columns):
        slugs.add("required")
    return {slug: get_check(slug) for slug in sorted(slugs)}


def read_rules(upload: Upload) -> dict[str, Any]:
    """Give what each of the child's functions (tabular.child) takes besides the file itself."""
    kind = get_kind(upload.kind) if upload.kind else Kind()
    return {
        "columns": kind.columns,
        "checks": needed_checks(kind),
        "row_checks": kind.checks,
        "sheet": (upload.intent or {}).get("sheet"),
        "memory_bytes": settings.ROWMILL_INSPECT_MEMORY_BYTES,
        "seconds": settings.ROWMILL_INSPECT_SECONDS,
    }


def told_rules(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Give the rules as the child's other operations are told them: plain JSON types, without the limits."""
    return {
        "columns": [asdict(column) for column in rules["columns"]],
        "checks": {slug: asdict(check) for slug, check in rules["checks"].items()},
        "row_checks": list(rules["row_checks"]),
        "sheet": rules["sheet"],
    }


def make_scratch() -> Path:
    """Make a private folder on the data disk, so that what is made there can be renamed into place."""
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(mkdtemp(prefix="inspect-", dir=settings.SCRATCH_DIR))
