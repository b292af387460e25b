"""The outline of a broken record: records of one outline are mended alike, so that one of each has to be tried."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from rowmill.tabular.records import Shape

Ints = npt.NDArray[np.int64]
MOST_BYTES = 8_000  # a longer record is no row by slip: it gets an outline of its own
_SPAN = 1 << 19
_LETTERS = (*range(65, 91), *range(97, 123), *range(0x80, 0x100))
# Bytes of UTF-8's typographic quotes (E2 80 9C and the like) are told one by one.
_TELLING = (0xE2, 0x80, 0x81, *range(0x98, 0xA0))


class Outliner:
    """Gives outlines: a run of letters as one letter, of blanks as one, of digits as one digit, all else as it is.

    `each_byte`: those above 0x7F count as themselves, for mends that look at the encoding. `digits`: up to so many of a
    run are told, for mends that look at a number's thousands.
    """

    def __init__(self, shape: Shape, *, each_byte: bool = False, digits: int = 1) -> None:
        self._digits = digits
        self._signs = bytearray(range(256))
        kept = {shape.delimiter, shape.quote, *_TELLING}
        self._runs = [sign for sign in b"a9 " if sign not in kept]
        for sign, codes in ((97, _LETTERS), (57, range(48, 58))):
            for code in codes if sign in self._runs else ():
                if code not in kept and not (each_byte and code >= 0x80):
                    self._signs[code] = sign

    def outline(self, file: BinaryIO, starts: Ints, ends: Ints) -> list[bytes]:
        """Give the outline of each record, which are in the order of the file. Cost: reads the stretch they lie in."""
        outlines: list[bytes] = []
        while (first := len(outlines)) < len(starts):
            last = max(first + 1, int(np.searchsorted(starts, starts[first] + _SPAN)))
            outlines += self._outline_some(file, starts[first:last], ends[first:last])
        return outlines

    def _outline_some(self, file: BinaryIO, starts: Ints, ends: Ints) -> list[bytes]:
        """Give the outlines of records that lie near each other."""
        begin, lengths = int(starts[0]), np.minimum(ends - starts, MOST_BYTES)
        file.seek(begin)
        data = file.read(int(starts[-1] + lengths[-1]) - begin)
        from_to = zip((starts - begin).tolist(), (starts - begin + lengths).tolist(), strict=True)
        # A sign of its own before each: no run goes on from one record into the next.
        text = np.frombuffer(b"\n".join(data[a:b] for a, b in from_to).translate(self._signs), np.uint8)
        first = np.cumsum(lengths + 1) - lengths - 1
        kept = self._keep(text)
        before = np.append(np.add.reduceat(kept, first, dtype=np.int64).cumsum(), 0)
        signs = text[kept].tobytes()
        outlines = [
            signs[a:b] for a, b in zip(before[-1:].tolist() + before[:-2].tolist(), before.tolist(), strict=False)
        ]
        for index in np.flatnonzero(ends - starts > MOST_BYTES).tolist():
            outlines[index] = b"%d" % starts[index]
        return outlines

    def _keep(self, text: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Tell which signs an outline keeps: not those that go on with a run."""
        is_run = np.zeros(len(text), np.bool_)
        for sign in self._runs:
            is_run |= text == sign
        again = np.zeros(len(text), np.bool_)
        again[1:] = (text[1:] == text[:-1]) & is_run[1:]
        if self._digits == 1:
            return np.logical_not(again)
        digits = text == 57
        behind = again & digits
        for _ in range(self._digits - 1):
            behind[1:] &= behind[:-1].copy()
            behind[:1] = False
        kept: npt.NDArray[np.bool_] = ~again | (digits & ~behind)
        return kept
