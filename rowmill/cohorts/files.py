"""Beside a cohort table's check: the files that are made of its upload, in the storage and in the trail."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rowmill import audit
from rowmill.models import SubmissionTable, UnknownIds, Upload, User
from rowmill.orgs import org_sealer
from rowmill.tabular.known_ids import UnknownId
from rowmill.uploads.places import folder_key, get_storage, hash_file, original_key

IDS, DATABASE = "ids", "database"
ENDINGS = {IDS: "parquet", DATABASE: "duckdb"}


def publish_file(upload: Upload, what: str, path: Path) -> dict[str, Any]:
    """Move a finished file beside the upload's original. Shape: key, sha256, size_bytes, as it is recorded.

    The trail names it before it is there, so that no file is without its event whenever the process dies. The key holds
    the fence: what an inspector that was thought dead may still write cannot replace what another one recorded.
    """
    key = f"{folder_key(upload)}/{what}-{upload.claims}.{ENDINGS[what]}"
    facts = {"key": key, "sha256": hash_file(path), "size_bytes": path.stat().st_size}
    audit.record(upload.org, None, "file.create", "upload", upload.public_id, file=key.rsplit("/", 1)[1])
    get_storage().put_file(key, path)
    return facts


def remove_derived(upload: Upload, actor: User | None = None) -> int:
    """Remove whatever was made of an upload, but its original, and say so in the trail. Again: yes. Gives how many went."""
    storage, kept = get_storage(), original_key(upload)
    derived = [key for key in storage.keys(folder_key(upload)) if key != kept]
    for key in derived:
        storage.delete(key)
        audit.record(upload.org, actor, "file.remove", "upload", upload.public_id, file=key.rsplit("/", 1)[1])
    return len(derived)


def hold_file(table: SubmissionTable, what: str) -> AbstractContextManager[Path]:
    """Give a local path to a file of the accepted upload while the `with` lasts. Raises: FileNotFoundError, ObjectChanged."""
    facts = table.files.get(what)
    if not facts:
        raise FileNotFoundError(what)
    return get_storage().hold(facts["key"], facts["sha256"])


def keep_unknown(upload: Upload, unknown: list[dict[str, Any]]) -> None:
    """Keep the unknown IDs of a refused file, sealed. Again: replaces."""
    sealed = org_sealer(upload.org_id).seal(json.dumps(unknown).encode(), _place(upload))
    UnknownIds.objects.update_or_create(upload=upload, defaults={"org_id": upload.org_id, "sealed": sealed})


def read_unknown(upload: Upload) -> list[UnknownId]:
    """Give the unknown IDs of a refused file, in file order; none once its bytes are gone."""
    kept = UnknownIds.objects.filter(upload=upload).first()
    if kept is None:
        return []
    plain = org_sealer(upload.org_id).open(kept.sealed, _place(upload))
    return [UnknownId(**one) for one in json.loads(plain)]


def as_json(unknown: UnknownId) -> dict[str, Any]:
    """Give an unknown ID as plain JSON types."""
    return asdict(unknown)


def _place(upload: Upload) -> str:
    """Give the place that a sealed list belongs to."""
    return f"unknown-ids|{upload.public_id}"
