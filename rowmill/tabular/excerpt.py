"""A look at the lines around one place of a file, with what cannot be seen made visible and the place marked."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rowmill.tabular.signs import codec_name, show_bytes

AROUND = 3
LINE_BYTES = 1 << 16
SHOWN_CHARACTERS = 400
CUT = "…"
END = "[end of file]"
_BLOCK = 1 << 20
# Bytes that hold the characters shown in any encoding, with some to spare for finding where a character begins.
_ENOUGH, _SLACK = 3200, 1600

Part = tuple[str, str]
_CUT_PART: Part = (CUT, "invisible")


@dataclass(frozen=True, slots=True)
class ExcerptLine:
    """One physical line. `line` is its number, None where the caller gave none to count from.

    `parts` are (text, kind): kind "" for plain text, "invisible" for a sign that stands for something unseen, for a
    wrong byte or for what is left out ("…"), "place" for what the finding is about.
    """

    line: int | None
    parts: tuple[Part, ...]


@dataclass(slots=True)
class _Raw:
    """A line's bytes without its end; `cut_front` and `cut_back` tell that there is more of it."""

    start: int
    body: bytes
    ending: bytes
    cut_front: bool = False
    cut_back: bool = False

    @property
    def end(self) -> int:
        """Where the next line begins."""
        return self.start + len(self.body) + len(self.ending)


def read_excerpt(
    path: Path,
    *,
    byte: int | None = None,
    line: int | None = None,
    around: int = AROUND,
    encoding: str = "utf-8",
    near: tuple[int, int] = (1, 0),
) -> list[ExcerptLine]:
    """Read the line of a place and up to `around` lines before and after it.

    Units: `byte` 0-based in this very file, `line` physical, 1-based. With `byte` the file is sought, whatever its size;
    `line` then only numbers the lines. With `line` alone no place is marked and the file is read up to that line in flat
    memory, from `near` on: (a line above it, the byte where that begins); an empty list where it has no such line. Lines
    end at "\\n", or at "\\r" where there is no "\\n" nearby: a lone carriage return inside such a file is shown within
    its line, and lines are counted accordingly.
    Of a long line 400 characters on each side of the place are shown, and no more than 64 KB of it are read.
    A finding's byte is an offset in the original for plain and for decoded files: give the `encoding` of the dialect
    (UTF-16 is read in pairs, wrong bytes are shown as [E9]). Of a packed file it is an offset in what is packed, and of
    a workbook there is none: give the text that was read (`Reading.text_path`) in UTF-8, whose lines are those told.
    """
    if byte is None and line is None:
        raise ValueError("An excerpt needs a byte or a line.")
    with path.open("rb") as file:
        reader = _Reader(file, path.stat().st_size, encoding, near[1] if byte is None else byte)
        start = reader.find_line(line or 1, *near) if byte is None else min(max(0, byte), reader.size)
        if start is None:
            return []
        lines, own = reader.lines_around(start, around)
    varied = len({one.ending for one in lines if one.ending}) > 1
    excerpt = []
    for index, raw in enumerate(lines):
        place = start if byte is not None and index == own else None
        number = None if line is None else line - own + index
        excerpt.append(ExcerptLine(number, tuple(_render(raw, place, encoding, varied))))
    return excerpt


class _Reader:
    """Finds lines in an open file, in either direction, without ever holding more than one of them whole."""

    def __init__(self, file: BinaryIO, size: int, encoding: str, near: int) -> None:
        self.file, self.size = file, size
        self.encoding, self.codec = encoding, codec_name(encoding)
        self.width = len("\n".encode(self.codec))
        file.seek(self._align(max(0, near - LINE_BYTES)))
        nearby = file.read(2 * LINE_BYTES)
        lf, cr = "\n".encode(self.codec), "\r".encode(self.codec)
        self.cr = cr
        self.newline = cr if self._find(nearby, lf) < 0 <= self._find(nearby, cr) else lf

    def _align(self, at: int) -> int:
        """Give the offset where the character unit at an offset begins."""
        return at - at % self.width

    def _find(self, data: bytes, sign: bytes, start: int = 0) -> int:
        """Find a sign where a unit may begin; -1 where it is not."""
        at = data.find(sign, start)
        while at >= 0 and at % self.width:
            at = data.find(sign, at + 1)
        return at

    def _rfind(self, data: bytes, sign: bytes) -> int:
        """Find the last one."""
        at = data.rfind(sign)
        while at >= 0 and at % self.width:
            at = data.rfind(sign, 0, at + len(sign) - 1)
        return at

    def find_line(self, line: int, known: int = 1, at: int = 0) -> int | None:
        """Give where a line begins, None where there is none. Cost: reads from the byte `at`, where line `known` begins."""
        if known > line or at > self.size:
            known, at = 1, 0
        self.file.seek(at)
        before, here = line - known, at
        while before and (block := self.file.read(_BLOCK)):
            if self.width == 1 and (count := block.count(self.newline)) < before:
                before, here = before - count, here + len(block)
                continue
            inside = 0
            while before and (found := self._find(block, self.newline, inside)) >= 0:
                before, inside = before - 1, found + self.width
            here += len(block) if before else inside
        return None if before or (here >= self.size and line > 1) else here

    def lines_around(self, at: int, around: int) -> tuple[list[_Raw], int]:
        """Give the line that a byte is part of with those around it, and its place among them."""
        lines = [self._line_at(at)]
        while len(lines) <= around and lines[0].start > 0 and not lines[0].cut_front:
            lines.insert(0, self._line_at(lines[0].start - self.width))
        own = len(lines) - 1
        while len(lines) < own + 1 + around and not lines[-1].cut_back and lines[-1].end < self.size:
            lines.append(self._line_from(lines[-1].end))
        return lines, own

    def _line_at(self, at: int) -> _Raw:
        """Give the line that a byte is part of."""
        at = self._align(at)
        floor = self._align(max(0, at - LINE_BYTES))
        self.file.seek(floor)
        found = self._rfind(self.file.read(at - floor), self.newline)
        start = floor + found + self.width if found >= 0 else floor
        raw = self._line_from(start, at)
        raw.cut_front = found < 0 and floor > 0
        return raw

    def _line_from(self, start: int, past: int | None = None) -> _Raw:
        """Give the line that begins at an offset, as far as 64 KB beyond it or beyond a place in it."""
        self.file.seek(start)
        data = self.file.read(LINE_BYTES + ((past or start) - start))
        found = self._find(data, self.newline)
        if found < 0:
            return _Raw(start, data, b"", cut_back=start + len(data) < self.size)
        body, ending = data[:found], self.newline
        if self.newline != self.cr and body.endswith(self.cr):
            body, ending = body[: -self.width], self.cr + ending
        return _Raw(start, body, ending)


