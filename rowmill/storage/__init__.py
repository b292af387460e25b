"""Bytes at rest: a local folder, or an S3-compatible bucket read through this machine's scratch; no Django."""

from rowmill.storage.local import LocalStorage
from rowmill.storage.opening import check_storage, open_storage

__all__ = ["LocalStorage", "check_storage", "open_storage"]
