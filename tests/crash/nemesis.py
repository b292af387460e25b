"""kill -9 of the whole process at random instants while clients send, cancel and retry; then every row is accounted for.

    python -m tests.crash.nemesis --seconds 60 [--seed 7]

Prints its seed, what it did, and every violation. Exit: 0 when nothing broke, else 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from payersim.testing import Payer, running_apart
from rowmill.cli.demo import compare
from tests.crash.checker import Acknowledged, find_violations, open_read_only
from tests.crash.claims import Slice, make_slices
from tests.crash.inside import run_inside
from tests.crash.server import JOBS, Lost, Refused, Server, provided

IN_FLIGHT = 20
ROWS_PER_SECOND = 20
RUN_OUT_SECONDS = 240


class Nemesis:
    """One run: senders and a steerer against a server that is killed under them."""

    def __init__(self, server: Server, slices: list[Slice], seed: int) -> None:
        self.server, self.slices, self.seed = server, slices, seed
        self.stopping = threading.Event()
        self.jobs: dict[int, str] = {}
        self.keys: dict[int, str] = {}
        self.did: Counter[str] = Counter()
        self.found: list[str] = []
        self.lock = threading.Lock()

    def run(self, seconds: float) -> None:
        """Kill until the time is over, then let everything run out."""
        actors = [threading.Thread(target=self._safely, args=(self.send, part)) for part in (0, 1)]
        actors.append(threading.Thread(target=self._safely, args=(self.steer,)))
        dice, until = random.Random(f"kill {self.seed}"), time.monotonic() + seconds
        for actor in actors:
            actor.start()
        while time.monotonic() < until:
            time.sleep(
                min(dice.choice((0.2, 0.7, 1.5, 3.0)) * (0.5 + dice.random()), max(0.0, until - time.monotonic()))
            )
            self.server.kill()
            self.did["kills"] += 1
            self.server.start()
        self.stopping.set()
        for actor in actors:
            actor.join(RUN_OUT_SECONDS)
        self.run_out()

    def _safely(self, act: Callable[..., None], *arguments: Any) -> None:
        """Run an actor; what it trips over is a violation."""
        try:
            act(*arguments)
        except Exception as error:
            self.found.append(f"{act.__name__}: {type(error).__name__}: {error}")

    def insist(self, act: Callable[[], Any]) -> Any:
        """Ask again and again until there is an answer, as a client does that lost one. Raises: Refused."""
        until = time.monotonic() + RUN_OUT_SECONDS
        while True:
            try:
                return act()
            except Lost:
                self.did["answers lost"] += 1
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            except Refused as refused:
                if refused.problem.get("code") != "in_progress" or time.monotonic() > until:
                    raise
                time.sleep(0.2)

    # ------------------------------------------------------------------------------------ actors

    def send(self, part: int) -> None:
        """Send every second file: with an Idempotency-Key, or without one and then taking the 409's word for it."""
        for one in self.slices[part::2]:
            key = f"nemesis-{self.seed}-{one.number}" if one.number % 3 else None
            try:
                job = self.insist(lambda one=one, key=key: self.server.upload(one.data, key))["id"]
            except Refused as refused:
                if key is not None or refused.problem.get("code") != "duplicate_file":
                    raise
                job = refused.problem["job"]
                self.did["found by 409"] += 1
            with self.lock:
                self.jobs[one.number] = job
                if key:
                    self.keys[one.number] = key
            self.did["sent"] += 1
            self.repeat(one, key, job)

    def repeat(self, one: Slice, key: str | None, job: str) -> None:
        """Send it once more now and then: the same key must give the same job."""
        if key is None or one.number % 4:
            return
        again = self.insist(lambda: self.server.upload(one.data, key))["id"]
        self.did["repeated"] += 1
        if again != job:
            self.found.append("key: the same key gave another job")

    def steer(self) -> None:
        """Cancel jobs at random instants, look that nothing commits afterwards, retry them."""
        dice = random.Random(f"steer {self.seed}")
        while not self.stopping.wait(0.3 + 2 * dice.random()):
            with self.lock:
                jobs = list(self.jobs.values())
            if jobs:
                self.cancel_and_retry(dice.choice(jobs[-3:]))

    def cancel_and_retry(self, job: str) -> None:
        """Cancel one job if it is still at work, wait until it is cancelled, retry it."""
        try:
            self.insist(lambda: self.server.call("POST", f"{JOBS}{job}/cancel/"))
        except Refused as refused:
            if refused.status != 409:
                raise
            return
        self.did["cancels"] += 1
        while (state := self.insist(lambda: self.server.progress(job))["status"]) == "CANCELLING":
            time.sleep(0.1)
        if state != "CANCELLED":
            self.found.append(f"cancel: a job that said 202 to a cancel is {state}")
        self.look_after_cancel(job)
        self.retry(job)

    def look_after_cancel(self, job: str) -> None:
        """No result may be newer than the cancel, now or a moment later."""
        time.sleep(0.3)
        database = open_read_only(self.server.data_dir)
        try:
            late = database.execute(
                "SELECT count(*) FROM rowmill_result r JOIN rowmill_job j ON j.id = r.job_id "
                "WHERE j.public_id=? AND r.written_at > j.cancelled_at",
                (job.replace("-", ""),),
            ).fetchone()[0]
        finally:
            database.close()
        if late:
            self.found.append(f"cancel: {late} results were written after the cancel's commit")

    def retry(self, job: str) -> None:
        """Take a job up again; a 409 says that it is at work already, or that nothing is left."""
        try:
            self.insist(lambda: self.server.call("POST", f"{JOBS}{job}/retry/"))
            self.did["retries"] += 1
        except Refused as refused:
            if refused.status != 409:
                raise

    # ------------------------------------------------------------------------------------ the end

    def run_out(self) -> None:
        """Let every job come to its end, and retry what the kills spoilt: a row that a life never lasted for is POISON_ROW."""
        for job in self.jobs.values():
            if self.server.wait(job, RUN_OUT_SECONDS)["status"] == "CANCELLED" or self.poisoned(job):
                self.retry(job)
                self.server.wait(job, RUN_OUT_SECONDS)

    def poisoned(self, job: str) -> int:
        """Count the rows that were given up because the process died each time they were tried."""
        database = open_read_only(self.server.data_dir)
        try:
            count: int = database.execute(
                "SELECT count(*) FROM rowmill_result r JOIN rowmill_job j ON j.id = r.job_id "
                "WHERE j.public_id=? AND r.code='POISON_ROW'",
                (job.replace("-", ""),),
            ).fetchone()[0]
        finally:
            database.close()
        self.did["poisoned by kills"] += count
        return count

    def check(self, payer: Payer) -> list[str]:
        """Name every violation."""
        found = list(self.found)
        for number, job in self.jobs.items():
            one = self.slices[number]
            out = self.server.save_results(job, one.book.with_suffix(".csv"))
            report = compare(out, one.book)
            if not report["equal_to_book"]:
                found.append(f"book: {report['differences']} of {one.rows} rows of job {job} are not as the book says")
        if self.jobs:
            self.server.call("DELETE", f"{JOBS}{next(iter(self.jobs.values()))}/")
        if (code := self.server.terminate()) != 0:
            found.append(f"stop: SIGTERM ended it with {code}")
        acknowledged = [
            Acknowledged(job, self.slices[n].sha256, self.slices[n].rows, self.keys.get(n))
            for n, job in self.jobs.items()
        ]
        found += find_violations(self.server.data_dir, acknowledged)
        if complaint := run_inside("audit", self.server.data_dir):
            found.append(complaint)
        return found + self.payer_violations(payer.stats())

    def payer_violations(self, stats: dict[str, Any]) -> list[str]:
        """The payer was never overrun, and no row with a result was asked again."""
        found = []
        if stats["cap_exceeded"] or stats["max_in_flight"] > IN_FLIGHT:
            found.append(f"payer: {stats['max_in_flight']} calls in flight, {IN_FLIGHT} allowed")
        lives = self.server.starts + self.did["cancels"]
        if stats["tokens_issued"] > 2 * self.server.starts + stats["tokens_revoked"] + 2:
            found.append(f"payer: {stats['tokens_issued']} tokens for {self.server.starts} lives")
        repeats = sum(one.rows for one in self.slices) * 3 // 100 + 5  # rows that come twice in the sample itself
        if stats["duplicates"] > IN_FLIGHT * lives + repeats:
            found.append(f"payer: {stats['duplicates']} answers given again, for {lives} interruptions")
        return found


