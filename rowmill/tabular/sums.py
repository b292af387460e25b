"""Last line of a table: tells a line of sums, which is no row, from a row that only begins like one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

_WORD = re.compile(rb"\s*(?:grand |sub)?[ -]?totals?\b[^A-Za-z\x80-\xff]*", re.I)
_NUMBER = re.compile(rb"\s*[-+(]?(?:[$]|\xe2\x82\xac|\xc2\xa3)?\s?(?!0\d)\d[\d,. ]*\)?\s?%?\s*")
# Letters and digits in one word: a code or an ID, which no line of sums holds.
_CODE = re.compile(rb"\s*(?=\S*[A-Za-z])(?=\S*\d)\S+\s*")
_NAME_OF_ID = re.compile(rb"(?:^|[\W_])(?:id|mrn|npi|ssn|zip|nr|no|number|code|phone|key)\W*$|[a-z]I[dD]\W*$", re.I)


def judge_last_line(cells: Sequence[bytes], header: bytes, delimiter: int) -> Literal["row", "sums", "doubt"]:
    """Judge a last line of full width that begins with "total".

    "sums" takes evidence: the bare word, most other cells empty, the others numbers in columns that hold no IDs.
    """
    filled = [(place, c) for place, c in enumerate(cells[1:], 1) if c.strip()]
    if len(cells) < 3 or 2 * len(filled) > len(cells) - 1 or any(_CODE.fullmatch(c) for _, c in filled):
        return "row"
    names = header.strip(b"\r\n").split(bytes([delimiter]))
    known = len(names) == len(cells)
    if not known or not _WORD.fullmatch(cells[0]):
        return "doubt"
    is_sum = all(_NUMBER.fullmatch(c) and not _NAME_OF_ID.search(names[place].strip(b'" ')) for place, c in filled)
    return "sums" if is_sum else "doubt"
