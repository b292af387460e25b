"""A workbook's parts: which sheets it has, how its numbers are formatted, where its texts lie."""

from __future__ import annotations

import posixpath
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rowmill.tabular.archive import Archive, Refused, open_archive
from rowmill.tabular.fields import as_field, unescape
from rowmill.tabular.markup import MemoryWatch, read_part

# Beyond this many characters the shared texts lie on disk.
KEPT_CHARACTERS = 16_000_000


@dataclass(slots=True)
class Sheet:
    """One worksheet: its name as the person sees it, its part in the container."""

    name: str
    part: str
    hidden: bool


@dataclass(slots=True)
class Workbook:
    """An open workbook. `from_1904`: its days count from 1904. `uncomputed`: its writer left the formulas to Excel."""

    archive: Archive
    watch: MemoryWatch
    sheets: list[Sheet] = field(default_factory=list)
    strings_part: str | None = None
    styles_part: str | None = None
    from_1904: bool = False
    uncomputed: bool = False


class _Relations:
    """Reads a .rels part: id -> (type's last word, target)."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[str, str]] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take a relationship that stays inside the file."""
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            kind = attributes.get("Type", "").rpartition("/")[2]
            self.found[attributes.get("Id", "")] = kind, attributes.get("Target", "")

    def end(self, name: str) -> None:
        """Nothing ends here."""

    def text(self, data: str) -> None:
        """Nothing is written here."""


class _Contents:
    """Reads workbook.xml."""

    def __init__(self) -> None:
        self.sheets: list[tuple[str, str, str]] = []
        self.from_1904 = False
        self.uncomputed = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the sheets and the two switches that matter."""
        if name == "sheet":
            self.sheets.append((attributes.get("name", ""), attributes.get("state", ""), attributes.get("id", "")))
        elif name == "workbookPr":
            self.from_1904 = is_true(attributes.get("date1904"))
        elif name == "calcPr":
            self.uncomputed = is_true(attributes.get("fullCalcOnLoad"))

    def end(self, name: str) -> None:
        """Nothing ends here."""

    def text(self, data: str) -> None:
        """Nothing is written here."""


def is_true(text: str | None) -> bool:
    """Read an XML boolean."""
    return text in ("1", "true", "on")


@contextmanager
def open_workbook(path: Path) -> Iterator[Workbook]:
    """Open a workbook and read what it says of itself. Raises: Refused where it is damaged or none."""
    with open_archive(path) as archive:
        watch = MemoryWatch()
        book = Workbook(archive, watch)
        main = _main_part(book)
        contents = _Contents()
        read_part(archive.blocks(main), contents, watch)
        book.from_1904, book.uncomputed = contents.from_1904, contents.uncomputed
        relations = _relations(book, main)
        for name, state, identity in contents.sheets:
            kind, target = relations.get(identity, ("", ""))
            part = archive.find(target)
            if kind == "worksheet" and part is None:
                raise Refused("workbook-damaged")
            if kind == "worksheet" and part is not None:
                book.sheets.append(Sheet(name, part, state not in ("", "visible")))
        book.strings_part = _part_of(book, relations, "sharedStrings")
        book.styles_part = _part_of(book, relations, "styles")
        yield book


def _main_part(book: Workbook) -> str:
    """Find workbook.xml, wherever the container says that it lies."""
    for kind, target in _relations(book, "").values():
        if kind == "officeDocument" and (part := book.archive.find(target)):
            return part
    if part := book.archive.find("xl/workbook.xml"):
        return part
    raise Refused("workbook-damaged")


def _relations(book: Workbook, part: str) -> dict[str, tuple[str, str]]:
    """Read the relationships of a part; targets come as paths from the container's root."""
    folder, name = posixpath.split(part)
    rels = book.archive.find(posixpath.join(folder, "_rels", f"{name}.rels"))
    reader = _Relations()
    if rels is not None:
        read_part(book.archive.blocks(rels), reader, book.watch)
    return {identity: (kind, _resolve(folder, target)) for identity, (kind, target) in reader.found.items()}


