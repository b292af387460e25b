"""Look at a table of one column: do its lines plainly look like several columns, or like no table at all?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from rowmill.tabular.dialect import SampleRow
from rowmill.tabular.header import Header
from rowmill.tabular.notes import Notes

# What parts columns in some exports and is no delimiter here. A colon alone parts hours and ratios too.
_PARTERS = (
    "::",
    ";;",
    "~~",
    "||",
    "##",
    "$$",
    "@@",
    "<>",
    "\u00a7",
    "\u00a6",
    "\u00ac",
    "\u00b6",
    "\u00fe",
    "\x02",
    "\x05",
    "\x06",
    "\x07",
    "\x14",
    "\x15",
    "\x1c",
    "\x1d",
    "\x1e",
)
_NAME = re.compile(r"[^\W\d][\w .#/-]{0,40}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_JSON_LINE = re.compile(r"""\s*(?:[\[\]{}],?|[{\[].*[}\]],?|"[^"]*"\s*:\s*.*)\s*""")
_GAP = re.compile(r"\S {2,}\S")
_LEAST_ROWS = 3


def note_more(header: Header, rows: Sequence[SampleRow], notes: Notes) -> None:
    """Warn where a table of one column looks like more."""
    head = rows[header.index]
    if header.columns == 1 and (what := find_more(rows, header.index)):
        notes.add("one-column-maybe", line=head.line, byte=head.start, what=what)


def find_more(rows: Sequence[SampleRow], header: int) -> str:
    """Say what the lines of a table of one column look like, "" where nothing speaks against one column.

    IDs, names, addresses, free text and lists of mail addresses are one column: only what the header and nearly all rows
    have in common counts.
    """
    lines = [row.cells[0].decode("utf-8", "replace") for row in rows[header:] if not row.blank and not row.fault]
    if any("\n" in line or "\r" in line for line in lines) or any(len(row.cells) > 1 for row in rows[header:]):
        return ""
    if _is_base64(lines):
        return "Base64, a file wrapped up as text"
    if len(lines) < _LEAST_ROWS + 1:
        return ""
    if sum(_JSON_LINE.fullmatch(line) is not None for line in lines) == len(lines):
        return "JSON"
    parter = _find_parter(lines)
    if parter:
        return f"several columns apart by {parter}"
    return "several columns of fixed width" if _is_fixed_width(lines) else ""


def _is_base64(lines: Sequence[str]) -> bool:
    """Tell whether lines are one text in Base64: all as long as each other but the last, and no hashes."""
    *full, last = lines or [""]
    longest = len(full[0] if full else last)
    if longest < (60 if len(full) > 1 else 120) or any(len(line) != longest for line in full) or len(last) > longest:
        return False
    text = "".join(lines)
    if not all(map(_BASE64.fullmatch, lines)) or all(map(_HEX.fullmatch, lines)) or any("=" in line for line in full):
        return False
    kinds = (str.islower, str.isupper, str.isdigit)
    return len(text) % 4 == 0 and all(any(map(kind, text)) for kind in kinds)


def _find_parter(lines: Sequence[str]) -> str:
    """Name what parts the header and every row into as many pieces, in words; "" where nothing does."""
    head, *rows = lines
    for parter in (*_PARTERS, ":"):
        count = head.count(parter)
        if count < 1 + (parter == ":") or any(row.count(parter) != count for row in rows):
            continue
        names = [name.strip() for name in head.split(parter)]
        if parter == ":" and not any(piece[:1].isalpha() for row in rows for piece in row.split(parter)):
            continue  # ratios, hours
        if len(set(names)) == len(names) and all(map(_NAME.fullmatch, names)):
            return f'"{parter}"' if parter.isprintable() else f"the control character 0x{ord(parter):02X}"
    return ""


def _is_fixed_width(lines: Sequence[str]) -> bool:
    """Tell whether blanks at the same places in every line part header and rows into columns."""
    if len(lines) < 6 or sum(_GAP.search(line) is not None for line in lines) < 0.9 * len(lines):
        return False
    width = max(map(len, lines))
    padded = [line.expandtabs().ljust(width) for line in lines]
    gutters = [place for place in range(width) if all(line[place] == " " for line in padded)]
    starts = [0, *(a + 1 for a, b in pairwise([*gutters, width + 1]) if b != a + 1)]
    columns = [[line[a:b].strip() for line in padded] for a, b in pairwise([*dict.fromkeys(starts), width])]
    columns = [cells for cells in columns if any(cells)]
    if len(columns) < 2 or not all(cells[0] for cells in columns):
        return False
    # A column of text is filled anywhere; each begins or ends at its own edge in most rows.
    return all(2 * sum(map(bool, cells)) > len(cells) for cells in columns)
