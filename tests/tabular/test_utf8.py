"""What the masks take for UTF-8 a decoder takes, too."""

from __future__ import annotations

import random

import pytest

from rowmill.tabular.marks import find_marks
from rowmill.tabular.records import Shape
from rowmill.tabular.utf8 import is_surely_utf8

TEXTS = ("a,b\n", "Zoë", "ÿ", "\u0800", "\u2028", "あ", "한", "ก", "\ufeff", "\uffff", "😀")
BYTES = bytes(
    (0x41, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF)
)


def decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("seed", range(20))
def test_never_takes_what_a_decoder_refuses(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(500):
        data = b"".join(
            rng.choice(TEXTS).encode() if rng.random() < 0.7 else bytes([rng.choice(BYTES)])
            for _ in range(rng.randrange(6))
        )
        assert decodes(data) or not is_surely_utf8(data)


def test_takes_every_two_bytes_that_a_decoder_takes() -> None:
    pairs = [bytes((one, other)) for one in range(256) for other in range(256)]
    assert [is_surely_utf8(pair) for pair in pairs] == [decodes(pair) for pair in pairs]


def test_takes_what_most_texts_are_made_of() -> None:
    text = "".join(chr(code) for code in [*range(0x800), *range(0x1000, 0xD000), *range(0xE000, 0xFFFE)])
    assert is_surely_utf8(text.encode())
    assert is_surely_utf8(b"")
    assert not is_surely_utf8("あ".encode()[:2])
    assert not is_surely_utf8("あ".encode()[1:])


@pytest.mark.parametrize("header", [b"id,name", b"_,#", b"a,b", b"\xc3\xa9,\xc3\xa8", b"PATIENT_ID,A.B-C D,x_y_z"])
@pytest.mark.parametrize("cut", [0, 3, 8])
def test_a_header_that_comes_again_is_found(header: bytes, cut: int) -> None:
    shape = Shape(ord(","), ord('"'), b"\n", 2)
    data = b"1,2\n" * 3 + header + b"\n3,4\n"
    found = find_marks(data[:cut], data[cut:], cut, header, shape, final=False)
    assert list(found["repeated-header"]) == [12]
    assert "repeated-header" not in find_marks(data[:cut], data[cut:], cut, header + b"z", shape, final=False)
