"""Tells a story again and again, killed at its N-th fault point, for N = 1, 2 ... until it gets to its end alive.

    [ROWMILL_TEST_DATABASE=postgres] python -m tests.crash.harness STORY FOLDER [CONTROL]

Each life is a process of its own, forked from one that has imported everything, and dies by SIGKILL. After each death the
story goes on in a new life, which is killed as well (at a point drawn from the seed), then in a third that may live. The
last line of output is JSON: {"story", "points", "deaths", "violations"}. With a CONTROL the engine is crippled first
(stories.CONTROLS), and the loop ends at the first violation: there must be one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tests.crash.checker import Acknowledged, find_violations
from tests.crash.database import postgres_url, wait_until_left

MOST_POINTS = 400


def main(story: str, folder: Path, control: str = "") -> int:
    """Tell one story at every point. Gives 1 where an invariant broke."""
    if os.environ.get("ROWMILL_TEST_DATABASE") != "postgres":
        return tell_all(story, folder, control)
    from tests.servers.postgres import Postgres

    with Postgres() as server:
        os.environ["DATABASE_URL"] = server.new_database(name="story")
        return tell_all(story, folder, control)


def tell_all(story: str, folder: Path, control: str) -> int:
    """Tell a story at every point on the database chosen. Gives 1 where an invariant broke."""
    data, template = folder / "data", folder / "template"
    os.environ |= {
        "ROWMILL_DATA_DIR": str(data),
        "ROWMILL_LOG_LEVEL": "CRITICAL",
        "ROWMILL_POLL_SECONDS": "0.05",
        "ROWMILL_SWEEP_SECONDS": "0.2",
        "ROWMILL_MIN_FREE_BYTES": "0",
    }
    from rowmill.cli.serving import set_up_django

    set_up_django()
    from tests.crash import stories

    assert live(lambda: stories.prepare(story)) == 0, "the story cannot be prepared"
    data.rename(template)
    if postgres_url():
        copy_database("story", "template")
    if control:
        stories.CONTROLS[control]()
    deaths, violations = 0, []
    for point in range(1, MOST_POINTS):
        told = tell(stories.STORIES[story], story, data, template, point, stories.audit_is_whole)
        violations += [f"{story} at point {point}: {words}" for words in told[1]]
        if not told[0] or (control and violations):
            break
        deaths += 1
    else:
        violations.append(f"{story}: it never came to its end")
    print(json.dumps({"story": story, "points": point, "deaths": deaths, "violations": violations}))
    return 1 if violations else 0


def tell(
    run: Callable[[], None], story: str, data: Path, template: Path, point: int, last: Callable[[], None]
) -> tuple[bool, list[str]]:
    """Tell the story once, cut at a point. Shape: (whether it was cut, what broke)."""
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(template, data)
    if postgres_url():
        copy_database("template", "story")
    notes = Path(f"{data}.told")
    notes.unlink(missing_ok=True)
    code = live(run, point)
    if postgres_url():
        wait_until_left(postgres_url())
    cut = code not in (0, 1)
    found = ["the first life failed by itself"] if code == 1 else []
    if code == -signal.SIGKILL:
        found += [f"just after the death: {w}" for w in find_violations(data, at_rest=False, started=False)]
        if live(run, random.Random(point).randint(1, 12)) == 1:
            found.append("the second life failed by itself")
        if live(run) != 0:
            found.append("the third life failed by itself")
    if live(last) != 0:
        found.append("the audit chain is broken")
    return cut, found + find_violations(data, read_notes(notes))


def copy_database(source: str, target: str) -> None:
    """Make a database of the server anew, as a copy of another."""
    from tests.servers.postgres import make_database

    address = urlsplit(postgres_url())
    make_database(address._replace(path="/postgres").geturl(), target, address._replace(path=f"/{source}").geturl())


def live(run: Callable[[], None], point: int = 0) -> int:
    """Run in a forked process, killed at its N-th fault point. Gives its exit code, negative for a signal."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)
    from rowmill import faults

    faults._AT, faults._PASSED = point, 0
    code = 1
    try:
        run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def read_notes(path: Path) -> list[Acknowledged]:
    """Read what clients were told."""
    if not path.exists():
        return []
    told = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Acknowledged(n["job"], rows=n["rows"], key=n["key"]) for n in told if "job" in n]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
