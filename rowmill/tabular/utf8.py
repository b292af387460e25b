"""Finds the bytes that are no UTF-8, as a strict decoder does that goes on one byte behind each."""

from __future__ import annotations

import codecs

import numpy as np
import numpy.typing as npt

from rowmill.tabular.structure import find_places

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
# By a character's first byte: how many bytes it has (0: none begins so), and between what its second byte lies.
_SIZES, _LOWEST, _HIGHEST = np.zeros(256, np.int8), np.full(256, 0x80, np.uint8), np.full(256, 0xBF, np.uint8)
_SIZES[0xC2:0xE0], _SIZES[0xE0:0xF0], _SIZES[0xF0:0xF5] = 2, 3, 4
_LOWEST[0xE0], _HIGHEST[0xED], _LOWEST[0xF0], _HIGHEST[0xF4] = 0xA0, 0x9F, 0x90, 0x8F


def cut_character(data: bytes) -> bytes:
    """Give the beginning of a character that the data's end may have cut, else nothing."""
    for size in (1, 2, 3):
        tail = data[-size:]
        if len(tail) == size and tail[0] >= 0xC2:
            try:
                return tail if codecs.utf_8_decode(tail, "strict", False)[1] == 0 else b""
            except UnicodeDecodeError:
                return b""
    return b""


def is_surely_utf8(data: bytes) -> bool:
    """Tell whether whole characters of UTF-8 are all there is; where it says no, they may be all the same.

    Every byte that continues a character must stand where one is due, and nowhere else. What the second byte of a
    character decides, and characters of four bytes, are left to a decoder. Cost: a third of a decoder's where signs beyond
    ASCII are strewn over the text.
    """
    a = np.frombuffer(data, np.uint8)
    top = int(a.max(initial=0))
    if top < 0x80:
        return True
    if top >= 0xF0 or 0xC0 in data or 0xC1 in data or 0xE0 in data or 0xED in data:
        return False
    continues = (a.view(np.int8) < -64).view(np.uint8)
    due = (a >= 0xC0).view(np.uint8)
    if a[-1] >= 0xC0 or continues[0]:
        return False
    wrong = continues[1:] ^ due[:-1]
    if top >= 0xE0:
        third = (a >= 0xE0).view(np.uint8)
        if third[-2:].any():
            return False
        wrong[1:] ^= third[:-2]
    return not wrong.max(initial=0)


def find_bad_bytes(data: bytes) -> Ints:
    """Give the places of all bytes that belong to no valid character. Cost: by the bytes beyond ASCII."""
    a = np.frombuffer(data, np.uint8)
    at = find_places(a >= 0x80)
    padded = np.concatenate((a, np.zeros(4, np.uint8)))
    first, second = padded[at], padded[at + 1]
    size = _SIZES[first]
    # Overlong forms, surrogates and what lies beyond U+10FFFF are told by the second byte.
    valid = (size >= 2) & (second >= _LOWEST[first]) & (second <= _HIGHEST[first])
    for place in (2, 3):
        longer = np.flatnonzero(valid & (size > place))
        if len(longer):
            valid[longer] = (padded[at[longer] + place] & 0xC0) == 0x80
    # The bytes of one character are neighbours among those beyond ASCII, too.
    bad = np.ones(len(at) + 4, np.bool_)
    whole = np.flatnonzero(valid)
    for place in range(4):
        bad[whole[size[whole] > place] + place] = False
    return at[bad[: len(at)]]
