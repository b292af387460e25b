"""Bytes at rest; no Django."""

from rowmill.storage.local import LocalStorage

__all__ = ["LocalStorage"]
