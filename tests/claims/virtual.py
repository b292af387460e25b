"""Processes that share a payer account, in virtual time: an hour of it passes in a moment, and the same way each time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from rowmill.claims.attempts import Spent, ask_until_settled
from rowmill.claims.pace import Held
from rowmill.claims.shared_pace import SharedPace
from rowmill.claims.shares import Ask, Grant, Shared, answer_ask
from rowmill.contracts import Outcome, PayerLimits
from rowmill.errors import PayerError

ROUND_TRIP = 0.004


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        look = self._selector.select

        def select(timeout: float | None = None) -> Any:
            self._now += timeout or 0.0
            return look(0)

        self._selector.select = select

    def time(self) -> float:
        return self._now


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end in virtual time."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(work)
    finally:
        while left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()


class Account:
    """A payer account, its payer, and the database that its processes share it in."""

    def __init__(self, in_flight: int = 40, calls_per_minute: int = 0, seconds: float = 1.0) -> None:
        self.in_flight_cap, self.calls_per_minute, self.seconds = in_flight, calls_per_minute, seconds
        self.shared = Shared()
        self.database_up = True
        self.asks = self.in_flight = self.most = 0
        self.begun: list[float] = []
        self.trouble: PayerError | None = None
        self.rand = random.Random(7)

    async def call(self) -> Outcome:
        """Answer one call. It runs to its end at the payer, also when its caller is gone."""
        self.begun.append(asyncio.get_running_loop().time())
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        asyncio.get_running_loop().call_later(self.seconds, self._end)
        await asyncio.sleep(self.seconds)
        if self.trouble is not None:
            raise self.trouble
        return Outcome(1, "ok")

    def _end(self) -> None:
        self.in_flight -= 1

    def calls_between(self, first: float, last: float) -> int:
        return sum(first <= at < last for at in self.begun)


class Process:
    """One process: a pace and as many rows as wait at it. `skew` is what its clock is off."""

    def __init__(self, account: Account, skew: float = 0.0) -> None:
        self.account = account
        self.frozen = False
        self.done = 0
        self.held: list[Held] = []
        self._tasks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        limits = PayerLimits(connect_timeout_seconds=1.0, read_timeout_seconds=5.0, backoff_base_seconds=0.1)
        self.pace = SharedPace(limits, "UHC", self.ask, clock=lambda: loop.time() + skew, rand=account.rand.random)

    async def ask(self, ask: Ask) -> Grant:
        await asyncio.sleep(ROUND_TRIP)
        while self.frozen:
            await asyncio.sleep(3600)
        if not self.account.database_up:
            raise OSError("no database")
        account, now = self.account, asyncio.get_running_loop().time()
        account.asks += 1
        grant = answer_ask(account.shared, ask, now, account.in_flight_cap, account.calls_per_minute)
        await asyncio.sleep(ROUND_TRIP)
        return grant

    def add(self, rows: int, *, first: bool = False) -> list[asyncio.Task[None]]:
        """Have more rows asked for."""
        made = [asyncio.get_running_loop().create_task(self._one(first)) for _ in range(rows)]
        self._tasks.update(made)
        return made

    async def _one(self, first: bool) -> None:
        try:
            await ask_until_settled(
                self.account.call, self.pace, 1, spent=Spent(), first=first, clock=asyncio.get_running_loop().time
            )
            self.done += 1
        except Held as held:
            self.held.append(held)

    def kill(self) -> None:
        """End it as kill -9 does: nothing is given back, and what the payer was asked goes on there."""
        self.frozen = True
        if self.pace._asking is not None:
            self.pace._asking.cancel()
        self.pace._admit = lambda: None  # type: ignore[method-assign]
        for task in self._tasks:
            task.cancel()
