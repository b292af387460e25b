"""A stranger's tables: written with plain joins of strings, odd in every sound way, by nobody who knows the reader."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

NAMES = ("Ann Smith", "Bob Lee", "Carla Novak", "Dmitri Orlov", "Eve Brown", "Omar Diaz", "Wu Min", "Jo Day", "Al Ray")
WESTERN = ("Zoë Müller", "José Núñez", "Ångström Élan", "François Çelik", "São João", "Søren Bø", "Renée Grün")
WIDE = ("山田 太郎", "Привет мир", "שלום עולם", "مرحبا", "😀 👍🏽", "naïve – “ok”", "Łódź Šá", "Ω≈ç√")
JAPANESE = ("山田 太郎", "鈴木 花子", "東京 テスト", "佐藤 ひろし", "大阪市 北区")
WORDS = ("stable", "follow up", "see chart", "no change", "pending review", "left arm", "by phone", "twice daily")

Cell = Callable[[random.Random, int], str]


def _date(rng: random.Random, n: int) -> str:
    return f"20{rng.randrange(10, 25)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"


def _western_date(rng: random.Random, n: int) -> str:
    return f"{rng.randrange(1, 13):02}/{rng.randrange(1, 29):02}/20{rng.randrange(10, 25)}"


def _remark(rng: random.Random, n: int) -> str:
    return rng.choice(WORDS) + rng.choice((", ", " and ", "; ", " | ", ", then ")) + rng.choice(WORDS)


def _odd(rng: random.Random, n: int) -> str:
    return rng.choice(
        (
            "",
            " ",
            "  x ",
            "#note",
            "C:\\temp\\",
            "it's",
            "'q'",
            "=1+1",
            "a\u2028b",
            "x\u00a0y",
            "NULL",
            "N/A",
            "-",
            "1e5",
            "total",
            "a\tb",
            "\\N",
            "\\",
            "'",
            "//",
            "100%",
            "$5",
            "@x",
            "a\x85b",
            "tab\there",
        )
    )


def _quoting(rng: random.Random, n: int) -> str:
    return rng.choice(('5" pipe', '"so" he said', 'he said "so"', '"', '""', '"a","b"', "6'2\"", 'say ""', '", "'))


def _lines(newline: str) -> Cell:
    def cell(rng: random.Random, n: int) -> str:
        if rng.random() < 0.6:
            return rng.choice(WORDS)
        return newline.join(rng.choice((*WORDS, "", "a, b", "- item", "1. x")) for _ in range(rng.randrange(2, 5)))

    return cell


CELLS: dict[str, Cell] = {
    "id": lambda rng, n: str(n),
    "code": lambda rng, n: f"P{n:06}",
    "zip": lambda rng, n: f"{rng.randrange(99999):05}",
    "name": lambda rng, n: rng.choice(NAMES),
    "last_first": lambda rng, n: ", ".join(reversed(rng.choice(NAMES).split())),
    "visited": _date,
    "born": _western_date,
    "seen_at": lambda rng, n: _date(rng, n) + f" {rng.randrange(24):02}:{rng.randrange(60):02}:00",
    "amount": lambda rng, n: f"{rng.randrange(1, 99999) / 100:.2f}",
    "amount_eu": lambda rng, n: f"{rng.randrange(1, 999)},{rng.randrange(100):02}",
    "money": lambda rng, n: f"${rng.randrange(1, 9)},{rng.randrange(1000):03}.00",
    "change": lambda rng, n: str(rng.randrange(-500, 500)),
    "yes": lambda rng, n: rng.choice("YN"),
    "mail": lambda rng, n: f"user{n}@example.org",
    "url": lambda rng, n: f"https://example.org/a?b={n}&c=d,e;f",
    "remark": _remark,
    "odd": _odd,
    "empty": lambda rng, n: "",
    "mostly_empty": lambda rng, n: "x" if rng.random() < 0.1 else "",
    "spaces": lambda rng, n: " " * rng.randrange(4),
    "json": lambda rng, n: f'{{"k": [{n}, 2], "s": "a,b"}}',
    "quoting": _quoting,
    "western": lambda rng, n: rng.choice(WESTERN),
    "wide": lambda rng, n: rng.choice(WIDE),
    "japanese": lambda rng, n: rng.choice(JAPANESE),
    "same": lambda rng, n: "2024",
    "long": lambda rng, n: "lorem ipsum " * rng.randrange(1, 60),
}
ASCII = tuple(k for k in CELLS if k not in ("western", "wide", "japanese", "odd"))


@dataclass
class Sheet:
    """A table as its writer has it: the cells, and how it is going to be written."""

    cells: list[list[str]]
    delimiter: str = ","
    newline: str = "\n"
    quoting: str = "minimal"
    codec: str = "utf-8"
    bom: bytes = b""
    final: bool = True
    kinds: list[str] = field(default_factory=list)
    name: str = ""

    @property
    def width(self) -> int:
        return len(self.cells[0])

    def fields(self, row: int) -> list[str]:
        """Give a row's fields as they are written."""
        return [self.written(c, self.kinds[i] if row else "header") for i, c in enumerate(self.cells[row])]

    def written(self, cell: str, kind: str = "") -> str:
        must = any(sign in cell for sign in (self.delimiter, '"', "\n", "\r"))
        must = must or (not cell.strip() and self.width == 1) or (cell[:1] == " " and kind == "header")
        number = kind in ("id", "amount", "change", "zip", "same")
        if must or self.quoting == "all" or (self.quoting == "text" and not number):
            return '"' + cell.replace('"', '""') + '"'
        return cell

    def records(self) -> list[str]:
        """Give the rows as they are written, without their newlines; the header first."""
        return [self.delimiter.join(self.fields(row)) for row in range(len(self.cells))]

    def line_of(self, row: int) -> int:
        """Give the physical line a row begins on."""
        end = self.newline[-1]
        return 1 + sum(record.count(end) + 1 for record in self.records()[:row])

    def bytes_of(self, records: list[str], final: bool | None = None) -> bytes:
        """Write records to bytes."""
        text = self.newline.join(records) + (self.newline if (self.final if final is None else final) else "")
        return self.bom + text.encode(self.codec)

    def data(self) -> bytes:
        return self.bytes_of(self.records())