def _resolve(folder: str, target: str) -> str:
    """Turn a target, absolute or relative to its folder, into a path from the root."""
    target = target.replace("\\", "/")
    return posixpath.normpath(target if target.startswith("/") else posixpath.join("/", folder, target)).lstrip("/")


def _part_of(book: Workbook, relations: dict[str, tuple[str, str]], kind: str) -> str | None:
    """Find the one part of a type."""
    return next((book.archive.find(target) for k, target in relations.values() if k == kind), None)


# ------------------------------------------------------------------------------------------------ number formats


class _Styles:
    """Reads styles.xml: the format code of every cell style."""

    def __init__(self) -> None:
        self.codes: dict[int, str] = {}
        self.ids: list[int] = []
        self._inside = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the formats and, of the lists of xf, the one that cells point into."""
        if name in ("numFmts", "cellXfs", "cellStyleXfs", "dxfs"):
            self._inside = name
        elif name == "numFmt" and self._inside == "numFmts":
            self.codes[_number(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
        elif name == "xf" and self._inside == "cellXfs":
            self.ids.append(_number(attributes.get("numFmtId")))

    def end(self, name: str) -> None:
        """Leave a list."""
        if name == self._inside:
            self._inside = ""

    def text(self, data: str) -> None:
        """Nothing is written here."""


def _number(text: str | None) -> int:
    """Read a number. Raises: Refused for what is none."""
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refused("workbook-damaged")
    return int(text)


def read_styles(book: Workbook) -> list[tuple[int, str | None]]:
    """Give (format id, its own code or None for a built-in one) of every cell style."""
    reader = _Styles()
    if book.styles_part is not None:
        read_part(book.archive.blocks(book.styles_part), reader, book.watch)
    return [(one, reader.codes.get(one)) for one in reader.ids]


# ------------------------------------------------------------------------------------------------ shared texts


class Strings:
    """The shared texts, each ready as a field: the first ones in memory, the others on disk.

    `odd` are the numbers of those that hold what no text does.
    """

    def __init__(self, overflow: Path) -> None:
        self.odd: set[int] = set()
        self._kept: list[str] = []
        self._room = KEPT_CHARACTERS
        self._path = overflow
        self._file: IO[bytes] | None = None
        self._ends = array("q", (0,))

    def add(self, text: str) -> None:
        """Take the next text."""
        ready, odd = as_field(unescape(text))
        if odd:
            self.odd.add(len(self._kept) + len(self._ends) - 1)
        if self._room > 0:
            # A short text costs Python more than its characters.
            self._room -= len(ready) + 50
            self._kept.append(ready)
            return
        if self._file is None:
            self._file = self._path.open("wb+")
        data = ready.encode()
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def get(self, number: int) -> str:
        """Give a text. Raises: IndexError where there is none."""
        if number < len(self._kept):
            return self._kept[number]
        at = number - len(self._kept)
        begin, end = self._ends[at], self._ends[at + 1]
        assert self._file is not None
        self._file.seek(begin)
        return self._file.read(end - begin).decode()

    def close(self) -> None:
        """Give up the file. Again: yes."""
        if self._file is not None:
            self._file.close()


class _StringsReader:
    """Reads sharedStrings.xml: the text of each item, all its runs, without the phonetic ones."""

    def __init__(self, strings: Strings) -> None:
        self._strings = strings
        self._pieces: list[str] = []
        self._phonetic = False
        self._listening = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Listen inside <t>."""
        if name == "t":
            self._listening = not self._phonetic
        elif name == "si":
            self._pieces = []
        elif name == "rPh":
            self._phonetic = True

    def end(self, name: str) -> None:
        """Keep an item that is complete."""
        if name == "t":
            self._listening = False
        elif name == "si":
            self._strings.add("".join(self._pieces))
        elif name == "rPh":
            self._phonetic = False

    def text(self, data: str) -> None:
        """Take a piece."""
        if self._listening:
            self._pieces.append(data)


def read_strings(book: Workbook, overflow: Path) -> Strings:
    """Read the shared texts; none where the workbook has no such part."""
    strings = Strings(overflow)
    if book.strings_part is not None:
        read_part(book.archive.blocks(book.strings_part), _StringsReader(strings), book.watch)
    return strings
