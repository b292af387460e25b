"""In the limited child: finds a place in a file again, whatever it is packed in, and reads the lines around it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from rowmill.contracts import Rules
from rowmill.tabular.damage_map import Lines
from rowmill.tabular.excerpt import ExcerptLine, read_excerpt
from rowmill.tabular.inspect import open_table
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.load import number_rows
from rowmill.tabular.reading import Limits, Reading
from rowmill.tabular.source import open_source
from rowmill.tabular.unpack import packing_of


def look(request: Mapping[str, Any], limits: Limits, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Read the lines around a place: `stretch` of the map's `stretches`, or `line` and `byte` as a finding tells them.

    Shape: `lines`, each {"line", "parts"}, empty where the file has no such place; `at`, the line it is about, or None.
    Cost: a byte is sought, a line read up to; for a stretch the whole file is judged anew, to know what is in it.
    """
    path, encoding = Path(request["path"]), str(request["encoding"])
    if "stretch" in request:
        return _look_at_stretch(path, request, limits)
    line, byte = request.get("line"), request.get("byte")
    if packing_of(path):
        source = open_source(path, Path(mkdtemp()), request["rules"]["sheet"])
        path, encoding = source.path, "utf-8" if source.table else encoding
        byte = None if source.table else byte
    return _told(read_excerpt(path, byte=byte, line=line, encoding=encoding), line)


def _look_at_stretch(path: Path, request: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """Read the lines around the first trouble in a stretch of the map."""
    with open_table(path, Rules.from_json(request["rules"]), limits=limits) as reading:
        if reading.text_path is None or reading.ledger is None:
            return _told([], None)
        line, byte = _first_place(reading, reading.ledger, int(request["stretch"]), int(request["stretches"]) or 1)
        return _told(read_excerpt(reading.text_path, byte=byte, line=line), line)


def _first_place(reading: Reading, ledger: Ledger, stretch: int, stretches: int) -> tuple[int, int | None]:
    """Find the first trouble in a stretch: a break, else a row with a bad cell. Shape: (its line, its byte if known)."""
    breaks, total = ledger.breaks, reading.text_bytes
    start, end = total * stretch // stretches, total * (stretch + 1) // stretches
    index = int(np.searchsorted(breaks.starts(), start))
    for near in (index - 1, index):
        if 0 <= near < len(breaks) and breaks[near].start < end and breaks[near].end > start:
            return breaks[near].line, breaks[near].at
    lines = Lines(ledger, total)
    first, last = lines.around(start), lines.around(end)
    row = _first_bad_row(reading, _row_below(ledger, first), _row_below(ledger, last))
    return (ledger.places([row])[0][0] if row else first), None


def _row_below(ledger: Ledger, line: int) -> int:
    """Give the first row of the table that stands on a line or below it."""
    rows = range(1, ledger.rows + 1)
    return bisect_left(rows, line, key=lambda row: ledger.places([row])[0][0]) + 1


def _first_bad_row(reading: Reading, first: int, last: int) -> int | None:
    """Find the first of some rows that breaks a check."""
    if reading.con is None or reading.rows_sql is None or not reading.bad:
        return None
    bad = " OR ".join(f"({one.met_by('n')})" for one in reading.bad)
    sql = f"SELECT min(n) FROM {number_rows(reading.rows_sql)} WHERE n BETWEEN {first} AND {last} AND ({bad})"
    found = reading.con.execute(sql).fetchall()[0][0]
    return int(found) if found is not None else None


def _told(lines: list[ExcerptLine], at: int | None) -> dict[str, Any]:
    """Lay the lines out as plain JSON types."""
    return {"lines": [{"line": one.line, "parts": [list(part) for part in one.parts]} for one in lines], "at": at}
