"""The lines around a place: what is invisible is shown, the place is marked, whatever the file's size and encoding."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from rowmill.tabular.excerpt import CUT, END, LINE_BYTES, SHOWN_CHARACTERS, ExcerptLine, read_excerpt
from rowmill.tabular.inspect import inspect_table, open_table

LINES = "".join(f"row {i}\n" for i in range(1, 10))


def excerpt(
    tmp_path: Path,
    data: bytes | str,
    *,
    byte: int | None = None,
    line: int | None = None,
    around: int = 3,
    encoding: str = "utf-8",
) -> list[ExcerptLine]:
    path = tmp_path / "in.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_excerpt(path, byte=byte, line=line, around=around, encoding=encoding)


def shown(lines: list[ExcerptLine]) -> list[str]:
    return ["".join(text for text, _ in one.parts) for one in lines]


def place(lines: list[ExcerptLine]) -> list[str]:
    return [text for one in lines for text, kind in one.parts if kind == "place"]


def one(tmp_path: Path, data: bytes | str, **where: int | str | None) -> tuple[tuple[str, str], ...]:
    return excerpt(tmp_path, data, around=0, **where)[0].parts  # type: ignore[arg-type]


def test_lines_around_a_byte_with_their_numbers(tmp_path: Path):
    found = excerpt(tmp_path, LINES, byte=LINES.index("5"), line=5, around=2)
    assert [one.line for one in found] == [3, 4, 5, 6, 7]
    assert shown(found) == ["row 3", "row 4", "row 5", "row 6", "row 7"]
    assert found[2].parts == (("row ", ""), ("5", "place"))


def test_at_the_ends_of_the_file_there_are_fewer(tmp_path: Path):
    assert [one.line for one in excerpt(tmp_path, LINES, byte=0, line=1)] == [1, 2, 3, 4]
    assert [one.line for one in excerpt(tmp_path, LINES, byte=len(LINES) - 2, line=9)] == [6, 7, 8, 9]
    assert [one.line for one in excerpt(tmp_path, LINES, byte=0)] == [None] * 4


def test_a_line_by_its_number_alone(tmp_path: Path):
    found = excerpt(tmp_path, LINES, line=5, around=1)
    assert [(one.line, one.parts) for one in found] == [
        (4, (("row 4", ""),)),
        (5, (("row 5", ""),)),
        (6, (("row 6", ""),)),
    ]
    assert shown(excerpt(tmp_path, LINES, line=1, around=0)) == ["row 1"]
    assert excerpt(tmp_path, LINES, line=10) == []
    assert shown(excerpt(tmp_path, LINES + "last", line=10, around=0)) == ["last"]
    assert shown(excerpt(tmp_path, "", line=1)) == [""]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "windows-1252", "shift_jis"])
def test_every_line_by_number_and_by_byte_in_every_encoding(tmp_path: Path, encoding: str):
    texts = [
        f"{i},{'ソ表é'[: 2 if encoding == 'shift_jis' else 3] if encoding != 'windows-1252' else 'é€'},x"
        for i in range(300)
    ]
    codec = {"windows-1252": "cp1252", "shift_jis": "cp932"}.get(encoding, encoding)
    raw = [f"{text}\n".encode(codec) for text in texts]
    data, at = b"".join(raw), 0
    for line in range(1, 301, 13):
        at = sum(len(one) for one in raw[: line - 1])
        assert shown(excerpt(tmp_path, data, line=line, around=0, encoding=encoding)) == [texts[line - 1]]
        for index, sign in enumerate(texts[line - 1]):
            byte = at + len(texts[line - 1][:index].encode(codec))
            for inside in range(len(sign.encode(codec))):
                found = excerpt(tmp_path, data, byte=byte + inside, line=line, around=1, encoding=encoding)
                assert place(found) == [sign]
                assert shown(found)[1 if line > 1 else 0] == texts[line - 1]


def test_what_cannot_be_seen_is_shown(tmp_path: Path):
    text = "\ufeffa\tb\u00a0c\u200bd\x00e\x1af\x07g\rh\u202ei\u2003j\x7fk\x85l\u2028m\ue000n"
    parts = one(tmp_path, text + "\n", line=1)
    assert [p for p, kind in parts if kind == "invisible"] == [
        *("[BOM]", "⇥", "[NBSP]", "[ZWSP]", "␀", "␚", "␇", "␍", "[RLO]", "[U+2003]", "␡", "[NEL]", "[LS]", "[U+E000]")
    ]
    assert "".join(p for p, kind in parts if not kind) == "abcdefghijklmn"


def test_letters_of_any_script_stay_as_they_are(tmp_path: Path):
    text = "Zoë Łódź Ελλάς Москва 東京 हिन्दी 😀 “quoted” e\u0301"
    assert one(tmp_path, text, line=1) == ((text, ""),)


def test_wrong_bytes_are_shown_as_hexadecimal(tmp_path: Path):
    data = b"caf\xe9,ok,\xc3\xa9,\xc3\n"
    assert one(tmp_path, data, byte=3) == (
        ("caf", ""),
        ("[E9]", "place"),
        (",ok,é,", ""),
        ("[C3]", "invisible"),
    )
    assert place(excerpt(tmp_path, data, byte=11)) == ["[C3]"]
    assert place(excerpt(tmp_path, data, byte=4)) == [","]
    assert place(excerpt(tmp_path, b"ab\x81cd", byte=2, encoding="windows-1252")) == ["[81]"]
    assert place(
        excerpt(
            tmp_path, "ab".encode("utf-16-le") + b"\x00\xd8" + "cd".encode("utf-16-le"), byte=4, encoding="utf-16-le"
        )
    ) == ["[00][D8]"]


def test_a_place_that_is_unseen_is_marked_all_the_same(tmp_path: Path):
    assert one(tmp_path, "ab\x00cd\n", byte=2) == (("ab", ""), ("␀", "place"), ("cd", ""))
    assert one(tmp_path, "ab\n", byte=2) == (("ab", ""), ("␊", "place"))
    assert one(tmp_path, "ab\r\n", byte=2) == (("ab", ""), ("␍␊", "place"))
    assert one(tmp_path, "ab", byte=2) == (("ab", ""), (END, "place"))
    assert one(tmp_path, "ab", byte=200) == (("ab", ""), (END, "place"))


def test_line_ends_are_shown_where_they_differ(tmp_path: Path):
    assert shown(excerpt(tmp_path, "a\r\nb\r\nc\r\n", line=2)) == ["a", "b", "c"]
    assert shown(excerpt(tmp_path, "a\r\nb\nc", line=2)) == ["a␍␊", "b␊", "c"]
    assert shown(excerpt(tmp_path, "a\rb\rc", line=2)) == ["a", "b", "c"]


def test_a_long_line_is_cut_around_the_place(tmp_path: Path):
    data = "first\n" + "x" * 50_000 + "!" + "é" * 50_000 + "\nlast\n"
    found = excerpt(tmp_path, data, byte=6 + 50_000, line=2)
    assert [one.line for one in found] == [1, 2]
    assert found[1].parts == (
        (CUT, "invisible"),
        ("x" * SHOWN_CHARACTERS, ""),
        ("!", "place"),
        ("é" * SHOWN_CHARACTERS, ""),
        (CUT, "invisible"),
    )
    near = excerpt(tmp_path, "first\n" + "x" * 5000 + "!" + "é" * 5000 + "\nlast\n", byte=5006, line=2)
    assert [(one.line, len("".join(t for t, _ in one.parts))) for one in near] == [(1, 5), (2, 803), (3, 4)]
    plain = excerpt(tmp_path, "x" * 5000 + "\n", line=1)
    assert plain[0].parts == (("x" * SHOWN_CHARACTERS, ""), (CUT, "invisible"))


def test_a_line_longer_than_is_read_has_no_known_neighbours_on_that_side(tmp_path: Path):
    data = "first\n" + "x" * (2 * LINE_BYTES) + "!\nlast\n"
    found = excerpt(tmp_path, data, byte=data.index("!"), line=2)
    assert [one.line for one in found] == [2, 3]
    assert shown(found)[0] == CUT + "x" * SHOWN_CHARACTERS + "!"


def test_a_cut_line_in_japanese_is_not_torn(tmp_path: Path):
    text = "名前," * 3000 + "!" + "ソ" * 3000
    found = one(tmp_path, text.encode("cp932"), byte=len(("名前," * 3000).encode("cp932")), encoding="shift_jis")
    assert found[1][0] == ("名前," * 3000)[-SHOWN_CHARACTERS:]
    assert found[3][0] == "ソ" * SHOWN_CHARACTERS


def test_junk_is_read_quickly_and_shown_as_bytes(tmp_path: Path):
    found = excerpt(tmp_path, b"\xff\xfe\xfd" * 100_000, byte=150_000)
    assert len(found) == 1
    assert place(found) == ["[FF]"]
    assert len(found[0].parts) == 2 + 1 + 200


def test_a_huge_file_is_sought_not_read(tmp_path: Path):
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.write(b"a,b\n")
        file.seek(10_000_000_000)
        file.write(b"\nbefore,1\nx,\xe9\nafter,2\n")
    tracemalloc.start()
    try:
        found = read_excerpt(path, byte=10_000_000_012, line=77)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(one.line, text) for one, text in zip(found[-3:], shown(found)[-3:], strict=True)] == [
        (76, "before,1"),
        (77, "x,[E9]"),
        (78, "after,2"),
    ]
    assert shown(found)[0] == CUT + "␀" * SHOWN_CHARACTERS + CUT
    assert peak < 3_000_000


def test_it_needs_a_byte_or_a_line(tmp_path: Path):
    with pytest.raises(ValueError, match="byte or a line"):
        excerpt(tmp_path, LINES)


@pytest.mark.parametrize(
    ("data", "encoding", "sign"),
    [
        (b"a,b\n1,2\n3,4,5\n6,7\n", "utf-8", None),
        ("a,b\n1,é\n3,\x00\n6,7\n".encode("utf-16"), "utf-16-le", "␀"),
        (("a,b\nZoë,2\nRené,\x00\n" + "José,7\n" * 9).encode("cp1252"), "windows-1252", "␀"),
        (b"a,b\n1,2\n3,\xe9x\n" + "6,é\n".encode() * 9, "utf-8", "[E9]"),
    ],
)
def test_the_place_of_a_finding_in_the_file_as_it_was_sent(
    tmp_path: Path, data: bytes, encoding: str, sign: str | None
):
    path = tmp_path / "in.csv"
    path.write_bytes(data)
    found = inspect_table(path)
    first = found.findings[0]
    assert found.dialect is not None
    assert found.dialect.encoding == encoding
    assert first.line == 3
    lines = read_excerpt(path, byte=first.byte, line=first.line, encoding=found.dialect.encoding)
    marked = [(one.line, text) for one in lines for text, kind in one.parts if kind == "place"]
    assert [line for line, _ in marked] == [3]
    assert sign is None or marked[0][1] == sign
    assert [one.line for one in lines][:3] == [1, 2, 3]


def test_nothing_of_an_excerpt_needs_the_reading(tmp_path: Path):
    """A workbook's lines are those of the text that was read of it; its stand-ins for line ends are shown as such."""
    path = tmp_path / "in.csv"
    path.write_text("a,b\n1,x\ufdd0y\n")
    with open_table(path):
        assert shown(read_excerpt(path, line=2, around=0)) == ["1,x␊y"]
