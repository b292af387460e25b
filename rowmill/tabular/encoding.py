"""Second look at a file: in which encoding it is written, and a UTF-8 copy of it where that is another than UTF-8."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rowmill.tabular.utf8 import cut_character, find_bad_bytes

Ints = npt.NDArray[np.int64]
_BLOCK = 1 << 18
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UTF8_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
# UTF-8 that no text in Windows-1252 holds: a capital with an accent and a mark inside a word, a with circumflex and a euro.
_SURELY_UTF8 = re.compile(rb"(?<=[a-z])[\xc3-\xc5][\x80-\xbf]|\xe2\x80[\x90-\xa6]|\xe2\x82\xac")
# Bytes without a letter in Windows-1252; and 0xFF, a letter that hardly any word has.
_NEVER_1252 = frozenset((0x81, 0x8D, 0x8F, 0x90, 0x9D, 0xFF))
_HIGH = re.compile(rb"[\x80-\xff]")
# What Shift-JIS makes of bytes. A single sign that clings to a Latin letter speaks against it, so does one that is nobody's
# (a curly apostrophe, a with tilde and n with tilde in Windows-1252 come out so); other kana and kanji speak for it,
# half-width ones in runs.
_SIGN = "\u3005\u3040-\u30ff\u4e00-\u9fff"
_JAPANESE = re.compile(
    rf"(?P<against>(?<=[A-Za-z])[{_SIGN}](?![{_SIGN}])|(?<![{_SIGN}])[{_SIGN}](?=[A-Za-z])|[\ue000-\uf8ff])"
    rf"|[{_SIGN}]+|[\uff61-\uff9f]{{3,}}"
)
_LETTERS_1252 = frozenset(range(0xC0, 0x100)) - {0xD7, 0xF7} | {0x8A, 0x8C, 0x8E, 0x9A, 0x9C, 0x9E, 0x9F, 0xAA, 0xBA}
_MARKS_1252 = frozenset(
    (0x80, 0x82, 0x84, 0x85, 0x8B, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x99, 0x9B)
) | frozenset(range(0xA0, 0xC0))
# Signs that open something or stand alone: right after a letter with an accent they are the rest of a cut UTF-8 sequence.
_OPENING_1252 = frozenset((0x80, 0x82, 0x84, 0x8B, 0x91, 0x93))
# Fewer signs of Japanese than these prove little; no more kinds of half-width ones than these may be Windows-1252.
_FEW_SIGNS, _FEW_KINDS = 6, 16
# So many signs tell whether a text is Japanese; the rest of a file need not be asked.
_ENOUGH_SIGNS = 100_000


def _table(members: Iterable[int]) -> npt.NDArray[np.bool_]:
    """Make a table of 256 that says which bytes are members."""
    table = np.zeros(256, np.bool_)
    table[sorted(members)] = True
    return table


_IS_NEVER, _IS_MARK, _IS_OPENING = _table(_NEVER_1252), _table(_MARKS_1252), _table(_OPENING_1252)
_IS_LETTER = _table(_LETTERS_1252 - _MARKS_1252)
_IS_CAPITAL = _table({b for b in _LETTERS_1252 if b < 0xDF} - {0x9A, 0x9C, 0x9E})
_IS_SMALL, _IS_DIGIT = _table(range(0x61, 0x7B)), _table(range(0x30, 0x3A))


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the bytes are to be read. `skip` bytes of BOM come first.

    `guessed_at`: (line, byte) of the first bytes beyond ASCII, where there are so few that they prove little.
    """

    name: str
    bom: bool = False
    skip: int = 0
    guessed_at: tuple[int, int] | None = None


def detect_encoding(head: bytes) -> Encoding:
    """Name the encoding as far as the first bytes tell: a BOM, or the NULs of UTF-16; else UTF-8 until proven wrong."""
    for bom, name in _BOMS:
        if head.startswith(bom):
            return Encoding(name, True, len(bom))
    sample = head[: 1 << 14]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > 1 and even < odd * 0.1 and _is_of_pairs(sample[0::2], sample[1::2]):
        return Encoding("utf-16-le")
    if even > 1 and odd < even * 0.1 and _is_of_pairs(sample[1::2], sample[0::2]):
        return Encoding("utf-16-be")
    return Encoding("utf-8")


def _is_of_pairs(low: bytes, high: bytes) -> bool:
    """Tell whether bytes are pairs of UTF-16: half of them NUL, or every line end beside one, whatever the letters are."""
    if high.count(0) > len(high) * 0.5:
        return True
    ends = [high[i : i + 1] == b"\x00" for i, byte in enumerate(low) if byte in b"\r\n"]
    return len(ends) > 1 and sum(ends) > 0.9 * len(ends)


def judge_encoding(blocks: Iterable[bytes]) -> tuple[Encoding | None, bool]:
    """Name the one-byte or Japanese encoding of bytes that are not UTF-8; None where they are UTF-8 with damage.

    The second word says whether two encodings are mixed: UTF-8 on some lines, other bytes on several.
    """
    tally, held = _Tally(), b""
    for block in blocks:
        whole = held + block
        held = cut_character(whole)  # a character that the block's end cuts is no stray
        tally.add(whole[: len(whole) - len(held)])
    tally.add(held)
    return tally.verdict(), tally.sequences > 0 and len(tally.lines) > 1


