"""Any table, written by any sound writer, comes back cell for cell; no fault put into it goes unnoticed."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowmill.contracts import Inspection
from rowmill.tabular.convert import convert

Table = list[list[str]]
PIECES = st.sampled_from(
    [
        "a",
        "Z",
        "é",
        "日",
        "0",
        "12",
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
        "\r\n",
        "\u2028",
        "=",
        "total",
        "😀",
    ]
)
CELLS = st.lists(PIECES, max_size=6).map("".join)
FIXED = st.integers(0, 10**6).map(lambda n: f"P{n:07}")


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Draw a table with a plain header, one column of IDs and up to five of anything."""
    columns = draw(st.integers(1, 5))
    rows = draw(st.lists(st.tuples(FIXED, *[CELLS] * columns), min_size=1, max_size=12))
    return [["id", *(f"field {i}" for i in range(columns))], *(list(r) for r in rows)]


def written(table: Table, delimiter: str, newline: str, quote_all: bool) -> str:
    out = io.StringIO(newline="")
    plain = csv.writer(out, delimiter=delimiter, lineterminator=newline)
    quoted = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)
    for row in table:
        # Python's writer quotes only the newline it writes itself.
        unsafe = any("\n" in c or "\r" in c for c in row)
        (quoted if quote_all or unsafe else plain).writerow(row)
    return out.getvalue()


def run(data: bytes) -> tuple[Inspection, Table | None]:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "in.csv", Path(folder) / "out.csv"
        path.write_bytes(data)
        report = convert(path, out)
        if report.rows_written is None:
            return report.inspection, None
        return report.inspection, list(csv.reader(io.StringIO(out.read_bytes().decode(), newline=""), strict=True))


SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(
    tables(),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_table_comes_back_cell_for_cell(
    table: Table, delimiter: str, newline: str, quote_all: bool, final: bool, codec: str
) -> None:
    text = written(table, delimiter, newline, quote_all)
    inspection, got = run((text if final else text.removesuffix(newline)).encode(codec))
    assert [f.code for f in inspection.findings if f.severity == "error"] == []
    assert got == table
    assert inspection.balance.balances


@SLOW
@given(
    tables(),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.integers(0, 10**6),
    st.sampled_from([b'"', b",", b";", b"\n", b"\r", b"\x00", b" ", b"x", b"\xff", b"\t"]),
    st.sampled_from(["put", "replace", "drop"]),
)
def test_no_fault_is_loaded_in_silence(
    table: Table, delimiter: str, newline: str, quote_all: bool, at: int, byte: bytes, how: str
) -> None:
    """Sound without a word means: what a strict reader of the pinned delimiter reads."""
    data = written(table, delimiter, newline, quote_all).encode()
    at %= len(data)
    broken = data[:at] + (b"" if how == "drop" else byte) + data[at + (how != "put") :]
    inspection, got = run(broken)
    if inspection.verdict == "sound" and not inspection.findings:
        assert inspection.dialect is not None
        text = io.StringIO(broken.decode(), newline="")
        assert got == list(csv.reader(text, delimiter=inspection.dialect.delimiter, strict=True))
