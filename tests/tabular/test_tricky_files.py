"""Files that a stranger's generator found: each was once read wrongly, refused for nothing, or taken in silence."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from rowmill.contracts import Inspection
from rowmill.tabular.convert import convert
from rowmill.tabular.encoding import judge_encoding
from rowmill.tabular.inspect import inspect_table
from rowmill.tabular.magic import look_at


def look(tmp_path: Path, data: bytes) -> Inspection:
    path = tmp_path / "in.csv"
    path.write_bytes(data)
    return inspect_table(path)


def told(inspection: Inspection) -> list[tuple[str, int | None]]:
    return [(f.code, f.line) for f in inspection.findings]


@pytest.mark.parametrize(
    "text", ["it’s here", "São João", "él dijo", "señor", "“I am” ok", "coração", "Müller", "ÇÃO", "crème brûlée"]
)
def test_western_letters_are_not_taken_for_japanese(text: str, tmp_path: Path) -> None:
    table = [["id", "word"], *([str(i), text] for i in range(9))]
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_bytes("".join(f"{a},{b}\n" for a, b in table).encode("cp1252"))
    convert(path, out)
    with out.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == table


@pytest.mark.parametrize("text", ["山田,太郎\n", "林,森\n", "名前A,Tシャツ\n", "第1号,B型\n", "テスト,x\n"])
def test_japanese_is_told_from_western_letters(text: str) -> None:
    encoding, _ = judge_encoding([text.encode("cp932")])
    assert encoding is not None
    assert encoding.name == "shift_jis"


def test_a_cut_utf8_sequence_is_no_western_letter(tmp_path: Path) -> None:
    found = look(tmp_path, b"id,name\n1,Ann\n2,a\xe2\x82b\n3,Bob\n")
    assert told(found) == [("bad-encoding", 3)]


@pytest.mark.parametrize(
    ("header", "code", "verdict"),
    [
        ("\ufeff\ufeffid,name", "bom-in-middle", "unsound"),
        ("id,\ufeffname", "bom-in-middle", "unsound"),
        ("id,na\x00me", "nul-byte", "unsound"),
        ("id,name\x1a", "control-z", "sound"),
        ("id,“name”", "typographic-quotes", "sound"),
        ('id,na"me', "quote-in-unquoted", "sound"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_the_header_is_looked_at_as_closely_as_the_rows(
    header: str, code: str, verdict: str, newline: str, tmp_path: Path
) -> None:
    found = look(tmp_path, newline.join((header, "1,Ann", "2,Bob", "")).encode())
    assert (found.verdict, told(found)) == (verdict, [(code, 1)])


def test_rows_below_a_damaged_header_are_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"id,na\x00me\n1,Ann\n")
    assert convert(path, tmp_path / "out.csv", without_broken_rows=True).rows_written is None


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_long_cell_across_the_samples_end_is_no_open_quote(newline: str, tmp_path: Path) -> None:
    rows = [f'{i},"{"some words" + newline}{i}",2024-01-0{i}' for i in range(1, 9)]
    rows[4] = f'5,"{("word " + newline) * 60_000}",2024-01-05'
    found = look(tmp_path, newline.join(("id,note,day", *rows, "")).encode())
    assert (found.verdict, found.row_count, told(found)) == ("sound", 8, [])


def test_a_quote_open_at_the_samples_end_is_told_where_it_opens(tmp_path: Path) -> None:
    lines = [f"{i},Ann,2024-01-05" for i in range(30_000)]
    lines[4] = '4,"Ann,2024-01-05'
    found = look(tmp_path, "\n".join(("id,name,day", *lines, "")).encode())
    assert told(found) == [("quote-not-closed", 6)]
    assert found.balance.rows == 29_999


@pytest.mark.parametrize(("own", "other"), [(",", ";"), (";", ","), ("\t", ","), ("|", ";")])
def test_a_quoted_row_in_another_delimiter_is_named(own: str, other: str, tmp_path: Path) -> None:
    rows = [own.join(f'"{c}{i}"' for c in "abc") for i in range(6)]
    rows[3] = other.join(f'"{c}"' for c in "abc")
    assert told(look(tmp_path, "\n".join(rows).encode())) == [("other-delimiter", 4)]


@pytest.mark.parametrize("header", [b"GIF8,b\n1,2\n", b"BZhang,b\n1,2\n", b"PAR1_id,b\n1,2\n", b"<id>,<b>\n1,2\n"])
def test_a_column_name_is_no_magic_number(header: bytes) -> None:
    assert look_at(header) is None


@pytest.mark.parametrize(
    "head", [b'<root>\n<row a="1"/>\n</root>\n', b'\n<a x="1"><b>1</b></a>', b"GIF89a\x01", b"BZh91AY&SYabc"]
)
def test_other_files_are_named(head: bytes) -> None:
    assert look_at(head) is not None


def test_a_lone_empty_cell_is_no_table(tmp_path: Path) -> None:
    assert told(look(tmp_path, b'""')) == [("empty-file", None)]


def test_junk_with_a_mark_on_every_other_byte_is_judged(tmp_path: Path) -> None:
    found = look(tmp_path, b"id,name\n" + random.Random(1).randbytes(200_000))
    assert found.verdict == "unsound"
    assert found.balance.balances


@pytest.mark.parametrize("header", ["id,name", '"id","name"'])
@pytest.mark.parametrize("again", ["id,name", '"id","name"'])
def test_a_header_repeated_by_another_writer_is_known(header: str, again: str, tmp_path: Path) -> None:
    found = look(tmp_path, f"{header}\n1,Ann\n{again}\n2,Bob\n".encode())
    assert (found.row_count, told(found)) == (2, [("repeated-header", 3)])


def test_a_few_lines_of_utf8_among_western_ones_are_two_encodings(tmp_path: Path) -> None:
    found = look(tmp_path, b"id,name\n" + "1,Zoë\n".encode("cp1252") * 60 + "2,Zoë\n".encode())
    assert found.verdict == "unsound"
    assert found.findings[0].code == "mixed-encodings"


def test_marks_after_western_letters_are_no_utf8(tmp_path: Path) -> None:
    found = look(tmp_path, ("id,name\n" + "1,Zoë\n" * 60 + "2,«CAFÉ» né…” x\n").encode("cp1252"))
    assert (found.verdict, told(found)) == ("sound", [])
