"""Part of the second step: how an org mapped the columns of a header before is how they are mapped again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rowmill.models import ColumnMapping, Upload
from rowmill.registry import get_kind
from rowmill.tabular.header import fold


def hash_header(header: Sequence[str]) -> str:
    """Give the hash by which a header is known again, whatever its case, blanks and dashes."""
    return hashlib.sha256(json.dumps([fold(cell) for cell in header]).encode()).hexdigest()


def find_remembered(upload: Upload, header: Sequence[str]) -> ColumnMapping | None:
    """Give what the org set for files of this kind with this header, None where it never did."""
    known = ColumnMapping.objects.filter(org_id=upload.org_id, kind=upload.kind)
    return known.filter(header_hash=hash_header(header)).first()


def mapped_as_before(upload: Upload, header: Sequence[str], mapping: Mapping[str, int]) -> dict[str, Any]:
    """Give the upload's mapping, and its intent with what is not imported. Only for bulk kinds, which check anew."""
    kept = find_remembered(upload, header) if upload.kind and get_kind(upload.kind).merges else None
    if kept is None:
        return {"mapping": dict(mapping)}
    changed: dict[str, Any] = {"mapping": dict(kept.mapping)}
    if upload.intent is not None:
        changed["intent"] = {**upload.intent, "ignored": list(kept.ignored)}
    return changed