def has_utf8(data: bytes) -> bool:
    """Tell whether bytes hold a sign beyond ASCII that is UTF-8."""
    return _UTF8_SEQUENCE.search(data) is not None


def _is_rare_sign(sign: str) -> bool:
    """Tell whether a sign is a rare kanji: its first byte is what Windows-1252 has for a small letter with an accent."""
    return len(sign.encode("cp932", "replace")) == 2 and sign.encode("cp932", "replace")[0] >= 0xE0


def _line_end(block: bytes) -> bytes:
    """Give the byte that ends most lines of a block: one stray line feed does not make a file of carriage returns one line."""
    return b"\r" if block.count(b"\r") > block.count(b"\n") else b"\n"


class _Tally:
    """Counts the evidence for each encoding over a whole file."""

    def __init__(self) -> None:
        self.sequences = 0
        self.strays = 0
        self.foreign = False
        self.plausible = 0
        self.undefined = 0
        self.lines: set[int] = set()
        self.first: tuple[int, int] | None = None
        self._line = 0
        self._offset = 0
        self._japanese: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("cp932")("rowmill-unreadable")
        self._not_japanese = 0
        self._kana = 0
        self._full_width = 0
        self._against = 0
        self._before = b"\n"
        self._high: set[int] = set()

    def add(self, block: bytes) -> None:
        """Weigh one more block."""
        if not block.isascii():
            bytes_ = np.frombuffer(block, np.uint8)
            if len(self._high) <= _FEW_KINDS:
                self._high |= set(np.unique(bytes_[bytes_ > 0x7F]).tolist())
            strays = find_bad_bytes(block)
            whole = int(np.count_nonzero(bytes_ >= 0xC2)) - int(np.count_nonzero(bytes_[strays] >= 0xC2))
            self.sequences += whole
            self.foreign = self.foreign or (whole > 0 and _SURELY_UTF8.search(block) is not None)
            if len(strays):
                self._place(block, strays)
                self._weigh(bytes_, strays)
        if len(self.lines) < 3:
            self._line += block.count(_line_end(block))
        self._try_japanese(block)
        self._before = block[-1:]
        self._offset += len(block)

    def _place(self, block: bytes, strays: Ints) -> None:
        """Remember the first stray byte, and on which lines strays are: three of them are enough."""
        if len(self.lines) >= 3:
            return
        end = _line_end(block)
        for at in strays[:3].tolist():
            if len(self.lines) < 3:
                line = self._line + block.count(end, 0, at) + 1
                self.lines.add(line)
                self.first = self.first or (line, self._offset + at)
        if len(self.lines) < 3 and len(strays) > 3:
            self.lines.add(self._line + block.count(end, 0, int(strays[-1])) + 1)

    def _weigh(self, block: npt.NDArray[np.uint8], at: Ints) -> None:
        """Ask of each stray byte whether it makes a plausible Windows-1252 letter where it stands."""
        self.strays += len(at)
        stray = block[at]
        never = _IS_NEVER[stray]
        self.undefined += int(np.count_nonzero(never))
        before = block[at - 1]
        before[at == 0] = self._before[0] if self._before else 10
        after = np.where(at + 1 < len(block), block[np.minimum(at + 1, len(block) - 1)], 10)
        marks = _IS_MARK[stray] & ~(_IS_OPENING[stray] & (before > 0xC2))
        # A capital after a small letter, or a letter among digits, is no word of any language.
        among = (_IS_SMALL[before] & _IS_CAPITAL[stray]) | _IS_DIGIT[before] | _IS_DIGIT[after]
        letters = _IS_LETTER[stray] & ~among
        self.plausible += int(np.count_nonzero(marks & ~never)) + int(np.count_nonzero(letters & ~never))

    def _try_japanese(self, block: bytes) -> None:
        """Decode as Shift-JIS for as long as that goes well."""
        if self._japanese is None:
            return
        text = self._japanese.decode(block)
        self._not_japanese += text.count(_UNREADABLE)
        if self._not_japanese > max(3, self._kana // 10):
            self._japanese = None
            return
        if not block.isascii() and self._kana + self._against < _ENOUGH_SIGNS:
            for match in _JAPANESE.finditer(text):
                signs = match.group()
                common = 0 if match.lastgroup == "against" else len(signs) - sum(map(_is_rare_sign, signs))
                self._kana += common
                self._full_width += common * (signs[0] < "\uff61")
                self._against += len(signs) - common

    def verdict(self) -> Encoding | None:
        """Weigh the evidence. A file with valid UTF-8 beyond ASCII in it is UTF-8, damaged."""
        japanese = self._japanese is not None and self._kana >= 2 and self._kana * 3 >= self.strays
        japanese = japanese and self._against * 2 <= self._kana
        japanese = japanese and self._not_japanese * 10 <= self._kana
        # A half-width sign is one byte: three of them are soon made of two damaged letters with accents.
        by_chance = self.sequences * 4 < self.strays or (self.sequences * 2 <= self._full_width and not self.foreign)
        # Of half-width kana every sixth pair is UTF-8 by chance; of nothing else nearly all stands in runs of three.
        half_width = not self._full_width and len(self._high) > _FEW_KINDS and not self.foreign
        by_chance = by_chance or (half_width and self._kana >= 0.9 * (self.strays + 2 * self.sequences))
        if self.strays and japanese and by_chance and not self._are_few_kinds:
            few = self._kana < _FEW_SIGNS or len(self.lines) == 1
            few = few or (not self._full_width and len(self._high) <= _FEW_KINDS)
            return Encoding("shift_jis", guessed_at=self.first if few else None)
        if self.sequences > 0 and (self.sequences * 20 >= self.strays or self.foreign):
            return None
        known = self.strays - self.undefined
        if not known or known < 4 * self.undefined or self.plausible < 0.9 * known:
            return None
        few = japanese or len(self.lines) == 1
        return Encoding("windows-1252", guessed_at=self.first if few else None)

    @property
    def _are_few_kinds(self) -> bool:
        """Tell whether few kinds of bytes speak for Japanese: plus-minus and superscripts, or capitals with accents.

        In Windows-1252 those stand together as half-width kana do; but whoever writes kana soon uses a dozen of them.
        """
        if self._full_width or self.plausible < 0.9 * self.strays:
            return False
        return len(self._high) <= _FEW_KINDS // 2 or (len(self._high) <= _FEW_KINDS and self._high <= _MARKS_1252)


_CODECS = {"windows-1252": "cp1252", "shift_jis": "cp932"}
LABELS = {"windows-1252": "Windows-1252", "shift_jis": "Shift-JIS"}


def codec_of(encoding: Encoding) -> str:
    """Give Python's name of the codec."""
    return _CODECS.get(encoding.name, encoding.name)


# What Python makes of single bytes that stand for nothing in Shift-JIS.
_NOT_JAPANESE = re.compile("[\x80\xa0\uf8f0-\uf8f3]")
# What a transfer in ASCII mode makes of UTF-16: a byte 0D before the byte 0A of each line's end. Neither is a letter.
_TORN = {"utf-16-le": "\u0a0d", "utf-16-be": "\u0a00"}
# A code point that no text holds stands for what could not be decoded, until its place is known.
_UNREADABLE = "\U0010fffe"
MOST_BAD_PLACES = 100_000


def _mark_unreadable(error: UnicodeError) -> tuple[str, int]:
    """Put the sign for what cannot be decoded, and go on after it."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _UNREADABLE, error.end


codecs.register_error("rowmill-unreadable", _mark_unreadable)


def transcode(source: Path, target: Path, encoding: Encoding) -> list[int]:
    """Write the file anew in UTF-8, without a BOM. Gives the places in the copy of what could not be read.

    There stands U+FFFD. No more than `MOST_BAD_PLACES` are told. Cost: one pass, flat memory.
    """
    decoder = codecs.getincrementaldecoder(codec_of(encoding))("rowmill-unreadable")
    bad: list[int] = []
    written = 0
    with source.open("rb") as src, target.open("wb") as out:
        src.seek(encoding.skip)
        while True:
            block = src.read(_BLOCK)
            text = decoder.decode(block, final=not block)
            if encoding.name == "shift_jis":
                text = _NOT_JAPANESE.sub(_UNREADABLE, text)
            if encoding.name in _TORN:
                text = text.replace(_TORN[encoding.name], _UNREADABLE)
            pieces = [piece.encode("utf-8", "surrogatepass") for piece in text.split(_UNREADABLE)]
            at = written
            for piece in pieces[: MOST_BAD_PLACES - len(bad) + 1][:-1]:
                at += len(piece)
                bad.append(at)
                at += 3
            written += out.write("\ufffd".encode().join(pieces))
            if not block:
                return bad


class Offsets:
    """Turns byte offsets of the UTF-8 copy into offsets of the original. Ask in rising order: one pass in all."""

    def __init__(self, copy: Path, encoding: Encoding) -> None:
        self._codec = codec_of(encoding)
        self._skip = encoding.skip
        self._copy = copy

    def original(self, offsets: Iterable[int]) -> dict[int, int]:
        """Give the offset in the original for each offset in the copy."""
        answer: dict[int, int] = {}
        here, there = 0, self._skip
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with self._copy.open("rb") as file:
            for wanted in sorted(set(offsets)):
                for block in _read_exactly(file.read, wanted - here):
                    there += len(decoder.decode(block).encode(self._codec, "replace"))
                here = wanted
                answer[wanted] = there
        return answer


def _read_exactly(read: object, count: int) -> Iterator[bytes]:
    """Yield `count` bytes in blocks, fewer where the file ends."""
    while count > 0:
        block: bytes = read(min(count, _BLOCK))  # type: ignore[operator]
        if not block:
            return
        count -= len(block)
        yield block
