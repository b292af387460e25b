"""Sound files of every dialect, newline and encoding: each has to come out cell for cell."""

from __future__ import annotations

import csv
import functools
import io
import random
from collections.abc import Sequence
from typing import NamedTuple

Table = list[list[str]]


class Sound(NamedTuple):
    """A sound file: its name, its bytes, and the table that is in it, header first."""

    name: str
    data: bytes
    table: Table


_FIRST = ("Ann", "Bob", "Carla", "Dmitri", "Eve", "Omar")
_LAST = ("Smith", "Jones", "Okafor", "Novak", "Lee", "Brown")


def make_table(rows: int = 20, seed: int = 7, *, accents: bool = False, quoted: bool = False) -> Table:
    """Make a table of four columns: id, name, date, amount."""
    rng = random.Random(seed)
    table = [["id", "name", "visited", "amount"]]
    for number in range(1, rows + 1):
        name = f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
        if accents:
            name = f"Zoë {rng.choice(('Müller', 'Çelik', 'Ångström'))}"
        if quoted and number % 3 == 0:
            name = f'{rng.choice(_LAST)}, "{rng.choice(_FIRST)}"\nof the second line'
        date = f"20{rng.randrange(10, 25)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
        table.append([f"{number:05}", name, date, f"{rng.randrange(1, 99999) / 100:.2f}"])
    return table


