"""Files sent as .gz or .zip: takes the one file inside out into the child's folder, or says why not."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from rowmill.tabular.archive import (
    BLOCK,
    DAMAGE,
    Archive,
    Meter,
    Refused,
    is_link,
    open_archive,
)

_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
# What macOS and Windows put into an archive beside what a person did.
_LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")

Packing = Literal["gzip", "zip", "workbook", ""]


def packing_of(path: Path) -> Packing:
    """Tell how a file is packed, by its bytes. Raises: Refused for a container that is damaged or of another program."""
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] == _GZIP:
        return "gzip"
    if head not in _ZIP:
        return ""
    with open_archive(path) as archive:
        return "workbook" if _is_workbook(archive) else "zip"


def _is_workbook(archive: Archive) -> bool:
    """Tell an Excel workbook from a plain archive. Raises: Refused for documents of other programs."""
    names = {name.casefold() for name in archive.names()}
    if "mimetype" in names and "content.xml" in names:
        raise Refused("not-a-table", what="an OpenDocument file (.ods, .odt)")
    if not names & {"[content_types].xml", "xl/workbook.xml"}:
        return False
    if any(name.endswith("workbook.bin") for name in names):
        raise Refused("not-a-table", what="a binary Excel workbook (.xlsb)")
    if any(name.startswith(("word/", "ppt/", "visio/")) for name in names):
        raise Refused("not-a-table", what="an Office document without a sheet (.docx, .pptx)")
    return True


def unpack_one(path: Path, packing: Packing, target: Path) -> None:
    """Write the one file inside to `target`. Raises: Refused where there is not exactly one that may be read."""
    if packing == "gzip":
        _write(_gunzip(path), target)
    else:
        with open_archive(path) as archive:
            entry = _only_entry(archive)
            _write(archive.blocks(entry.filename), target)
    _refuse_nested(target)


def _gunzip(path: Path) -> Iterator[bytes]:
    """Inflate a gzip file, of several members too."""
    meter = Meter(path.stat().st_size)
    try:
        with gzip.open(path) as file:
            while block := file.read(BLOCK):
                meter.take(len(block))
                yield block
    except DAMAGE:
        raise Refused("archive-damaged") from None


def _only_entry(archive: Archive) -> zipfile.ZipInfo:
    """Give the one file of an archive. Raises: Refused for none, several, folders, links, paths that lead away."""
    wanted = [entry for entry in archive.entries if not _is_litter(entry.filename)]
    if len(wanted) != 1:
        raise Refused("archive-many", found=len(wanted))
    entry = wanted[0]
    # zipfile cuts a name at a NUL and turns backslashes on Windows only: look at the name as it was written.
    name = entry.orig_filename
    if any(sign in name for sign in ("/", "\\", "\x00", ":")) or name in (".", "..") or is_link(entry):
        raise Refused("archive-path")
    return entry


def _is_litter(name: str) -> bool:
    """Tell whether nobody put this entry there on purpose."""
    return name.startswith(_LITTER[0]) or name in _LITTER


def _write(blocks: Iterable[bytes], target: Path) -> None:
    """Write the blocks to a file."""
    with target.open("wb") as out:
        for block in blocks:
            out.write(block)


def _refuse_nested(path: Path) -> None:
    """Raises: Refused where what was inside is packed again; a workbook is not."""
    with path.open("rb") as file:
        head = file.read(512)
    if head[257:262] == b"ustar" or packing_of(path) in ("gzip", "zip"):
        raise Refused("archive-nested")
