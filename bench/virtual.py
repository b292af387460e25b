"""The engine's rules under virtual time: workers, batches, checkpoints, payers with limits. Used by simulate.py.

A discrete-event simulation: no thread, no clock of this machine. The rules and their numbers (rows of a batch, rows of a
checkpoint, the 0.2 s within which outcomes are written together, calls that wait at the account's door first come first
served, a fair claim among jobs) are the engine's own; costs are measured by simulate.py on a real engine.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rowmill.jobs.run import GATHER_SECONDS


@dataclass(frozen=True, slots=True)
class Costs:
    """What the parts cost. Units: seconds.

    `cpu`: share of a claim or checkpoint that is the worker's own core's (Python); the rest is the database's.
    `call_cpu`: of one half of a call, asking or taking the answer in. `lanes`: transactions that the database carries
    through at once.
    """

    claim: float = 0.004
    checkpoint: float = 0.004
    row: float = 0.00005
    call_cpu: float = 0.0007
    read: float = 0.02
    cpu: float = 0.5
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class PayerModel:
    """A payer. Units: calls at once, calls per minute (0: no limit), seconds of latency and its spread (sigma of the log)."""

    rows: int
    in_flight: int = 10
    per_minute: float = 0.0
    latency: float = 9.0
    sigma: float = 0.0
    failures: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated. Shape: a job for each payer; `workers` processes with `threads` batches each."""

    payers: tuple[PayerModel, ...]
    workers: int = 1
    threads: int = 8
    batch_rows: int = 500
    checkpoint_rows: int = 50
    costs: Costs = field(default_factory=Costs)
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Trial:
    """A small run, for real and in the model. Units: seconds of latency."""

    name: str
    rows: int
    in_flight: int
    per_minute: int
    latency: float


