"""Broken and odd files, each with one known fault, early and late in the file, and what has to be said of it."""

from __future__ import annotations

import functools
import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.zoo.sound import make_table, write

Lines = list[bytes]


class Faulty(NamedTuple):
    """A file with one fault: the verdict, the code, the physical line (None: the file as a whole), the rows left."""

    name: str
    data: bytes
    verdict: str
    codes: tuple[str, ...]
    line: int | None
    rows: int | None = None


class Fault(NamedTuple):
    """A way to break the line at an index of the list (0 is the header); gives the lines anew."""

    name: str
    verdict: str
    codes: tuple[str, ...]
    breaks: Callable[[Lines, int], Lines]
    shift: int = 0


def _swap(old: bytes, new: bytes) -> Callable[[Lines, int], Lines]:
    """Replace the first `old` of the line."""

    def breaks(lines: Lines, at: int) -> Lines:
        assert old in lines[at]
        return [*lines[:at], lines[at].replace(old, new, 1), *lines[at + 1 :]]

    return breaks


def _cell(place: int, change: Callable[[bytes], bytes]) -> Callable[[Lines, int], Lines]:
    """Change one cell of the line."""

    def breaks(lines: Lines, at: int) -> Lines:
        cells = lines[at].rstrip(b"\n").split(b",")
        cells[place] = change(cells[place])
        return [*lines[:at], b",".join(cells) + b"\n", *lines[at + 1 :]]

    return breaks


def _line(change: Callable[[bytes], bytes]) -> Callable[[Lines, int], Lines]:
    """Change the whole line, its newline aside."""
    return lambda lines, at: [*lines[:at], change(lines[at].rstrip(b"\n")) + b"\n", *lines[at + 1 :]]


def _ending(newline: bytes) -> Callable[[Lines, int], Lines]:
    """End the line another way."""
    return lambda lines, at: [*lines[:at], lines[at].rstrip(b"\n") + newline, *lines[at + 1 :]]


def _insert(extra: Callable[[Lines], Lines]) -> Callable[[Lines, int], Lines]:
    """Put lines before the line."""
    return lambda lines, at: [*lines[:at], *extra(lines), *lines[at:]]


def _swallow_two(lines: Lines, at: int) -> Lines:
    """Open a quote, and close it legally on a cell of the same column a few lines below."""
    lines = _cell(1, lambda c: b'"' + c)(lines, at)
    below = min(at + 7, len(lines) - 1)
    return _cell(1, lambda c: c + b'"')(lines, below)


def _swallow_resync(lines: Lines, at: int) -> Lines:
    """Open a quote; a few lines below a properly quoted cell closes it."""
    lines = _cell(1, lambda c: b'"' + c)(lines, at)
    below = min(at + 7, len(lines) - 1)
    return _cell(1, lambda c: b'"' + c + b'"')(lines, below)


E, W = "unsound", "sound"
_QUOTE = ("quote-not-escaped", "text-after-quote")
_OPEN = ("quote-not-closed", "quote-swallows-rows")

