"""XML inside a workbook: read as a stream, without a DTD, and stopped when it costs more memory than it may."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol
from xml.parsers import expat

from rowmill.tabular.archive import Refused

MEMORY_BYTES = 128_000_000
TAG_BYTES = 4 << 20
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Reader(Protocol):
    """What hears the elements of one part. Names come without their namespace."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Hear an element begin."""

    def end(self, name: str) -> None:
        """Hear it end."""

    def text(self, data: str) -> None:
        """Hear text, perhaps in several pieces."""


class Stop(Exception):
    """Raised by a reader that has seen enough."""


class MemoryWatch:
    """Notices when this process has grown by more than reading a workbook may cost.

    No single guard holds against every hostile XML (depth, names, attributes, one endless text): this one does, because
    a block of the file can make the parser grow by little more than its own size.
    """

    def __init__(self, limit_bytes: int = MEMORY_BYTES) -> None:
        self._limit = _resident() + limit_bytes

    def look(self) -> None:
        """Raises: Refused past the limit."""
        if _resident() > self._limit:
            raise Refused("workbook-too-heavy")


def _resident() -> int:
    """Give the memory that this process holds, in bytes; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def read_markup(
    blocks: Iterable[bytes],
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None],
    text: Callable[[str], None],
    watch: MemoryWatch,
) -> None:
    """Read XML to its end, or until a handler raises Stop. Raises: Refused for a DTD or what is no sound XML.

    Names come as `namespace local`, apart by a space, or `local` alone where there is none.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = _refuse_dtd
    parser.EntityDeclHandler = _refuse_dtd
    fed = 0
    try:
        for block in blocks:
            parser.Parse(block)
            watch.look()
            fed += len(block)
            # The parser looks at an unfinished tag from its beginning each time.
            if fed - parser.CurrentByteIndex > TAG_BYTES:
                raise Refused("workbook-too-heavy")
        parser.Parse(b"", True)
    except Stop:
        return
    except expat.ExpatError:
        raise Refused("workbook-damaged") from None
    finally:
        # The handlers hold the reader, the reader may hold the parser.
        parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None


def _refuse_dtd(*declared: object) -> None:
    """Stop at a document type, before one entity of it is known."""
    raise Refused("workbook-dtd")


def read_part(blocks: Iterable[bytes], reader: Reader, watch: MemoryWatch) -> None:
    """Read a small part by local names. Raises: Refused."""
    read_markup(
        blocks,
        lambda name, attributes: reader.start(local(name), {local(k): v for k, v in attributes.items()}),
        lambda name: reader.end(local(name)),
        reader.text,
        watch,
    )


def local(name: str) -> str:
    """Give a name without its namespace."""
    return name.rpartition(" ")[2]
