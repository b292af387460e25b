"""Without a kind: what type each column has, learnt from the sample, so that the few cells that break it can be told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from rowmill.tabular.dialect import SampleRow
from rowmill.tabular.load import BLANK

ENOUGH = 5
SHARE = 0.9

_INTEGER = re.compile(rb"\s*[-+]?\d+\s*")
_NUMBER = re.compile(rb"\s*[-+(]?[$\xe2\x82\xac]*\s?\d[\d,. ]*\)?\s?%?\s*")
_ISO = re.compile(rb"\s*\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?\s*")
_SLASHED = re.compile(rb"\s*\d{1,2}/\d{1,2}/\d{4}\s*")


class Type(NamedTuple):
    """A type that most cells of a column have: its name for people, its pattern, the SQL that is true for other cells."""

    name: str
    pattern: re.Pattern[bytes]
    odd_when: str


# Words of R, SQL, SAS and their like for a value that is not there: no slip, and no word against a type.
_MISSING = re.compile(rb"\s*(?:NA|NaN|NULL|\\N|\.)?\s*")
_NO_WORD = "NA|NaN|NULL|\\\\N|\\."
_BLANK = f"WHEN {BLANK} THEN false"
_TYPES = (
    Type(
        "date",
        _ISO,
        "CASE WHEN TRY_CAST({column} AS TIMESTAMP) IS NOT NULL THEN false "
        + _BLANK
        + f" ELSE NOT regexp_full_match({{column}}, '{_NO_WORD}') END",
    ),
    Type(
        "date",
        _SLASHED,
        "CASE WHEN try_strptime(trim({column}), '%m/%d/%Y') IS NOT NULL THEN false "
        "WHEN try_strptime(trim({column}), '%d/%m/%Y') IS NOT NULL THEN false "
        + _BLANK
        + f" ELSE NOT regexp_full_match({{column}}, '{_NO_WORD}') END",
    ),
    Type(
        "number",
        _NUMBER,
        "CASE WHEN TRY_CAST({column} AS DOUBLE) IS NOT NULL THEN false "
        + _BLANK
        + " ELSE NOT regexp_full_match({column}, '\\s*[-+(]?[$€]*\\s?\\d[\\d,. ]*\\)?\\s?%?\\s*|"
        + f"{_NO_WORD}') END",
    ),
)


def infer_types(rows: Sequence[SampleRow], columns: int) -> dict[int, Type]:
    """Give the type of each column (1-based) that plainly has one."""
    sound = [r.cells for r in rows if len(r.cells) >= columns and not r.fault]
    types: dict[int, Type] = {}
    for position in range(columns):
        cells = [c for row in sound if not _MISSING.fullmatch(c := row[position])]
        for one in _TYPES:
            fits = sum(one.pattern.fullmatch(c) is not None for c in cells)
            if fits >= ENOUGH and (fits >= SHARE * len(cells) or len(cells) - fits == 1):
                types[position + 1] = one
                break
    return types
