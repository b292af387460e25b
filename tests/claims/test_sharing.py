"""Four real processes on one Postgres, one payer account, one payer that counts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from payersim.testing import Payer, running_apart
from rowmill.claims.pace import CALLS_PER_TURN
from rowmill.claims.shares import BEGIN_SECONDS, MARGIN_SECONDS
from tests.claims.sharing import CONNECT_SECONDS, READ_SECONDS, rate, sharing
from tests.servers.postgres import Postgres, find_programs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_programs() is None, reason="needs Postgres; `make system` installs it"),
]
CAP = 40
LATENCY = 0.5
LEASE_SECONDS = BEGIN_SECONDS + MARGIN_SECONDS + CONNECT_SECONDS + READ_SECONDS


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as started:
        yield started


@pytest.fixture
def payer() -> Iterator[Payer]:
    with running_apart("--latency-scale", "1") as started:
        started.control("profile", {"name": "calm", "latency": [LATENCY, LATENCY, LATENCY]})
        yield started


def wait_until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


def all_at_work(payer: Payer) -> None:
    """Wait until the cap is filled."""
    wait_until(lambda: payer.stats()["in_flight"] == CAP)


def test_the_cap_holds_over_four_processes_and_after_a_kill(server: Postgres, payer: Payer, tmp_path: Path) -> None:
    with sharing(server.new_database(), tmp_path, payer, in_flight=CAP) as made:
        for _ in range(4):
            made.start()
        made.wait_for_all()
        all_at_work(payer)
        os.kill(made.workers[0].pid, signal.SIGKILL)
        os.kill(made.workers[1].pid, signal.SIGSTOP)
        wait_until(lambda: payer.stats()["in_flight"] < CAP)
        time.sleep(LEASE_SECONDS)
        all_at_work(payer)
        assert payer.stats()["max_in_flight"] <= CAP
        os.kill(made.workers[1].pid, signal.SIGCONT)
        time.sleep(3)
        all_at_work(payer)
        # What was past its check, and not yet on the wire, when the process was frozen goes out when it is thawed: at most
        # what is let in at one turn of its loop. Nobody but the payer could refuse that.
        assert payer.stats()["max_in_flight"] <= CAP + CALLS_PER_TURN


def test_the_rate_holds_over_four_processes_and_new_limits_at_once(
    server: Postgres, payer: Payer, tmp_path: Path
) -> None:
    with sharing(server.new_database(), tmp_path, payer, in_flight=CAP, calls_per_minute=1200) as made:
        for _ in range(4):
            made.start()
        made.wait_for_all()
        wait_until(lambda: payer.stats()["inquiries"] > 40)
        time.sleep(3)
        # 2 % of a minute, measured over half of it, and what was on the wire before: a payer that stood still counts it late.
        # How near they come to it bench/limits.py tells.
        most = 20 * (1 + 0.02 * 2) + CAP / 30
        assert rate(payer, 30) <= most
        made.edit(CAP, 2400)
        time.sleep(2)
        wait_until(lambda: most < rate(payer, 5))  # the new limit is in use
        assert rate(payer, 30) <= 2 * most
        assert payer.stats()["max_in_flight"] <= CAP


def test_one_process_alone_has_it_all_when_the_others_end(server: Postgres, payer: Payer, tmp_path: Path) -> None:
    with sharing(server.new_database(), tmp_path, payer, in_flight=CAP) as made:
        for _ in range(3):
            made.start()
        made.wait_for_all()
        all_at_work(payer)
        for worker in made.workers[1:]:
            assert worker.stdin is not None
            worker.stdin.close()
            assert worker.wait(120) == 0
        all_at_work(payer)
        assert payer.stats()["max_in_flight"] <= CAP
