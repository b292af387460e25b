"""How much of the zoo is let out: a fair part each time, all of it with `ZOO_SCALE=all` (`make zoo`)."""

from __future__ import annotations

import os

ALL = os.environ.get("ZOO_SCALE", "") == "all"


def scaled(part: int, whole: int) -> int:
    """Give how many cases are to be tried."""
    return whole if ALL else part
