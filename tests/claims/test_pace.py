"""The pace of an account, on a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from rowmill.claims.pace import BREAKER_FAILURES, CALLS_PER_TURN, Held, Pace
from rowmill.contracts import PayerLimits
from rowmill.errors import PayerError

DOWN = PayerError("PAYER_UNAVAILABLE", "world")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def a_pace(clock: Clock | None = None, **limits: Any) -> Pace:
    return Pace(PayerLimits(**limits), "UHC", clock=clock or Clock(), rand=lambda: 1.0)


def limited(seconds: float | None = None) -> PayerError:
    return PayerError("RATE_LIMITED", "world", retry_after_seconds=seconds)


async def is_waiting(task: asyncio.Task[None]) -> bool:
    """Let everything that can go on go on, then tell whether the task still waits."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


def test_no_more_in_flight_than_the_account_allows() -> None:
    async def work() -> None:
        pace, most, done = a_pace(in_flight=3), 0, 0

        async def one() -> None:
            nonlocal most, done
            await pace.enter()
            most = max(most, pace.in_flight)
            await asyncio.sleep(0)
            pace.leave()
            done += 1

        await asyncio.gather(*(one() for _ in range(50)))
        assert (most, done, pace.in_flight) == (3, 50, 0)

    run(work())


def test_who_waits_first_goes_first_but_for_calls_that_are_tried_again() -> None:
    async def work() -> None:
        pace, order = a_pace(in_flight=1), []

        async def one(name: str, first: bool = False) -> None:
            await pace.enter(first=first)
            order.append(name)
            pace.leave()

        await pace.enter()
        tasks = [asyncio.create_task(one("a")), asyncio.create_task(one("b"))]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(one("again", first=True)))
        await asyncio.sleep(0)
        pace.leave()
        await asyncio.gather(*tasks)
        assert order == ["again", "a", "b"]

    run(work())


def test_those_who_go_first_keep_their_order_among_themselves() -> None:
    async def work() -> None:
        pace, order = a_pace(in_flight=1), []

        async def one(name: str, first: bool) -> None:
            await pace.enter(first=first)
            order.append(name)
            pace.leave()

        await pace.enter()
        tasks = [asyncio.create_task(one(name, name != "bulk")) for name in ("bulk", "a", "b", "c")]
        await asyncio.sleep(0)
        pace.leave()
        await asyncio.gather(*tasks)
        assert order == ["a", "b", "c", "bulk"]

    run(work())


def test_calls_begin_a_few_at_each_turn_of_the_loop() -> None:
    async def work() -> None:
        pace, begun, turns = a_pace(in_flight=1000), 0, []

        async def one() -> None:
            nonlocal begun
            await pace.enter()
            begun += 1

        tasks = [asyncio.create_task(one()) for _ in range(40)]
        while begun < 40:
            before = begun
            await asyncio.sleep(0)
            turns.append(begun - before)
        await asyncio.gather(*tasks)
        assert max(turns) <= 2 * CALLS_PER_TURN
        assert pace.in_flight == 40

    run(work())


def test_a_cancelled_call_gives_its_place_on() -> None:
    async def work() -> None:
        pace = a_pace(in_flight=1)
        await pace.enter()
        gone, stays = asyncio.create_task(pace.enter()), asyncio.create_task(pace.enter())
        await asyncio.sleep(0)
        pace.leave()  # `gone` has the place now, but has not run yet
        gone.cancel()
        await stays
        assert pace.in_flight == 1
        pace.leave()
        assert pace.in_flight == 0

    run(work())


def test_calls_per_minute() -> None:
    async def work() -> None:
        clock = Clock()
        pace = a_pace(clock, in_flight=100, calls_per_minute=600)
        for _ in range(6):
            await pace.enter()
        late = asyncio.create_task(pace.enter())
        assert await is_waiting(late)
        clock.now += 0.1
        pace.leave()
        await late

    run(work())


def test_a_short_pause_is_waited_for() -> None:
    async def work() -> None:
        clock = Clock()
        pace = a_pace(clock, backoff_base_seconds=0.01)
        await pace.enter()
        pace.failed(limited(2.0))
        pace.leave()
        late = asyncio.create_task(pace.enter())
        assert await is_waiting(late)
        clock.now += 2.0
        await pace_tick(pace)
        await late

    run(work())


