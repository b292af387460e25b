"""Where an upload's bytes lie: the storage, the keys of its original and its columnar copy, and this machine's spool."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path

from django.conf import settings

from rowmill.contracts import Storage
from rowmill.errors import OutOfSpace
from rowmill.models import Upload
from rowmill.storage import LocalStorage, open_storage

SPOOL = "spool"


def get_storage(*, patient: bool = True) -> Storage:
    """Give the storage that the settings name. Not `patient`: it fails within seconds instead of trying again.

    Raises: ConfigError.
    """
    return open_storage(settings, patient=patient)


def get_spool() -> Storage:
    """Give where this machine keeps a file from its first byte until it is inspected and published.

    A near storage is its own spool: the file is received where it stays.
    """
    storage = get_storage()
    return storage if storage.near else LocalStorage(settings.SCRATCH_DIR / SPOOL, settings.ROWMILL_MIN_FREE_BYTES)


def folder_key(upload: Upload) -> str:
    """Give the key prefix under which all of an upload's bytes lie."""
    return f"org/{upload.org_id}/uploads/{upload.public_id}"


def original_key(upload: Upload) -> str:
    """Give the key of the file as it came."""
    return f"{folder_key(upload)}/original"


def table_key(upload: Upload) -> str:
    """Give the key of the columnar copy."""
    return str(_table_facts(upload).get("key") or f"{folder_key(upload)}/table.parquet")


def new_table_key(upload: Upload) -> str:
    """Give the key for a copy to be written by who holds the upload now.

    In a bucket whoever takes an inspection over writes under a key of its own: what an inspector that was thought dead
    may still write cannot replace the copy whose hash is recorded.
    """
    again = "" if upload.claims <= 1 or get_storage().near else f"-{upload.claims}"
    return f"{folder_key(upload)}/table{again}.parquet"


def _table_facts(upload: Upload) -> dict[str, str]:
    """Give what was recorded of the copy when it was published; nothing in a near storage."""
    facts: dict[str, str] = upload.inspection.get("table") or {}
    return facts


def hold_original(upload: Upload) -> AbstractContextManager[Path]:
    """Give a local path to the file as it came, while the `with` lasts. Raises: FileNotFoundError, ObjectChanged."""
    key, spool = original_key(upload), get_spool()
    return spool.hold(key) if spool.stat(key) else get_storage().hold(key, upload.sha256)


def hold_table(upload: Upload) -> AbstractContextManager[Path]:
    """Give a local path to the columnar copy, while the `with` lasts. Raises: FileNotFoundError, ObjectChanged."""
    return get_storage().hold(table_key(upload), _table_facts(upload).get("sha256", ""))


def publish_original(upload: Upload) -> None:
    """Move the original from this machine's spool into the storage. Again: yes; nothing is done where it is there."""
    key, spool = original_key(upload), get_spool()
    if spool is not (storage := get_storage()) and spool.stat(key):
        with spool.hold(key) as path:
            storage.put_file(key, path)
        spool.delete_under(folder_key(upload))


def publish_table(upload: Upload, path: Path) -> dict[str, str]:
    """Move a finished copy into the storage. Shape: what is to be recorded of it, nothing for a near storage."""
    storage, key = get_storage(), new_table_key(upload)
    facts = {} if storage.near else {"key": key, "sha256": hash_file(path)}
    storage.put_file(key, path)
    return facts


def hash_file(path: Path) -> str:
    """Give a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_bytes(storage: Storage, upload: Upload) -> None:
    """Remove all of an upload's bytes from the storage, and from this machine's spool and scratch. Again: yes."""
    spool = get_spool()
    if spool is not storage:
        spool.delete_under(folder_key(upload))
    storage.delete_under(folder_key(upload))


def has_room() -> bool:
    """Tell whether the disk is above its threshold."""
    free = get_storage().free_bytes()
    return free is None or free >= settings.ROWMILL_MIN_FREE_BYTES


def need_room() -> None:
    """Raises: OutOfSpace below the threshold."""
    if not has_room():
        raise OutOfSpace(
            "The disk is almost full, so nothing was stored. Ask your admin to make room, then send the file again."
        )
