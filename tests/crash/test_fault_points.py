"""Every story killed at every fault point, and the proof that the checker would have seen it (negative controls)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]
STORIES = (
    "intake",
    "chunked",
    "cohort",
    "merge",
    "merge_poison",
    "effect",
    "work",
    "steer",
    "poison",
    "refused",
    "mended",
    "stop",
)
CONTROLS = (
    ("steer", "no_cancel_check"),
    ("work", "two_transactions"),
    ("intake", "purged_first"),
    ("merge", "effect_alone"),
)
DATABASES = ("sqlite", "postgres")
LOCKED = ("postgres", "rechecked")  # where rows are locked one by one; on the other it proves nothing more
RUNS: tuple[tuple[str, ...], ...] = tuple(
    (database, *told) for told in (*((story,) for story in STORIES), *CONTROLS) for database in DATABASES
) + (LOCKED,)


def run_story(database: str, *arguments: str) -> dict[str, Any]:
    """Run the harness in a process of its own, in memory where there is such a folder, since it syncs a great deal."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="rowmill-crash-", dir=base) as folder:
        story, *control = arguments
        command = [sys.executable, "-m", "tests.crash.harness", story, folder, *control]
        environment = {**os.environ, "ROWMILL_TEST_DATABASE": database, "DATABASE_URL": ""}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=700, env=environment)
    lines = done.stdout.splitlines()
    assert lines, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(lines[-1])
    return {**told, "stderr": done.stderr[-3000:]}


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[tuple[str, ...], Future[dict[str, Any]]]]:
    """All runs, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield {arguments: pool.submit(run_story, *arguments) for arguments in RUNS}


@pytest.mark.parametrize(
    ("database", "story"), [*((database, story) for story in STORIES for database in DATABASES), LOCKED]
)
def test_killed_at_every_point_nothing_is_lost(story, database, runs) -> None:
    told = runs[(database, story)].result()
    assert told["violations"] == [], told["stderr"]
    assert told["deaths"] == told["points"] - 1, "each point but the last must have been a death"
    assert told["deaths"] >= 15, "the story passes too few fault points to prove anything"


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize(("story", "control"), CONTROLS)
def test_a_crippled_engine_is_caught(story: str, control: str, database: str, runs) -> None:
    told = runs[(database, story, control)].result()
    words = {
        "no_cancel_check": "cancel:",
        "two_transactions": "counters:",
        "purged_first": "orphan:",
        "effect_alone": "merge:",
    }[control]
    assert any(words in violation for violation in told["violations"]), told
