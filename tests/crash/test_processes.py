"""Two worker processes on one database, one of them frozen past its lease; snapshots as after a power cut; a short nemesis."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import nemesis
from tests.crash.checker import find_violations, open_read_only

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one job to do."""
    folder = tmp_path_factory.mktemp("template") / "data"
    code = (
        "import sys; from pathlib import Path; from rowmill.cli.serving import set_up_django;"
        "set_up_django(Path(sys.argv[1])); from tests.crash import stories; stories.prepare('work'); stories.only_job()"
    )
    environment = {**os.environ, "ROWMILL_LOG_LEVEL": "CRITICAL", "ROWMILL_MIN_FREE_BYTES": "0"}
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=environment, timeout=120)
    return folder


@pytest.fixture
def data_dir(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "data"))


@pytest.fixture
def drain(data_dir: Path) -> Iterator[object]:
    started: list[subprocess.Popen[str]] = []

    def start(seconds: float, *control: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.crash.drain", str(data_dir), str(seconds), *control]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def freeze_finish_thaw(drain, *control: str) -> list[str]:
    """Freeze a worker in its first row, let another do the whole job, thaw the first. Gives the first one's last words."""
    frozen = drain(0.5, *control)
    assert frozen.stdout.readline() == "asked\n"
    frozen.send_signal(signal.SIGSTOP)
    assert drain(0.0).wait(180) == 0
    frozen.send_signal(signal.SIGCONT)
    words, _ = frozen.communicate(timeout=180)
    assert frozen.returncode == 0, "the thawed one broke"
    return [word for word in words.split() if word != "asked"]


def test_a_worker_frozen_past_its_lease_writes_nothing(data_dir: Path, drain) -> None:
    assert freeze_finish_thaw(drain) == ["lost"]
    assert find_violations(data_dir) == []


def test_negative_control_without_the_fence_the_thawed_worker_is_caught(data_dir: Path, drain) -> None:
    assert "lost" not in freeze_finish_thaw(drain, "no_fence")
    assert find_violations(data_dir) != []


def test_four_workers_one_killed_again_and_again(data_dir: Path, drain) -> None:
    steady = [drain(0.1) for _ in range(3)]
    for _ in range(4):
        victim = drain(0.1)
        time.sleep(1.5)
        victim.kill()
    assert [worker.wait(180) for worker in steady] == [0, 0, 0]
    assert find_violations(data_dir) == []


def test_what_lies_on_disk_at_any_instant_is_sound(data_dir: Path, drain, tmp_path: Path) -> None:
    """As after a power cut: the process stands still while the files are copied, and the copy is opened alone."""
    worker, seen = drain(0.3), set()
    assert worker.stdout.readline() == "asked\n"  # else on a busy machine all copies are made before it begins
    for number in range(12):
        time.sleep(0.15)
        if worker.poll() is not None:
            break
        worker.send_signal(signal.SIGSTOP)
        copy = Path(shutil.copytree(data_dir, tmp_path / f"copy-{number}"))
        assert find_violations(copy, at_rest=False, started=False) == []
        database = open_read_only(copy)
        seen.add(database.execute("SELECT count(*) FROM rowmill_result").fetchone()[0])
        database.close()
        worker.send_signal(signal.SIGCONT)  # only now: else on a slow machine it is done before the second copy
    assert worker.wait(180) == 0
    assert len(seen) > 1, "every copy was of the same moment"
    assert find_violations(data_dir) == []


@pytest.mark.timeout(400)
def test_a_short_nemesis(tmp_path: Path) -> None:
    said: list[str] = []
    assert nemesis.run(10, 11, tmp_path, said.append) == [], said
