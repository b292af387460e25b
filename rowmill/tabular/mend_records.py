"""What one record becomes when it is mended: one answer for each break, or none where something would be guessed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from rowmill.tabular.encoding import has_utf8, judge_encoding
from rowmill.tabular.faults import Profile, outline
from rowmill.tabular.marks import BOM, spell_header
from rowmill.tabular.mend_quotes import (
    is_row,
    plain_quotes,
    quote_cells,
    repair_quotes,
    without_blanks_before,
)
from rowmill.tabular.records import Shape, cell, quote_field, read_record

LEFT_OUT = {
    "blank-line": "blank-lines",
    "preamble": "preamble",
    "footer": "footer",
    "repeated-header": "repeated-header",
    "control-z": "control-z",
}
QUOTE_FAULTS = ("quote-not-closed", "quote-swallows-rows", "quote-not-escaped", "text-after-quote")
BY_BYTES = ("bad-encoding", "mixed-encodings")
_BY_TEXT = (*QUOTE_FAULTS, *BY_BYTES, "bom-in-middle", "other-delimiter", "too-many-fields")
_DELIMITERS = b",;\t|"
_THOUSANDS = re.compile(rb"[-+]?[$]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_MOST_FIELDS = 400
_MOST_SURPLUS = 3


@dataclass(frozen=True, slots=True)
class Table:
    """What is known of the table around a record. `width` are the fields of a row; `codec` that of foreign bytes, or ""."""

    shape: Shape
    width: int
    header: bytes = b""
    profile: Profile = field(default_factory=Profile)
    codec: str = ""


@dataclass(frozen=True, slots=True)
class Mended:
    """A record mended, its newline included: the mend's slug, and its bytes; none where it is left out."""

    slug: str
    data: bytes


def codec_of_strays(records: Iterable[bytes]) -> str:
    """Name the one-byte encoding of records whose bytes are not UTF-8; "" where two lines and more do not prove it."""
    encoding, _ = judge_encoding(raw for raw in records if not has_utf8(raw))
    return "cp1252" if encoding and encoding.name == "windows-1252" and encoding.guessed_at is None else ""


def split_newline(raw: bytes) -> tuple[bytes, bytes]:
    """Part a record from its newline."""
    for newline in (b"\r\n", b"\n", b"\r"):
        if raw.endswith(newline):
            return raw[: -len(newline)], newline
    return raw, b""


def depends_on_text(code: str, *, row: bool) -> bool:
    """Tell whether it is the record's text that decides which mend it gets, or its code alone."""
    return row or code in _BY_TEXT


def mend_break(
    code: str,
    raw: bytes,
    table: Table,
    *,
    row: bool = False,
    broken_after: bool = False,
    chosen: Collection[str] | None = None,
) -> list[Mended]:
    """Give what a break becomes: one answer, several in turn for a row with several oddities, or none.

    Each answer of several goes on from the one before. `broken_after`: the record below has too few fields, so it may be
    the rest of this one. `chosen`: no other mends than these; None for all.
    """
    if row:
        return _mend_row(raw, table, chosen)
    if code in LEFT_OUT:
        return [Mended(LEFT_OUT[code], b"")] if chosen is None or LEFT_OUT[code] in chosen else []
    body, newline = split_newline(raw)
    found = _mend_body(code, body, table, broken_after)
    if found is None:
        return []
    slug, text = found
    taken = chosen is None or slug in chosen
    return [Mended(slug, text + newline if text else b"")] if taken else []


def _mend_body(code: str, body: bytes, table: Table, broken_after: bool) -> tuple[str, bytes] | None:
    """Give the slug and the record without its newline; None where nothing is sure."""
    if code in QUOTE_FAULTS:
        found = repair_quotes(body, table.shape, table.width)
        last = found is not None and found[0] == "close-quote" and found[1][-1] == table.shape.quote
        if found is None or (last and broken_after and body[-1] != table.shape.quote):
            return None
        return found if _fits(found[1], table) else None
    if code in BY_BYTES:
        return _decode(body, table)
    if code == "bom-in-middle":
        return _without_mark(body, table)
    if code == "other-delimiter":
        return _rewrite(body, table)
    if code == "too-many-fields":
        return _narrow(body, table)
    return None


