"""An import by two worker processes while they are killed and Postgres crashes: the same to the letter as one in peace."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.crash.checker import find_violations
from tests.servers.postgres import Postgres

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]
SEED, ROWS, CRASHES = 20260402, 2400, 2


def crowd(verb: str, folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.crash.merge_crowd", verb, str(folder / "data"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_well(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err[-3000:]
    return out


def wait_for_batches(url: str, more: int) -> int:
    """Wait until so many more batches of the last job are done; gives how many are then."""
    sql = "SELECT count(*) FROM rowmill_batch WHERE state = 'done' AND job_id = (SELECT max(id) FROM rowmill_job)"
    until, first = time.monotonic() + 200, -1
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            done = connection.execute(sql).fetchone()[0]  # type: ignore[index]
            first = done if first < 0 else first
            if done >= first + more:
                return int(done)
            assert time.monotonic() < until, "the workers do not get on"
            time.sleep(0.02)


def test_an_import_among_crashes_is_the_same_as_one_in_peace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(SEED)
    with Postgres(sync=True) as server:
        url = server.new_database()
        monkeypatch.setenv("DATABASE_URL", url)
        end_well(crowd("prepare", tmp_path, ROWS))
        workers = [crowd("work", tmp_path) for _ in range(2)]
        try:
            reached = []
            for _ in range(CRASHES):
                reached.append(wait_for_batches(url, dice.randint(2, 4)))
                workers[0].kill()
                workers[0].communicate()
                workers[0] = crowd("work", tmp_path)
                reached.append(wait_for_batches(url, dice.randint(2, 4)))
                server.restart_immediate(dice.uniform(0.0, 0.5))
            assert reached[-1] < ROWS // 100 * 5 // 4, f"the import was over before the last crash: {reached}"
            for worker in workers:
                end_well(worker)
        finally:
            for worker in workers:
                if worker.poll() is None:
                    worker.kill()
                    worker.communicate()
        told = json.loads(end_well(crowd("compare", tmp_path)))
        assert told["acme"] == told["calm"]
        assert told["acme"][3][0] == "COMPLETED"
        assert told["acme"][3][1]["updated"] > 0
        assert find_violations(tmp_path / "data") == [], f"seed {SEED}"
