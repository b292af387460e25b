"""The text of a judged file, taken apart for mending: where the header is, what rows look like, record by record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from rowmill.tabular.breaks import Break, Breaks
from rowmill.tabular.dialect import SAMPLE_BYTES
from rowmill.tabular.faults import Profile
from rowmill.tabular.marks import BOM
from rowmill.tabular.mend_records import QUOTE_FAULTS, Table, codec_of_strays, split_newline
from rowmill.tabular.reading import Reading
from rowmill.tabular.records import NeedMore, Record, Shape, cell, read_record

_BLOCK = 1 << 20
_SAMPLE_ROWS = 200
_MOST_LOOKED_AT = 2_000
_ABOVE = ("preamble", "blank-line")
_LOST_IN_SHEETS = {"odd-character", "formula-not-computed"}
SHORT_CODES = ("too-few-fields", "truncated")
_STRAYS = ("bad-encoding", "mixed-encodings")


@dataclass(slots=True)
class Layout:
    """A judged file's text. `head` is the header's record, `head_end` where the line after it begins."""

    path: Path
    breaks: Breaks
    table: Table
    head: Record
    head_raw: bytes
    head_start: int
    head_end: int
    size: int
    sheet: bool = False
    groups: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        """Give the pinned dialect."""
        return self.table.shape

    def head_cells(self) -> list[bytes]:
        """Give the header's names, quotes off."""
        return [cell(self.head_raw, span, self.shape) for span in self.head.fields]

    def read(self, file: BinaryIO, one: Break, most: int = 1 << 24) -> bytes:
        """Give the bytes of a break."""
        file.seek(one.start)
        return file.read(min(one.end - one.start, most))

    def spread(self, code: str, most: int = _MOST_LOOKED_AT) -> list[int]:
        """Give the indices of breaks of a code: all, or so many spread over the whole file."""
        indices = self.groups.get(code, np.empty(0, np.int64))
        if len(indices) > most:
            indices = indices[np.linspace(0, len(indices) - 1, most).astype(np.int64)]
        chosen: list[int] = indices.tolist()
        return chosen

    def broken_after(self, index: int, one: Break) -> bool:
        """Tell whether the record below an open quote has too few fields: it may be the rest of this one."""
        if one.code not in QUOTE_FAULTS or index + 1 >= len(self.breaks):
            return False
        below = self.breaks[index + 1]
        return below.start == one.end and below.code in SHORT_CODES


def lay_out(reading: Reading, *, even_if_lossy: bool = False) -> Layout | None:
    """Take a judged file's text apart; None where it was not read as a table, or not without losing signs of it."""
    if reading.text_path is None or reading.shape is None or reading.ledger is None:
        return None
    if _has_stand_ins(reading) and not even_if_lossy:
        return None
    path, shape, breaks = reading.text_path, reading.shape, reading.ledger.breaks
    size = path.stat().st_size
    with path.open("rb") as file:
        sample = file.read(2 * SAMPLE_BYTES)
    start = _below_the_top(breaks, 3 if sample.startswith(BOM) else 0)
    head, end = _read_head(sample, start, shape)
    raw = sample[start:end]
    width = shape.columns - shape.trailing
    profile = Profile(_sound_rows(sample, end, shape, whole=len(sample) == size))
    table = Table(shape, width, split_newline(raw)[0], profile)
    layout = Layout(path, breaks, table, head, raw, start, end, size, bool(reading.inspection.sheet), breaks.by_code())
    layout.table = Table(shape, width, table.header, profile, _codec(layout))
    return layout


def _has_stand_ins(reading: Reading) -> bool:
    """Tell whether the text that was read has signs in place of what could not be: a copy of it would look sound."""
    told = {finding.code for finding in reading.inspection.findings}
    dialect = reading.inspection.dialect
    decoded = dialect is not None and dialect.encoding != "utf-8"
    return bool(told & _LOST_IN_SHEETS) or (decoded and "bad-encoding" in told)


def _below_the_top(breaks: Breaks, at: int) -> int:
    """Give where the header begins: below the lines that stand above it."""
    for one in breaks:
        if one.start != at or one.code not in _ABOVE:
            break
        at = one.end
    return at


def _read_head(sample: bytes, start: int, shape: Shape) -> tuple[Record, int]:
    """Read the header; of one whose quotes are broken its first line. Its spans are told from its own beginning."""
    record = read_record(sample[start:], 0, shape, final=True)
    if record.fault is None:
        return record, start + record.end
    ends = [i for i in (sample.find(b"\n", start), sample.find(b"\r", start)) if i >= 0]
    end = min(ends) + 1 if ends else len(sample)
    if sample[end - 1 : end + 1] == b"\r\n":
        end += 1
    return record, end


def _sound_rows(sample: bytes, at: int, shape: Shape, *, whole: bool) -> Iterator[list[bytes]]:
    """Yield the first sound rows."""
    found = 0
    while at < len(sample) and found < _SAMPLE_ROWS:
        try:
            record = read_record(sample, at, shape, final=whole)
        except NeedMore:
            break
        if record.fault is not None:
            line_end = sample.find(shape.line_end, record.fault.at)
            at = len(sample) if line_end < 0 else line_end + 1
            continue
        if len(record.fields) == shape.columns:
            found += 1
            yield [cell(sample, span, shape) for span in record.fields]
        at = record.end


def _codec(layout: Layout) -> str:
    """Name the encoding of the records that are not UTF-8, where they prove one."""
    indices = [i for code in _STRAYS for i in layout.spread(code)]
    if len(indices) < 2:
        return ""
    with layout.path.open("rb") as file:
        return codec_of_strays(layout.read(file, layout.breaks[i], 1 << 16) for i in sorted(indices))


@contextmanager
def open_text(layout: Layout) -> Iterator[BinaryIO]:
    """Open the text for reading break after break."""
    with layout.path.open("rb", buffering=1 << 16) as file:
        yield file


def iter_blocks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes between two places."""
    file.seek(start)
    while start < end and (block := file.read(min(_BLOCK, end - start))):
        start += len(block)
        yield block


def iter_records(file: BinaryIO, start: int, end: int, shape: Shape) -> Iterator[bytes]:
    """Yield the sound records between two places, newlines included.

    Records without a bare quote: an odd number of quotes on a line means that a cell goes on below it.
    """
    if shape.newline == b"\r":
        yield from _precise_records(file, start, end, shape)
        return
    quote, open_lines = bytes([shape.quote]) if shape.quote >= 0 else b"", b""
    rest = b""
    for block in iter_blocks(file, start, end):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if not quote or (not open_lines and quote not in line):
                yield line + b"\n"
                continue
            open_lines += line + b"\n"
            if open_lines.count(quote) % 2 == 0:
                yield open_lines
                open_lines = b""
    if open_lines or rest:
        yield open_lines + rest


def _precise_records(file: BinaryIO, start: int, end: int, shape: Shape) -> Iterator[bytes]:
    """Yield records one by one with the precise reader, for texts whose lines end in a carriage return."""
    data = b""
    blocks = iter_blocks(file, start, end)
    final = False
    while not final or data:
        block = next(blocks, b"")
        final = not block
        data, at = data + block, 0
        while at < len(data):
            try:
                record = read_record(data, at, shape, final=final)
            except NeedMore:
                break
            yield data[at : record.end]
            at = record.end
        data = data[at:]
