"""Faults at the edges of the blocks that the scan reads: each told at its line and byte, wherever the edge falls."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.scan import BLOCK

# What stands where a sound file has nothing; how many of its bytes come before the one that is told; its code.
FAULTS = {
    "nul": (b"\x00", 0, "nul-byte"),
    "control_z": (b"\x1a", 0, "control-z"),
    "bad_byte": (b"\x81", 0, "bad-encoding"),
    "cut_sequence": (b"\xe2\x82", 0, "bad-encoding"),
    "bom": (b"\xef\xbb\xbf", 0, "bom-in-middle"),
    "bare_quote": (b'"', 0, "quote-in-unquoted"),
    "lone_cr": (b"\r", 0, "lone-cr"),
    "quote_not_closed": (b',"x', 1, "quote-not-closed"),
    "text_after_quote": (b',"x"y', 4, "text-after-quote"),
    "blank_line": (b",1.5\n\n9,\xc3\xa9", 5, "blank-line"),
    "crlf": (b",1.5\r\n9,\xc3\xa9", 4, "mixed-newlines"),
}
WIDE = {"quote_not_closed", "text_after_quote"}
STRICT = ("nul-byte", "bad-encoding", "bom-in-middle", "quote-not-closed", "text-after-quote")


def make_file(fault: bytes, at: int, wide: bool) -> tuple[bytes, int]:
    """Make a table of half as much again in which the fault begins at a byte; gives it with the fault's line."""
    head = b"id,name,n,more\n" if wide else b"id,name,n\n"
    row = b"1,Zo\xc3\xab,1.5,x\n" if wide else b"1,Zo\xc3\xab,1.5\n"
    count, left = divmod(at - len(head) - 40, len(row))
    before = head + row * count + b"2," + b"y" * (left + 38)
    assert len(before) == at
    after = b",2.5\n" if not wide else b",2.5\n"
    return before + fault + after + row * (40_000 // len(row) * 3), count + 2


@pytest.mark.parametrize("delta", [-1, 0, 1, *(pytest.param(d, marks=pytest.mark.slow) for d in (-3, -2, 2, 3))])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_at_the_edge_of_a_block_is_told_at_its_byte(name: str, delta: int, tmp_path: Path) -> None:
    fault, inside, code = FAULTS[name]
    path = tmp_path / "in.csv"
    data, line = make_file(fault, BLOCK + delta, name in WIDE)
    # The block begins behind the header: its edges lie one header further on as well.
    shifted, line_shifted = make_file(fault, BLOCK + delta + (15 if name in WIDE else 10), name in WIDE)
    for one, own in ((data, line), (shifted, line_shifted)):
        path.write_bytes(one)
        inspection = inspect_table(path)
        found = [(f.code, f.line) for f in inspection.findings]
        assert (code, own + (name == "blank_line")) in found, found
        assert inspection.balance.balances
        assert (inspection.verdict == "unsound") == (code in STRICT)
        place = next(f for f in inspection.findings if f.code == code)
        if name not in ("blank_line",):
            assert place.byte == one.index(fault) + inside
