"""Before the limited child: what it is told of an upload (its kind's rules, its sheet, its limits), and where it may write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from django.conf import settings

from rowmill.contracts import Kind, Rules
from rowmill.models import Upload
from rowmill.registry import get_kind, rules_of


def rules_of_upload(upload: Upload) -> Rules:
    """Give what an upload is held against: the rules of its kind, on the sheet that its sender named."""
    kind = get_kind(upload.kind) if upload.kind else Kind()
    return replace(rules_of(kind), sheet=(upload.intent or {}).get("sheet"))


def child_limits() -> dict[str, Any]:
    """Give what the limited child may cost."""
    return {"memory_bytes": settings.ROWMILL_INSPECT_MEMORY_BYTES, "seconds": settings.ROWMILL_INSPECT_SECONDS}


def make_scratch() -> Path:
    """Make a private folder on the data disk, so that what is made there can be renamed into place."""
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(mkdtemp(prefix="inspect-", dir=settings.SCRATCH_DIR))
