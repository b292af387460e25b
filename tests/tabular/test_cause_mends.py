"""How many broken records a mend clears is counted, not guessed: against trying it on every single one of them."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from rowmill.tabular import cause_mends
from rowmill.tabular.inspect import inspect_table, open_table
from rowmill.tabular.mend_records import mend_break
from rowmill.tabular.mend_text import lay_out, open_text
from rowmill.tabular.mends import apply_mends
from rowmill.tabular.outlines import MOST_BYTES, Outliner
from rowmill.tabular.records import Shape

NAMES = ("Ann", "Zoë", "Mary Ann", "O'Hara", "Łukasz", "Smith-Jones")


def row(number: int, rng: Random) -> bytes:
    cells = (str(number), rng.choice(NAMES), f"2020-01-{number % 28 + 1:02}", f"{rng.randrange(10**6) / 100:.2f}")
    return ",".join(cells).encode()


BREAKS = (
    lambda text, rng: text + b"," * rng.randrange(1, 4),
    lambda text, rng: text + b",surplus",
    lambda text, rng: text.replace(b",", b",Oak, ", 1),
    lambda text, rng: text.rpartition(b",")[0] + b",%d,%03d.50" % (rng.randrange(1, 9999), rng.randrange(1000)),
    lambda text, rng: text.replace(b",", b',"', 1),
    lambda text, rng: text.replace(b",", b',"a "b" c', 1),
    lambda text, rng: text.replace(b",", b',"said "x" to",', 1),
    lambda text, rng: text.replace(b",", b";"),
    lambda text, rng: text.replace(b",", b"\t"),
    lambda text, rng: text.replace(b",", b',\xe2\x80\x9cOak, Al\xe2\x80\x9d"', 1),
    lambda text, rng: text.replace(b",", b", \xe2\x80\x9cOak\xe2\x80\x9d,", 1),
    lambda text, rng: text.replace(b",", b",\xeb\xe4", 1),
    lambda text, rng: text.replace(b",", b",\x81", 1),
    lambda text, rng: text.replace(b",", b",\x1a", 1),
    lambda text, rng: text.rpartition(b",")[0],
    lambda text, rng: b"",
    lambda text, rng: text.replace(b",", b',x"y', 1),
)


def write(path: Path, seed: int, rows: int = 3000, kinds: int = 4) -> None:
    rng = Random(seed)
    chosen = rng.sample(BREAKS, kinds)
    lines = [b"id,name,visited,amount", *(row(n, rng) for n in range(300))]
    for number in range(rows):
        text = row(number, rng)
        lines.append(rng.choice(chosen)(text, rng) if rng.random() < 0.5 else text)
    path.write_bytes(b"\n".join(lines) + b"\n")


@pytest.mark.parametrize("seed", range(8))
def test_what_a_mend_clears_is_what_trying_it_everywhere_clears(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "in.csv"
    write(path, seed)
    with open_table(path) as reading:
        layout = lay_out(reading)
        assert layout is not None
        with open_text(layout) as file:
            for code, indices in layout.groups.items():
                finder = cause_mends.MendFinder(layout, file)
                parts = finder.sort(code, [code])
                brute: Counter[str] = Counter()
                for index in indices.tolist():
                    one = layout.breaks[index]
                    raw, below = layout.read(file, one), layout.broken_after(index, one)
                    slugs = [s.slug for s in mend_break(one.code, raw, layout.table, row=one.row, broken_after=below)]
                    own = {"quote-in-unquoted": "quote-cells"}.get(code, code)
                    brute[own if own in slugs else slugs[0] if slugs else ""] += 1
                told: Counter[str] = Counter()
                for part in parts:
                    told[part.answer.mend] += part.count
                    assert not part.about
                if set(told) != {""}:
                    assert told == brute, code
                else:
                    assert max(brute, key=lambda slug: brute[slug]) == ""


def test_what_is_only_sampled_says_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.csv"
    rng = Random(1)
    breaks = (BREAKS[0], BREAKS[1], BREAKS[1])
    rows = [row(n, rng) for n in range(400)] + [breaks[n % 3](row(n, rng), rng) for n in range(3000)]
    path.write_bytes(b"\n".join([b"id,name,visited,amount", *rows]) + b"\n")
    exact = inspect_table(path)
    assert [(c.mend, c.count, c.about) for c in exact.causes] == [
        ("", 2000, False),
        ("trailing-delimiter", 1000, False),
    ]
    monkeypatch.setattr(cause_mends, "_LEAST_BYTES", 0)
    found = inspect_table(path)
    assert sum(c.count for c in found.causes) == 3000
    assert all(c.about and c.message.startswith("About ") for c in found.causes)
    assert found.causes[1].count == pytest.approx(1000, abs=100)


def test_where_the_sample_is_of_one_kind_the_places_are_exact_and_the_clearing_is_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.csv"
    rng = Random(1)
    rows = [row(n, rng) for n in range(400)] + [row(n, rng) + b"," for n in range(3000)]
    path.write_bytes(b"\n".join([b"id,name,visited,amount", *rows]) + b"\n")
    (exact,) = inspect_table(path).causes
    assert (exact.count, exact.clears, exact.about) == (3000, 3000, False)
    monkeypatch.setattr(cause_mends, "_LEAST_BYTES", 0)
    (cause,) = inspect_table(path).causes
    assert (cause.count, cause.clears, cause.about) == (3000, 3000, True)
    assert cause.message.startswith("3,000 rows have too many fields")


def test_applying_the_mends_clears_as_many_as_was_said(tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    write(path, 20, kinds=6)
    causes = inspect_table(path).causes
    said = Counter[str]()
    for cause in causes:
        if cause.mend:
            said[cause.mend] += cause.clears
    assert said
    done = apply_mends(path, out, list(said)).applied
    assert {slug: done[slug] for slug in said} == dict(said)


def outline(text: bytes, *, each_byte: bool = False, digits: int = 1) -> bytes:
    outliner = Outliner(Shape(ord(","), ord('"'), b"\n", 4), each_byte=each_byte, digits=digits)
    return outliner.outline(io.BytesIO(text), np.array([0]), np.array([len(text)]))[0]


def test_outlines_tell_signs_apart_and_letters_not() -> None:
    assert outline(b"12,Ann  Oak,\xc3\xab\n") == outline(b"3,Bob Elm,x\n")
    assert outline(b"12,3\n", digits=4) != outline(b"1234,3\n", digits=4)
    assert outline(b"12345,3\n", digits=4) == outline(b"1234,3\n", digits=4)
    assert outline(b"a,\xe2\x80\x9cx\n") != outline(b"a,\xc3\xabx\n")
    assert outline(b"a,\xeb\n", each_byte=True) != outline(b"a,\xec\n", each_byte=True)
    assert outline(b"x" * (MOST_BYTES + 1)) == b"0"
