"""Beside the chunk door: a chunk's bytes, as they came in. In this process's memory, or in a file of the scratch folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.conf import settings

from rowmill.uploads.places import hash_file

Source = Path | memoryview
BLOCK_BYTES = 1024 * 1024


def size_of(source: Source) -> int:
    """Give how many bytes there are."""
    return source.stat().st_size if isinstance(source, Path) else source.nbytes


def blocks_of(source: Source) -> Iterator[bytes | memoryview]:
    """Give the bytes in order, in blocks."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from iter(lambda: file.read(BLOCK_BYTES), b"")
    else:
        for start in range(0, source.nbytes, BLOCK_BYTES):
            yield source[start : start + BLOCK_BYTES]


def sha256_of(source: Source) -> str:
    """Give the SHA-256 in hex."""
    return hash_file(source) if isinstance(source, Path) else hashlib.sha256(source).hexdigest()


@contextmanager
def as_file(source: Source) -> Iterator[Path]:
    """Give a local file with the bytes while the `with` lasts. Raises: OSError where the disk is full."""
    if isinstance(source, Path):
        yield source
        return
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    with NamedTemporaryFile(dir=settings.SCRATCH_DIR, prefix="receive-") as file:
        file.write(source)
        file.flush()
        yield Path(file.name)
