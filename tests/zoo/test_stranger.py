"""A stranger's files: sound ones come out cell for cell without a word, every fault is told, at its line, as grave as it is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowmill.contracts import Inspection
from rowmill.tabular.inspect import open_table
from rowmill.tabular.reading import Limits
from tests.zoo.one_database import one_database
from tests.zoo.scale import scaled
from tests.zoo.stranger import draw_sheet
from tests.zoo.strangers_faults import FAULTS, Broken, break_sheet

# One line with accents in a file without a mark is little evidence for an encoding; one row that ends in a delimiter
# is every row of its file. Both are told, and neither can be known to be wrong.
UNSURE = frozenset(("encoding-guessed", "trailing-delimiter"))


@pytest.fixture(scope="module", autouse=True)
def _one_database() -> Iterator[None]:
    with one_database():
        yield


def judge(path: Path, data: bytes) -> tuple[Inspection, list[list[str]]]:
    path.write_bytes(data)
    with open_table(path, limits=Limits(threads=1)) as reading:
        if reading.inspection.verdict == "unsound" or reading.con is None or reading.rows_sql is None:
            return reading.inspection, []
        rows = reading.con.execute(f"SELECT * FROM {reading.rows_sql}").fetchall()
        return reading.inspection, [list(row) for row in rows]


def check_sound(seed: int, path: Path) -> None:
    sheet = draw_sheet(random.Random(f"{seed} sound"))
    inspection, rows = judge(path, sheet.data())
    assert [f.code for f in inspection.findings if f.code not in UNSURE] == [], (seed, sheet.name)
    assert (list(inspection.header), rows) == (sheet.cells[0], sheet.cells[1:]), (seed, sheet.name)
    assert inspection.balance.balances


def draw_broken(seed: int, fault: str) -> Broken | None:
    rng = random.Random(f"{seed} {fault}")
    sheet = draw_sheet(rng, least_rows=rng.choice((2, 3, 8, 20)), plain=rng.random() < 0.6)
    return break_sheet(sheet, fault, rng)


def check_broken(broken: Broken, path: Path) -> bool:
    """It is told at its line; gives whether also as gravely as it is, which fails for a few accidents of content only."""
    inspection, _ = judge(path, broken.data)
    there = [f for f in inspection.findings if f.line is not None and broken.line <= f.line <= broken.last]
    assert there, (broken.name, inspection.findings[:3])
    assert inspection.balance.balances
    grave = inspection.verdict == ("unsound" if broken.severity == "error" else "sound")
    return grave and any(f.code in broken.codes for f in inspection.findings)


@pytest.mark.parametrize("seed", range(40))
def test_a_strangers_sound_file_raises_no_alarm(seed: int, tmp_path: Path) -> None:
    check_sound(seed, tmp_path / "in.csv")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_strangers_fault_is_told_at_its_line(fault: str, tmp_path: Path) -> None:
    done = [b for b in (draw_broken(seed, fault) for seed in range(8)) if b is not None]
    assert done
    for broken in done:
        check_broken(broken, tmp_path / "in.csv")


@pytest.mark.slow
def test_hundreds_of_sound_files_raise_no_alarm(tmp_path: Path) -> None:
    for seed in range(1000, 1000 + scaled(300, 3000)):
        check_sound(seed, tmp_path / "in.csv")


@pytest.mark.slow
def test_hundreds_of_faults_are_told(tmp_path: Path) -> None:
    files = [
        b for seed in range(1000, 1000 + scaled(20, 200)) for f in FAULTS if (b := draw_broken(seed, f)) is not None
    ]
    assert len(files) > 360
    right = sum(check_broken(broken, tmp_path / "in.csv") for broken in files)
    assert right >= 0.99 * len(files)


LINES = ["id,name,n", *(f"{i},Ann Bo,{i}.5" for i in range(1, 1001))]


@pytest.mark.parametrize("at", [5, 701])
@pytest.mark.parametrize(("own", "odd"), [(a, b) for a in ("\n", "\r\n", "\r") for b in ("\n", "\r\n", "\r") if a != b])
def test_a_line_that_ends_another_way_is_told_where_it_ends(own: str, odd: str, at: int, tmp_path: Path) -> None:
    data = (own.join(LINES[:at]) + odd + own.join(LINES[at:]) + own).encode()
    inspection, rows = judge(tmp_path / "in.csv", data)
    assert {(f.code, f.line) for f in inspection.findings} >= {("mixed-newlines", at)}
    assert {f.line for f in inspection.findings} == {at}
    assert len(rows) == 1000


@pytest.mark.parametrize(("own", "odd"), [("\n", "\r"), ("\r", "\n")])
def test_files_of_two_newlines_end_to_end_are_read(own: str, odd: str, tmp_path: Path) -> None:
    data = (own.join(LINES[:700]) + own + odd.join(LINES[700:]) + odd).encode()
    inspection, rows = judge(tmp_path / "in.csv", data)
    assert (inspection.verdict, len(rows)) == ("sound", 1000)
    assert next(f.line for f in inspection.findings if f.code == "mixed-newlines") == 701


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "cp1252", "cp932"])
def test_bytes_that_do_not_decode_are_told_at_their_line_and_byte(codec: str, tmp_path: Path) -> None:
    word = "山田太郎" if codec == "cp932" else "Zoë"
    bad = {"utf-16-le": b"\x00\xd8", "utf-16-be": b"\xd8\x00", "cp1252": b"\x81", "cp932": b"\xff"}[codec]
    bom = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(codec, b"")
    before = "id,name\n" + "".join(f"{i},{word}\n" for i in range(600)) + "600,"
    data = bom + before.encode(codec) + bad + f"\n601,{word}\n".encode(codec)
    inspection, _ = judge(tmp_path / "in.csv", data)
    assert [(f.code, f.line) for f in inspection.findings] == [("bad-encoding", 602)]
    assert inspection.findings[0].byte == len(bom) + len(before.encode(codec))
    assert inspection.balance.rows == 601


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("word", ["山田太郎", "Привет", "שלום"])
def test_utf16_without_a_mark_is_known_in_any_script(codec: str, word: str, tmp_path: Path) -> None:
    inspection, rows = judge(tmp_path / "in.csv", ("名前\n" + f"{word}\n" * 30).encode(codec))
    assert (inspection.findings, rows) == ((), [[word]] * 30)


@pytest.mark.parametrize("cell", ["he said “ok”", "“ok” he said", "“a” and “b”", "„"])
def test_typographic_quotes_inside_a_cell_are_text(cell: str, tmp_path: Path) -> None:
    inspection, rows = judge(tmp_path / "in.csv", f"id,note\n1,{cell}\n2,x\n".encode())
    assert (inspection.findings, rows) == ((), [["1", cell], ["2", "x"]])


def test_a_last_row_of_another_script_is_no_footer(tmp_path: Path) -> None:
    data = "name,a,b,c\n" + "Привет мир,1,2,3\n" * 9 + "山田太郎,1,2\n"
    inspection, _ = judge(tmp_path / "in.csv", data.encode())
    assert [(f.code, f.line) for f in inspection.findings] == [("too-few-fields", 11)]


def test_a_header_with_one_wrong_row_below_it_is_no_preamble(tmp_path: Path) -> None:
    inspection, _ = judge(tmp_path / "in.csv", b"mail\na@example.org,surplus\n")
    assert [(f.code, f.line) for f in inspection.findings] == [("too-many-fields", 2)]


def test_a_lost_closing_quote_is_told_where_its_cell_opens(tmp_path: Path) -> None:
    rows = ['1,"a\nb","Lee, Bob",5', '2,"- item\nby phone","Lee, Bob,6', '3,"twice\ndaily","Day, Jo",7'] + [
        "4,x,y,8"
    ] * 9
    inspection, _ = judge(tmp_path / "in.csv", ("id,note,name,n\n" + "\n".join(rows) + "\n").encode())
    assert [(f.code, f.line) for f in inspection.findings] == [("quote-not-closed", 5)]


def test_a_line_that_has_the_right_width_by_chance_is_of_another_dialect(tmp_path: Path) -> None:
    data = '"{""k"": [7, 2], ""s"": ""a,b""}"'
    rows = [f"{i},Y,,{data}" for i in range(1, 30)]
    rows[9] = f"10;Y;;{data}"
    inspection, _ = judge(tmp_path / "in.csv", ("id,yes,no,data\n" + "\n".join(rows) + "\n").encode())
    assert [(f.code, f.line) for f in inspection.findings] == [("other-delimiter", 11)]


def test_a_remark_of_two_lines_with_a_comma_each_swallows_nothing(tmp_path: Path) -> None:
    remarks = ["stable", '"see chart\r\na, b"', "- none", "by phone", '"no\r\nc, d"']
    data = "name,remark\n" + "".join(f"Al Ray,{remarks[i % 5]}\n" for i in range(80))
    inspection, rows = judge(tmp_path / "in.csv", data.encode())
    assert (inspection.findings, len(rows)) == ((), 80)


def test_words_in_apostrophes_keep_them(tmp_path: Path) -> None:
    data = "note\tn\n" + "'q'\t1,5\nleft\t2,5\n" * 4
    inspection, rows = judge(tmp_path / "in.csv", data.encode())
    assert (inspection.findings, rows) == ((), [["'q'", "1,5"], ["left", "2,5"]] * 4)


def test_a_stray_line_feed_makes_no_single_line_of_carriage_returns(tmp_path: Path) -> None:
    data = "id,name\r" + "".join(f"{i},Zoë\r" for i in range(20)) + "20,Zoë\n"
    inspection, _ = judge(tmp_path / "in.csv", data.encode("cp1252"))
    assert [(f.code, f.line) for f in inspection.findings] == [("mixed-newlines", 22)]


def test_a_line_of_a_quoted_cell_is_no_line_of_sums(tmp_path: Path) -> None:
    inspection, rows = judge(tmp_path / "in.csv", b'id,a,b\nP1,,"\ntotal"\n')
    assert (inspection.findings, rows) == ((), [["P1", "", "\ntotal"]])


def test_a_cut_letter_before_another_is_no_japanese(tmp_path: Path) -> None:
    inspection, _ = judge(tmp_path / "in.csv", b"id,a\n1,a\xa9\xc3\xa9aaa\n")
    assert [(f.code, f.line) for f in inspection.findings] == [("bad-encoding", 2)]