def _render(raw: _Raw, byte: int | None, encoding: str, varied: bool) -> Iterator[Part]:
    """Give the parts of a line; its end is shown where the lines here do not all end alike, or where the place is."""
    if byte is None:
        yield from _head(raw.body, encoding, raw.cut_front, raw.cut_back)
    elif byte - raw.start >= len(raw.body):
        yield from _tail(raw.body, encoding, raw.cut_front)
        yield "".join(text for text, _ in show_bytes(raw.ending, encoding)) or END, "place"
        return
    else:
        begin, end = _character(raw.body, byte - raw.start, codec_name(encoding))
        yield from _tail(raw.body[:begin], encoding, raw.cut_front)
        yield "".join(text for text, _ in show_bytes(raw.body[begin:end], encoding)), "place"
        yield from _head(raw.body[end:], encoding, False, raw.cut_back)
    if varied:
        yield from show_bytes(raw.ending, encoding)


def _character(body: bytes, at: int, codec: str) -> tuple[int, int]:
    """Give the bytes of the character that a byte is part of; of a wrong byte, itself."""
    unit = len("\n".encode(codec))
    at -= at % unit
    decoder = codecs.getincrementaldecoder(codec)("replace")
    decoder.decode(body[max(0, at - _ENOUGH) : at])
    pending = len(decoder.getstate()[0])
    for begin in (at - pending, at):
        for end in range(at + unit, min(at + 5, len(body) + 1)):
            try:
                if len(codecs.decode(body[begin:end], codec)) == 1:
                    return begin, end
            except UnicodeDecodeError:
                continue
    return at, min(at + unit, len(body))


def _head(body: bytes, encoding: str, cut_front: bool, cut_back: bool) -> list[Part]:
    """Give the first characters."""
    parts = _take(show_bytes(body[:_ENOUGH], encoding), backwards=False)
    cut_back = cut_back or len(body) > _ENOUGH or parts.cut
    return [_CUT_PART] * cut_front + parts.kept + [_CUT_PART] * cut_back


def _tail(body: bytes, encoding: str, cut_front: bool) -> list[Part]:
    """Give the last characters."""
    shorter = body[-_ENOUGH:]
    if len(body) > _ENOUGH and len("\n".encode(codec_name(encoding))) == 1:
        # A byte below 0x40 is a character of its own in every encoding: from there on none is cut in two.
        shorter = shorter[next((i for i, byte in enumerate(shorter[:_SLACK]) if byte < 0x40), 0) :]
    parts = _take(reversed([*show_bytes(shorter, encoding)]), backwards=True)
    return [_CUT_PART] * (cut_front or len(body) > len(shorter) or parts.cut) + parts.kept[::-1]


class _Taken(NamedTuple):
    """The parts that are shown, and whether more were there."""

    kept: list[Part]
    cut: bool


def _take(parts: Iterator[Part], *, backwards: bool) -> _Taken:
    """Take as many characters as are shown."""
    kept: list[Part] = []
    left = SHOWN_CHARACTERS
    for text, kind in parts:
        if len(text) > left:
            if not kind and left:
                kept.append((text[-left:] if backwards else text[:left], kind))
            return _Taken(kept, True)
        kept.append((text, kind))
        left -= len(text)
    return _Taken(kept, False)
