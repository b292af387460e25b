"""The pace of a payer account that several processes ask through: this process's part of it, asked for again and again.

It asks off the call loop, every half second while there is something to do and at once when there is news; between two
asks calls go out without any round trip. Where no answer comes, no call begins after BEGIN_SECONDS. At rest it asks
nothing and holds nothing. Used from the call loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import monotonic
from uuid import uuid4

from rowmill.claims.pace import Held, Pace
from rowmill.claims.shares import ASK_SECONDS, BEGIN_SECONDS, Ask, Grant, News
from rowmill.contracts import PayerLimits
from rowmill.errors import PayerError

FRESH_SECONDS = 1.0
LATE_SECONDS = 0.5
HURRY_SECONDS = 0.1
TROUBLE_SECONDS = 1.0

log = logging.getLogger("rowmill.claims")


class SharedPace(Pace):
    """A pace whose calls in flight, begin times and pauses are granted by `ask` (limit_store.py, shares.py)."""

    def __init__(
        self,
        limits: PayerLimits,
        who: str,
        ask: Callable[[Ask], Awaitable[Grant]],
        *,
        clock: Callable[[], float] = monotonic,
        rand: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(limits, who, clock=clock, rand=rand)
        self.owner = uuid4().hex
        self._ask = ask
        self._places = 0
        self._heard_at = float("-inf")
        self._begin_until = float("-inf")
        self._times: deque[float] = deque()
        self._unused = self._begun = 0
        self._short_of_times = False
        self._short_of_places = False
        self._news: News | None = None
        self._asking: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._trouble = False

    def adopt(self, limits: PayerLimits) -> None:
        """Take new limits after the account was edited; what holds calls back is asked for anew."""
        super().adopt(limits)
        self._heard_at = float("-inf")

    def succeeded(self) -> None:
        """Note that the payer answered; where the breaker is open, tell the others."""
        was_open = bool(self._open_until)
        super().succeeded()
        if was_open:
            self._tell(replace(self._news or News(), answered=True, open_left=0.0, open_seconds=0.0))

    def failed(self, error: PayerError, *, fresh: bool = True) -> None:
        """Note how a call failed; where that holds calls back, tell the others at once."""
        before = (self._pause_until, self._open_until, self._refused_until)
        super().failed(error, fresh=fresh)
        if before == (self._pause_until, self._open_until, self._refused_until):
            return
        now, news = self._clock(), self._news or News()
        if self._pause_until > now:
            news = replace(news, pause_seconds=self._pause_until - now)
        if self._open_until > now:
            news = replace(news, open_left=self._open_until - now, open_seconds=self._open_seconds)
        if self._refused_until > now:
            left, code, reason = self._refused_until - now, self._refused_code, self._refused_reason
            news = replace(news, refused_left=left, refused_code=code, refused_reason=reason)
        self._tell(news)

    async def aclose(self) -> None:
        """Give back what is held."""
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking
        if self._heard_at > float("-inf"):
            with contextlib.suppress(Exception):  # the lease runs out by itself
                await asyncio.wait_for(self._ask(Ask(self.owner, unused=len(self._times))), 2.0)
        self._places, self._heard_at = 0, float("-inf")

    # ---------------------------------------------------------------------------------------- what is granted

    def _is_fresh(self) -> bool:
        """Tell whether what is known of the others is recent."""
        return self._clock() - self._heard_at <= FRESH_SECONDS

    def _held(self) -> Held | None:
        """Tell what keeps calls away, but never by old knowledge: somebody may have mended the account."""
        held = super()._held()
        return held if held is None or self._is_fresh() else None

    def _most_in_flight(self) -> int:
        """Give this process's part; none where its grant is old, or what is known speaks against it."""
        if self._clock() >= self._begin_until or super()._held() is not None:
            return 0
        return min(self._places, 1) if self._open_until else self._places

    def _may_begin(self) -> bool:
        """Tell whether the grant still holds."""
        return self._clock() < self._begin_until

    def _wait_for_rate(self, now: float) -> float:
        """Give the seconds until the next begin time."""
        self._drop_late(now)
        if self._times:
            return self._times[0] - now
        if not self._short_of_times:
            self._hurry.set()
        return ASK_SECONDS

    def _drop_late(self, now: float) -> None:
        """Put aside begin times that passed unused; they go back with the next ask."""
        while self._times and self._times[0] < now - LATE_SECONDS:
            self._times.popleft()
            self._unused += 1

    def _count_call(self) -> None:
        """Note that a call begins."""
        self._begun += 1
        if self._times:
            self._times.popleft()

    def _admit(self) -> None:
        """Let in as many as may go now, and see to it that more is asked for."""
        super()._admit()
        waits = self._next_line() is not None
        # Where the last answer gave less than was asked for, there is no more to be had by asking sooner.
        known_short = self._short_of_places and self._is_fresh()
        if waits and self.in_flight >= self._most_in_flight() and not known_short:
            self._hurry.set()
        if waits:
            self._keep_asking()

    # ---------------------------------------------------------------------------------------- asking

    def _tell(self, news: News) -> None:
        """Have the others told at once."""
        self._news = news
        self._hurry.set()
        self._keep_asking()

    def _keep_asking(self) -> None:
        """Begin to ask, unless that goes on already."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask_on())

    async def _ask_on(self) -> None:
        """Ask until there is nothing to do and nothing held any more."""
        while True:
            self._hurry.clear()
            await self._ask_once()
            if not (self._next_line() or self.in_flight or self._news or self._places):
                return
            await asyncio.sleep(TROUBLE_SECONDS if self._trouble else HURRY_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), (ASK_SECONDS - HURRY_SECONDS) * (0.9 + self._rand() / 5))

    async def _ask_once(self) -> None:
        """Ask once, and take what is given."""
        asked_at, news = self._clock(), self._news
        ask = self._make_ask()
        self._news = None
        self._places, self._unused, self._begun = ask.held, 0, 0
        try:
            grant = await self._ask(ask)
        except Exception as error:
            # The type only, and once: what a database's client throws may be long, and may come every half second.
            if not self._trouble:
                log.warning("limits_not_shared payer=%s error=%s", self.who, type(error).__name__)
            self._trouble, self._news, self._unused = True, self._news or news, ask.unused
            return
        self._trouble = False
        self._take(grant, asked_at, ask)

    def _make_ask(self) -> Ask:
        """Say what this process has and what it could use."""
        urgent = sum(not place.done() for place in self._first)
        waiting = urgent + sum(not place.done() for place in self._waiting)
        wanted = self.in_flight + waiting
        self._drop_late(self._clock())
        # No more begin times than there will be places for: what is in flight ends at about the rate it began.
        able = max((self._places or self.limits.in_flight) - self.in_flight, 0) + 2 * self._begun + 1
        if not waiting:
            self._unused += len(self._times)
            self._times.clear()
        return Ask(
            self.owner,
            held=min(max(self._places, self.in_flight), wanted),
            wanted=wanted,
            urgent=urgent,
            calls=max(0, min(waiting, able) - len(self._times)),
            unused=self._unused,
            hungry=self._short_of_times or urgent > 0,
            call_seconds=self.limits.connect_timeout_seconds + self.limits.read_timeout_seconds,
            news=self._news or News(),
        )

    def _take(self, grant: Grant, asked_at: float, ask: Ask) -> None:
        """Take what was given, and let in who may go now."""
        now = self._clock()
        self.limits = replace(self.limits, in_flight=grant.in_flight, calls_per_minute=grant.calls_per_minute)
        self._places = min(grant.places, grant.target)
        self._begin_until, self._heard_at = asked_at + BEGIN_SECONDS, now
        first = now + grant.first_call_in
        self._times.extend(max(now, first + number * grant.call_gap) for number in range(grant.calls))
        self._short_of_times, self._short_of_places = grant.calls < ask.calls, grant.target < ask.wanted
        if self._news is None:
            self._take_quiet(grant.quiet, now)
        self._admit()

    def _take_quiet(self, quiet: News, now: float) -> None:
        """Hold calls back as all processes do."""
        self._pause_until = now + quiet.pause_seconds
        self._open_until = now + quiet.open_left if quiet.open_seconds else 0.0
        self._open_seconds = quiet.open_seconds or self._open_seconds
        self._refused_until = now + quiet.refused_left if quiet.refused_left else 0.0
        self._refused_code, self._refused_reason = quiet.refused_code, quiet.refused_reason
