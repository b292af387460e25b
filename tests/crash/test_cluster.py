"""A whole cluster under fire for a while, and the proof that what it checks would be seen (negative controls)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.cluster_controls import STORIES
from tests.servers.postgres import Postgres, find_programs

pytestmark = [
    pytest.mark.crash,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_programs() is None, reason="Postgres is not installed (make system)"),
]
SECONDS = "75"  # each fault comes at least once
SEED = "20261122"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres(track_commit_timestamp="on") as server:
        yield server


def tell(postgres: Postgres, folder: Path, story: str, *off: str) -> list[str]:
    """Tell a control's story on a database of its own. Gives what is broken at its end."""
    command = [sys.executable, "-m", "tests.crash.cluster_controls", str(folder / "data"), story, *off]
    environment = {**os.environ, "DATABASE_URL": postgres.new_database()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    told: list[str] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize("story", STORIES)
def test_a_story_by_the_book_breaks_nothing(story: str, postgres: Postgres, tmp_path: Path) -> None:
    assert tell(postgres, tmp_path, story) == []


@pytest.mark.parametrize("story", STORIES)
def test_without_its_guard_it_is_caught(story: str, postgres: Postgres, tmp_path: Path) -> None:
    found = tell(postgres, tmp_path, story, "off")
    assert any(words.startswith(STORIES[story][1]) for words in found), found


def test_a_cluster_under_fire_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.crash.cluster_nemesis", "--seconds", SECONDS, "--seed", SEED]
    done = subprocess.run([*command, "--keep", str(tmp_path)], capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
