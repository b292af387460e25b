"""What the fuzzer holds against each other: a file found sound without a word, and the csv module's strict reading of it."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

from rowmill.contracts import Inspection
from rowmill.tabular.inspect import open_table
from rowmill.tabular.reading import Limits

csv.field_size_limit(1 << 30)
_CODECS = {"windows-1252": "cp1252", "shift_jis": "cp932"}
_LIMITS = Limits(threads=1)


class Disagreement(Exception):
    """The two readings differ, or the account does not balance."""


def hold_against_csv(data: bytes) -> Inspection:
    """Judge bytes. Raises: Disagreement where they are sound without a warning and the csv module reads other cells."""
    with tempfile.TemporaryDirectory(prefix="rowmill-fuzz-") as folder:
        path = Path(folder) / "in.csv"
        path.write_bytes(data)
        with open_table(path, limits=_LIMITS) as reading:
            inspection = reading.inspection
            if not inspection.balance.balances:
                raise Disagreement("the account does not balance")
            if inspection.verdict == "unsound" and not any(f.severity == "error" for f in inspection.findings):
                raise Disagreement("unsound without an error")
            silent = inspection.verdict == "sound" and not inspection.findings and inspection.dialect is not None
            if not silent or reading.con is None or reading.rows_sql is None:
                return inspection
            ours = [list(row) for row in reading.con.execute(f"SELECT * FROM {reading.rows_sql}").fetchall()]
    theirs = _strictly(data, inspection)
    if [list(inspection.header), *ours] != theirs:
        raise Disagreement(f"{len(ours) + 1} records here, {len(theirs)} there, or other cells")
    return inspection


def _strictly(data: bytes, inspection: Inspection) -> list[list[str]]:
    """Read with the csv module in the dialect that was pinned."""
    dialect = inspection.dialect
    assert dialect is not None
    text = data.decode(_CODECS.get(dialect.encoding, dialect.encoding)).removeprefix("\ufeff")
    quoting = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=quoting,
        strict=True,
    )
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        raise Disagreement(f"the csv module refuses it: {error}") from None
