"""RowKind: what it makes of whatever `call` does."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rowmill import registry
from rowmill.claims.attempts import ROW_DEADLINE_SECONDS
from rowmill.claims.pace import BREAKER_FAILURES, Pace
from rowmill.contracts import BatchInfo, Check, Outcome, PayerLimits, Problem, Row
from rowmill.errors import PayerError, Snooze
from rowmill.kinds.row_kind import Place, RowKind
from tests.claims.made import batch, row

ODD = Check("odd", "The number is odd", "Make it even.", "false")
LIMITS = PayerLimits(in_flight=8, backoff_base_seconds=0.001)


class Scripted(RowKind):
    """A kind whose calls do what a test says."""

    slug = "scripted"
    label = "The service"
    limits = LIMITS

    def __init__(self, script: Callable[[Row], Any], **seams: Any) -> None:
        super().__init__(**seams)
        self.script = script
        self.calls: list[int] = []
        self.told: list[str] = []

    async def call(self, row: Row, batch: BatchInfo) -> Outcome:
        self.calls.append(row.number)
        result = self.script(row)
        if asyncio.iscoroutine(result):
            result = await result
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[no-any-return]

    def same_as(self, row: Row, batch: BatchInfo) -> Hashable | None:
        return row.cells["patient_account_number"] or None

    def tell_refused(self, batch: BatchInfo, pace: Pace, code: str) -> None:
        self.told.append(code)


def ok(row: Row) -> Outcome:
    return Outcome(row.number, "ok", answer={"n": row.number})


def rows(count: int) -> list[Row]:
    return [row(n, f"C{n}") for n in range(1, count + 1)]


def settle(kind: RowKind, given: Iterable[Row], of: BatchInfo | None = None) -> dict[int, Outcome]:
    found: dict[int, Outcome] = {}
    for outcome in kind.process(of or batch(), given):
        assert outcome.row_number not in found, "one outcome for each row"
        found[outcome.row_number] = outcome
    return found


def test_one_outcome_for_each_row() -> None:
    kind = Scripted(ok)
    found = settle(kind, rows(200))
    assert set(found) == set(range(1, 201))
    assert {outcome.outcome for outcome in found.values()} == {"ok"}
    assert sorted(kind.calls) == list(range(1, 201))


def test_no_rows_no_work() -> None:
    assert settle(Scripted(ok), []) == {}


def test_the_cap_belongs_to_the_account_and_not_to_the_batch() -> None:
    now = most = 0

    async def slow(row: Row) -> Outcome:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return ok(row)

    kind = Scripted(slow)
    with ThreadPoolExecutor(5) as threads:
        found = list(threads.map(lambda _: settle(kind, rows(40)), range(5)))
    assert [len(one) for one in found] == [40] * 5
    assert most == LIMITS.in_flight


def test_rows_that_break_checks_are_rejected_without_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CHECKS, "odd", "tests.kinds.test_row_kind.ODD")
    registry.get_check.cache_clear()
    kind = Scripted(ok)
    bad = Row(1, 2, {"patient_account_number": "SECRET"}, problems=(Problem("odd", "tin"), Problem("gone", "")))
    found = settle(kind, [bad, row(2, "C2")])
    assert (found[1].outcome, found[1].code) == ("rejected", "INVALID_INPUT")
    assert found[1].message == "tin: The number is odd; gone"
    assert found[2].outcome == "ok"
    assert kind.calls == [2]
    registry.get_check.cache_clear()


def test_rows_that_ask_the_same_are_asked_once_and_flagged() -> None:
    kind = Scripted(ok)
    found = settle(kind, [row(n, "C", patient_account_number="same") for n in (4, 5, 9)])
    assert kind.calls == [4]
    assert found[4].answer == {"n": 4}
    assert found[5].answer == found[9].answer == {"n": 4, "duplicate_of": 4}


def test_rows_that_ask_the_same_fail_the_same() -> None:
    kind = Scripted(lambda row: PayerError("INVALID_REQUEST", "row", "No."))
    found = settle(kind, [row(n, "C", patient_account_number="same") for n in (1, 2)])
    assert {(one.outcome, one.code) for one in found.values()} == {("rejected", "INVALID_REQUEST")}


@pytest.mark.parametrize("thing", [None, "ok", {"outcome": "ok"}, Outcome(99, "ok"), True])
def test_what_is_no_outcome_of_the_row_is_a_failure(thing: object) -> None:
    found = settle(Scripted(lambda row: thing), rows(1))
    assert (found[1].outcome, found[1].code) == ("failed", "INTERNAL_ERROR")


def test_an_unknown_exception_fails_its_row_only_and_its_text_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    def script(row: Row) -> object:
        return ValueError("CANARY-1980") if row.number == 2 else ok(row)

    with caplog.at_level(logging.DEBUG):
        found = settle(Scripted(script), rows(3))
    assert [found[n].outcome for n in (1, 2, 3)] == ["ok", "failed", "ok"]
    assert "CANARY" not in caplog.text + repr(found)
    assert "ValueError" in caplog.text


def test_tries_again_and_then_fails() -> None:
    seen: dict[int, int] = {}

    def script(row: Row) -> object:
        seen[row.number] = seen.get(row.number, 0) + 1
        return ok(row) if row.number == 1 and seen[1] == 3 else PayerError("NETWORK", "world")

    found = settle(Scripted(script), rows(2))
    assert (found[1].outcome, found[1].attempts) == ("ok", 3)
    assert (found[2].outcome, found[2].code, found[2].attempts) == ("failed", "RETRIES_EXHAUSTED", 5)


def test_sleep_and_chance_can_be_put_in() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    settle(Scripted(lambda row: PayerError("NETWORK", "world"), sleep=sleep, rand=lambda: 0.5), rows(1))
    assert waits == [0.0005, 0.001, 0.002, 0.004]


def test_refused_credentials_snooze_the_batch_and_start_no_further_row() -> None:
    kind = Scripted(lambda row: PayerError("AUTH_FAILED", "setup", "No."))
    with pytest.raises(Snooze) as caught:
        settle(kind, rows(50))
    assert caught.value.reason == "The service refuses our credentials. Check them under Settings, payer accounts."
    assert 0 < caught.value.seconds <= 60
    assert len(kind.calls) <= LIMITS.in_flight
    assert set(kind.told) == {"AUTH_FAILED"}


def test_calls_in_flight_are_yielded_before_the_snooze() -> None:
    begun, refused = [], threading.Event()

    async def script(row: Row) -> Outcome:
        begun.append(row.number)
        if row.number == 1:
            while len(begun) < LIMITS.in_flight:
                await asyncio.sleep(0.001)
            refused.set()
            raise PayerError("AUTH_FAILED", "setup", "No.")
        while not refused.is_set():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        return ok(row)

    found: list[int] = []

    def work() -> None:
        for outcome in Scripted(script).process(batch(), rows(50)):
            found.append(outcome.row_number)

    with pytest.raises(Snooze):
        work()
    assert sorted(found) == list(range(2, LIMITS.in_flight + 1))


def test_a_long_pause_snoozes_for_as_long_as_it_was_asked_for() -> None:
    kind = Scripted(lambda row: PayerError("RATE_LIMITED", "world", retry_after_seconds=280))
    with pytest.raises(Snooze) as caught:
        settle(kind, rows(3))
    assert 220 < caught.value.seconds <= 280
    assert caught.value.reason == "The service asks us to slow down."


def test_an_outage_opens_the_breaker_and_no_row_is_lost() -> None:
    kind = Scripted(lambda row: PayerError("PAYER_UNAVAILABLE", "world"))
    with pytest.raises(Snooze) as caught:
        settle(kind, rows(200))
    assert caught.value.reason == "The service does not answer."
    assert len(kind.calls) < BREAKER_FAILURES + 2 * LIMITS.in_flight


def test_a_row_that_always_fails_comes_to_its_end_over_snoozes() -> None:
    kind = Scripted(lambda row: PayerError("PAYER_UNAVAILABLE", "world"))
    of, left = batch(), rows(30)
    found: dict[int, Outcome] = {}
    for _ in range(300):
        kind._pace._open_until = min(kind._pace._open_until, 1.0)  # time passes
        try:
            for outcome in kind.process(of, left):
                found[outcome.row_number] = outcome
            break
        except Snooze:
            left = [row for row in left if row.number not in found]
    assert len(found) == 30
    assert {outcome.code for outcome in found.values()} == {"RETRIES_EXHAUSTED"}
    assert len(kind.calls) == 30 * 5
    assert ROW_DEADLINE_SECONDS == 600


def test_one_account_on_hold_does_not_stop_the_others() -> None:
    held, free = Pace(LIMITS, "One"), Pace(LIMITS, "Two")

    class Two(Scripted):
        def place_rows(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[tuple[Row, Place]]:
            places: list[Place] = [held, free, Snooze(60, "no account"), Outcome(0, "rejected", "UNKNOWN_TIN")]
            for one in rows:
                yield one, places[one.number % 4]

    def script(row: Row) -> object:
        late = PayerError("RATE_LIMITED", "world", retry_after_seconds=9)
        return late if row.number % 4 == 0 else ok(row)

    found: dict[int, Outcome] = {}

    def work() -> None:
        for outcome in Two(script).process(batch(), rows(40)):
            found[outcome.row_number] = outcome

    with pytest.raises(Snooze) as caught:
        work()
    assert caught.value.seconds <= 9, "the shortest wait counts"
    assert sorted(n for n, one in found.items() if one.outcome == "ok") == list(range(1, 41, 4))
    assert sorted(n for n, one in found.items() if one.code == "UNKNOWN_TIN") == list(range(3, 41, 4))


def test_stopping_gives_up_calls_in_flight_and_returns() -> None:
    stop, cancelled = threading.Event(), threading.Event()

    async def script(row: Row) -> Outcome:
        if row.number <= 3:
            return ok(row)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return ok(row)

    kind = Scripted(script)
    found: list[int] = []
    for outcome in kind.process(batch(stopping=stop.is_set), rows(50)):
        found.append(outcome.row_number)
        if len(found) == 3:
            stop.set()
    assert sorted(found) == [1, 2, 3]
    assert cancelled.wait(60)
    assert len(kind.calls) <= 3 + LIMITS.in_flight
    wait_for(lambda: kind._pace.in_flight == 0)


def wait_for(fact: Callable[[], bool]) -> None:
    for _ in range(6000):
        if fact():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def test_leaving_the_generator_gives_up_the_calls_too() -> None:
    async def script(row: Row) -> Outcome:
        if row.number > 1:
            await asyncio.sleep(60)
        return ok(row)

    kind = Scripted(script)
    outcomes = kind.process(batch(), rows(20))
    next(outcomes)
    outcomes.close()
    wait_for(lambda: kind._pace.in_flight == 0)


def test_a_batch_that_is_stopped_before_it_begins_asks_nothing() -> None:
    kind = Scripted(lambda row: PayerError("AUTH_FAILED", "setup"))
    assert settle(kind, rows(5), batch(stopping=lambda: True)) == {}
