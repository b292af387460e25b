"""A fault is the same wherever a block of the reading happens to end in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.scan import BLOCK

HEADER = b"id,name,note\n"
ROW = b"000001,Ann,a plain note\n"
FAULTS = {
    "quote-not-escaped": b'000002,Bo,"said "hello" there"\n',
    "text-after-quote": b'000002,Bo,"said"hello there\n',
    "quote-not-closed": b'000002,"Bo,a note of some length\n',
}


@pytest.mark.slow
@pytest.mark.parametrize("code", FAULTS)
def test_a_broken_quote_is_one_line_wherever_a_block_ends(tmp_path: Path, code: str) -> None:
    fault, file, told = FAULTS[code], tmp_path / "table.csv", set()
    for shift in range(0, len(fault) + len(ROW) + 2, 3):
        rows = (BLOCK - len(HEADER)) // len(ROW) - 2
        room = BLOCK - len(HEADER) - rows * len(ROW) - shift
        padded = b"000003,Cy," + b"x" * (room - 11) + b"\n"
        file.write_bytes(HEADER + ROW * rows + padded + fault + ROW * 50)
        found = inspect_table(file)
        balance = found.balance
        told.add((tuple(f.code for f in found.findings), balance.lines - rows, balance.rows - rows, balance.broken))
    assert told == {((code,), 53, 51, 1)}
