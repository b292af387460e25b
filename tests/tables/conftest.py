"""Fixtures of the tests of own tables: a kind from outside, its table filled by imports."""

from tests.merging.test_other_kind import import_companies

__all__ = ["import_companies"]
