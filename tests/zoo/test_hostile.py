"""Hostile files: one thing without end. The child answers in words, within its limits, and the account balances."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowmill.contracts import Inspection
from rowmill.tabular.child import inspect_in_child
from rowmill.tabular.scan import BLOCK

MB = 1 << 20
MEMORY = 600_000_000

# What comes first, what is repeated without end, the verdict, the code that is told first.
ENDLESS = {
    "one_line": (b"", b"x", "unsound", "row-too-long"),
    "one_quoted_cell": (b'a,b\n"', b"x", "unsound", "quote-not-closed"),
    "one_quoted_cell_of_lines": (b'a,b\n1,"', b"x\n", "unsound", "quote-not-closed"),
    "quotes": (b"a,b\n", b'""', "unsound", "too-few-fields"),
    "only_quotes": (b"", b'""', "unsound", "row-too-long"),
    "broken_quotes": (b"a,b\n", b'"a"b,1\n', "unsound", "text-after-quote"),
    "delimiters": (b"a,b\n", b",", "unsound", "too-many-fields"),
    "newlines": (b"a,b\n", b"\n", "sound", "blank-line"),
    "carriage_returns": (b"a,b\n1,2\n", b"\r", "sound", "mixed-newlines"),
    "both_newlines": (b"a,b\r1,2\r", b"1,2\r\n", "sound", "lone-cr"),
    "nuls": (b"a,b\n1,2\n", b"\x00", "unsound", "nul-byte"),
    "bad_bytes": (b"a,b\n", b"1,\x81\n", "unsound", "bad-encoding"),
    "wide": (b"a,b\n", b"1," * 50_000 + b"\n", "unsound", "too-many-fields"),
}


def inspect_endless(name: str, size: int, path: Path) -> Inspection:
    head, piece, verdict, code = ENDLESS[name]
    path.write_bytes(head + piece * (size // len(piece)))
    inspection = inspect_in_child(path, memory_bytes=MEMORY, seconds=250)
    assert inspection.balance.balances
    assert (inspection.verdict, inspection.findings[0].code) == (verdict, code), inspection.findings[:3]
    return inspection


@pytest.mark.parametrize("name", ENDLESS)
def test_the_child_answers_in_words(name: str, tmp_path: Path) -> None:
    inspect_endless(name, 300_000, tmp_path / "in.csv")


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS)
def test_the_child_answers_in_words_to_megabytes(name: str, tmp_path: Path) -> None:
    inspect_endless(name, 3 * MB, tmp_path / "in.csv")


@pytest.mark.slow
@pytest.mark.parametrize("size", [32 * MB, 32 * MB + BLOCK // 2])
def test_one_bad_byte_at_the_end_of_a_long_file_is_told_at_its_byte(size: int, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    row = "1234567,Zoë Ann,2020-01-01,123.45\n".encode()
    before = b"id,name,visited,amount\n" + row * (size // len(row)) + "9,Zoë".encode()
    path.write_bytes(before + b"\x81,2020-01-01,1.00\n")
    inspection = inspect_in_child(path, memory_bytes=MEMORY, seconds=250)
    told = [(f.code, f.line, f.byte) for f in inspection.findings]
    assert told == [("bad-encoding", size // len(row) + 2, len(before))]
