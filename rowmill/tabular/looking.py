"""In the limited child: finds a place in a file again, whatever it is packed in, and reads the lines around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from rowmill.tabular.child import read_columns
from rowmill.tabular.excerpt import ExcerptLine, read_excerpt
from rowmill.tabular.inspect import open_table
from rowmill.tabular.reading import Limits, Reading
from rowmill.tabular.source import open_source
from rowmill.tabular.unpack import packing_of


def look(request: Mapping[str, Any], limits: Limits, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Read the lines around a place: `stretch` of the map's `stretches`, or `line` and `byte` as a finding tells them.

    Shape: `lines`, each {"line", "parts"}; empty where the file has no such place.
    Cost: a byte is sought, a line read up to; for a stretch the whole file is judged anew, to know what is in it.
    """
    path, encoding = Path(request["path"]), str(request["encoding"])
    if "stretch" in request:
        return _told(_look_at_stretch(path, request, limits))
    line, byte = request.get("line"), request.get("byte")
    if packing_of(path):
        source = open_source(path, Path(mkdtemp()), request["sheet"])
        path, encoding = source.path, "utf-8" if source.table else encoding
        byte = None if source.table else byte
    return _told(read_excerpt(path, byte=byte, line=line, encoding=encoding))


def _look_at_stretch(path: Path, request: Mapping[str, Any], limits: Limits) -> list[ExcerptLine]:
    """Read the lines around the first trouble in a stretch of the map; without any known place, where it begins."""
    columns = read_columns(request["columns"])
    with open_table(path, columns, {}, limits=limits, sheet=request["sheet"]) as reading:
        if reading.text_path is None or reading.ledger is None:
            return []
        line, byte = _first_place(reading, int(request["stretch"]), int(request["stretches"]) or 1)
        return read_excerpt(reading.text_path, byte=byte, line=line)


def _first_place(reading: Reading, stretch: int, stretches: int) -> tuple[int | None, int]:
    """Find the first break in a stretch. Shape: (its line, None where there is no break; its byte)."""
    assert reading.ledger is not None
    breaks, total = reading.ledger.breaks, reading.text_bytes
    start, end = total * stretch // stretches, total * (stretch + 1) // stretches
    index = int(np.searchsorted(breaks.starts(), start))
    if index < len(breaks) and breaks[index].start < end:
        return breaks[index].line, breaks[index].at
    if index and breaks[index - 1].end > start:
        return breaks[index - 1].line, breaks[index - 1].at
    return None, start


def _told(lines: list[ExcerptLine]) -> dict[str, Any]:
    """Lay the lines out as plain JSON types."""
    return {"lines": [{"line": one.line, "parts": [list(part) for part in one.parts]} for one in lines]}
