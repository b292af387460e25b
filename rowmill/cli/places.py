"""The lines around a place of a file, for a terminal: unseen signs made visible, the place coloured and pointed at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from rowmill.contracts import Cause, Inspection
    from rowmill.tabular.excerpt import ExcerptLine, Part

SHOWN_CAUSES = 10
_GUTTER = 18
_STYLES = {"": "", "invisible": "cyan", "place": "bold reverse"}


def print_place(console: Console, path: Path, inspection: Inspection, cause: Cause) -> None:
    """Print the line of a cause's first place and its neighbours; nothing of what is packed: its lines are elsewhere."""
    from rowmill.tabular.excerpt import read_excerpt
    from rowmill.tabular.unpack import packing_of

    if cause.line is None or inspection.dialect is None or packing_of(path):
        return
    encoding = inspection.dialect.encoding
    around = 1 if cause.byte is not None else 0
    for line in read_excerpt(path, byte=cause.byte, line=cause.line, around=around, encoding=encoding):
        _print_line(console, line)


def _print_line(console: Console, line: ExcerptLine) -> None:
    """Print one line behind its number, and below it what points at the place."""
    from rich.cells import cell_len
    from rich.text import Text

    number = f"{line.line:,}" if line.line else ""
    parts = _around_place(line.parts, max(40, console.width - _GUTTER))
    text = Text(f"{number:>{_GUTTER - 3}} | ")
    for piece, kind in parts:
        text.append(piece, style=_STYLES[kind])
    console.print(text)
    before = "".join(piece for piece, _ in parts[: _place_of(parts)])
    if _place_of(parts) < len(parts):
        width = max(1, cell_len(parts[_place_of(parts)][0]))
        console.print(Text(" " * (_GUTTER + cell_len(before)) + "^" * width, style="red"))


def _place_of(parts: Sequence[Part]) -> int:
    """Give the index of the part that is the place; how many there are where none is."""
    return next((i for i, (_, kind) in enumerate(parts) if kind == "place"), len(parts))


def _around_place(parts: Sequence[Part], width: int) -> list[Part]:
    """Cut a line to the width of a terminal so that the place stays in sight."""
    place = _place_of(parts)
    if place == len(parts):
        return _first(parts, width)
    marked = parts[place]
    front = _first([(text[::-1], kind) for text, kind in reversed(parts[:place])], width // 2)
    front = [(text[::-1], kind) for text, kind in reversed(front)]
    used = sum(len(text) for text, _ in front) + len(marked[0])
    return [*front, marked, *_first(parts[place + 1 :], max(10, width - used))]


def _first(parts: Sequence[Part], width: int) -> list[Part]:
    """Give the first characters, with a sign where more follow."""
    kept: list[Part] = []
    left = width - 1
    for text, kind in parts:
        if len(text) > left:
            return [*kept, (text[:left], kind), ("…", "invisible")]
        kept.append((text, kind))
        left -= len(text)
    return kept