def _fits(body: bytes, table: Table) -> bool:
    """Tell whether a mended record looks like the others."""
    record = read_record(body, 0, table.shape, final=True)
    return table.profile.fits([cell(body, span, table.shape) for span in record.fields])


def _decode(body: bytes, table: Table) -> tuple[str, bytes] | None:
    """Write a record of the other encoding in UTF-8."""
    if not table.codec or has_utf8(body):
        return None
    try:
        text = body.decode(table.codec).encode()
    except UnicodeDecodeError:
        return None
    return ("encoding", text) if is_row(text, table.shape, table.width) else None


def _without_mark(body: bytes, table: Table) -> tuple[str, bytes] | None:
    """Take a byte order mark out; a header behind it goes too."""
    text = body.replace(BOM, b"")
    if text in spell_header(table.header, table.shape.delimiter, table.shape.quote) or not text.strip():
        return "bom", b""
    return ("bom", text) if is_row(text, table.shape, table.width) else None


def _rewrite(body: bytes, table: Table) -> tuple[str, bytes] | None:
    """Write a row of another delimiter with the one of the table."""
    other = other_delimiter(body, table)
    if other < 0:
        return None
    spans = read_record(body, 0, replace(table.shape, delimiter=other), final=True).fields
    text = bytes([table.shape.delimiter]).join(_field(body[start:end], table.shape) for start, end in spans)
    return ("delimiter", text) if is_row(text, table.shape, table.width) else None


def other_delimiter(body: bytes, table: Table) -> int:
    """Give the one other delimiter that makes a row of this record, -1 where none or several do."""
    others = [replace(table.shape, delimiter=d) for d in _DELIMITERS if _may_part(body, d, table)]
    found = [other.delimiter for other in others if is_row(body, other, table.width)]
    return found[0] if len(found) == 1 else -1


def _may_part(body: bytes, delimiter: int, table: Table) -> bool:
    """Tell whether a sign stands often enough in a record to be its delimiter."""
    return delimiter != table.shape.delimiter and body.count(delimiter) >= table.width - 1


def _field(raw: bytes, shape: Shape) -> bytes:
    """Write a field so that it can stand between this table's delimiters."""
    quote = bytes([shape.quote]) if shape.quote >= 0 else b'"'
    if raw.startswith(quote):
        return raw
    if bytes([shape.delimiter]) in raw:
        return quote + raw.replace(quote, quote + quote) + quote
    return quote_field(raw, shape)


def _narrow(body: bytes, table: Table) -> tuple[str, bytes] | None:
    """Bring a record with too many fields to the right width, where only one thing can have widened it."""
    shape, width = table.shape, table.width
    record = read_record(body, 0, shape, final=True)
    if record.fault is None and all(end == start for start, end in record.fields[width:]) and record.fields[width:]:
        text = body[: record.fields[width - 1][1]]
        return ("trailing-delimiter", text) if is_row(text, shape, width) and _fits(text, table) else None
    for slug, text in (
        ("typographic-quotes", plain_quotes(body, shape)),
        ("quote-spaces", without_blanks_before(body, shape)),
    ):
        if text != body and is_row(text, shape, width) and _fits(text, table):
            return slug, text
    found = join_fields(body, table)
    return ("quote-delimiter", found[1]) if found else None


