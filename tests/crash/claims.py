"""Claims files for the crash tests: slices of one made-up sample, each with its part of the claim book."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from rowmill.claims.sample import make_claims


@dataclass(frozen=True)
class Slice:
    """One file to send, and the book that says what must come of it."""

    number: int
    data: bytes
    book: Path
    rows: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def make_slices(
    folder: Path, seed: int, sizes: list[int], *, without: Collection[str] = ()
) -> tuple[Path, list[Slice]]:
    """Make one sample and cut it, so that no claim number means two things. Shape: (the whole book, the slices).

    `without` leaves scenarios out: a claim for which the payer is out of order takes half a minute to be given up.
    """
    whole, book = folder / "claims.csv", folder / "book.jsonl"
    make_claims(sum(sizes) * 2, seed, whole, book)
    header, *every = whole.read_bytes().splitlines(keepends=True)
    told = book.read_text(encoding="utf-8").splitlines()
    kept = [pair for pair in zip(every, told, strict=True) if json.loads(pair[1])["scenario"] not in without]
    lines, pages = [pair[0] for pair in kept], [pair[1] for pair in kept]
    slices: list[Slice] = []
    seen, start = set(), 0
    for size in sizes:
        data = header + b"".join(lines[start : start + size])
        cut = [{**json.loads(page), "row": row} for row, page in enumerate(pages[start : start + size], 1)]
        start += size
        if data in seen:  # rows come again in a sample, so that two small files may be the same: the door would say 409
            continue
        seen.add(data)
        part = folder / f"book-{len(slices)}.jsonl"
        part.write_text("".join(json.dumps(page) + "\n" for page in cut), encoding="utf-8")
        slices.append(Slice(len(slices), data, part, size))
    return book, slices
