"""The pace of one payer account: calls in flight, calls per minute, pauses the payer asks for, and a circuit breaker.

The number of calls in flight belongs to the account, not to a batch: every batch of this process that asks through the
account waits at the same door. Used from the call loop only. Where several processes ask, shared_pace.py divides it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from time import monotonic

from rowmill.contracts import PayerLimits
from rowmill.errors import PayerError, RowmillError

LONG_PAUSE_SECONDS = 5.0
REFUSED_SECONDS = 60.0
BREAKER_FAILURES = 20
BREAKER_SECONDS = 30.0
BREAKER_MAX_SECONDS = 900.0
MAX_PAUSE_SECONDS = 300.0
CALLS_PER_TURN = 4


class Held(RowmillError):
    """No call is let through for a while.

    Units: seconds until the next try. `reason` is in words, for people. `refused` is the payer's code where it refuses
    the account itself (AUTH_FAILED, NOT_ENTITLED, CONFIG), "" otherwise.
    """

    code = "held"

    def __init__(self, seconds: float, reason: str, refused: str = "") -> None:
        super().__init__(reason)
        self.seconds = seconds
        self.reason = reason
        self.refused = refused


class Pace:
    """The door that every call of one payer account goes through.

    `enter` and `leave` stand around a call; `succeeded` or `failed` tell in between how it went. `clock` and `rand` are
    there for tests.
    """

    def __init__(
        self,
        limits: PayerLimits,
        who: str = "The payer",
        *,
        clock: Callable[[], float] = monotonic,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self.limits = limits
        self.who = who
        self._clock = clock
        self._rand = rand
        self._first: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None
        self._let_in = 0
        self.in_flight = 0
        self._calls_left = self._most_calls()
        self._counted_at = clock()
        self._forget()

    def adopt(self, limits: PayerLimits) -> None:
        """Take new limits after the account was edited, and forget what held the old one back."""
        self.limits = limits
        self._calls_left = self._most_calls()
        self._forget()

    # ---------------------------------------------------------------------------------------- one call

    async def enter(self, *, first: bool = False) -> None:
        """Wait for a free place. `first`: before all who wait, for calls tried again and for a person who waits.

        Raises: Held when there will be none for seconds to come.
        """
        while True:
            await self._wait_for_place(first)
            if self._may_begin():
                return
            self.leave()

    async def _wait_for_place(self, first: bool) -> None:
        """Wait in line. Raises: Held."""
        held = self._held()
        if held is not None:
            raise held
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._first if first else self._waiting).append(place)
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            # The place may have been given in the very moment of the cancel: then it goes to the next.
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave()
            raise

    def _may_begin(self) -> bool:
        """Tell, when the one who was let in comes to go, whether it still may: its process may have been frozen."""
        return True

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._admit()

    def succeeded(self) -> None:
        """Note that the payer answered, whatever it said."""
        self._failures = 0
        self._slowed = 0
        self._open_until = 0.0
        self._open_seconds = BREAKER_SECONDS

    def failed(self, error: PayerError, *, fresh: bool = True) -> None:
        """Note how a call failed.

        `fresh`: the row had not failed before. Only such failures speak for an outage; a row that fails again and again
        may be the only one that does, and must not park the others.
        """
        if error.blame == "setup":
            self._refuse(error)
        elif error.blame == "row":
            self.succeeded()
        elif error.code == "RATE_LIMITED":
            self._pause(error.retry_after_seconds)
        else:
            self._count_failure(fresh)
            if error.retry_after_seconds:
                self._pause(error.retry_after_seconds)

    # ---------------------------------------------------------------------------------------- what holds calls back

    def _forget(self) -> None:
        """Forget pauses, refusals and the breaker."""
        self._pause_until = 0.0
        self._slowed = 0
        self._refused_until = 0.0
        self._refused_reason = ""
        self._refused_code = ""
        self._failures = 0
        self._open_until = 0.0
        self._open_seconds = BREAKER_SECONDS

    def _held(self) -> Held | None:
        """Tell what keeps calls away for long, None where nothing does."""
        now = self._clock()
        if now < self._refused_until:
            return Held(self._refused_until - now, self._refused_reason, self._refused_code)
        if now < self._open_until:
            return _held_for(self._open_until - now, f"{self.who} does not answer")
        if self._pause_until - now >= LONG_PAUSE_SECONDS:
            return _held_for(self._pause_until - now, f"{self.who} asks us to slow down")
        return None

    def _pause(self, retry_after_seconds: float | None) -> None:
        """Keep the whole account quiet, as the payer asked or for longer each time it did not say how long."""
        now = self._clock()
        if now >= self._pause_until:
            # Calls that were under way together are answered together: they count as one request to slow down.
            self._slowed += 1
        ceiling = min(self.limits.backoff_cap_seconds, self.limits.backoff_base_seconds * 2 ** (self._slowed - 1))
        wait = max(retry_after_seconds or 0.0, ceiling * (0.5 + self._rand() / 2))
        self._pause_until = max(self._pause_until, now + min(wait, MAX_PAUSE_SECONDS))

    def _refuse(self, error: PayerError) -> None:
        """Keep calls away until a person may have mended the account."""
        self._refused_until = self._clock() + REFUSED_SECONDS
        self._refused_code = error.code
        if error.code == "AUTH_FAILED":
            self._refused_reason = f"{self.who} refuses our credentials. Check them under Settings, payer accounts."
        else:
            self._refused_reason = f"{error} See Settings, payer accounts."

    def _count_failure(self, fresh: bool) -> None:
        """Open the breaker after enough failures in a row, and for twice as long when its probe fails too."""
        now = self._clock()
        if self._open_until:
            if now >= self._open_until:
                self._open_seconds = min(self._open_seconds * 2, BREAKER_MAX_SECONDS)
                self._open_until = now + self._open_seconds
            return
        self._failures += fresh
        if self._failures >= BREAKER_FAILURES:
            self._failures = 0
            self._open_until = now + self._open_seconds

    # ---------------------------------------------------------------------------------------- who goes next

    def _admit(self) -> None:
        """Let in as many as may go now; those who cannot go for long are sent away."""
        held = self._held()
        if held is not None:
            self._send_away(held)
            return
        while (line := self._next_line()) and self.in_flight < self._most_in_flight():
            wait = self._wait_seconds()
            if wait > 0:
                self._admit_in(wait)
                return
            if self._let_in >= CALLS_PER_TURN:
                self._admit_next_turn()
                return
            self._let_in += 1
            self.in_flight += 1
            self._count_call()
            line.popleft().set_result(None)

    def _send_away(self, held: Held) -> None:
        """Tell everybody who waits that there is no going on for long."""
        for line in (self._first, self._waiting):
            for place in line:
                if not place.done():
                    place.set_exception(held)
            line.clear()

    def _next_line(self) -> deque[asyncio.Future[None]] | None:
        """Give the line whose first is the next to go; who was cancelled meanwhile leaves it. None where nobody waits."""
        for line in (self._first, self._waiting):
            while line and line[0].done():
                line.popleft()
            if line:
                return line
        return None

    def _admit_next_turn(self) -> None:
        """Go on at the loop's next turn: a thousand calls that begin together are answered together, time and again."""
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        """Let in the next few."""
        self._turn = None
        self._let_in = 0
        self._admit()
        if self._let_in and self._turn is None:
            self._admit_next_turn()

    def _most_in_flight(self) -> int:
        """Give the cap; a breaker that is half open lets one call through as its probe."""
        return 1 if self._open_until else max(self.limits.in_flight, 1)

    def _most_calls(self) -> float:
        """Give how many calls may go at once after a quiet time: a hundredth of a minute's."""
        return max(self.limits.calls_per_minute / 100, 1.0)

    def _count_call(self) -> None:
        """Note that a call begins."""
        self._calls_left -= 1

    def _wait_seconds(self) -> float:
        """Give how long the next call must wait for a short pause or for the rate."""
        now = self._clock()
        wait = max(self._pause_until - now, self._wait_for_rate(now) if self.limits.calls_per_minute else 0.0)
        # A timer may fire a hair too early; a wait below a millisecond is none.
        return wait if wait > 0.001 else 0.0

    def _wait_for_rate(self, now: float) -> float:
        """Give how long the next call must wait for the rate."""
        rate = self.limits.calls_per_minute / 60
        self._calls_left = min(self._most_calls(), self._calls_left + (now - self._counted_at) * rate)
        self._counted_at = now
        return (1 - self._calls_left) / rate

    def _admit_in(self, seconds: float) -> None:
        """Look again later."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._admit)


def _held_for(seconds: float, what: str) -> Held:
    """Say what holds calls back and for how long."""
    return Held(seconds, f"{what}.")
