"""Four worker processes on one Postgres while jobs are cancelled and retried, workers killed and the server crashes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.checker import find_violations
from tests.servers.postgres import Postgres

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]
SEED, JOBS, ROWS = 20260401, 4, 2500


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    with Postgres(sync=True) as server:
        monkeypatch.setenv("DATABASE_URL", server.new_database())
        yield server


def crowd(verb: str, folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.crash.crowd", verb, str(folder / "data"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_well(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err[-3000:]
    return out


def where_it_is(worker: subprocess.Popen[str]) -> str:
    """End a worker; give where its threads were, if it was still at it, and what it said."""
    if worker.poll() is None:
        worker.send_signal(signal.SIGUSR1)
        time.sleep(1)
        worker.kill()
    said = worker.stderr.read() if worker.stderr and not worker.stderr.closed else ""
    return f"worker {worker.pid}, exit {worker.wait()}: {said[-15_000:]}"


@pytest.mark.parametrize("crashes", [0, 3], ids=["steered", "crashed"])
def test_ten_thousand_rows_by_four_processes(server: Postgres, tmp_path: Path, crashes: int) -> None:
    dice = random.Random(SEED)
    end_well(crowd("prepare", tmp_path, JOBS, ROWS))
    workers = [crowd("work", tmp_path) for _ in range(4)]
    steering = crowd("steer", tmp_path, 12, SEED)
    try:
        for _ in range(crashes):
            time.sleep(dice.uniform(1.5, 3.0))
            server.restart_immediate(dice.uniform(0.0, 1.0))
            victim = dice.randrange(len(workers))
            os.kill(workers[victim].pid, signal.SIGKILL)
            workers[victim].communicate()
            workers[victim] = crowd("work", tmp_path)
        did = end_well(steering)
        for worker in workers:
            end_well(worker)
    except BaseException:
        print(*(where_it_is(worker) for worker in workers), sep="\n")
        raise
    finally:
        for process in (*workers, steering):
            if process.poll() is None:
                process.kill()
                process.communicate()
    log = (server.folder / "log").read_text(errors="replace")
    assert "deadlock detected" not in log
    assert find_violations(tmp_path / "data") == [], f"seed {SEED}, {did}"
