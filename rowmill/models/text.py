"""Text on its way into a table: Postgres takes no NUL, neither in text nor in JSON, and neither takes half a character."""

from __future__ import annotations

import re
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_INSTEAD = "\ufffd"


def without_nul(text: str) -> str:
    """Put U+FFFD in the place of each NUL and each lone surrogate."""
    return _UNSTORABLE.sub(_INSTEAD, text)


def storable(value: Any) -> Any:
    """Do so in every text and name of a value that is to be stored as JSON. Shape: the same, as lists and dicts."""
    if isinstance(value, str):
        return without_nul(value)
    if isinstance(value, dict):
        return {storable(name): storable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable(inner) for inner in value]
    return value
