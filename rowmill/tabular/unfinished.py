"""While a file is written: it has another name until it is whole, so that nobody ever reads a half of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def unfinished_name(target: Path) -> Path:
    """Give the name under which a file is written until it is whole."""
    return target.with_name(f".{target.name}.unfinished")


@contextmanager
def whole_or_not(target: Path) -> Iterator[Path]:
    """Give the name to write to; it becomes the target where the block ends well, else it is gone.

    A target that is there and no file, such as a pipe, is written to instead of replaced.
    """
    unfinished = unfinished_name(target)
    try:
        yield unfinished
        if target.exists() and not target.is_file():
            with unfinished.open("rb") as source, target.open("wb") as out:
                shutil.copyfileobj(source, out)
        else:
            unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