async def pace_tick(pace: Pace) -> None:
    """Do what the timer would do."""
    pace._admit()


def test_a_long_pause_sends_everybody_away_and_says_for_how_long() -> None:
    async def work() -> None:
        pace = a_pace(in_flight=1)
        await pace.enter()
        waiting = asyncio.create_task(pace.enter())
        await asyncio.sleep(0)
        pace.failed(limited(38.0))
        pace.leave()
        with pytest.raises(Held) as caught:
            await waiting
        assert caught.value.seconds == 38.0
        assert caught.value.reason == "UHC asks us to slow down."
        with pytest.raises(Held):
            await pace.enter()

    run(work())


def test_without_retry_after_the_pause_doubles_once_for_calls_refused_together() -> None:
    clock = Clock()
    pace = a_pace(clock, backoff_base_seconds=1.0)
    lengths = []
    for _ in range(4):
        for _ in range(10):
            pace.failed(limited())
        lengths.append(pace._pause_until - clock.now)
        clock.now = pace._pause_until
    assert lengths == [1.0, 2.0, 4.0, 8.0]
    pace.succeeded()
    pace.failed(limited())
    assert pace._pause_until - clock.now == 1.0


def test_no_pause_is_longer_than_five_minutes() -> None:
    clock = Clock()
    pace = a_pace(clock)
    pace.failed(limited(86_400.0))
    assert pace._pause_until - clock.now == 300.0


def test_the_breaker_opens_probes_doubles_and_closes() -> None:
    async def work() -> None:
        clock = Clock()
        pace = a_pace(clock)
        for _ in range(BREAKER_FAILURES - 1):
            pace.failed(DOWN)
        await pace.enter()
        pace.failed(DOWN)
        pace.leave()
        with pytest.raises(Held) as caught:
            await pace.enter()
        assert caught.value.reason == "UHC does not answer."
        clock.now += 30
        await pace.enter()  # the probe
        other = asyncio.create_task(pace.enter())
        assert await is_waiting(other), "one probe at a time"
        pace.failed(DOWN)
        pace.leave()
        with pytest.raises(Held) as caught:
            await other
        assert caught.value.seconds == 60
        clock.now += 60
        await pace.enter()
        pace.succeeded()
        pace.leave()
        await asyncio.gather(*(pace.enter() for _ in range(5)))

    run(work())


def test_the_breaker_stays_open_for_a_quarter_of_an_hour_at_most() -> None:
    clock = Clock()
    pace = a_pace(clock)
    for _ in range(BREAKER_FAILURES):
        pace.failed(DOWN)
    for _ in range(10):
        clock.now = pace._open_until
        pace.failed(DOWN)
    assert pace._open_until - clock.now == 900


def test_a_row_that_fails_again_and_again_does_not_open_the_breaker() -> None:
    async def work() -> None:
        pace = a_pace()
        for _ in range(BREAKER_FAILURES * 3):
            pace.failed(DOWN, fresh=False)
        await pace.enter()

    run(work())


@pytest.mark.parametrize("code", ["MEMBER_MISMATCH", "INVALID_REQUEST"])
def test_an_error_of_the_row_shows_that_the_payer_is_there(code: str) -> None:
    async def work() -> None:
        pace = a_pace()
        for _ in range(BREAKER_FAILURES - 1):
            pace.failed(DOWN)
        pace.failed(PayerError(code, "row"))
        pace.failed(DOWN)
        await pace.enter()

    run(work())


def test_a_refused_account_holds_everybody_until_it_is_edited() -> None:
    async def work() -> None:
        pace = a_pace()
        pace.failed(PayerError("AUTH_FAILED", "setup"))
        with pytest.raises(Held) as caught:
            await pace.enter()
        assert caught.value.reason == "UHC refuses our credentials. Check them under Settings, payer accounts."
        assert (caught.value.seconds, caught.value.refused) == (60, "AUTH_FAILED")
        pace.adopt(PayerLimits())
        await pace.enter()

    run(work())
