"""Ask until there is an outcome: back off and try again while the world is wrong, give up when the tries are spent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import monotonic

from rowmill.claims.pace import Pace
from rowmill.contracts import Outcome
from rowmill.errors import PayerError

ROW_DEADLINE_SECONDS = 600.0
MAX_GARBAGE = 2

Sleep = Callable[[float], Awaitable[None]]
Rand = Callable[[], float]


@dataclass(slots=True)
class Spent:
    """What one row has used up. It outlives a snooze, so that a row that always fails comes to its end."""

    attempts: int = 0
    garbage: int = 0


async def ask_until_settled(
    call: Callable[[], Awaitable[Outcome]],
    pace: Pace,
    row_number: int,
    *,
    spent: Spent,
    first: bool = False,
    sleep: Sleep = asyncio.sleep,
    rand: Rand = random.random,
    clock: Callable[[], float] = monotonic,
) -> Outcome:
    """Call through the account's pace until a row is settled.

    Being asked to slow down costs no attempt, but the row's deadline runs from its first call on.
    Raises: Held when the account lets nothing through for a while; whatever else `call` raises.
    """
    deadline: float | None = None
    while True:
        await pace.enter(first=first or spent.attempts > 0)
        deadline = clock() + ROW_DEADLINE_SECONDS if deadline is None else deadline
        try:
            outcome = await call()
            pace.succeeded()
            return replace(outcome, attempts=spent.attempts + 1)
        except PayerError as error:
            # Noted before the place is given back, or the next call would go out into a pause.
            pace.failed(error, fresh=spent.attempts == 0)
            failure = error
        finally:
            pace.leave()
        settled = _settle(failure, row_number, spent, pace, late=clock() >= deadline)
        if settled is not None:
            return settled
        if failure.blame == "world" and failure.code != "RATE_LIMITED":
            await sleep(backoff_seconds(pace, spent.attempts, rand))


def backoff_seconds(pace: Pace, attempts: int, rand: Rand) -> float:
    """Draw the wait before the next try: full jitter under a ceiling that doubles."""
    limits = pace.limits
    ceiling: float = limits.backoff_base_seconds * 2 ** max(attempts - 1, 0)
    return rand() * min(limits.backoff_cap_seconds, ceiling)


def _settle(error: PayerError, row_number: int, spent: Spent, pace: Pace, *, late: bool) -> Outcome | None:
    """Give the outcome of a row whose tries are over, None where it shall be tried again."""
    if error.blame == "row":
        return Outcome(row_number, "rejected", error.code, str(error), attempts=spent.attempts + 1)
    if error.blame == "setup":
        return None  # the pace now holds everybody: the next `enter` says so
    if error.code != "RATE_LIMITED":
        spent.attempts += 1
        spent.garbage += error.code == "BAD_RESPONSE"
    if spent.garbage >= MAX_GARBAGE:
        return Outcome(row_number, "failed", error.code, str(error), attempts=spent.attempts)
    if late or spent.attempts >= pace.limits.max_attempts:
        message = f"{pace.who} could not be asked; the last of {spent.attempts} attempts ended with {error.code}."
        return Outcome(row_number, "failed", "RETRIES_EXHAUSTED", message, attempts=spent.attempts)
    return None
