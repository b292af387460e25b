"""A workbook's cells as fields of the table between: one line for each row of the sheet, whatever its cells hold.

A line feed inside a cell would make two lines of a row, and a byte order mark or a typographic quote would look like an
accident of CSV, which none of them is here. They travel as noncharacters of Unicode, which stand for nothing in any text, and
the loader turns them back.
"""

from __future__ import annotations

import re

_STAND_INS = {"\n": "\ufdd0", "\r": "\ufdd1", "\ufeff": "\ufdd2"}
_CODES = {ord(sign): stand_in for sign, stand_in in _STAND_INS.items()}
_SPECIAL = re.compile('[",\r\n\ufeff\u201c-\u201e\x00-\x1f\ufdd0-\ufdef\ud800-\udfff]|^\\s|\\s$')
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_NO_TEXT = re.compile("[\ufdd0-\ufdef\ud800-\udfff]")
STAND_IN_BYTES = tuple((stand_in.encode(), sign.encode()) for sign, stand_in in _STAND_INS.items())


def unescape(text: str) -> str:
    """Read Excel's `_x000D_` for a character that XML cannot hold; `_x005F_` stands for the underscore itself."""
    if "_x" not in text:
        return text
    plain = _ESCAPED.sub(lambda m: chr(int(m.group(1), 16)), text)
    # Two escapes may be the two halves of one character.
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def as_field(text: str) -> tuple[str, bool]:
    """Write a cell's text as a field. The second word tells that it holds what no text does; that is left out."""
    if not _SPECIAL.search(text):
        return text, False
    odd = _NO_TEXT.search(text) is not None
    if odd:
        text = _NO_TEXT.sub("\ufffd", text)
    return '"' + text.translate(_CODES).replace('"', '""') + '"', odd


def restore(cell: bytes) -> bytes:
    """Give back the cell that a field stands for."""
    if b"\xef\xb7" in cell:
        for stand_in, sign in STAND_IN_BYTES:
            cell = cell.replace(stand_in, sign)
    return cell


def restoring_source(source: str, columns: int) -> str:
    """Give the SQL that reads c1..cN of a source with the stand-ins turned back."""
    stand_ins, signs = "".join(_STAND_INS.values()), "chr(10) || chr(13) || chr(65279)"
    cells = ", ".join(f"translate(c{i}, '{stand_ins}', {signs}) AS c{i}" for i in range(1, columns + 1))
    return f"(SELECT {cells} FROM {source})"