FAULTS: tuple[Fault, ...] = (
    Fault("short_row", E, ("too-few-fields",), _line(lambda r: r.rsplit(b",", 1)[0])),
    Fault("very_short_row", E, ("too-few-fields",), _line(lambda r: r.split(b",", 1)[0])),
    Fault("long_row", E, ("too-many-fields",), _cell(1, lambda c: c.replace(b" ", b", "))),
    Fault("long_row_empty_extra", E, ("too-many-fields",), _line(lambda r: r + b",")),
    Fault("long_row_many_empty", E, ("too-many-fields",), _line(lambda r: r + b",,,,")),
    Fault("shifted_row", E, ("too-many-fields",), _line(lambda r: b"," + r)),
    Fault("unterminated_quote", E, _OPEN, _cell(1, lambda c: b'"' + c)),
    Fault("unterminated_quote_last_column", E, _OPEN, _cell(3, lambda c: b'"' + c)),
    Fault("unterminated_quote_first_column", E, _OPEN, _cell(0, lambda c: b'"' + c)),
    Fault("unterminated_quote_two", E, _OPEN, _swallow_two),
    Fault("unterminated_quote_resync", E, _OPEN, _swallow_resync),
    Fault("closing_quote_only", W, ("quote-in-unquoted",), _cell(1, lambda c: c + b'"')),
    Fault("bare_quote_mid_field", W, ("quote-in-unquoted",), _cell(1, lambda c: c.replace(b" ", b' "x" '))),
    Fault("one_bare_quote", W, ("quote-in-unquoted",), _cell(1, lambda c: c.replace(b" ", b'" '))),
    Fault("unescaped_quote_in_quoted", E, _QUOTE, _cell(1, lambda c: b'"' + c.replace(b" ", b' "Al" ') + b'"')),
    Fault("text_after_quote", E, _QUOTE, _cell(1, lambda c: b'"' + c + b'"x')),
    Fault("space_after_quote", E, _QUOTE, _cell(1, lambda c: b'"' + c + b'" ')),
    Fault("single_quotes_one_row", E, ("too-many-fields",), _cell(1, lambda c: b"'Doe, J'")),
    Fault("backslash_escape", E, _QUOTE, _cell(1, lambda c: b'"A \\"B\\" C"')),
    Fault("nul_byte", E, ("nul-byte",), _cell(1, lambda c: c.replace(b" ", b"\x00"))),
    Fault("nul_in_quoted", E, ("nul-byte",), _cell(1, lambda c: b'"' + c.replace(b" ", b"\x00") + b'"')),
    Fault("truncated_utf8", E, ("bad-encoding", "mixed-encodings"), _cell(1, lambda c: c + b"\xc3")),
    Fault("overlong_utf8", E, ("bad-encoding", "mixed-encodings"), _cell(1, lambda c: c + b"\xc0\xaf")),
    Fault("ff_byte", E, ("bad-encoding", "mixed-encodings"), _cell(1, lambda c: b"\x81" + c)),
    Fault("semicolon_row", E, ("other-delimiter",), _line(lambda r: r.replace(b",", b";"))),
    Fault("tab_row", E, ("other-delimiter",), _line(lambda r: r.replace(b",", b"\t"))),
    Fault("blank_line", W, ("blank-line",), _insert(lambda lines: [b"\n"])),
    Fault("spaces_line", W, ("blank-line",), _insert(lambda lines: [b"    \n"])),
    Fault("tabs_line", W, ("blank-line",), _insert(lambda lines: [b"\t\t\n"])),
    Fault("repeated_header", W, ("repeated-header",), _insert(lambda lines: [lines[0]])),
    Fault("bom_mid_file", E, ("bom-in-middle",), _line(lambda r: b"\xef\xbb\xbf" + r)),
    Fault("bom_in_cell", E, ("bom-in-middle",), _cell(1, lambda c: b"\xef\xbb\xbf" + c)),
    Fault("space_before_quote", E, ("too-many-fields",), _cell(1, lambda c: b' "Doe, Ann"')),
    Fault("space_before_quote_no_comma", W, ("quote-in-unquoted",), _cell(1, lambda c: b' "Doe Ann"')),
    Fault("ctrl_z", W, ("control-z",), _cell(1, lambda c: c.replace(b" ", b"\x1a"))),
    Fault("cr_only_line_end", W, ("lone-cr", "mixed-newlines"), _ending(b"\r")),
    Fault("crlf_line_in_lf", W, ("mixed-newlines",), _ending(b"\r\n")),
    Fault("lone_cr_in_cell", W, ("lone-cr",), _cell(1, lambda c: c.replace(b" ", b"\r"))),
    Fault("typographic_quotes", W, ("typographic-quotes",), _cell(1, lambda c: "“".encode() + c + "”".encode())),
    Fault("typographic_quotes_comma", E, ("too-many-fields",), _cell(1, lambda c: "“Doe, Ann”".encode())),
    Fault("bad_number", W, ("odd-value",), _cell(3, lambda c: b"n/a")),
    Fault("bad_date", W, ("odd-value",), _cell(2, lambda c: b"2020-13-45")),
    Fault(
        "joined_rows", E, ("too-many-fields",), lambda ls, at: [*ls[:at], ls[at].rstrip() + ls[at + 1], *ls[at + 2 :]]
    ),
    Fault("split_row", E, ("too-few-fields",), _cell(1, lambda c: c.replace(b" ", b"\n"))),
)


