"""Fixtures of the tests of contacts: Alice as a caller, and imports through the real door."""

from tests.merging.conftest import alice, import_rows

__all__ = ["alice", "import_rows"]
