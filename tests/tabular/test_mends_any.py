"""Mends on any table: one fault anywhere in it, or bytes thrown in at random; every sound row comes through as it was."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowmill.errors import InputError
from rowmill.tabular.convert import convert
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.mends import apply_mends
from tests.zoo.faults import FAULTS, Fault
from tests.zoo.sound import make_table, write

_MENDED = [
    fault
    for fault in FAULTS
    if fault.name
    in (
        "long_row",
        "long_row_empty_extra",
        "unterminated_quote",
        "unterminated_quote_last_column",
        "unterminated_quote_first_column",
        "unescaped_quote_in_quoted",
        "space_after_quote",
        "backslash_escape",
        "semicolon_row",
        "tab_row",
        "blank_line",
        "repeated_header",
        "bom_mid_file",
        "space_before_quote",
        "ctrl_z",
        "cr_only_line_end",
        "crlf_line_in_lf",
        "typographic_quotes",
        "typographic_quotes_comma",
    )
]
_INSERTED = ("blank_line", "repeated_header")


def mend(data: bytes, more: Sequence[str] = ()) -> tuple[str, list[list[str]], list[list[str]]]:
    """Give the new verdict, the rows that were sound before, and the rows of the mended file."""
    with tempfile.TemporaryDirectory() as folder:
        path, out, table = Path(folder) / "in.csv", Path(folder) / "out.csv", Path(folder) / "table.csv"
        path.write_bytes(data)
        slugs = [cause.mend for cause in inspect_table(path).causes if cause.mend]
        apply_mends(path, out, [*slugs, *more])
        verdict = inspect_table(out).verdict
        return verdict, rows_of(path, table), rows_of(out, table)


def rows_of(path: Path, table: Path) -> list[list[str]]:
    if convert(path, table, without_broken_rows=True).rows_written is None:
        return []
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


def is_within(few: list[list[str]], many: list[list[str]]) -> bool:
    rest = iter(many)
    return all(row in rest for row in few)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    fault=st.sampled_from(_MENDED),
    rows=st.integers(8, 60),
    seed=st.integers(0, 10_000),
    place=st.integers(0, 10_000),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_one_fault_anywhere_is_mended(fault: Fault, rows: int, seed: int, place: int, newline: str) -> None:
    table = make_table(rows, seed)
    lines = write(table).encode().splitlines(keepends=True)
    # In the last rows a broken one may be a footer, or a file cut short.
    at = 1 + place % (rows - 4)
    data = b"".join(fault.breaks(list(lines), at))
    if newline == "\r\n" and b"\r" not in data:
        data = data.replace(b"\n", b"\r\n")
    verdict, before, after = mend(data)
    assert verdict == "sound"
    assert is_within(before[1:], after) or fault.name in ("ctrl_z", "typographic_quotes")
    expected = [row for number, row in enumerate(table) if number != at]
    assert [row for number, row in enumerate(after) if number != at or fault.name in _INSERTED] == (
        table if fault.name in _INSERTED else expected
    )


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(
    rows=st.integers(2, 30),
    seed=st.integers(0, 10_000),
    thrown=st.lists(
        st.tuples(
            st.integers(0, 5_000),
            st.sampled_from([b'"', b",", b";", b"\n", b"\r", b'""', b"x", b"\xef\xbb\xbf", b"\xe9"]),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_whatever_is_thrown_in_sound_rows_stay(rows: int, seed: int, thrown: list[tuple[int, bytes]]) -> None:
    data = write(make_table(rows, seed)).encode()
    for at, piece in thrown:
        data = data[: at % len(data)] + piece + data[at % len(data) :]
    try:
        _, before, after = mend(data)
    except InputError:
        return
    assert is_within(before[1:], after)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300) | st.text('a1,;"\n\r\t “”', max_size=200).map(str.encode))
def test_any_bytes_at_all(data: bytes) -> None:
    try:
        mend(data, ["without-broken-rows"])
    except InputError:
        return
