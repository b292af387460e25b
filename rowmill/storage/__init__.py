"""Bytes at rest: a local folder, or an S3-compatible bucket read through this machine's scratch; no Django."""

from rowmill.storage.assembling import Assembly, InBucket, InFile, Part, is_in_bucket, is_in_file, open_assembly
from rowmill.storage.local import LocalStorage
from rowmill.storage.opening import check_storage, open_storage

__all__ = [
    "Assembly",
    "InBucket",
    "InFile",
    "LocalStorage",
    "Part",
    "check_storage",
    "is_in_bucket",
    "is_in_file",
    "open_assembly",
    "open_storage",
]