def faulty_files(
    rows: int = 20, places: tuple[int, ...] = (4,), suffix: str = "", newline: str = "\n"
) -> Iterator[Faulty]:
    """Make every fault at each place of a table (line = place + 1); accents elsewhere make it UTF-8 beyond doubt."""
    for fault in FAULTS:
        for place in places:
            faulty = make_faulty(fault, rows, place, suffix)
            if newline != "\n":
                if b"\r" in faulty.data:
                    continue
                faulty = faulty._replace(data=faulty.data.replace(b"\n", newline.encode()))
            yield faulty


@functools.cache
def _sound_lines(rows: int) -> tuple[bytes, ...]:
    table = make_table(rows)
    table[1][1] = "Zoë Ångström"
    return tuple(write(table).encode().splitlines(keepends=True))


def make_faulty(fault: Fault, rows: int, place: int, suffix: str = "") -> Faulty:
    """Make one fault at one place."""
    data = b"".join(fault.breaks(list(_sound_lines(rows)), place))
    return Faulty(f"{fault.name}{suffix}_{place + 1}", data, fault.verdict, fault.codes, place + 1)


def _text(lines: Lines) -> bytes:
    return b"".join(lines)


def whole_file_faults() -> Iterator[Faulty]:
    """Make the faults that are not at one row."""
    table = make_table(20)
    text = write(table).encode()
    lines = text.splitlines(keepends=True)
    head, body = lines[0], lines[1:]
    accents = write(make_table(20, accents=True))
    both = accents.encode().splitlines(keepends=True)[:10] + accents.encode("cp1252").splitlines(keepends=True)[10:]
    inner = [*body[:5], b'99999,"a\nb\nc",2020-01-01,1.00\n', *body[5:]]

    yield Faulty("short_after_quoted_newlines", head + _text(inner) + b"1,2\n" + body[0], E, ("too-few-fields",), 25)
    yield Faulty("unterminated_last_row", _text(lines[:-1]) + b'00020,"Ann', E, (*_OPEN, "truncated"), 21)
    yield Faulty("truncated_file", text[:-12], E, ("truncated", "too-few-fields"), 21)
    yield Faulty("truncated_in_quotes", _text(lines[:-1]) + b'00020,"Ann Sm', E, (*_OPEN, "truncated"), 21)
    yield Faulty(
        "trailing_delim_all_rows", head + b"".join(r.rstrip() + b",\n" for r in body), W, ("trailing-delimiter",), 2, 20
    )
    yield Faulty("trailing_delim_header", head.rstrip() + b",\n" + _text(body), W, ("header-empty",), 1, 20)
    yield Faulty("duplicate_header", b"id,name,name,amount\n" + _text(body), W, ("header-doubled",), 1, 20)
    yield Faulty("empty_header_cell", b"id,name,,amount\n" + _text(body), W, ("header-empty",), 1, 20)
    yield Faulty("header_short", b"id,name,amount\n" + _text(body), E, ("header-too-short",), 1)
    yield Faulty("header_very_short", b"id\n" + _text(body), E, ("header-too-short",), 1)
    yield Faulty("header_long", b"id,name,visited,amount,more\n" + _text(body), E, ("header-too-long",), 1)
    yield Faulty("no_header", _text(body), E, ("header-missing",), 1)
    yield Faulty("header_quote_open", b'id,"name,visited,amount\n' + _text(body), E, ("header-broken",), 1)
    yield Faulty("header_quote_text", b'id,"na"me,visited,amount\n' + _text(body), E, ("header-broken",), 1)
    yield Faulty(
        "header_bad_utf8", b"id,n\x81me,visited,amount\n" + _text(body), E, ("bad-encoding", "header-broken"), 1
    )
    yield Faulty("header_nul", b"id,n\x00me,visited,amount\n" + _text(body), E, ("nul-byte", "header-broken"), 1)
    yield Faulty("mixed_encodings", _text(both), E, ("mixed-encodings",), 11)
    yield Faulty(
        "mixed_newlines",
        head + b"".join(r.rstrip() + (b"\n", b"\r\n", b"\r")[i % 3] for i, r in enumerate(body)),
        W,
        ("mixed-newlines", "lone-cr"),
        3,
        20,
    )
    yield Faulty("empty", b"", E, ("empty-file",), None)
    yield Faulty("only_newlines", b"\n\n\n", E, ("empty-file",), None)
    yield Faulty("only_spaces", b"   \n  \n", E, ("empty-file",), None)
    yield Faulty("only_bom", b"\xef\xbb\xbf", E, ("empty-file",), None)
    yield Faulty("preamble", b"Report of visits\nMade 2024-01-01\n\n" + text, W, ("preamble",), 1, 20)
    yield Faulty("preamble_all_text", b"# made by hand\na,b,c\nx,y,z\nu,v,w\nr,s,t\n", W, ("preamble",), 1, 3)
    yield Faulty("sep_line", b"sep=;\r\na;b\r\nx;y\r\nu;v\r\n", W, ("preamble",), 1, 2)
    yield Faulty("one_bad_byte", text.replace(b"Ann", b"A\x81n", 1), E, ("bad-encoding",), 6)
    yield Faulty("blank_before_header", b"\n\n" + text, W, ("blank-line",), 1, 20)
    yield Faulty("blank_at_the_end", text + b"\n\n\n", W, ("blank-line",), 22, 20)
    yield Faulty("blank_after_header", head + b"\n" + _text(body), W, ("blank-line",), 2, 20)
    yield Faulty("footer_total", text + b"Total,1234.56\n", W, ("footer",), 22, 20)
    yield Faulty("footer_of_full_width", text + b"Total,,,1234.56\n", W, ("footer",), 22, 20)
    yield Faulty(
        "header_ends_another_way",
        text.replace(b"\n", b"\r\n").replace(b"\r\n", b"\n", 1),
        W,
        ("mixed-newlines",),
        1,
        20,
    )
    yield Faulty("footer_after_blank", text + b"\nEnd of report\n", W, ("footer",), 23, 20)
    yield Faulty("footer_no_newline", text + b"20 rows", W, ("footer",), 22, 20)
    yield Faulty(
        "smart_quotes",
        head + b"".join(b"1,\xe2\x80\x9cDoe, A\xe2\x80\x9d,2020-01-01,1\n" for _ in body),
        E,
        ("too-many-fields",),
        2,
    )
    yield Faulty(
        "many_faults",
        _text([r.rsplit(b",", 1)[0] + b"\n" if i in (5, 17) else r for i, r in enumerate(lines, 1)]),
        E,
        ("too-few-fields",),
        5,
    )
    yield Faulty("utf16_odd", b"\xff\xfe" + accents.encode("utf-16-le") + b"x", E, ("bad-encoding",), 22)
    yield Faulty("gzip_cut", gzip.compress(text, mtime=0)[:-9], E, ("archive-damaged",), None)
    yield Faulty("xlsx_damaged", _zip("xl/workbook.xml"), E, ("workbook-damaged",), None)
    yield Faulty("zip_folder", _zip("a/a.csv"), E, ("archive-path",), None)
    yield Faulty("html", b"<!DOCTYPE html>\n<html><body>Sign in, please</body></html>\n", E, ("not-a-table",), 1)
    yield Faulty("html_no_doctype", b"\n <html><head><title>x, y</title></head></html>\n", E, ("not-a-table",), 1)
    yield Faulty("json", b'[{"id": 1, "name": "x"},\n {"id": 2}]\n', E, ("not-a-table",), 1)
    yield Faulty("json_lines", b'{"id": 1, "name": "x"}\n{"id": 2, "name": "y"}\n', E, ("not-a-table",), 1)
    yield Faulty("xml", b'<?xml version="1.0"?>\n<rows><row a="1"/></rows>\n', E, ("not-a-table",), 1)
    yield Faulty("pdf", b"%PDF-1.7\n1 0 obj", E, ("not-a-table",), 1)
    yield Faulty("xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), E, ("not-a-table",), 1)
    yield Faulty("nuls_only", bytes(5000), E, ("nul-byte",), 1)


def _zip(name: str) -> bytes:
    """Make a small archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "x")
    return out.getvalue()
