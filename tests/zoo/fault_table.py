"""The strict table of what each fault gets: refused, warned or nothing; its codes and column; how it is put into a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

BAD = "\ud800"  # stands for bytes that the encoding does not know
PLACES = ("first", "middle", "last", "after_quoted")
NEWLINES = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
ENCODINGS = {
    "utf8": ("utf-8", b""),
    "utf8_bom": ("utf-8", b"\xef\xbb\xbf"),
    "utf16le": ("utf-16-le", b"\xff\xfe"),
    "utf16be": ("utf-16-be", b"\xfe\xff"),
    "cp1252": ("cp1252", b""),
}


class Way(NamedTuple):
    """How a file is written."""

    newline: str
    delimiter: str
    encoding: str
    columns: int = 4
    rows: int = 24


@dataclass
class Text:
    """A table as records of text, each with the newline that ends it; record 0 is the header."""

    way: Way
    quoted: bool
    records: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    late_codec: tuple[int, str] | None = None  # from this record on, another encoding

    def __post_init__(self) -> None:
        self.records = [self.join([f"name{i}" for i in range(1, self.way.columns + 1)])]
        for number in range(1, self.way.rows + 1):
            self.records.append(self.join(self.cells(number)))
        self.ends = [self.newline] * len(self.records)

    @property
    def newline(self) -> str:
        return NEWLINES[self.way.newline]

    @property
    def delimiter(self) -> str:
        return DELIMITERS[self.way.delimiter]

    @property
    def named(self) -> int:
        """Index of the column of names."""
        return min(1, self.way.columns - 1)

    def join(self, cells: list[str]) -> str:
        return self.delimiter.join(cells)

    def cells(self, number: int) -> list[str]:
        name = f"Zoë Lee{number % 7}"
        if self.quoted and number % 3 == 1:
            name = f'"Lee{self.delimiter} ë{self.newline}and ""so"" on{number}"'
        if self.way.columns == 1:
            return [name]
        more = [f"2020-01-{number % 28 + 1:02}", f"{number}.50"]
        return [f"{number:05}", name, *more, *(str(number * i) for i in range(4, self.way.columns))]

    def put(self, at: int, name: str) -> None:
        """Write the name of a row anew, as it stands."""
        cells = [*self.cells(at)]
        cells[self.named] = name
        self.records[at] = self.join(cells)

    def insert(self, at: int, record: str) -> None:
        self.records.insert(at, record)
        self.ends.insert(at, self.newline)

    def line(self, at: int) -> int:
        """Give the physical line of a record."""
        end = self.newline[-1]
        text = "".join(r + e for r, e in zip(self.records[:at], self.ends[:at], strict=True))
        ends = text.count(end)
        if self.newline != "\r\n":
            return 1 + ends
        return 1 + text.replace("\r\n", "\n").count("\n")

    def data(self) -> bytes:
        codec, bom = ENCODINGS[self.way.encoding]
        parts = list(zip(self.records, self.ends, strict=True))
        cut, late = self.late_codec or (len(parts), codec)
        early = "".join(r + e for r, e in parts[:cut])
        return bom + _encode(early, codec) + _encode("".join(r + e for r, e in parts[cut:]), late)


def _encode(text: str, codec: str) -> bytes:
    if codec == "cp1252":
        return b"\x81".join(part.encode(codec) for part in text.split(BAD))
    return text.encode(codec, "surrogatepass")


Put = Callable[[Text, int], None]
FITS_ALL: Callable[[Way, str], bool] = lambda way, place: True  # noqa: E731


class Fault(NamedTuple):
    """A fault: what it gets, the codes that may tell it, in which column (0: not said here), and how it is put in."""

    name: str
    gets: str
    codes: tuple[str, ...]
    column: int | None
    put: Put
    fits: Callable[[Way, str], bool] = FITS_ALL
    line: Callable[[Text, int], int] = lambda text, at: text.line(at)


def _wide(way: Way, place: str) -> bool:
    return way.columns > 1


def _utf(way: Way, place: str) -> bool:
    return way.encoding != "cp1252"


def _name(new: str) -> Put:
    return lambda text, at: text.put(at, new)


def _record(change: Callable[[Text, str], str]) -> Put:
    def put(text: Text, at: int) -> None:
        text.put(at, "Zoë Lee")
        text.records[at] = change(text, text.records[at])

    return put


def _inserted(new: Callable[[Text], str]) -> Put:
    return lambda text, at: text.insert(at, new(text))


def _header(change: Callable[[list[str]], list[str]]) -> Put:
    def put(text: Text, at: int) -> None:
        text.records[0] = text.join(change(text.records[0].split(text.delimiter)))

    return put


def _other(text: Text) -> str:
    return ";" if text.delimiter != ";" else ","


def _end_otherwise(text: Text, at: int) -> None:
    text.put(at, "Zoë Lee")
    text.ends[at] = "\n" if text.newline != "\n" else "\r\n"


def _other_encoding(text: Text, at: int) -> None:
    text.late_codec = (at, "cp1252")
    text.put(at, "Zoë Lee")


def _cut(text: Text, at: int) -> None:
    text.put(at, "Zoë Lee")
    text.records[at] = text.join(text.records[at].split(text.delimiter)[:-1])
    text.ends[at] = ""


def _trail(text: Text, at: int) -> None:
    text.records[1:] = [r + text.delimiter for r in text.records[1:]]


def _unended(text: Text, at: int) -> None:
    text.ends[-1] = ""


def _only_header(text: Text, at: int) -> None:
    text.records[1:], text.ends[1:] = [], []


def _once(way: Way, place: str) -> bool:
    return place == "first"


_FIRST_LINE = lambda text, at: 1  # noqa: E731
R, W, N = "refused", "warned", "nothing"
NAME, SURPLUS = -1, -2  # the column of names; the one behind the last

FAULTS: tuple[Fault, ...] = (
    Fault("too_few", R, ("too-few-fields",), None, _record(lambda t, r: r.rpartition(t.delimiter)[0]), _wide),
    Fault("too_many", R, ("too-many-fields",), SURPLUS, _record(lambda t, r: r + t.delimiter + "x")),
    Fault("surplus_empty", R, ("too-many-fields",), SURPLUS, _record(lambda t, r: r + t.delimiter)),
    Fault("surplus_empty_many", R, ("too-many-fields",), SURPLUS, _record(lambda t, r: r + 3 * t.delimiter)),
    Fault("delimiter_in_cell", R, ("too-many-fields",), SURPLUS, _record(lambda t, r: r.replace(" ", t.delimiter))),
    Fault("quote_not_closed", R, ("quote-not-closed", "quote-swallows-rows"), NAME, _name('"Zoë Lee')),
    Fault("text_after_quote", R, ("text-after-quote",), NAME, _name('"Zoë"x')),
    Fault("space_after_quote", R, ("text-after-quote",), NAME, _name('"Zoë Lee" ')),
    Fault("quote_not_escaped", R, ("quote-not-escaped",), NAME, _name('"Zoë "Al" Lee"')),
    Fault("nul", R, ("nul-byte",), NAME, _name("Zoë\x00Lee")),
    Fault("nul_in_quotes", R, ("nul-byte",), NAME, _name('"Zoë\x00Lee"')),
    Fault("bad_bytes", R, ("bad-encoding",), NAME, _name(f"Zoë {BAD}Lee")),
    Fault(
        "two_encodings",
        R,
        ("mixed-encodings", "bad-encoding"),
        NAME,
        _other_encoding,
        lambda way, place: way.encoding.startswith("utf8") and place in ("middle", "last"),
    ),
    Fault("bom_in_middle", R, ("bom-in-middle",), 1, _record(lambda t, r: "\ufeff" + r), _utf),
    Fault("bom_in_cell", R, ("bom-in-middle",), NAME, _name("Zoë\ufeffLee"), _utf),
    Fault("other_dialect", R, ("other-delimiter",), 1, _record(lambda t, r: r.replace(t.delimiter, _other(t))), _wide),
    Fault("truncated", R, ("truncated",), None, _cut, lambda way, place: way.columns > 1 and place == "last"),
    Fault("header_quote", R, ("header-broken",), 0, _header(lambda c: [*c[:-1], '"' + c[-1]]), _once, _FIRST_LINE),
    Fault(
        "header_short",
        R,
        ("header-too-short",),
        0,
        _header(lambda c: c[:-1]),
        lambda way, place: way.columns > 2 and place == "first",
        _FIRST_LINE,
    ),
    Fault("blank", W, ("blank-line",), None, _inserted(lambda t: "")),
    Fault("white_space", W, ("blank-line",), None, _inserted(lambda t: "   ")),
    Fault("mixed_newlines", W, ("mixed-newlines",), None, _end_otherwise),
    Fault(
        "lone_cr", W, ("lone-cr",), None, _name("Zoë\rLee"), lambda way, place: way.newline != "cr" and way.columns > 1
    ),
    Fault(
        "trailing_delimiter",
        W,
        ("trailing-delimiter",),
        None,
        _trail,
        lambda way, place: way.columns > 1 and place in ("first", "after_quoted"),
        lambda text, at: 2,
    ),
    Fault("repeated_header", W, ("repeated-header",), None, _inserted(lambda t: t.records[0])),
    Fault(
        "preamble",
        W,
        ("preamble",),
        None,
        lambda text, at: text.insert(0, "Report of visits"),
        lambda way, place: way.columns > 1 and place in ("first", "after_quoted"),
        _FIRST_LINE,
    ),
    Fault(
        "footer",
        W,
        ("footer",),
        None,
        lambda text, at: text.insert(len(text.records), "Total 24 rows"),
        lambda way, place: way.columns > 1 and place in ("first", "after_quoted"),
        lambda text, at: text.line(len(text.records) - 1),
    ),
    Fault("quote_in_unquoted", W, ("quote-in-unquoted",), NAME, _name('Zoë "Al" Lee')),
    Fault("one_quote_in_unquoted", W, ("quote-in-unquoted",), NAME, _name('Zoë 5" Lee')),
    Fault("typographic", W, ("typographic-quotes",), NAME, _name("“Zoë Lee”")),
    Fault("control_z", W, ("control-z",), NAME, _name("Zoë\x1aLee")),
    Fault(
        "header_empty",
        W,
        ("header-empty",),
        0,
        _header(lambda c: [*c[:-1], ""]),
        lambda w, p: w.columns > 2 and p == "first",
        _FIRST_LINE,
    ),
    Fault(
        "header_doubled",
        W,
        ("header-doubled",),
        0,
        _header(lambda c: [*c[:-1], c[0]]),
        lambda way, place: way.columns > 2 and place == "first",
        _FIRST_LINE,
    ),
    Fault("line_separator", N, (), None, _name("Zoë\u2028\u2029\x85Lee"), _utf),
    Fault("no_final_newline", N, (), None, _unended, lambda way, place: place in ("first", "after_quoted")),
    Fault("only_header", N, (), None, _only_header, _once),
    Fault("sound", N, (), None, lambda text, at: None, lambda way, place: place in ("first", "after_quoted")),
)


def place_of(place: str, way: Way) -> int:
    """Give the record that a place stands for."""
    return {"first": 1, "middle": way.rows // 2, "last": way.rows, "after_quoted": way.rows - 3}[place]


def cases(columns: int = 4) -> Iterator[tuple[Fault, str, Way]]:
    """Give every fault at every place, written in every way that it goes together with."""
    for fault in FAULTS:
        for place in PLACES:
            for newline in NEWLINES:
                for delimiter in DELIMITERS if columns > 1 else ("comma",):
                    for encoding in ENCODINGS:
                        way = Way(newline, delimiter, encoding, columns)
                        if fault.fits(way, place):
                            yield fault, place, way