def write(
    table: Sequence[Sequence[str]],
    *,
    delimiter: str = ",",
    newline: str = "\n",
    quote: str = '"',
    quoting: int = csv.QUOTE_MINIMAL,
) -> str:
    """Write a table as any sound writer would."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quotechar=quote, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows(table)
    return text.getvalue()


@functools.cache
def sound_files() -> tuple[Sound, ...]:
    """Make the sound half of the zoo."""
    plain, quoted = make_table(), make_table(quoted=True)
    accents = make_table(accents=True)
    files = [
        Sound("lf", write(plain).encode(), plain),
        Sound("crlf", write(plain, newline="\r\n").encode(), plain),
        Sound("cr", write(plain, newline="\r").encode(), plain),
        Sound("no_final_newline", write(plain).rstrip("\n").encode(), plain),
        Sound("crlf_no_final_newline", write(plain, newline="\r\n").rstrip("\r\n").encode(), plain),
        Sound("utf8_bom", b"\xef\xbb\xbf" + write(accents).encode(), accents),
        Sound("utf8_bom_quoted_header", b"\xef\xbb\xbf" + write(plain, quoting=csv.QUOTE_ALL).encode(), plain),
        Sound("accents", write(accents).encode(), accents),
        Sound("header_only", write(plain[:1]).encode(), plain[:1]),
        Sound("header_only_no_newline", write(plain[:1]).rstrip().encode(), plain[:1]),
        Sound("one_row", write(plain[:2]).encode(), plain[:2]),
        Sound("one_row_no_newline", write(plain[:2]).rstrip().encode(), plain[:2]),
        Sound("quoted_newlines", write(quoted).encode(), quoted),
        Sound("quoted_newlines_crlf_rows", write(quoted, newline="\r\n").encode(), quoted),
        Sound("quote_all", write(quoted, quoting=csv.QUOTE_ALL).encode(), quoted),
        Sound("semicolon", write(plain, delimiter=";").encode(), plain),
        Sound("tab", write(plain, delimiter="\t").encode(), plain),
        Sound("pipe", write(plain, delimiter="|").encode(), plain),
        Sound("semicolon_quoted", write(quoted, delimiter=";").encode(), quoted),
        Sound(
            "single_quote", write(quoted, quote="'", quoting=csv.QUOTE_ALL).replace('"', "").encode(), _without(quoted)
        ),
        Sound("cp1252", write(accents).encode("cp1252"), accents),
        Sound("latin1_crlf", write(accents, newline="\r\n").encode("latin-1"), accents),
    ]
    for name, codec, bom in (
        ("utf16le_bom", "utf-16-le", b"\xff\xfe"),
        ("utf16be_bom", "utf-16-be", b"\xfe\xff"),
        ("utf16le", "utf-16-le", b""),
        ("utf16be", "utf-16-be", b""),
    ):
        files.append(Sound(name, bom + write(accents).encode(codec), accents))
        files.append(Sound(name + "_quoted_crlf", bom + write(quoted, newline="\r\n").encode(codec), quoted))
    return (*files, *_odd_tables())


def _without(table: Table) -> Table:
    return [[c.replace('"', "") for c in row] for row in table]


def _odd_tables() -> list[Sound]:
    """Make sound tables of unusual shape or content."""
    rng = random.Random(3)
    tables: dict[str, Table] = {
        "one_column": [["name"], *([f"value {i}"] for i in range(20))],
        "one_column_numbers": [["n"], *([str(i)] for i in range(20))],
        "one_column_quoted_newlines": [["note"], *([f"first {i}\nsecond"] for i in range(20))],
        "one_cell": [["a"], ["b"]],
        "two_columns_text": [["key", "note"], *([f"k{i}", f"Dear all,\nI write, as said, of {i}"] for i in range(9))],
        "u2028": [["id", "note"], *([str(i), f"line\u2028sep\u2029par\x85nel {i}"] for i in range(20))],
        "empty_cells": [["a", "b", "c"], *([["", "", ""], ["1", "", ""], ["", "", "x"], ["1", "2", "3"]] * 4)],
        "spaces": [["a", "b"], *([f"  x{i} ", " \t "] for i in range(12))],
        "leading_zeros": [["zip", "long"], *([f"{i:05}", f"{i:020}"] for i in range(20))],
        "excel_numbers": [["id", "v"], *([f"{i}", "1.23E+15"] for i in range(20))],
        "cell_with_csv": [["id", "note", "x"], *([f"{i}", "a,b,c\nd,e,f\ng,h,i", f"{i}.5"] for i in range(12))],
        "header_repeats_as_part": [["id", "id2", "x"], *([f"{i}", "id", "x"] for i in range(12))],
        "emoji": [["id", "mood"], *([str(i), "🙂👍🏽"] for i in range(12))],
        "cjk": [["番号", "名前"], *([str(i), "山田太郎"] for i in range(12))],
        "quotes_only": [["a", "b"], *(['"', '""'] for _ in range(12))],
        "all_text": [["city", "state"], *([rng.choice(_FIRST), rng.choice(_LAST)] for _ in range(12))],
        "years_header": [["name", "2019", "2020"], *([f"n{i}", str(i), str(i * 2)] for i in range(12))],
        "time_of_day": [["at", "what"], *([f"{i:02}:30:00", "x"] for i in range(12))],
        "cr_in_cell": [["id", "note"], *([f"{i}", "a\rb"] for i in range(12))],
        "crlf_in_cell": [["id", "note"], *([f"{i}", "a\r\nb"] for i in range(12))],
        "json_cells": [["id", "data"], *([f"{i}", '{"k": [1, 2]}'] for i in range(12))],
        "hash_first": [["#id", "x"], *([f"#{i}", "1"] for i in range(12))],
        "decimal_comma": [["id", "n"], *([f"{i}", f"{i},50"] for i in range(12))],
        "wide": [[f"column{i}" for i in range(300)], *([[str(i * j) for i in range(300)] for j in range(30)])],
        "last_name_first": [["id", "name"], *([f"{i}", "Doe, Jane"] for i in range(12))],
        "apostrophes": [["id", "name"], *([f"{i}", "O'Neil 'x'"] for i in range(12))],
        "inch_quoted": [["id", "size"], *([f"{i}", '5" x 7"'] for i in range(12))],
        "curly_inside": [["id", "text"], *([f"{i}", "it’s a “good” day"] for i in range(12))],
        "total_as_a_cell": [["id", "text"], *([f"{i}", "total"] for i in range(12))],
        "backslashes": [["id", "path"], *([f"{i}", "C:\\temp\\"] for i in range(12))],
        "long_cell": [["id", "text"], ["1", "x" * 100_000], ["2", "y\n" * 50_000], ["3", "z"]],
        "very_long_cell": [["id", "text"], ["1", "x" * 3_000_000], ["2", "z"]],
    }
    files = []
    for name, table in tables.items():
        for suffix, newline in (("", "\n"), ("_crlf", "\r\n")):
            files.append(Sound(name + suffix, write(table, newline=newline).encode(), table))
    files.append(
        Sound(
            "decimal_comma_semicolon", write(tables["decimal_comma"], delimiter=";").encode(), tables["decimal_comma"]
        )
    )
    files.append(Sound("shift_jis", write(tables["cjk"]).encode("cp932"), tables["cjk"]))
    files.append(Sound("many_rows", write(big := make_table(60_000)).encode(), big))
    files.append(Sound("many_rows_quoted", write(big := make_table(60_000, quoted=True)).encode(), big))
    return files
