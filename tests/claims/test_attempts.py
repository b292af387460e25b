"""How often a row is asked for, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import chain, repeat

import pytest

from rowmill.claims.attempts import ROW_DEADLINE_SECONDS, Spent, ask_until_settled
from rowmill.claims.pace import Held, Pace
from rowmill.contracts import Outcome, PayerLimits
from rowmill.errors import PayerError

OK = Outcome(7, "ok")
DOWN = PayerError("PAYER_UNAVAILABLE", "world")
GARBAGE = PayerError("BAD_RESPONSE", "world", "It cannot be read.")
SLOW = PayerError("RATE_LIMITED", "world", retry_after_seconds=0.0)


class Story:
    """A payer that says one thing after the other, and the waits in between."""

    def __init__(self, *events: PayerError | Outcome, then: Iterable[PayerError | Outcome] = ()) -> None:
        self._events = chain(events, then)
        self.waits: list[float] = []
        self.calls = 0
        self.now = 0.0
        self.spent = Spent()
        limits = PayerLimits(backoff_base_seconds=1.0)
        self.pace = Pace(limits, "UHC", clock=lambda: self.now, rand=lambda: 0.0)

    async def call(self) -> Outcome:
        self.calls += 1
        self.now += 1.0
        event = next(self._events)
        if isinstance(event, PayerError):
            raise event
        return event

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def run(self) -> Outcome:
        return asyncio.run(
            ask_until_settled(
                self.call,
                self.pace,
                7,
                spent=self.spent,
                sleep=self.sleep,
                rand=lambda: 1.0,
                clock=lambda: self.now,
            )
        )


def test_the_world_is_tried_again_with_a_ceiling_that_doubles() -> None:
    story = Story(DOWN, DOWN, DOWN, OK)
    outcome = story.run()
    assert (outcome.outcome, outcome.attempts) == ("ok", 4)
    assert story.waits == [1.0, 2.0, 4.0]


def test_attempts_are_spent_at_last_and_the_message_names_the_last_code() -> None:
    story = Story(then=repeat(DOWN))
    outcome = story.run()
    assert (outcome.outcome, outcome.code, outcome.attempts, story.calls) == ("failed", "RETRIES_EXHAUSTED", 5, 5)
    assert outcome.message == "UHC could not be asked; the last of 5 attempts ended with PAYER_UNAVAILABLE."


def test_garbage_is_asked_for_once_more() -> None:
    assert Story(GARBAGE, OK).run().outcome == "ok"
    outcome = Story(GARBAGE, DOWN, GARBAGE).run()
    assert (outcome.outcome, outcome.code, outcome.attempts) == ("failed", "BAD_RESPONSE", 3)


def test_an_error_of_the_row_ends_it_at_once() -> None:
    outcome = Story(PayerError("INVALID_REQUEST", "row", "It is not accepted.")).run()
    assert (outcome.outcome, outcome.code, outcome.attempts) == ("rejected", "INVALID_REQUEST", 1)


def test_being_asked_to_slow_down_costs_no_attempt() -> None:
    story = Story(*repeat(SLOW, 3), OK)
    story.pace.limits = PayerLimits(backoff_base_seconds=0.0)
    assert story.run().attempts == 1
    assert story.calls == 4


def test_but_not_for_longer_than_the_rows_deadline() -> None:
    story = Story(then=repeat(SLOW))
    story.pace.limits = PayerLimits(backoff_base_seconds=0.0)
    outcome = story.run()
    assert (outcome.outcome, outcome.code) == ("failed", "RETRIES_EXHAUSTED")
    assert story.now <= ROW_DEADLINE_SECONDS + 2


def test_setup_spends_nothing_and_holds_the_row() -> None:
    story = Story(PayerError("AUTH_FAILED", "setup"))
    with pytest.raises(Held):
        story.run()
    assert story.spent.attempts == 0
    assert story.pace.in_flight == 0


def test_what_is_spent_outlives_a_snooze() -> None:
    story = Story(then=repeat(DOWN))
    story.spent.attempts = 4
    assert story.run().attempts == 5
    assert story.calls == 1
