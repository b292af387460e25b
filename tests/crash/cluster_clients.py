"""Who uses a cluster while it is under fire: senders, a feeder of bulk files, one who cancels and retries, and a stranger."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.crash.claims import Slice
from tests.crash.cluster import Cluster
from tests.crash.cluster_inside import run_inside
from tests.crash.server import FINAL, JOBS, Lost, Refused, Server

MOST_LIVE_JOBS = 8
MOST_LIVE_TALLIES = 2
KEY_SECONDS = 12.0
PATIENCE_SECONDS = 240.0
DOORS = (
    ("GET", ""),
    ("GET", "progress/"),
    ("GET", "results/"),
    ("POST", "cancel/"),
    ("POST", "retry/"),
    ("DELETE", ""),
)


class Gone(Exception):
    """The first request under this key died with its web process; the key stays taken for an hour."""


@dataclass
class Sent:
    """A job that a client was told of."""

    job: str
    rows: int
    key: str | None
    sha256: str = ""
    kind: str = "claims"


@dataclass
class Clients:
    """The clients, and what they were told."""

    cluster: Cluster
    slices: list[Slice]
    seed: int
    token: str
    strangers_token: str
    did: Counter[str]
    found: list[str]
    sent: dict[str, Sent] = field(default_factory=dict)
    of_slice: dict[int, str] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Let them all begin."""
        acts: list[Callable[[], None]] = [lambda: self.send(0), lambda: self.send(1), self.feed, self.steer, self.peek]
        self.threads = [threading.Thread(target=self._safely, args=(act,), daemon=True) for act in acts]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Let them end what they are at."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE_SECONDS + 60)
            if thread.is_alive():
                self.found.append("limbo: a client still waits for an answer")

    def _safely(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            self.found.append(f"client: {type(error).__name__}: {error}")

    # ---------------------------------------------------------------------------------------- asking

    def server(self, dice: random.Random, *, stranger: bool = False) -> Server:
        """Give one of the web processes to ask."""
        web = dice.choice(self.cluster.those("web"))
        token = self.strangers_token if stranger else self.token
        return Server(web.data_dir, {}, port=web.port, token=token, patience_seconds=15.0)

    def insist(self, dice: random.Random, ask: Callable[[Server], Any], *, stranger: bool = False) -> Any:
        """Ask one web process after the other until there is an answer. Raises: Refused below 500, Gone."""
        until, taken_until = time.monotonic() + PATIENCE_SECONDS, 0.0
        while True:
            try:
                return ask(self.server(dice, stranger=stranger))
            except Lost:
                self.did["answers lost"] += 1
            except Refused as refused:
                if refused.status >= 500:
                    self.did[f"answers {refused.status}"] += 1
                elif refused.problem.get("code") == "in_progress":
                    taken_until = taken_until or time.monotonic() + KEY_SECONDS
                    if time.monotonic() > taken_until:
                        raise Gone from None
                else:
                    raise
            if time.monotonic() > until:
                raise TimeoutError("no answer for so long")
            time.sleep(0.15)

    def live(self, kind: str, most: int) -> bool:
        """Tell whether as many jobs of a kind as shall be are at work."""
        with self.lock:
            jobs = [one.job for one in self.sent.values() if one.kind == kind][-most - 4 :]
        dice = random.Random()
        states = [self.insist(dice, lambda server, job=job: server.progress(job))["status"] for job in jobs]
        return sum(state not in FINAL for state in states) >= most

    def _note(self, one: Sent) -> None:
        with self.lock:
            self.sent[one.job] = one
        self.did[f"{one.kind} files"] += 1

    # ---------------------------------------------------------------------------------------- acting

    def send(self, part: int) -> None:
        """Send every second file, most with an Idempotency-Key, as long as there is time."""
        dice = random.Random(f"send {part} {self.seed}")
        for one in self.slices[part::2]:
            while not self.stopping.is_set() and self.live("claims", MOST_LIVE_JOBS):
                self.stopping.wait(0.5)
            if self.stopping.is_set():
                return
            key = f"nemesis-{self.seed}-{one.number}" if one.number % 4 else None
            job, key = self.deliver(dice, one, key)
            with self.lock:
                self.of_slice[one.number] = job
            self._note(Sent(job, one.rows, key, one.sha256))
            if key and one.number % 3 == 0:
                again = self.insist(dice, lambda server, one=one, key=key: server.upload(one.data, key))["id"]
                self.did["repeated"] += 1
                if again != job:
                    self.found.append("key: the same key gave another job")

    def deliver(self, dice: random.Random, one: Slice, key: str | None) -> tuple[str, str | None]:
        """Send a file until a job is told. Shape: (the job, the key under which it was told, None for no key)."""
        while True:
            try:
                return self.insist(dice, lambda server, key=key: server.upload(one.data, key))["id"], key
            except Gone:
                self.did["keys given up"] += 1
                key = None
            except Refused as refused:
                if refused.problem.get("code") != "duplicate_file":
                    raise
                self.did["found by 409"] += 1
                return refused.problem["job"], None

    def feed(self) -> None:
        """Send bulk files from processes of their own."""
        dice, number = random.Random(f"feed {self.seed}"), 0
        while not self.stopping.wait(1.0):
            if self.live("tally", MOST_LIVE_TALLIES):
                continue
            number += 1
            rows = dice.choice((500, 3000, 8000))
            key, job = f"tally-{self.seed}-{number}", ""
            while not job:
                try:
                    done = run_inside(
                        self.cluster.base,
                        self.cluster.folder / "feeder",
                        "feed",
                        key,
                        f"{self.seed}{number}",
                        str(rows),
                    )
                except subprocess.TimeoutExpired:
                    continue
                if done.returncode == 75:
                    key = ""
                job = done.stdout.strip()
                self.did["feeds failed"] += not job
            self._note(Sent(job, rows, key or None, kind="tally"))

    def steer(self) -> None:
        """Cancel jobs at random instants, wait until they are cancelled, retry them; look at results in between."""
        dice = random.Random(f"steer {self.seed}")
        while not self.stopping.wait(0.5 + 2 * dice.random()):
            with self.lock:
                jobs = list(self.sent)[-6:]
            if not jobs:
                continue
            job = dice.choice(jobs)
            if dice.random() < 0.25:
                self.insist(dice, lambda server, job=job: server.call("GET", f"{JOBS}{job}/results/"))
                self.did["downloads"] += 1
            else:
                self.cancel_and_retry(dice, job)

    def cancel_and_retry(self, dice: random.Random, job: str) -> None:
        """Cancel a job if it is at work, see it cancelled, retry it."""
        if not self.try_to(dice, job, "cancel"):
            return
        self.did["cancels"] += 1
        until = time.monotonic() + PATIENCE_SECONDS
        while (state := self.insist(dice, lambda server: server.progress(job))["status"]) == "CANCELLING":
            if time.monotonic() > until:
                self.found.append("limbo: a job is CANCELLING for ever")
                return
            time.sleep(0.2)
        if state != "CANCELLED":
            self.found.append(f"cancel: a job that said 202 to a cancel is {state}")
        self.did["retries"] += self.try_to(dice, job, "retry")

    def try_to(self, dice: random.Random, job: str, verb: str) -> bool:
        """Cancel or retry a job. Gives False where its state does not allow it."""
        try:
            self.insist(dice, lambda server: server.call("POST", f"{JOBS}{job}/{verb}/"))
        except Refused as refused:
            if refused.status != 409:
                raise
            return False
        return True

    def peek(self) -> None:
        """Try to see and to steer another org's jobs, as a stranger: there must be nothing at all."""
        dice = random.Random(f"peek {self.seed}")
        while not self.stopping.wait(2.0):
            with self.lock:
                jobs = list(self.sent)[-4:]
            if jobs:
                self.found += self.peek_at(dice, dice.choice(jobs))

    def peek_at(self, dice: random.Random, job: str) -> list[str]:
        """Try every door to a job as a stranger. Gives those that opened."""
        found = []
        for method, path in DOORS:
            try:
                self.insist(dice, lambda server, how=(method, f"{JOBS}{job}/{path}"): server.call(*how), stranger=True)
                found.append(f"crossing: a stranger's {method} {path or 'job'} was answered")
            except Refused as refused:
                if refused.status != 404:
                    found.append(f"crossing: a stranger's {method} {path or 'job'} got {refused.status}, not 404")
        listed = self.insist(dice, lambda server: server.call("GET", JOBS), stranger=True)
        if job in str(listed):
            found.append("crossing: a stranger's list names another org's job")
        self.did["peeks"] += 1
        return found
