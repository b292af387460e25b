"""The first records of a file are read by the csv module where that reads them as the precise reader does."""

from __future__ import annotations

from random import Random

import pytest

from rowmill.tabular import dialect
from rowmill.tabular.records import Shape

ALPHABETS = (
    b'ab,"\n',
    b'a,;"\r\n',
    b"a,\n",
    b"a,'\n\r",
    b'"",,a\n\n',
    b'a,"\x00\xc3\xa9\n \t|',
    b'ab,"\nab,"\nab,"\n\r',
)


def some_text(dice: Random) -> bytes:
    signs = dice.choice(ALPHABETS)
    text = bytes(dice.choice(signs) for _ in range(dice.randrange(60)))
    return text.replace(b"\n", b"\r\n") if dice.random() < 0.3 else text


@pytest.mark.parametrize("seed", range(20))
def test_both_readers_agree(monkeypatch, seed):
    dice, plain = Random(seed), dialect._read_plain
    for _ in range(100):
        text, limit, whole = some_text(dice), dice.choice([1, 2, 3, 400]), dice.random() < 0.5
        shape = Shape(dice.choice(b",;\t|"), dice.choice([34, 39, -1]), dice.choice([b"\n", b"\r\n", b"\r"]), 1)
        quick = dialect.read_sample(text, shape, whole=whole, limit=limit)
        more = dialect.read_sample(text, shape, whole=whole, known=quick)
        monkeypatch.setattr(dialect, "_read_plain", lambda *told: ())
        assert quick == dialect.read_sample(text, shape, whole=whole, limit=limit), (text, shape)
        assert more == dialect.read_sample(text, shape, whole=whole), (text, shape)
        monkeypatch.setattr(dialect, "_read_plain", plain)


def test_most_records_are_read_quickly():
    rows = b'id,note\r\n1,"two\nlines, ""quoted"""\r\n2,\xc3\xa9\r\n3,x'
    read = list(dialect._read_plain(rows, None, Shape(44, 34, b"\n", 2), 400))
    assert [one.cells for one in read] == [[b"id", b"note"], [b"1", b'two\nlines, "quoted"'], [b"2", b"\xc3\xa9"]]
    assert [(one.line, one.lines) for one in read] == [(1, 1), (2, 2), (4, 1)]