def join_fields(body: bytes, table: Table) -> tuple[int, bytes] | None:
    """Find the one cell that holds unquoted delimiters: (its 1-based column, the record with that cell quoted).

    It counts only where the shapes of the other columns rule out every other place: each of them must be as its column is.
    """
    shape, width = table.shape, table.width
    record = read_record(body, 0, shape, final=True)
    surplus = len(record.fields) - width
    if record.fault is not None or record.bare_quote is not None or surplus < 1 or len(record.fields) > _MOST_FIELDS:
        return None
    raw = [body[start:end] for start, end in record.fields]
    between = bytes([shape.delimiter])
    if surplus > _MOST_SURPLUS or not table.profile.tells:
        return None
    found = []
    for at in _possible_places(table.profile, [f.strip(b' "') for f in raw], surplus):
        whole = between.join(raw[at : at + surplus + 1])
        if _proved(table.profile, whole.strip(b' "'), at, raw[at : at + surplus + 1], width):
            found.append((at + 1, [*raw[:at], whole, *raw[at + surplus + 1 :]]))
    if len(found) != 1 or bytes([max(shape.quote, 0)]) in found[0][1][found[0][0] - 1]:
        return None
    column, fields = found[0]
    text = between.join(_field(f, shape) if at == column else f for at, f in enumerate(fields, 1))
    return (column, text) if is_row(text, shape, width) else None


def _possible_places(profile: Profile, cells: list[bytes], surplus: int) -> list[int]:
    """Give where some fields may belong together: every other column with a shape of its own then has it."""
    outlines, width = [outline(value) for value in cells], len(cells) - surplus
    shapes = [*profile.columns, *[None] * width][:width]
    fits = [own is None or sign in own for own, sign in zip(shapes, outlines, strict=False)]
    behind = [own is None or sign in own for own, sign in zip(shapes, outlines[surplus:], strict=True)]
    first = fits.index(False) if False in fits else width - 1
    last = width - 1 - behind[::-1].index(False) if False in behind else 0
    return list(range(last, first + 1))


def _proved(profile: Profile, whole: bytes, at: int, parts: list[bytes], width: int) -> bool:
    """Tell whether a joined cell is a number with thousands, or text where text may stand.

    Text is what holds no part that looks like a cell of another column: else two rows may have run into one.
    """
    number = _THOUSANDS.fullmatch(whole) is not None
    own = profile.columns[at] if at < len(profile.columns) else None
    if own is not None and not number and outline(whole) not in own:
        return False
    if not all(parts) or (at in (0, width - 1) and not number and not all(p[:1] in b" \t" for p in parts[1:])):
        # At the edge of a row a surplus field may be just that; only a blank behind the delimiter speaks for text.
        return False
    shapes_of_all = frozenset().union(*(shapes for shapes in profile.columns if shapes is not None))
    return number or not any(outline(part.strip()) in shapes_of_all for part in parts)


def _mend_row(raw: bytes, table: Table, chosen: Collection[str] | None) -> list[Mended]:
    """Mend the oddities of a sound row, one after the other."""
    steps: list[Mended] = []
    shape, widths = table.shape, (table.width, table.shape.columns)
    body, newline = split_newline(raw)

    def step(slug: str, text: bytes, end: bytes) -> tuple[bytes, bytes]:
        if (text, end) == (body, newline) or not (chosen is None or slug in chosen):
            return body, newline
        steps.append(Mended(slug, text + end))
        return text, end

    if newline:
        body, newline = step("newlines", body, shape.newline)
    body, newline = step("control-z", body.replace(b"\x1a", b""), newline)
    text = plain_quotes(body, shape) if b"\xe2\x80" in body else body
    if text != body and any(is_row(text, shape, width) for width in widths):
        body, newline = step("typographic-quotes", text, newline)
    record, slug = read_record(body, 0, shape, final=True), "quote-cells"
    if record.fault is None and record.end < len(body):
        record, slug = read_record(body, 0, shape, final=True, keep_cr=True), "lone-cr"
    if record.fault is None and record.end == len(body):
        text = quote_cells(body, record, shape)
        if any(is_row(text, shape, width) for width in widths):
            step(slug, text, newline)
    return steps
