"""Opens the storage that the settings name, and says whether it can be written, read and emptied again."""

from __future__ import annotations

import os
import secrets
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from rowmill.contracts import Storage
from rowmill.errors import ConfigError, OutOfSpace, RowmillError
from rowmill.storage.local import LocalStorage
from rowmill.storage.scratch import Scratch
from rowmill.storage.url import read_place

COPIES = "objects"


class StorageSettings(Protocol):
    """Those of the settings that say where bytes lie."""

    ROWMILL_STORAGE_URL: str
    ROWMILL_SCRATCH_BYTES: int
    ROWMILL_MIN_FREE_BYTES: int
    STORAGE_DIR: Path
    SCRATCH_DIR: Path


def open_storage(settings: StorageSettings, *, patient: bool = True) -> Storage:
    """Give the storage that the settings name, one object for the process.

    `patient`: wait and try again while it does not answer; else fail within seconds.
    Raises: ConfigError that says what to set or install.
    """
    return _open(
        settings.ROWMILL_STORAGE_URL,
        str(settings.STORAGE_DIR),
        str(settings.SCRATCH_DIR),
        settings.ROWMILL_SCRATCH_BYTES,
        settings.ROWMILL_MIN_FREE_BYTES,
        patient,
    )


@lru_cache(maxsize=16)
def _open(url: str, folder: str, scratch: str, scratch_bytes: int, min_free_bytes: int, patient: bool) -> Storage:
    """Make it once."""
    try:
        place = read_place(url)
    except ValueError as error:
        raise ConfigError(f"ROWMILL_STORAGE_URL cannot be read: {error}.") from None
    if not place.bucket:
        return LocalStorage(place.folder or Path(folder), min_free_bytes)
    copies = Scratch(Path(scratch) / COPIES, scratch_bytes, min_free_bytes)
    try:
        module = import_module("rowmill.storage.s3")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"ROWMILL_STORAGE_URL names a bucket, and {error.name} is not installed. Install it: pip install 'rowmill[cluster]'."
        ) from None
    storage: Storage = module.S3Storage(place, copies, patient=patient)
    return storage


def check_storage(settings: StorageSettings) -> str:
    """Write, read, list and delete a small object. Shape: "ok", or the cause in words, never a secret.

    Cost: six calls to a bucket, or as many touches of the disk; seconds at the most while it does not answer.
    """
    key, sent = f"check/{uuid4().hex}", secrets.token_bytes(32)
    try:
        storage = open_storage(settings, patient=False)
        storage.write(key, [sent])
        try:
            return _look_again(storage, key, sent)
        finally:
            storage.delete_under(key)
    except OutOfSpace:
        return "The storage is full: nothing can be stored."
    except RowmillError as error:
        return str(error)
    except OSError as error:
        return f"The storage's folder cannot be used ({os.strerror(error.errno or 0)})."


def _look_again(storage: Storage, key: str, sent: bytes) -> str:
    """See that what was written is there as it was written."""
    with storage.open(key) as file:
        if file.read() != sent:
            return "The storage gives other bytes than were stored."
    if list(storage.keys(key)) != [key]:
        return "The storage does not list what was stored."
    return "ok"
