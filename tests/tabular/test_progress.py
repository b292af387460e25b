"""How far the reading is, and where the text lies that was read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rowmill.tabular import scan
from rowmill.tabular.child import inspect_in_child
from rowmill.tabular.inspect import open_table

TEXT = "id;name\n" + "".join(f"{n};Zoë {n}\n" for n in range(60_000))


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "TOLD_EVERY_SECONDS", 0.0)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "cp1252"])
def test_progress_grows_to_the_size_of_the_file(tmp_path: Path, codec: str) -> None:
    path, heard = tmp_path / "in.csv", []
    path.write_bytes(TEXT.encode(codec))
    with open_table(path, on_progress=heard.append) as reading:
        assert reading.inspection.verdict == "sound"
    assert len(heard) > 2
    assert heard == sorted(heard)
    assert heard[-1] == path.stat().st_size


def test_the_child_passes_progress_on(tmp_path: Path) -> None:
    path, heard = tmp_path / "in.csv", []
    path.write_text(TEXT)
    assert inspect_in_child(path, on_progress=heard.append).verdict == "sound"
    assert heard[-1] == path.stat().st_size


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "packed"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_the_text_that_was_read_is_at_hand(tmp_path: Path, codec: str, pack: object) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(pack(TEXT.encode(codec)))  # type: ignore[operator]
    with open_table(path) as reading:
        assert reading.text_path is not None
        assert reading.text_path.read_bytes() == TEXT.encode()
        assert (reading.text_path == path.resolve()) == (path.read_bytes() == TEXT.encode())
        assert reading.shape is not None
        assert (reading.shape.delimiter, reading.shape.columns) == (ord(";"), 2)
    assert path.exists()