ENCODINGS = (
    *[("utf-8", b"")] * 12,
    *[("utf-8", b"\xef\xbb\xbf")] * 3,
    ("utf-16-le", b"\xff\xfe"),
    ("utf-16-be", b"\xfe\xff"),
    ("utf-16-le", b""),
    ("utf-16-be", b""),
    ("cp1252", b""),
    ("latin-1", b""),
    ("cp932", b""),
)


def draw_sheet(rng: random.Random, *, least_rows: int = 0, plain: bool = False) -> Sheet:
    """Draw a table and the way it is written. `plain`: ASCII cells only, no quotes and newlines in them."""
    codec, bom = rng.choice(ENCODINGS)
    newline = rng.choice(("\n", "\n", "\n", "\r\n", "\r\n", "\r"))
    kinds = list(ASCII)
    if codec.startswith("utf"):
        kinds += ["western", "wide", "japanese", "odd"]
    elif codec in ("cp1252", "latin-1"):
        kinds += ["western"] * 3
    else:
        kinds += ["japanese"] * 3
    if plain:
        kinds = [k for k in kinds if k not in ("quoting", "json", "odd", "spaces", "empty", "long", "mostly_empty")]
    width = rng.choice((1, 2, 2, 3, 3, 4, 4, 5, 6, 8, 12, 20, 48))
    own = [rng.choice(kinds) for _ in range(width)]
    if "western" in kinds[-3:] and width > 1:
        own[-1] = "western"
    if codec == "cp932":
        own[-1] = "japanese"
    if width > 1 and rng.random() < 0.7:
        own[0] = rng.choice(("id", "code", "code", "mail", "name"))
    if rng.random() < 0.3 and not plain:
        inner = newline if newline != "\n" or rng.random() < 0.7 else "\r\n"
        place = rng.randrange(width)
        makers = {place: _lines(inner)}
        own[place] = "remark" if own[place] not in ("western", "japanese") else own[place]
    else:
        makers = {}
    rows = max(least_rows, rng.choice((0, 1, 2, 3, 5, 10, 20, 20, 40, 80, 300)))
    names = [f"{kind}_{i}" if own.count(kind) > 1 else kind for i, kind in enumerate(own, 1)]
    cells = [names] + [[makers.get(i, CELLS[k])(rng, n) for i, k in enumerate(own)] for n in range(1, rows + 1)]
    # One column has no delimiter; whoever writes one thinks of commas.
    delimiter = rng.choice((",", ",", ",", ";", ";", "\t", "|")) if width > 1 else ","
    quoting = rng.choice(("minimal", "minimal", "all", "text"))
    sheet = Sheet(cells, delimiter, newline, quoting, codec, bom, rng.random() < 0.8, own)
    sheet.name = (
        f"{codec}{'+bom' if bom else ''} {newline!r} {delimiter!r} {quoting} {width}x{rows} {','.join(own)[:60]}"
    )
    return sheet
