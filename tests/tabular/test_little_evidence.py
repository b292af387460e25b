"""Bytes that fit two encodings: read as the likelier one, and told where there are too few of them to be sure."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowmill.tabular.inspect import open_table

KANA = ("ｻﾄｳ ﾊﾅｺ", "ｽｽﾞｷ ｲﾁﾛｳ", "ﾜﾀﾅﾍﾞ ﾕｳｷ", "ﾔﾏﾓﾄ ｼｭﾝ", "ﾅｶﾑﾗ ﾒｸﾞﾐ")
CASES = {
    "signs that stand together": ("cp1252", ["±²³"] * 5, "windows-1252", True),
    "fractions": ("cp1252", ["¼½¾ cup", "°C ±2", "µ³ ²¹"], "windows-1252", True),
    "capitals with accents": ("cp1252", ["ÄÖÜ", "ÄÖÜ", "ÀÉÈ"], "windows-1252", True),
    "two kanji": ("cp932", ["日本", "x"], "shift_jis", True),
    "names in kanji": ("cp932", ["山田 太郎", "鈴木 花子"], "shift_jis", False),
    "names in half-width kana": ("cp932", list(KANA), "shift_jis", False),
    "names with accents": ("cp1252", ["Zoë Müller", "José"], "windows-1252", False),
}


@pytest.mark.parametrize("name", CASES)
def test_few_bytes_are_told(name: str, tmp_path: Path) -> None:
    codec, cells, encoding, unsure = CASES[name]
    path = tmp_path / "in.csv"
    path.write_bytes(("id,cell\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells))).encode(codec))
    with open_table(path) as reading:
        assert reading.inspection.dialect is not None
        assert reading.inspection.dialect.encoding == encoding
        assert [(f.code, f.line) for f in reading.inspection.findings] == [("encoding-guessed", 2)] * unsure
        assert reading.con is not None
        assert reading.con.execute(f"SELECT c2 FROM {reading.rows_sql}").fetchall() == [(cell,) for cell in cells]


def test_apostrophes_by_themselves_are_no_quotes(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"a,b,id\n'q',x,1\n1e5,',',P81\nx,'q',3\ny,z,4\n'Doe, Ann',x,5\n6,6,6\n")
    with open_table(path) as reading:
        assert [(f.code, f.line) for f in reading.inspection.findings] == [
            ("too-many-fields", 3),
            ("too-many-fields", 6),
        ]
