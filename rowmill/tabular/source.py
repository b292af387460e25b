"""What a file is underneath its packing: text as it lies there, or a sheet that has been written as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rowmill.contracts import Balance
from rowmill.tabular.archive import Refused
from rowmill.tabular.flatten import Table, flatten
from rowmill.tabular.notes import Notes
from rowmill.tabular.unpack import packing_of, unpack_one

SHEET_ROWS = (65_536, 1_048_576)  # of .xls and of .xlsx
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LOCKED = "EncryptedPackage".encode("utf-16-le")


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes to judge; `table` where they were made of a sheet."""

    path: Path
    table: Table | None = None


def open_source(path: Path, temp: Path, sheet: str | None = None) -> Source:
    """Unpack what is packed and write a workbook's sheet as a table, both into `temp`. Raises: Refused."""
    if _is_locked(path):
        raise Refused("workbook-locked")
    packing = packing_of(path)
    if packing in ("gzip", "zip"):
        inner = temp / "unpacked"
        unpack_one(path, packing, inner)
        path, packing = inner, packing_of(inner)
    if packing != "workbook":
        return Source(path)
    flat = temp / "sheet"
    return Source(flat, flatten(path, flat, sheet))


def _is_locked(path: Path) -> bool:
    """Tell a workbook with a password: an old container with the new one, encrypted, inside."""
    with path.open("rb") as file:
        head = file.read(512)
        if not head.startswith(_OLE) or len(head) < 512:
            return False
        sector = 1 << min(int.from_bytes(head[30:32], "little"), 16)
        file.seek((int.from_bytes(head[48:52], "little") + 1) * sector)
        return _LOCKED in file.read(8 * sector)


def note_table(table: Table, notes: Notes) -> None:
    """Tell what was met while the sheet was read, and which sheet it was where there are several."""
    if table.others:
        others = ", ".join(f'"{name[:60]}"' for name in table.others[:5])
        notes.add("sheet-chosen", sheet=table.sheet[:60], others=others)
    for (code, column), lines in table.places.lines.items():
        notes.add_places(code, lines, table.places.counts[code, column], column)


def note_full_sheet(balance: Balance, notes: Notes) -> None:
    """Warn where the table ends exactly where a sheet does: whoever saved it there lost what came after."""
    if (filled := balance.lines - balance.continuation) in SHEET_ROWS:
        notes.add("cut-at-sheet-end", line=balance.lines, limit=filled)
