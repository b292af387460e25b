"""In the limited child: rows that were gathered as CSV become a workbook, and it tells how far it is."""

from __future__ import annotations

import csv
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rowmill.tabular.reading import Limits
from rowmill.tabular.writers import write_xlsx

TELL_SECONDS = 1.0


class _Count:
    """How many rows have gone by."""

    rows = 0


def make_workbook(request: Mapping[str, Any], limits: Limits, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Write the CSV file `path`, header first, as the workbook `out`. Shape: {"rows": how many}; so it tells each second."""
    csv.field_size_limit(sys.maxsize)
    count = _Count()
    source = Path(request["path"]).open(encoding="utf-8", errors="surrogatepass", newline="")  # noqa: SIM115
    with source, open(request["out"], "xb") as out, _telling(count, tell):
        lines = csv.reader(source)
        header = next(lines)
        write_xlsx(header, _counted(lines, count), out, sheet=request["sheet"], account=request["account"])
    return {"rows": count.rows}


def _counted(lines: Iterator[list[str]], count: _Count) -> Iterator[list[str]]:
    """Count what goes by."""
    for line in lines:
        yield line
        count.rows += 1


@contextmanager
def _telling(count: _Count, tell: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Tell each second, also while the rows are packed, which takes long and goes through no row."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(TELL_SECONDS):
            tell({"rows": count.rows})

    thread = threading.Thread(target=go_on, name="telling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
