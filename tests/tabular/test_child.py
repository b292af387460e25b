"""The limited child: it answers as the fast path does, and costs a process at most."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from rowmill.contracts import Column, Rules
from rowmill.errors import ChildError
from rowmill.registry import get_check
from rowmill.tabular import child
from rowmill.tabular.child import inspect_in_child

COLUMNS = (Column("id", required=True, filled=True, aliases=("key",), checks=("tin",)),)
RULES = Rules(COLUMNS, {slug: get_check(slug) for slug in ("required", "tin")})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("KEY,x\n123456789,1\n12,2\n")
    return path


@pytest.fixture
def spare() -> Iterator[None]:
    child.keep_spare()
    yield
    child.drop_spare()


def test_the_child_judges_and_copies(path: Path, tmp_path: Path) -> None:
    heard = []
    found = inspect_in_child(path, RULES, table_out=tmp_path / "t.parquet", on_verdict=heard.append)
    assert (found.verdict, found.row_count, found.rejected_rows) == ("sound", 2, 1)
    assert heard == [found]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv", "t.parquet"]


def test_a_spare_child_serves_and_is_replaced(path: Path, spare: None) -> None:
    for _ in range(3):
        assert inspect_in_child(path, RULES).verdict == "sound"
    assert child._spare._child is not None
    child._spare._child.kill()
    child._spare._child.wait()
    assert inspect_in_child(path, RULES).verdict == "sound"


def test_the_next_child_is_started_after_the_rest_that_is_asked_for(path: Path, spare: None) -> None:
    assert inspect_in_child(path, RULES, rest_seconds=3600).verdict == "sound"
    assert child._spare._child is None
    assert inspect_in_child(path, RULES, rest_seconds=0.01).verdict == "sound"
    until = time.monotonic() + 60
    while child._spare._child is None and time.monotonic() < until:
        time.sleep(0.01)
    assert child._spare._child is not None


def test_a_child_that_takes_too_long_is_stopped(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ChildError, match="longer than"):
        inspect_in_child(path, RULES, table_out=tmp_path / "t.parquet", seconds=0.01)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv"]


def test_a_child_that_is_killed_is_told_in_words(path: Path, spare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert child._spare._child is not None
    pid = child._spare._child.pid
    os.kill(pid, signal.SIGSTOP)
    asked, listen = threading.Event(), child._listen

    def listen_to_it(*arguments: Any) -> Any:
        asked.set()
        return listen(*arguments)

    def kill() -> None:
        asked.wait(60)
        os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(child, "_listen", listen_to_it)
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ChildError, match="stopped"):
        inspect_in_child(path, RULES)
    killer.join()


def test_a_child_without_memory_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,x\n" + "1,2\n" * 200_000)
    monkeypatch.setattr(child, "_ADDRESS_SPACE_EXTRA", 0)
    with pytest.raises(ChildError):
        inspect_in_child(path, RULES, memory_bytes=1_000_000)


@pytest.mark.slow
def test_long_rows_are_copied_a_few_at_a_time(tmp_path: Path) -> None:
    """They are packed, so that the file's own size says little; a group of them is held in memory while it is written."""
    path, chance = tmp_path / "long.csv.gz", random.Random(5)
    with gzip.open(path, "wb", 1) as file:
        file.write(b"key,notes\n")
        for number in range(6000):
            file.write(b"%09d,%s\n" % (number, chance.randbytes(7500).hex().encode()))
    found = inspect_in_child(path, RULES, table_out=tmp_path / "t.parquet", memory_bytes=360_000_000)
    assert (found.verdict, found.row_count) == ("sound", 6000)
    groups = "SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata(?)"
    rows = [count for _, count in duckdb.execute(groups, [str(tmp_path / "t.parquet")]).fetchall()]
    assert sum(rows) == 6000
    assert max(rows) * 15_000 < 70_000_000


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os; from rowmill.tabular import child; child.keep_spare();"
        "print(child._spare._child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    for _ in range(600):
        if not _alive(pid):
            return
        time.sleep(0.1)
    pytest.fail("The child outlived its parent.")


def _alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_child_at_work_ends_with_its_parent(tmp_path: Path) -> None:
    """kill -9 of the parent in the middle of a reading leaves no process behind."""
    file = tmp_path / "large.csv"
    with file.open("w") as out:
        out.write("id,note\n")
        out.writelines(f"{number},some words to make it long enough\n" for number in range(2_000_000))
    story = (
        "import sys; from pathlib import Path; from rowmill.tabular import child;"
        "child.inspect_in_child(Path(sys.argv[1]), table_out=Path(sys.argv[1] + '.parquet'))"
    )
    parent = subprocess.Popen([sys.executable, "-c", story, str(file)])
    found = _wait_for(lambda: psutil.Process(parent.pid).children())
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(found, timeout=120)
    assert len(gone) == 1
    assert alive == []


def _wait_for(look: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError("no child was started")
