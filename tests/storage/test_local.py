"""Bytes in a local folder: whole or not at all, never outside it, never over the threshold."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from rowmill.contracts import Storage
from rowmill.errors import OutOfSpace
from rowmill.storage import LocalStorage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage")


def incoming(storage: LocalStorage) -> list[Path]:
    return list((storage.root / ".incoming").glob("*"))


def test_it_keeps_the_contract(storage: LocalStorage):
    assert isinstance(storage, Storage)


def test_what_is_written_is_read_again(storage: LocalStorage):
    assert storage.write("org/1/a", [b"one ", b"two"]) == 7
    assert storage.write("org/1/b", io.BytesIO(b"x" * 3_000_000)) == 3_000_000
    with storage.open("org/1/a") as file:
        assert file.read() == b"one two"
    assert storage.local_path("org/1/a").read_bytes() == b"one two"
    assert (storage.size("org/1/b"), storage.size("org/1/none")) == (3_000_000, None)
    assert list(storage.keys()) == ["org/1/a", "org/1/b"]
    assert incoming(storage) == []


def test_a_key_once_written_never_changes(storage: LocalStorage):
    storage.write("a", [b"first"])
    with pytest.raises(FileExistsError):
        storage.write("a", [b"second"])
    assert storage.local_path("a").read_bytes() == b"first"


def test_a_source_that_breaks_leaves_nothing(storage: LocalStorage):
    def breaks():
        yield b"some"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        storage.write("a", breaks())
    assert storage.size("a") is None
    assert incoming(storage) == []


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../outside", "org/../../outside", "a/./../../b"])
def test_no_key_leaves_the_folder(storage: LocalStorage, key: str):
    with pytest.raises(ValueError, match="not a storage key"):
        storage.write(key, [b"x"])
    assert list(storage.keys()) == []


def test_put_file_moves_and_replaces(storage: LocalStorage, tmp_path: Path):
    for text in (b"first", b"second"):
        source = tmp_path / "made"
        source.write_bytes(text)
        assert storage.put_file("org/1/table", source) == len(text)
        assert not source.exists()
    assert storage.local_path("org/1/table").read_bytes() == b"second"


def test_put_file_from_another_file_system_copies(
    storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = tmp_path / "made"
    source.write_bytes(b"bytes")
    rename = Path.replace

    def only_inside(self: Path, target: Path) -> Path:
        if self == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", only_inside)
    storage.put_file("a", source)
    assert storage.local_path("a").read_bytes() == b"bytes"
    assert not source.exists()
    assert list(storage.keys()) == ["a"]


def test_delete_is_for_good_and_may_come_again(storage: LocalStorage):
    for key in ("org/1/u/original", "org/1/u/table", "org/1/v/original"):
        storage.write(key, [b"x"])
    assert storage.delete_under("org/1/u") == 2
    assert storage.delete_under("org/1/u") == 0
    storage.delete("org/1/v/original")
    storage.delete("org/1/v/original")
    assert list(storage.keys()) == []
    with pytest.raises(FileNotFoundError):
        storage.open("org/1/v/original")
    with pytest.raises(FileNotFoundError):
        storage.local_path("org/1/v/original")


def test_below_the_threshold_nothing_is_stored(tmp_path: Path):
    free = LocalStorage(tmp_path).free_bytes()
    assert free is not None
    full = LocalStorage(tmp_path / "storage", min_free_bytes=2 * free)
    with pytest.raises(OutOfSpace):
        full.write("a", [b"x"])
    assert list(full.keys()) == []
    assert incoming(full) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_on_the_way_is_out_of_space(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, number: int
):
    def full(_fd: int) -> None:
        raise OSError(number, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpace):
        storage.write("a", [b"x"])
    assert incoming(storage) == []


def test_what_a_crash_left_half_written_is_cleared(storage: LocalStorage):
    storage.write("a", [b"x"])
    half = storage.root / ".incoming" / "half"
    half.write_bytes(b"hal")
    assert list(storage.keys()) == ["a"]
    assert storage.clear_incoming(older_than_seconds=3600, now=half.stat().st_mtime + 10) == 0
    assert storage.clear_incoming(older_than_seconds=3600, now=half.stat().st_mtime + 3601) == 1
    assert incoming(storage) == []
