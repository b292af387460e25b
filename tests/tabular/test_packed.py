"""Files that come packed: one file inside is read, anything else is refused, and no bomb costs more than a little memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from rowmill.contracts import Inspection
from rowmill.tabular import archive
from rowmill.tabular.child import inspect_in_child
from rowmill.tabular.inspect import inspect_table
from tests.zoo.workbooks import DOC, MAIN, parts, row, sheet, workbook

TEXT = b"id,n\n007,a\n8,b\n"
RSS_LIMIT = 300_000_000


def judge(data: bytes, tmp_path: Path) -> Inspection:
    path = tmp_path / "in.bin"
    path.write_bytes(data)
    found = inspect_table(path)
    assert found.balance.balances
    assert found.size_bytes == len(data)
    return found


def zipped(*members: tuple[str, bytes], mode: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", mode) as file:
        for name, data in members:
            file.writestr(zipfile.ZipInfo(name), data, mode)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(TEXT),
        gzip.compress(TEXT[:7]) + gzip.compress(TEXT[7:]),
        zipped(("claims.csv", TEXT)),
        zipped(("claims.csv", TEXT), mode=zipfile.ZIP_STORED),
        zipped(("__MACOSX/._claims.csv", b"\x00"), ("claims.csv", TEXT), (".DS_Store", b"\x00")),
        gzip.compress(TEXT.decode().encode("utf-16")),
        gzip.compress(workbook(row(1, "id", "n") + row(2, "007", "a") + row(3, "8", "b"))),
        zipped(("book.xlsx", workbook(row(1, "id", "n") + row(2, "007", "a") + row(3, "8", "b")))),
    ],
    ids=["gz", "gz-of-two-members", "zip", "zip-stored", "zip-by-a-mac", "gz-utf-16", "gz-workbook", "zip-workbook"],
)
def test_the_one_file_inside_is_read(data: bytes, tmp_path: Path) -> None:
    found = judge(data, tmp_path)
    assert (found.verdict, found.row_count, found.header, found.findings) == ("sound", 2, ("id", "n"), ())


def test_a_fault_inside_is_told_at_its_line(tmp_path: Path) -> None:
    found = judge(gzip.compress(b"id,n\n1,a\n2\n3,c\n"), tmp_path)
    assert [(f.code, f.line, f.byte) for f in found.findings] == [("too-few-fields", 3, 9)]


def locked() -> bytes:
    data = bytearray(zipped(("a.csv", TEXT)))
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(sign) + place] |= 1
    return bytes(data)


def linked() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        entry = zipfile.ZipInfo("a.csv")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        file.writestr(entry, "/etc/passwd")
    return out.getvalue()


def doubled() -> bytes:
    """Two entries of one name: each program would read another one."""
    return zipped(("a.csv", TEXT), ("b.csv", TEXT)).replace(b"b.csv", b"a.csv")


def wrong_sum() -> bytes:
    data = bytearray(zipped(("a.csv", TEXT), mode=zipfile.ZIP_STORED))
    data[data.find(b"007")] = ord("1")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (zipped(), "archive-many"),
        (zipped(("a.csv", TEXT), ("b.csv", TEXT)), "archive-many"),
        (zipped(("claims/a.csv", TEXT)), "archive-path"),
        (zipped(("claims/", b"")), "archive-path"),
        (zipped(("../a.csv", TEXT)), "archive-path"),
        (zipped(("/etc/a.csv", TEXT)), "archive-path"),
        (zipped(("..\\a.csv", TEXT)), "archive-path"),
        (zipped(("C:a.csv", TEXT)), "archive-path"),
        (linked(), "archive-path"),
        (locked(), "archive-locked"),
        (doubled(), "archive-damaged"),
        (wrong_sum(), "archive-damaged"),
        (zipped(("a.csv", TEXT), mode=zipfile.ZIP_BZIP2), "archive-method"),
        (zipped(("a.zip", zipped(("a.csv", TEXT)))), "archive-nested"),
        (zipped(("a.gz", gzip.compress(TEXT))), "archive-nested"),
        (gzip.compress(zipped(("a.csv", TEXT))), "archive-nested"),
        (gzip.compress(b"a.csv".ljust(257, b"\x00") + b"ustar".ljust(300, b"\x00")), "archive-nested"),
        (gzip.compress(TEXT)[:-4], "archive-damaged"),
        (gzip.compress(TEXT)[:-9] + b"x" * 9, "archive-damaged"),
        (b"\x1f\x8b\x08", "archive-damaged"),
        (zipped(("a.csv", TEXT))[:-30], "archive-damaged"),
        (b"PK\x03\x04" + bytes(100), "archive-damaged"),
        (zipped(*((f"{i}.csv", b"") for i in range(archive.MAX_ENTRIES + 1))), "archive-entries"),
        (gzip.compress(b"%PDF-1.7"), "not-a-table"),
        (gzip.compress(b""), "empty-file"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_anything_else_is_refused(data: bytes, code: str, tmp_path: Path) -> None:
    found = judge(data, tmp_path)
    assert (found.verdict, [f.code for f in found.findings]) == ("unsound", [code])
    assert found.findings[0].mend


# ------------------------------------------------------------------------------------------------ bombs


def flood(top: bytes, piece: bytes, times: int, end: bytes = b"") -> bytes:
    """Deflate top + piece * times + end without holding it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = piece * 1000
    out = [packer.compress(top)]
    out += [packer.compress(block) for _ in range(times // 1000)]
    return b"".join([*out, packer.compress(end), packer.flush()])


def member(name: str, packed: bytes, declared: int, crc: int = 0) -> tuple[bytes, bytes]:
    """Give a member's local header with its data, and its line in the directory but for the offset."""
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, crc, len(packed), declared, len(name), 0)
    return b"PK\x03\x04" + fields + name.encode() + packed, b"PK\x01\x02" + struct.pack("<H", 20) + fields + bytes(10)


def container(members: list[tuple[str, bytes, int]], sums: dict[str, int] | None = None) -> bytes:
    """Put raw deflated members into a ZIP, with whatever sizes they declare."""
    body, directory = b"", b""
    for name, packed, declared in members:
        local, line = member(name, packed, declared, (sums or {}).get(name, 0))
        directory += line + struct.pack("<I", len(body)) + name.encode()
        body += local
    return (
        body
        + directory
        + b"PK\x05\x06"
        + struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    )


def bomb(part: str, packed: bytes, declared: int) -> bytes:
    """Give a workbook of which one part is replaced."""
    members, sums = [], {}
    for name, data in (parts(sheet(row(1, "id", "n") + row(2, "1", "2"))) | {part: ""}).items():
        raw = data if isinstance(data, bytes) else data.encode()
        small = zlib.compressobj(9, zlib.DEFLATED, -15)
        sums[name] = zlib.crc32(raw)
        members.append((name, packed if name == part else small.compress(raw) + small.flush(), len(raw)))
    return container([(n, p, declared if n == part else d) for n, p, d in members], sums)


SHEET, STRINGS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
TOP = f'<worksheet xmlns="{MAIN}"><sheetData>'.encode()


def known_bomb(lie: bool) -> bytes:
    """The one that took openpyxl 601 MB: 300 KB that are a sheet of 300 MB. With a lie, its header says 1 MB."""
    times = 5_000_000
    piece = b'<row><c t="inlineStr"><is><t>aaaaaaaaaaaaaaaaaaaaaa</t></is></c></row>'
    packed = flood(TOP, piece, times, b"</sheetData></worksheet>")
    return bomb(SHEET, packed, 1_000_000 if lie else len(piece) * times)


def just_below(piece: bytes, count: int, top: bytes = TOP, part: str = SHEET) -> bytes:
    """A part that inflates to a size which no ratio forbids, and costs its parser far more than its size."""
    packed = flood(top, piece, count)
    noise = os.urandom(max(0, len(piece) * count // (archive.MAX_RATIO - 20) - len(packed)))
    # What follows the end of the deflated stream is not looked at, but counts as packed.
    return bomb(part, packed + noise, len(piece) * count)


BOMBS: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "known": (lambda: known_bomb(False), {"unpacked-too-large", "unpacked-too-dense"}),
    "known-with-a-lie": (lambda: known_bomb(True), {"unpacked-too-dense", "archive-damaged"}),
    "gzip": (lambda: gzip.compress(bytes(300_000_000), 9), {"unpacked-too-dense"}),
    "csv-in-zip": (
        lambda: container([("a.csv", flood(b"a,b\n", b"1,2\n", 100_000_000), 400_000_000)]),
        {"unpacked-too-dense"},
    ),
    "deep": (lambda: just_below(b"<a>", 8_000_000), {"workbook-too-heavy"}),
    "one-text": (
        lambda: just_below(b"a", 100_000_000, f'<sst xmlns="{MAIN}"><si><t>'.encode(), STRINGS),
        {"workbook-too-heavy", "archive-damaged"},
    ),
    "one-tag": (lambda: just_below(b"a", 100_000_000, TOP + b'<row r="'), {"workbook-too-heavy"}),
    "one-row": (lambda: just_below(b"<c><v>1</v></c>", 2_000_000, TOP + b"<row>"), {"workbook-damaged"}),
    "many-texts": (
        # Texts lie on disk: the part is read to its end, where its sum is found to be wrong.
        lambda: just_below(b"<si><t>a</t></si>", 3_000_000, f'<sst xmlns="{MAIN}">'.encode(), STRINGS),
        {"workbook-too-heavy", "archive-damaged"},
    ),
    "many-sheets": (
        lambda: bomb(
            "xl/workbook.xml",
            flood(
                f'<workbook xmlns="{MAIN}" xmlns:r="{DOC}"><sheets>'.encode(), b'<sheet name="a" r:id="x"/>', 600_000
            ),
            15_600_000,
        ),
        {"workbook-too-heavy", "archive-damaged"},
    ),
    "one-text-many-cells": (
        lambda: zipped(
            *(
                (name, data if isinstance(data, bytes) else data.encode())
                for name, data in parts(
                    sheet("".join(f'<row r="{i}"><c r="A{i}" t="s"><v>0</v></c></row>' for i in range(1, 60_000))),
                    texts=("x" * 30_000,),
                ).items()
            )
        ),
        {"unpacked-too-large"},
    ),
    "directory": (
        lambda: (
            b"PK\x03\x04" + bytes(30_000_000) + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 9, 9, 30_000_004, 0, 0)
        ),
        {"archive-entries"},
    ),
}

MEASURE = """
import json, sys
from pathlib import Path
from rowmill.tabular.inspect import inspect_table
found = inspect_table(Path(sys.argv[1]))
# Not getrusage: across an exec its peak is that of the process that forked.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([[f.code for f in found.findings], int(peak) * 1024]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BOMBS))
def test_a_bomb_is_refused_and_costs_little_memory(name: str, tmp_path: Path) -> None:
    make, wanted = BOMBS[name]
    path = tmp_path / "bomb.bin"
    path.write_bytes(make())
    ran = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found, rss = json.loads(ran.stdout)
    assert len(found) == 1
    assert found[0] in wanted
    assert rss < RSS_LIMIT


def test_a_bomb_is_refused_in_the_child(tmp_path: Path) -> None:
    path = tmp_path / "bomb.bin"
    path.write_bytes(container([("a.csv", flood(b"a,b\n", b"1,2\n", 20_000_000), 1000)]))
    assert path.stat().st_size < 300_000
    found = inspect_in_child(path, table_out=tmp_path / "out.parquet")
    assert [f.code for f in found.findings] in (["unpacked-too-dense"], ["archive-damaged"])
    assert not (tmp_path / "out.parquet").exists()


def test_many_equal_texts_are_no_bomb(tmp_path: Path) -> None:
    rows = row(1, "id") + "".join(f'<row r="{i}"><c r="A{i}" t="s"><v>0</v></c></row>' for i in range(2, 60_000))
    found = judge(workbook(rows, texts=("x" * 30,)), tmp_path)
    assert (found.verdict, found.row_count) == ("sound", 59_998)


def test_shared_texts_beyond_memory_lie_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowmill.tabular.workbook.KEPT_CHARACTERS", 500)
    texts = tuple(f"text, {i} \u00e4" for i in range(300))
    rows = "".join(f'<row r="{i + 1}"><c r="A{i + 1}" t="s"><v>{i}</v></c></row>' for i in range(300))
    path, out = tmp_path / "in.xlsx", tmp_path / "out.parquet"
    path.write_bytes(workbook(rows, texts=texts))
    assert inspect_table(path, table_out=out).verdict == "sound"
    with duckdb.connect() as con:
        got = con.execute("SELECT c1 FROM read_parquet(?) ORDER BY row_number", [str(out)]).fetchall()
    assert [r[0] for r in got] == list(texts[1:])
