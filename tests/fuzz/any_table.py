"""Any table that any sound writer writes comes back cell for cell; any one fault put into it is told at its line.

By itself it draws other tables each time: `python -m tests.fuzz.any_table 10000` (`make fuzz` runs it too).
"""

from __future__ import annotations

import csv
import io
import random
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rowmill.contracts import Inspection
from rowmill.tabular.inspect import open_table
from rowmill.tabular.reading import Limits
from tests.zoo.one_database import one_database
from tests.zoo.stranger import CELLS, JAPANESE, WESTERN, Sheet
from tests.zoo.strangers_faults import FAULTS, break_sheet

PIECES = st.sampled_from(
    [
        "a",
        "Z",
        "é",
        "ü",
        "日",
        "ｱ",
        "±",
        "0",
        "12",
        "-1.5",
        ".",
        "-",
        "/",
        " ",
        ",",
        ";",
        "\t",
        "|",
        '"',
        '""',
        "'",
        "\n",
    ]
    + ["\r\n", "\u2028", "=", "#", "\\", "total", "id", "2020-01-02", "😀", "word", "NULL", "x y"]
)
CELL = st.lists(PIECES, max_size=5).map("".join)
CODECS = (*["utf-8"] * 4, *["utf-8-sig"] * 2, "utf-16", "utf-16-le", "utf-16-be", "cp1252", "cp932", "utf-32")
ENOUGH = 6  # signs of Japanese; two bytes in a whole file prove no encoding
# What somebody writes in an old encoding; a table with other signs than these is written in UTF-8.
SIGNS = {"cp1252": set("".join((*WESTERN, "éüë±–“”’"))), "cp932": set("".join((*JAPANESE, "日ｱｲｳ")))}


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    """Draw a table: IDs, columns of everyday cells, and columns of anything."""
    kinds = draw(st.lists(st.sampled_from(["any", *sorted(CELLS)]), min_size=0, max_size=7))
    rng = random.Random(draw(st.integers(0, 1 << 32)))
    rows = draw(st.integers(1, 14))
    columns = [["id", *(f"P{rng.randrange(10**7):07}" for _ in range(rows))]]
    for place, kind in enumerate(kinds):
        cells = draw(st.lists(CELL, min_size=rows, max_size=rows)) if kind == "any" else None
        columns.append([f"{kind} {place}", *(cells or [CELLS[kind](rng, n) for n in range(rows)])])
    rng.shuffle(columns)
    return [list(row) for row in zip(*columns, strict=True)]


def judge(data: bytes) -> tuple[Inspection, list[list[str]]]:
    with tempfile.TemporaryDirectory(prefix="rowmill-fuzz-") as folder:
        path = Path(folder) / "in.csv"
        path.write_bytes(data)
        with open_table(path, limits=Limits(threads=1)) as reading:
            if reading.inspection.verdict == "unsound" or reading.con is None or reading.rows_sql is None:
                return reading.inspection, []
            rows = reading.con.execute(f"SELECT * FROM {reading.rows_sql}").fetchall()
            return reading.inspection, [list(reading.inspection.header), *(list(row) for row in rows)]


def by_csv(quoting: int) -> Callable[..., str]:
    def write(table: list[list[str]], delimiter: str, newline: str) -> str:
        out = io.StringIO(newline="")
        plain = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=quoting)
        quoted = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)
        for row in table:
            # Python's writer quotes only the newline it writes itself.
            (quoted if any("\n" in c or "\r" in c for c in row) else plain).writerow(row)
        return out.getvalue()

    return write


def by_pandas(table: list[list[str]], delimiter: str, newline: str) -> str:
    import pandas

    return str(
        pandas.DataFrame(table[1:], columns=table[0]).to_csv(
            None, sep=delimiter, lineterminator=newline, index=False, quoting=csv.QUOTE_ALL
        )
    )


def by_polars(table: list[list[str]], delimiter: str, newline: str) -> str:
    import polars

    frame = polars.DataFrame(table[1:], schema=dict.fromkeys(table[0], polars.String), orient="row")
    return frame.write_csv(None, separator=delimiter, line_terminator=newline, quote_style="non_numeric")


WRITERS = {
    "csv": by_csv(csv.QUOTE_MINIMAL),
    "csv, all quoted": by_csv(csv.QUOTE_ALL),
    "pandas": by_pandas,
    "polars": by_polars,
}


@given(
    tables(),
    st.sampled_from(sorted(WRITERS)),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.sampled_from(CODECS),
)
def comes_back(table: list[list[str]], writer: str, delimiter: str, newline: str, final: bool, codec: str) -> None:
    """Hold what is read against what was written."""
    text = WRITERS[writer](table, delimiter, newline)
    text = text if final else text.removesuffix(newline)
    beyond = set(re.sub("[\\x00-\\x7f]", "", text))
    if not beyond <= SIGNS.get(codec, beyond) or (codec == "cp932" and sum(map(text.count, beyond)) < ENOUGH):
        codec = "utf-8"
    data = text.encode(codec)
    inspection, rows = judge(data)
    assert inspection.balance.balances
    alarms = [(f.code, f.line) for f in inspection.findings if f.severity == "error"]
    assert alarms == [], data
    assert rows == table, (inspection.dialect, inspection.findings, data)


@given(
    tables(),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["minimal", "all"]),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8", "utf-16-le", "cp1252"]),
    st.sampled_from(sorted(FAULTS)),
    st.integers(0, 1 << 32),
)
def is_told(
    table: list[list[str]], delimiter: str, newline: str, quoting: str, final: bool, codec: str, fault: str, seed: int
) -> None:
    """Hold where a fault is told against where it was put."""
    bom = b"\xff\xfe" if codec == "utf-16-le" else b""
    if len(table[0]) == 1:
        delimiter = ","  # there is none, and a semicolon in a cell is as good as any sign
    sheet = Sheet(table, delimiter, newline, quoting, codec, bom, final, [""] * len(table[0]))
    try:
        sheet.data()
    except UnicodeEncodeError:
        sheet.codec = "utf-8"
    broken = break_sheet(sheet, fault, random.Random(seed))
    if broken is None:
        return
    inspection, _ = judge(broken.data)
    assert inspection.balance.balances
    found = [(f.code, f.line) for f in inspection.findings]
    assert any(line is not None and broken.line <= line <= broken.last for _, line in found), (
        fault,
        broken.line,
        found,
        broken.data,
    )


def main(examples: int) -> int:
    """Run both with other tables each time. Gives 1 where one found something."""
    own = settings(
        max_examples=examples,
        deadline=None,
        derandomize=False,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=True,
    )
    broken = 0
    with one_database():
        for what in (comes_back, is_told):
            try:
                own(what)()
                print(f"{what.__name__}: {examples} examples, nothing found", flush=True)
            except Exception:
                traceback.print_exc()
                broken = 1
    return broken


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