def run(seconds: float, seed: int, folder: Path, say: Callable[[str], None] = print) -> list[str]:
    """Do one run. Gives the violations."""
    dice = random.Random(f"sizes {seed}")
    sizes = [dice.choice((1, 7, 40, 90, 160))]
    while sum(sizes) < max(300, seconds * ROWS_PER_SECOND):
        sizes.append(dice.choice((1, 7, 40, 90, 160)))
    book, slices = make_slices(folder, seed, sizes)
    with (
        running_apart(
            "--profile", "hostile", "--latency-scale", "0.03", "--seed", str(seed), "--book", str(book)
        ) as payer,
        provided(folder, payer.base_url, payer.token_url, IN_FLIGHT) as server,
    ):
        payer.control("settings", {"in_flight_cap": IN_FLIGHT})
        say(f"nemesis: seed {seed}, {len(slices)} files, {sum(sizes)} rows, {seconds:.0f} s")
        server.start()
        nemesis = Nemesis(server, slices, seed)
        nemesis.run(seconds)
        violations = nemesis.check(payer)
        say(f"did: {dict(nemesis.did)}; jobs {len(nemesis.jobs)}; payer {_short(payer.stats())}")
    for words in violations:
        say(f"VIOLATION {words}")
    say(f"{len(violations)} violations (seed {seed})")
    return violations


def _short(stats: dict[str, Any]) -> dict[str, Any]:
    """Give the payer's figures that matter here."""
    names = ("inquiries", "tokens_issued", "max_in_flight", "cap_exceeded", "duplicates", "abandoned")
    return {name: stats[name] for name in names}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rowmill-nemesis-") as folder:
        return 1 if run(given.seconds, given.seed, Path(folder)) else 0


if __name__ == "__main__":
    sys.exit(main())