class Clock:
    """Virtual time: what happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, seconds: float, then: Callable[..., None], *args: Any) -> None:
        """Have something happen later."""
        self._count += 1
        heapq.heappush(self._heap, (self.now + seconds, self._count, then, args))

    def run(self) -> None:
        """Go on until nothing happens any more."""
        while self._heap:
            self.now, _, then, args = heapq.heappop(self._heap)
            then(*args)


class Station:
    """Servers with one queue before them, such as a database or a core. Counts how long they were at work."""

    def __init__(self, clock: Clock, servers: int) -> None:
        self.clock, self.servers = clock, servers
        self.busy = 0
        self.worked = 0.0
        self._queue: deque[tuple[float, Callable[..., None], tuple[Any, ...]]] = deque()

    def serve(self, seconds: float, then: Callable[..., None], *args: Any) -> None:
        """Take a piece of work; `then` follows when it is done."""
        if self.busy < self.servers:
            self._begin(seconds, then, args)
        else:
            self._queue.append((seconds, then, args))

    def _begin(self, seconds: float, then: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.busy += 1
        self.worked += seconds
        self.clock.after(seconds, self._end, then, args)

    def _end(self, then: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.busy -= 1
        if self._queue:
            self._begin(*self._queue.popleft())
        then(*args)


class Door:
    """A payer account's door: calls in flight, calls per minute.

    Workers that have calls to make take turns, as each has its share of the limit; within a worker who comes first goes first.
    """

    def __init__(self, clock: Clock, payer: PayerModel, dice: random.Random) -> None:
        self.clock, self.payer, self.dice = clock, payer, dice
        self._waiting: dict[Station, deque[tuple[float, Callable[[], None]]]] = {}
        self._turns: deque[Station] = deque()
        self.in_flight = 0
        self.held = 0.0
        self.calls = 0
        self.done = 0
        self.ends: list[float] = []
        self._most = max(payer.per_minute / 100, 1.0)
        self._tokens, self._at, self._due = self._most, 0.0, False

    def ask(self, core: Station, cpu: float, then: Callable[[], None]) -> None:
        """Queue a call."""
        queue = self._waiting.setdefault(core, deque())
        if not queue:
            self._turns.append(core)
        queue.append((cpu, then))
        self._admit()

    def _admit(self) -> None:
        """Let in as many as may go."""
        while self._turns and self.in_flight < self.payer.in_flight:
            wait = self._wait()
            if wait > 0:
                if not self._due:
                    self._due = True
                    self.clock.after(wait, self._again)
                return
            self._tokens -= 1
            self.in_flight += 1
            self.calls += 1
            core = self._turns.popleft()
            cpu, then = self._waiting[core].popleft()
            if self._waiting[core]:
                self._turns.append(core)
            core.serve(cpu, self._sent, core, cpu, then, self.clock.now)

    def _again(self) -> None:
        self._due = False
        self._admit()

    def _wait(self) -> float:
        """Give how long the next call waits for the rate."""
        if not self.payer.per_minute:
            self._tokens = 1.0
            return 0.0
        rate = self.payer.per_minute / 60
        self._tokens = min(self._most, self._tokens + (self.clock.now - self._at) * rate)
        self._at = self.clock.now
        wait = (1 - self._tokens) / rate
        return wait if wait > 1e-9 else 0.0

    def _sent(self, core: Station, cpu: float, then: Callable[[], None], begun: float) -> None:
        """The request is out: it takes its time."""
        latency = self.payer.latency
        if self.payer.sigma:
            latency *= self.dice.lognormvariate(0.0, self.payer.sigma)
        self.clock.after(latency, self._answered, core, cpu, then, begun)

    def _answered(self, core: Station, cpu: float, then: Callable[[], None], begun: float) -> None:
        """The answer is there: it takes its share of the core, and then makes room."""
        core.serve(cpu, self._taken_in, core, cpu, then, begun)

    def _taken_in(self, core: Station, cpu: float, then: Callable[[], None], begun: float) -> None:
        """The call is over, or it failed and is made again."""
        self.held += self.clock.now - begun
        self.in_flight -= 1
        if self.payer.failures and self.dice.random() < self.payer.failures:
            self.clock.after(self.dice.random(), self.ask, core, cpu, then)
        else:
            self.done += 1
            self.ends.append(self.clock.now)
            then()
        self._admit()


class Model:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.clock = Clock()
        dice = random.Random(plan.seed)
        self.doors = [Door(self.clock, payer, dice) for payer in plan.payers]
        self.database = Station(self.clock, plan.costs.lanes)
        self.cores = [Station(self.clock, 1) for _ in range(plan.workers)]
        self.left = [payer.rows for payer in plan.payers]
        self.running = [0] * len(plan.payers)
        self.saved = 0
        self.saved_at = 0.0

    def run(self) -> None:
        """Let every thread of every worker work until no batch is left."""
        for core in self.cores:
            for _ in range(self.plan.threads):
                self._claim(core)
        self.clock.run()
        assert self.saved == sum(payer.rows for payer in self.plan.payers)

    def _claim(self, core: Station) -> None:
        """Claim a batch of the job that has the fewest at work: the engine's fair claim."""
        due = [job for job, left in enumerate(self.left) if left]
        if not due:
            return
        job = min(due, key=lambda one: (self.running[one], one))
        rows = min(self.plan.batch_rows, self.left[job])
        self.left[job] -= rows
        self.running[job] += 1
        self.transact(core, self.plan.costs.claim, self._read, core, _Batch(self, core, job, rows))

    def _read(self, core: Station, batch: _Batch) -> None:
        """Read the batch's rows from the columnar copy."""
        core.serve(self.plan.costs.read, batch.ask)

    def transact(self, core: Station, seconds: float, then: Callable[..., None], *args: Any) -> None:
        """Carry out one transaction: Python's part on the worker's core, then the database's."""
        share = self.plan.costs.cpu
        core.serve(seconds * share, self.database.serve, seconds * (1 - share), then, *args)


class _Batch:
    """One batch under way: calls out, outcomes gathered, checkpoints written one after the other."""

    def __init__(self, model: Model, core: Station, job: int, rows: int) -> None:
        self.model, self.core, self.job = model, core, job
        self.to_come = rows
        self.gathered = 0
        self.writing = False
        self.timer = 0

    def ask(self) -> None:
        """Queue a call for every row."""
        door, cpu = self.model.doors[self.job], self.model.plan.costs.call_cpu
        for _ in range(self.to_come):
            door.ask(self.core, cpu, self._came)

    def _came(self) -> None:
        """An outcome came: it is written with those within GATHER_SECONDS, or as soon as enough are there."""
        self.to_come -= 1
        self.gathered += 1
        if self.writing:
            return
        if self.gathered >= self.model.plan.checkpoint_rows or not self.to_come:
            self._write()
        elif self.gathered == 1:
            self.timer += 1
            self.model.clock.after(GATHER_SECONDS, self._time_is_over, self.timer)

    def _time_is_over(self, timer: int) -> None:
        if timer == self.timer and self.gathered and not self.writing:
            self._write()

    def _write(self) -> None:
        rows = min(self.gathered, self.model.plan.checkpoint_rows)
        self.gathered -= rows
        self.timer += 1
        self.writing = True
        costs = self.model.plan.costs
        self.model.transact(self.core, costs.checkpoint + costs.row * rows, self._written, rows)

    def _written(self, rows: int) -> None:
        model = self.model
        self.writing = False
        model.saved += rows
        model.saved_at = model.clock.now
        if self.gathered:
            self._write()
        elif not self.to_come:
            model.running[self.job] -= 1
            model._claim(self.core)
