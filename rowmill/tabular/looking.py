"""In the limited child: finds a place in a file again, whatever it is packed in, and reads the lines around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from rowmill.tabular.excerpt import ExcerptLine, read_excerpt
from rowmill.tabular.reading import Limits
from rowmill.tabular.source import open_source
from rowmill.tabular.unpack import packing_of


def look(request: Mapping[str, Any], limits: Limits, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Read the lines around a place: `line` and `byte` as a finding tells them, or a stretch of the map its place.

    `near`: (a line above it, the byte where that begins), so that a line whose byte is not known need not be counted from
    the top. Shape: `lines`, each {"line", "parts"}, empty where the file has no such place; `at`, the line it is about.
    Cost: a byte is sought; a line is read up to from `near`.
    """
    path, encoding = Path(request["path"]), str(request["encoding"])
    line, byte, near = request.get("line"), request.get("byte"), request.get("near") or (1, 0)
    if packing_of(path):
        source = open_source(path, Path(mkdtemp()), request["rules"]["sheet"])
        path = source.path
        if source.table:
            encoding, byte, near = "utf-8", None, (1, 0)
    return _told(read_excerpt(path, byte=byte, line=line, encoding=encoding, near=(near[0], near[1])), line)


def _told(lines: list[ExcerptLine], at: int | None) -> dict[str, Any]:
    """Lay the lines out as plain JSON types."""
    return {"lines": [{"line": one.line, "parts": [list(part) for part in one.parts]} for one in lines], "at": at}
