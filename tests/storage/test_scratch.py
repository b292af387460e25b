"""Scratch: fetched once, never half, never another's bytes, bounded, and nothing in use is taken away."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowmill.errors import ObjectChanged, OutOfSpace, StorageFault
from rowmill.storage.scratch import Scratch


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Source:
    """Objects to fetch from, with a count of how often."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.fetched: list[str] = []

    def hold(self, key: str, data: bytes, sha256: str | None = None):
        def blocks() -> Iterator[bytes]:
            self.fetched.append(key)
            yield data[: len(data) // 2]
            yield data[len(data) // 2 :]

        return self.scratch.hold(key, sha(data) if sha256 is None else sha256, lambda: len(data), blocks)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(Scratch(tmp_path / "scratch", 100))


def leftovers(scratch: Scratch) -> list[str]:
    return [path.name for path in scratch.root.rglob("*") if path.is_file()]


def test_a_copy_is_fetched_once(source: Source):
    for _ in range(3):
        with source.hold("org/1/a", b"bytes") as path:
            assert path.read_bytes() == b"bytes"
            assert path.stat().st_mode & 0o777 == 0o600
    assert source.fetched == ["org/1/a"]
    assert source.scratch.keys() == ["org/1/a"]


def test_another_process_of_the_machine_uses_the_same_copy(source: Source, tmp_path: Path):
    with source.hold("a", b"bytes"):
        pass
    other = Source(Scratch(tmp_path / "scratch", 100))
    with other.hold("a", b"bytes"):
        pass
    assert other.fetched == []


def test_bytes_that_were_changed_are_refused_and_not_kept(source: Source):
    with pytest.raises(ObjectChanged), source.hold("a", b"other bytes", sha(b"bytes")):
        pass
    assert leftovers(source.scratch) == []
    with source.hold("a", b"bytes") as path:
        assert path.read_bytes() == b"bytes"


def test_a_new_version_is_another_copy(source: Source):
    for data in (b"one", b"two"):
        with source.hold("a", data) as path:
            assert path.read_bytes() == data
    assert source.scratch.keys() == ["a"]
    assert source.scratch.drop("a") == 2


def test_many_at_once_share_one_fetch(source: Source):
    gate, seen = threading.Event(), []

    def blocks() -> Iterator[bytes]:
        source.fetched.append("a")
        gate.wait(60)
        yield b"bytes"

    def hold() -> None:
        with source.scratch.hold("a", sha(b"bytes"), lambda: 5, blocks) as path:
            seen.append(path.read_bytes())

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert (source.fetched, seen) == (["a"], [b"bytes"] * 8)


def test_many_at_once_share_a_failure_and_the_next_tries_again(source: Source):
    gate, entered, failures = threading.Event(), threading.Event(), []

    def blocks() -> Iterator[bytes]:
        source.fetched.append("a")
        entered.set()
        gate.wait(60)
        yield b"by"
        raise StorageFault

    def hold() -> None:
        try:
            with source.scratch.hold("a", sha(b"bytes"), lambda: 5, blocks):
                pass
        except StorageFault as fault:
            failures.append(fault)

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert entered.wait(60)
    gate.set()
    for thread in threads:
        thread.join()
    assert len(failures) == 4
    assert leftovers(source.scratch) == []
    with source.hold("a", b"bytes") as path:
        assert path.read_bytes() == b"bytes"


def let_a_tick_pass(folder: Path) -> None:
    """Wait until a file that is touched now is newer than one that was touched before."""
    file = folder / "tick"
    file.touch()
    before = file.stat().st_mtime_ns
    while file.stat().st_mtime_ns == before:
        file.touch()


def test_the_least_recently_used_goes_first(source: Source, tmp_path: Path):
    for key in "abcad":
        with source.hold(key, key.encode() * 30):
            pass
        let_a_tick_pass(tmp_path)
    assert source.scratch.keys() == ["a", "c", "d"]


def test_what_is_in_use_stays(source: Source):
    with source.hold("a", b"a" * 90) as used, source.hold("b", b"b" * 90):
        assert used.read_bytes() == b"a" * 90
        assert source.scratch.drop("a") == 0
    with source.hold("c", b"c" * 90):
        assert source.scratch.keys() == ["c"]


def test_what_is_larger_than_the_bound_is_brought_all_the_same(source: Source):
    with source.hold("a", b"x" * 1000) as path:
        assert path.stat().st_size == 1000


def test_what_another_process_uses_stays(source: Source):
    with source.hold("a", b"a" * 90) as path:
        pass
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_SH); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        with source.hold("b", b"b" * 90):
            assert source.scratch.keys() == ["a", "b"]
        other.stdin.close()
        other.wait()
    assert source.scratch.drop("a") == 1


def test_a_crash_in_the_middle_leaves_nothing_that_is_taken_for_whole(tmp_path: Path):
    code = (
        "import os, sys; from pathlib import Path; from rowmill.storage.scratch import Scratch\n"
        "def blocks():\n    yield b'by'\n    os.kill(os.getpid(), 9)\n"
        "with Scratch(Path(sys.argv[1]), 100).hold('a', '', lambda: 5, blocks): pass\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path / "scratch")])
    source = Source(Scratch(tmp_path / "scratch", 100))
    assert died.returncode == -9
    assert source.scratch.keys() == []
    assert len(leftovers(source.scratch)) == 1
    assert source.scratch.clear_coming() == 1
    with source.hold("a", b"bytes") as path:
        assert path.read_bytes() == b"bytes"
    assert source.fetched == ["a"]


def test_what_is_being_fetched_is_not_cleared(source: Source):
    def blocks() -> Iterator[bytes]:
        yield b"by"
        assert source.scratch.clear_coming() == 0
        yield b"tes"

    with source.scratch.hold("a", sha(b"bytes"), lambda: 5, blocks) as path:
        assert path.read_bytes() == b"bytes"


def test_a_folder_s_copies_go_together(source: Source):
    for key in ("org/1/u/original", "org/1/u/table", "org/1/u2/table"):
        with source.hold(key, b"x"):
            pass
    assert source.scratch.drop_under("org/1/u") == 2
    assert source.scratch.keys() == ["org/1/u2/table"]


def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path):
    full = Scratch(tmp_path, 100, min_free_bytes=1 << 62)
    with pytest.raises(OutOfSpace), Source(full).hold("a", b"bytes"):
        pass
    assert leftovers(full) == []
