"""Mending from the parent's side: in the limited child, with what it left unfinished taken away."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rowmill.contracts import NO_RULES, Rules
from rowmill.tabular.child import MEMORY_BYTES, SECONDS, run_in_child
from rowmill.tabular.mends import MendReport
from rowmill.tabular.unfinished import unfinished_name


def mend_in_child(
    path: Path,
    out: Path,
    slugs: Collection[str],
    rules: Rules = NO_RULES,
    *,
    memory_bytes: int = MEMORY_BYTES,
    seconds: float = SECONDS,
) -> MendReport:
    """Write a mended copy as `apply_mends` does, in a killable process. Raises: ChildError, OutOfSpace."""
    path, out = path.resolve(), out.resolve()
    request = {"path": str(path), "out": str(out), "rules": rules.to_json(), "mends": sorted(slugs)}
    try:
        found = run_in_child("mend", request, beside=out.parent, memory_bytes=memory_bytes, seconds=seconds)
    finally:
        unfinished_name(out).unlink(missing_ok=True)
    return MendReport(**found)
