"""Third look at a file: delimiter, quote and newline, detected on a sample and from then on pinned."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from rowmill.contracts import Dialect
from rowmill.tabular.encoding import Encoding
from rowmill.tabular.records import Record, Shape, cell, read_record

SAMPLE_BYTES = 1 << 18
SAMPLE_RECORDS = 400
_USUAL = b",;\t|"
_RARE = b"\x1f\x01^~"


@dataclass(slots=True)
class SampleRow:
    """A record of the sample: its cells, where it begins, how many physical lines it takes; `fault` for a broken quote."""

    cells: list[bytes]
    start: int
    end: int
    line: int
    lines: int
    newline: bytes
    fault: bool = False
    fault_at: int = 0

    @property
    def blank(self) -> bool:
        """Tell whether nothing is on the line."""
        return len(self.cells) == 1 and not self.cells[0].strip()


def read_sample(
    sample: bytes, shape: Shape, *, whole: bool, limit: int = SAMPLE_RECORDS, known: Sequence[SampleRow] = ()
) -> list[SampleRow]:
    """Read the first records of a sample; a line with a broken quote is split at its delimiters and marked.

    `known`: the first of these, where somebody has read them already.
    """
    rows = list(known)
    rows += _read_plain(sample, rows[-1] if rows else None, shape, limit - len(rows))
    at, line = (rows[-1].end, rows[-1].line + rows[-1].lines) if rows else (0, 1)
    while at < len(sample) and len(rows) < limit:
        record = read_record(sample, at, shape, final=True)
        if record.fault is None and not record.newline and not whole:
            break
        if record.fault is not None and not whole and _goes_on(sample, record, shape, rows):
            break
        row = _sample_row(sample, record, shape, line)
        rows.append(row)
        at, line = row.end, line + row.lines
    return rows


def _read_plain(sample: bytes, before: SampleRow | None, shape: Shape, limit: int) -> Iterator[SampleRow]:
    """Read records by the csv module as long as it surely reads them as the precise reader does, which takes ten times as long.

    It ends before a record that is broken or cut, or that holds a carriage return anywhere but at its end.
    """
    if shape.newline == b"\r" or limit <= 0:
        return
    at, line = (before.end, before.line + before.lines) if before else (0, 1)
    text = io.StringIO(sample[at:].decode("latin-1"), newline="\n")  # a sign for each byte; a line ends in LF
    taken: list[str] = []
    quote = chr(shape.quote) if shape.quote >= 0 else None
    quoting: Literal[0, 3] = csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL

    def lines() -> Iterator[str]:
        for one in text:
            taken.append(one)
            yield one

    reader = csv.reader(lines(), delimiter=chr(shape.delimiter), quotechar=quote, quoting=quoting, strict=True)
    with suppress(csv.Error):
        for cells in islice(reader, limit):
            last, count = taken[-1], len(taken)
            newline = b"\r\n" if last.endswith("\r\n") else b"\n"
            if not last.endswith("\n") or sum(one.count("\r") for one in taken) != len(newline) - 1:
                return
            end = at + sum(map(len, taken))
            yield SampleRow([one.encode("latin-1") for one in cells or [""]], at, end, line, count, newline)
            at, line = end, line + count
            taken.clear()


def _goes_on(sample: bytes, record: Record, shape: Shape, rows: Sequence[SampleRow]) -> bool:
    """Tell whether an open quote at the sample's end is a long cell: the lines inside it are no rows."""
    if record.fault is None or record.fault.code != "quote-not-closed" or not rows:
        return False
    width = Counter(len(r.cells) for r in rows).most_common(1)[0][0]
    inside = sample[record.fault.opened :].split(bytes([shape.line_end]), 21)[1:-1]
    alike = sum(line.count(shape.delimiter) == width - 1 for line in inside)
    return width > 1 and 2 * alike < max(1, len(inside))


def _sample_row(sample: bytes, record: Record, shape: Shape, line: int) -> SampleRow:
    """Make a sample row of a record; of a broken one, of its first physical line."""
    if record.fault is None:
        cells = [cell(sample, span, shape) for span in record.fields]
        breaks = sample.count(shape.line_end, record.start, record.end - len(record.newline))
        return SampleRow(cells, record.start, record.end, line, breaks + 1, record.newline)
    found = re.compile(rb"\r\n|\n|\r").search(sample, record.start)
    stop, end = (found.start(), found.end()) if found else (len(sample), len(sample))
    cells = sample[record.start : stop].split(bytes([shape.delimiter]))
    newline = found.group() if found else b""
    return SampleRow(cells, record.start, end, line, 1, newline, True, record.fault.opened)


