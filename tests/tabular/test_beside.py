"""What goes wrong in a thread beside the scan is told by who waits for it, and no thread outlives the reading."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from rowmill.tabular import beside, load
from rowmill.tabular.inspect import inspect_table

SOUND = "a,b\n" + "1,2\n" * 50
BROKEN = SOUND + "1\n" + "1,2\n" * 50


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "in.csv"
    path.write_text(text)
    return path


def no_memory(*told: Any, **more: Any) -> None:
    raise MemoryError


@pytest.mark.parametrize("text", [SOUND, BROKEN])
def test_the_loader_without_memory_says_nothing_against_the_file(tmp_path: Path, monkeypatch, text: str) -> None:
    monkeypatch.setattr(load, "count_rows", no_memory)
    monkeypatch.setattr(beside.BadRows, "count", no_memory)
    monkeypatch.setattr(beside.BadRows, "take", no_memory)
    with pytest.raises(MemoryError):
        inspect_table(write(tmp_path, text))


def test_half_a_hash_is_none(tmp_path: Path, monkeypatch) -> None:
    class Half:
        update = staticmethod(no_memory)
        hexdigest = hashlib.sha256().hexdigest

    monkeypatch.setattr(beside.hashlib, "sha256", Half)
    with pytest.raises(MemoryError):
        inspect_table(write(tmp_path, SOUND))


@pytest.mark.parametrize("text", [SOUND, BROKEN])
def test_a_scan_that_stops_leaves_no_thread(tmp_path: Path, text: str) -> None:
    before = set(threading.enumerate())

    def stop(reached: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        inspect_table(write(tmp_path, text), on_progress=stop)
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(20)
    assert not [thread for thread in left if thread.is_alive()]
