"""Where an upload's bytes lie: the storage, and the keys of its original and its columnar copy."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from rowmill.contracts import Storage
from rowmill.errors import OutOfSpace
from rowmill.models import Upload
from rowmill.storage import LocalStorage


@lru_cache(maxsize=4)
def _local(root: str, min_free_bytes: int) -> LocalStorage:
    """Give the one local storage of a folder."""
    return LocalStorage(Path(root), min_free_bytes)


def get_storage() -> Storage:
    """Give the storage that the settings name."""
    return _local(str(settings.STORAGE_DIR), settings.ROWMILL_MIN_FREE_BYTES)


def folder_key(upload: Upload) -> str:
    """Give the key prefix under which all of an upload's bytes lie."""
    return f"org/{upload.org_id}/uploads/{upload.public_id}"


def original_key(upload: Upload) -> str:
    """Give the key of the file as it came."""
    return f"{folder_key(upload)}/original"


def table_key(upload: Upload) -> str:
    """Give the key of the columnar copy."""
    return f"{folder_key(upload)}/table.parquet"


def table_path(upload: Upload) -> Path:
    """Give a local path to the columnar copy. Raises: FileNotFoundError."""
    return get_storage().local_path(table_key(upload))


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
