"""`rowmill convert`: the table as it was understood, written anew as UTF-8 with commas, or as Parquet."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rowmill.contracts import Inspection, Rules
from rowmill.tabular.inspect import open_table
from rowmill.tabular.load import quote_name, quote_text
from rowmill.tabular.reading import DEFAULT_LIMITS, Limits, Reading
from rowmill.tabular.rows import name_columns
from rowmill.tabular.unfinished import whole_or_not


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """What became of a conversion: the inspection, and the rows written (None where nothing was)."""

    inspection: Inspection
    rows_written: int | None

    @property
    def sound(self) -> bool:
        """Tell whether the file was sound."""
        return self.inspection.verdict == "sound"


def convert(
    path: Path,
    out: Path,
    to: Literal["csv", "parquet"] = "csv",
    without_broken_rows: bool = False,
    *,
    limits: Limits = DEFAULT_LIMITS,
    sheet: str | None = None,
) -> ConvertReport:
    """Write the table of a file anew, cell for cell. Nothing is written where the file is not sound, unless without them.

    With `without_broken_rows` the broken rows are left out, provided that the header is sound and the account balances.
    """
    with open_table(path, Rules(sheet=sheet), table_out=out, limits=limits) as reading:
        if not _may_write(reading, without_broken_rows):
            return ConvertReport(reading.inspection, None)
        with whole_or_not(out) as unfinished:
            write = _write_csv if to == "csv" else _write_parquet
            write(reading, unfinished)
        return ConvertReport(reading.inspection, reading.inspection.balance.rows)


def _may_write(reading: Reading, without_broken_rows: bool) -> bool:
    """Tell whether there are rows that can be trusted."""
    if reading.rows_sql is None:
        return False
    return reading.inspection.verdict == "sound" or (without_broken_rows and reading.trusted)


def _write_csv(reading: Reading, target: Path) -> None:
    """Write the header by own code (names may be empty or doubled), then the rows by DuckDB."""
    assert reading.con is not None
    header = reading.inspection.header
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(header)
    # One column: an empty cell has to be written as "", or its line would be blank.
    cells = [f"c{i}" if len(header) == 1 else f"nullif(c{i}, '')" for i in range(1, len(header) + 1)]
    reading.con.execute(
        f"COPY (SELECT {', '.join(cells)} FROM {reading.rows_sql}) TO {quote_text(str(target))}"
        " (FORMAT csv, HEADER false, DELIMITER ',', QUOTE '\"', ESCAPE '\"')"
    )
    _put_before(target, text.getvalue().removesuffix("\r\n").encode() + b"\n")


def _put_before(target: Path, head: bytes) -> None:
    """Put the header line before the rows."""
    body = target.with_name(target.name + ".rows")
    target.replace(body)
    try:
        with target.open("wb") as out, body.open("rb") as rows:
            out.write(head)
            shutil.copyfileobj(rows, out, 1 << 20)
    finally:
        body.unlink(missing_ok=True)


def _write_parquet(reading: Reading, target: Path) -> None:
    """Write Parquet under the header's names, each made unique."""
    assert reading.con is not None
    names = name_columns(reading.inspection.header)
    cells = ", ".join(f"c{i} AS {quote_name(n)}" for i, n in enumerate(names, 1))
    reading.con.execute(
        f"COPY (SELECT {cells} FROM {reading.rows_sql}) TO {quote_text(str(target))} (FORMAT parquet, COMPRESSION zstd)"
    )