def detect_shape(
    sample: bytes, *, whole: bool, known: Callable[[Sequence[bytes]], int]
) -> tuple[Shape, list[SampleRow]]:
    """Detect the dialect and give the sample's rows in it.

    `known(cells)` counts the header cells that a kind knows: strong evidence for a delimiter. Shape: `columns` is the
    commonest number of fields.
    """
    quote = _detect_quote(sample)
    best: tuple[float, Shape, list[SampleRow]] | None = None
    for rank, delimiter in enumerate(_USUAL + _RARE):
        if delimiter not in sample and best is not None:
            continue
        shape = Shape(delimiter, quote, b"\n", 1)
        rows = read_sample(sample, shape, whole=whole, limit=200)
        score, columns = _score([r for r in rows if not r.blank], known)
        if rank >= len(_USUAL):
            score *= 0.5
        if best is None or score > best[0] + 1e-9:
            best = score, Shape(delimiter, quote, b"\n", columns), rows
    assert best is not None
    rows = read_sample(sample, best[1], whole=whole, known=best[2])
    shape = replace(best[1], newline=_detect_newline(rows))
    if shape.newline == b"\r":
        rows = read_sample(sample, shape, whole=whole)
    return shape, rows


def _score(rows: Sequence[SampleRow], known: Callable[[Sequence[bytes]], int]) -> tuple[float, int]:
    """Score a delimiter: how many records agree on a width above one, and whether the header is among them."""
    if not rows:
        return 0.0, 1
    widths = Counter(len(r.cells) for r in rows)
    columns, share = max(widths.items(), key=lambda item: (item[1], item[0]))
    score = share / len(rows) * (columns - 1) / columns
    if len(rows[0].cells) != columns:
        score *= 0.4 if len(rows[0].cells) > 1 else 0.3
    sound = sum(not r.fault for r in rows) / len(rows)
    matched = max((known(r.cells) for r in rows[:20]), default=0)
    return score * (0.5 + 0.5 * sound) + matched, columns


def _detect_quote(sample: bytes) -> int:
    """Take the double quote, unless cells are plainly wrapped in apostrophes and no double quote wraps any."""
    edge = rb"(?:^|[,;\t|\n\r])"
    double = len(re.findall(edge + rb'"', sample))
    if double:
        return ord('"')
    single = len(re.findall(edge + rb"'[^'\r\n]*(?:''[^'\r\n]*)*'(?=[,;\t|\n\r]|$)", sample))
    lines = sample.count(b"\n") or sample.count(b"\r") or 1
    # Somebody's words in apostrophes are no quoting: that is done to the header too, or to the cells that need it. One
    # such cell among words is a row that somebody quoted otherwise than the rest; between cells of one apostrophe is no word.
    needed = re.findall(edge + rb"'([^'\r\n]*[,;\t|\r\n][^']*)'(?=[,;\t|\r\n]|$)", sample)
    purpose = sum(re.search(rb"\w", inside) is not None for inside in needed) > 1
    purpose = purpose or sample.removeprefix(b"\xef\xbb\xbf").startswith(b"'")
    return ord("'") if purpose and single >= max(2, lines // 4) else ord('"')


def _detect_newline(rows: Sequence[SampleRow]) -> bytes:
    """Take the newline that most records end in."""
    votes = Counter(r.newline for r in rows if r.newline)
    if not votes:
        return b"\n"
    newline = max(votes, key=lambda n: (votes[n], len(n)))
    # A few lines that end in CR make no CR file.
    return b"\n" if newline == b"\r" and votes[newline] < 0.8 * votes.total() else newline


def tell_dialect(encoding: Encoding, shape: Shape, *, mixed: bool = False) -> Dialect:
    """Say how the file is written; `mixed`: its lines end in several ways."""
    quote = chr(shape.quote) if shape.quote >= 0 else ""
    newline = "mixed" if mixed else shape.newline.decode()
    return Dialect(encoding.name, encoding.bom, chr(shape.delimiter), quote, newline)
