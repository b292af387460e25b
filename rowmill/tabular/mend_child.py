"""Mending and handing out from the parent's side: each in the limited child, with what it left unfinished taken away."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rowmill.contracts import Check, Column
from rowmill.tabular.child import MEMORY_BYTES, SECONDS, run_in_child
from rowmill.tabular.mends import MendReport
from rowmill.tabular.reading import unfinished_name


def mend_in_child(
    path: Path,
    out: Path,
    slugs: Collection[str],
    *,
    columns: Sequence[Column] = (),
    checks: Mapping[str, Check] | None = None,
    row_checks: Sequence[str] = (),
    sheet: str | None = None,
    memory_bytes: int = MEMORY_BYTES,
    seconds: float = SECONDS,
) -> MendReport:
    """Write a mended copy as `apply_mends` does, in a killable process. Raises: ChildError, OutOfSpace."""
    request = _request(path, out, columns, checks, row_checks, sheet) | {"mends": sorted(slugs)}
    return MendReport(**_run("mend", request, out, memory_bytes, seconds))


def write_in_child(
    what: Literal["failed_rows", "annotate"],
    path: Path,
    out: Path,
    *,
    columns: Sequence[Column] = (),
    checks: Mapping[str, Check] | None = None,
    row_checks: Sequence[str] = (),
    sheet: str | None = None,
    memory_bytes: int = MEMORY_BYTES,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Write the failed rows or the annotated file in a killable process. Raises: ChildError, OutOfSpace.

    Shape: {"rows"} of failed rows; {"whole", "rows", "marked"} of the annotated file.
    """
    return _run(what, _request(path, out, columns, checks, row_checks, sheet), out, memory_bytes, seconds)


def _request(
    path: Path,
    out: Path,
    columns: Sequence[Column],
    checks: Mapping[str, Check] | None,
    row_checks: Sequence[str],
    sheet: str | None,
) -> dict[str, Any]:
    """Give what the child is told."""
    return {
        "path": str(path.resolve()),
        "out": str(out.resolve()),
        "columns": [asdict(column) for column in columns],
        "checks": {slug: asdict(check) for slug, check in (checks or {}).items()},
        "row_checks": list(row_checks),
        "sheet": sheet,
    }


def _run(op: str, request: Mapping[str, Any], out: Path, memory_bytes: int, seconds: float) -> dict[str, Any]:
    """Run the child; a half-written file does not outlive it."""
    try:
        return run_in_child(op, request, beside=out.resolve().parent, memory_bytes=memory_bytes, seconds=seconds)
    finally:
        unfinished_name(out.resolve()).unlink(missing_ok=True)
