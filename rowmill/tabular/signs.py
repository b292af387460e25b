"""Signs for what cannot be seen in a text: white space of other kinds, controls, marks without a width, wrong bytes."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterator

from rowmill.tabular.encoding import Encoding, codec_of
from rowmill.tabular.fields import STAND_IN_BYTES

_SHORT = {
    "\u0085": "NEL",
    "\u00a0": "NBSP",
    "\u00ad": "SHY",
    "\u200b": "ZWSP",
    "\u200c": "ZWNJ",
    "\u200d": "ZWJ",
    "\u200e": "LRM",
    "\u200f": "RLM",
    "\u2028": "LS",
    "\u2029": "PS",
    "\u202a": "LRE",
    "\u202b": "RLE",
    "\u202c": "PDF",
    "\u202d": "LRO",
    "\u202e": "RLO",
    "\u202f": "NNBSP",
    "\u2060": "WJ",
    "\u3000": "IDSP",
    "\ufeff": "BOM",
}
_STAND_INS = {ours.decode(): sign.decode() for ours, sign in STAND_IN_BYTES}
# Unassigned, private, half a character, formatting, controls, separators.
_UNSEEN = frozenset({"Cn", "Co", "Cs", "Cf", "Cc", "Zl", "Zp", "Zs"})


def sign_of(character: str) -> str:
    """Give a visible sign for a character that has none, "" for one that can be seen."""
    if " " <= character <= "~":
        return ""
    code = ord(character)
    if character == "\t":
        return "⇥"
    if code < 32:
        return chr(0x2400 + code)
    if code == 127:
        return "␡"
    if character in _SHORT:
        return f"[{_SHORT[character]}]"
    if character in _STAND_INS:
        return sign_of(_STAND_INS[character])
    return f"[U+{code:04X}]" if unicodedata.category(character) in _UNSEEN else ""


def show_text(text: str) -> Iterator[tuple[str, str]]:
    """Yield the text in parts: what can be seen as it is (""), each sign that stands for something unseen ("invisible")."""
    seen: list[str] = []
    for character in text:
        sign = sign_of(character)
        if not sign:
            seen.append(character)
            continue
        if seen:
            yield "".join(seen), ""
            seen = []
        yield sign, "invisible"
    if seen:
        yield "".join(seen), ""


def show_bytes(raw: bytes, encoding: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of text in an encoding; bytes that are wrong in it as hexadecimal, [E9]."""
    codec = codecs.lookup(codec_name(encoding))
    while raw:
        try:
            yield from show_text(codec.decode(raw)[0])
            return
        except UnicodeDecodeError as error:
            yield from show_text(codec.decode(raw[: error.start])[0])
            yield from ((f"[{byte:02X}]", "invisible") for byte in raw[error.start : error.end])
            raw = raw[error.end :]


def codec_name(encoding: str) -> str:
    """Give Python's name of an encoding as a dialect names it."""
    return codec_of(Encoding(encoding))
