"""Processes that share an account's limits: never more than the cap, the rate kept, nobody left out, whoever dies."""

from __future__ import annotations

import asyncio

import pytest

from rowmill.claims.shares import BEGIN_SECONDS, MARGIN_SECONDS, Ask, Share, Shared, answer_ask, divide
from rowmill.errors import PayerError
from tests.claims.virtual import Account, Process, run

LEASE_SECONDS = BEGIN_SECONDS + MARGIN_SECONDS + 6.0


@pytest.mark.parametrize(
    ("cap", "demands", "found"),
    [
        (40, {"a": (100, 0), "b": (100, 0)}, {"a": 20, "b": 20}),
        (40, {"a": (100, 0), "b": (5, 0)}, {"a": 35, "b": 5}),
        (40, {"a": (3, 0), "b": (5, 0)}, {"a": 3, "b": 5}),
        (10, {"a": (100, 0), "b": (100, 8)}, {"a": 1, "b": 9}),
        (10, {"a": (0, 0), "b": (4, 9)}, {"a": 0, "b": 4}),
        (0, {"a": (1, 1)}, {"a": 0}),
    ],
)
def test_places_are_divided_evenly_and_what_is_urgent_goes_first(cap, demands, found) -> None:
    assert divide(cap, demands) == found


def test_with_fewer_places_than_processes_each_has_its_turn() -> None:
    demands = {f"p{number}": (50, 0) for number in range(10)}
    turns = [divide(3, demands, turn) for turn in range(10)]
    assert all(sum(turn.values()) == 3 for turn in turns)
    assert all(any(turn[owner] for turn in turns[:4]) for owner in demands)


def test_one_busy_process_soon_has_the_whole_limit() -> None:
    async def work() -> None:
        account = Account(in_flight=40)
        idle, busy = Process(account), Process(account)
        idle.add(40)
        await asyncio.sleep(0.5)
        busy.add(400)
        await asyncio.sleep(4)
        assert (idle.done, account.in_flight, account.most) == (40, 40, 40)

    run(work())


def test_four_busy_processes_fill_the_cap_and_never_break_it() -> None:
    async def work() -> None:
        account = Account(in_flight=40)
        for number in range(4):
            Process(account, skew=number * 1000.0).add(1000)
        await asyncio.sleep(3)
        before = len(account.begun)
        await asyncio.sleep(60)
        assert account.most == 40
        assert len(account.begun) - before >= 0.95 * 40 * 60

    run(work())


@pytest.mark.parametrize("per_minute", [30, 100, 600, 6000])
def test_the_rate_is_kept_by_four_processes_together(per_minute: int) -> None:
    async def work() -> None:
        account = Account(in_flight=400, calls_per_minute=per_minute, seconds=0.3)
        processes = [Process(account) for _ in range(4)]
        for process in processes:
            process.add(per_minute)
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(130)
        for first in (0, 2, 7, 30, 60):
            calls = account.calls_between(began + first, began + first + 60)
            assert calls <= per_minute * 1.02 + 1
            assert calls >= per_minute * 0.98 - 1
        assert min(process.done for process in processes) >= per_minute * 130 / 60 / 4 / 3

    run(work())


def test_one_alone_has_the_whole_rate() -> None:
    async def work() -> None:
        account = Account(in_flight=100, calls_per_minute=600, seconds=2.0)
        Process(account).add(2000)
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(60)
        assert 588 <= account.calls_between(began, began + 60) <= 612

    run(work())


def test_what_a_killed_process_held_comes_back_after_its_lease() -> None:
    async def work() -> None:
        account = Account(in_flight=40, seconds=3.0)
        processes = [Process(account) for _ in range(4)]
        for process in processes:
            process.add(2000)
        await asyncio.sleep(10)
        processes[0].kill()
        await asyncio.sleep(LEASE_SECONDS - 5)
        assert account.in_flight <= 32
        await asyncio.sleep(5 + 4)
        assert account.in_flight == 40
        assert account.most == 40

    run(work())


def test_a_process_that_froze_begins_nothing_on_its_old_grant() -> None:
    async def work() -> None:
        account = Account(in_flight=10, seconds=1.0)
        frozen, other = Process(account), Process(account)
        frozen.add(500)
        other.add(5000)
        await asyncio.sleep(5)
        frozen.frozen = True
        await asyncio.sleep(BEGIN_SECONDS + 2)
        done = frozen.done
        await asyncio.sleep(30)
        assert frozen.done == done
        assert (account.in_flight, account.most) == (10, 10)

    run(work())


def test_a_process_that_thaws_after_its_lease_takes_no_place_from_others() -> None:
    shared = Shared(shares={"frozen": Share(5, 50, 0, until=90.0), "other": Share(10, 50, 0, until=110.0)})
    grant = answer_ask(shared, Ask("frozen", held=5, wanted=50), 100.0, 10, 0)
    assert (grant.places, grant.target) == (0, 5)
    again = answer_ask(shared, Ask("frozen", held=5, wanted=50), 100.5, 10, 0)
    assert again.places == 0
    answer_ask(shared, Ask("other", held=7, wanted=50), 101.0, 10, 0)
    assert answer_ask(shared, Ask("frozen", held=5, wanted=50), 101.5, 10, 0).places == 3


def test_without_the_database_calls_end_and_none_begins_until_it_is_back() -> None:
    async def work() -> None:
        account = Account(in_flight=10)
        process = Process(account)
        process.add(2000)
        await asyncio.sleep(3)
        account.database_up = False
        await asyncio.sleep(BEGIN_SECONDS + 1.5)
        assert account.in_flight == 0
        account.database_up = True
        await asyncio.sleep(2.5)
        assert account.in_flight == 10

    run(work())


def test_a_429_seen_by_one_quiets_all_within_a_second() -> None:
    async def work() -> None:
        account = Account(in_flight=40)
        processes = [Process(account) for _ in range(4)]
        for process in processes:
            process.add(400)
        await asyncio.sleep(5)
        processes[0].pace.failed(PayerError("RATE_LIMITED", "world", retry_after_seconds=30.0))
        told = asyncio.get_running_loop().time()
        await asyncio.sleep(20)
        assert account.calls_between(told + 1, told + 20) == 0
        assert all(process.held for process in processes)
        assert {held.reason for process in processes for held in process.held} == {"UHC asks us to slow down."}

    run(work())


def test_an_outage_stops_all_and_one_probe_opens_the_door_again() -> None:
    async def work() -> None:
        account = Account(in_flight=40)
        processes = [Process(account) for _ in range(4)]
        account.trouble = PayerError("PAYER_UNAVAILABLE", "world")
        for process in processes:
            process.add(100)
        await asyncio.sleep(10)
        assert all(process.held for process in processes)
        account.trouble = None
        await asyncio.sleep(25)
        before = len(account.begun)
        for process in processes:
            process.add(50)
        await asyncio.sleep(0.9)
        assert len(account.begun) - before == 1
        await asyncio.sleep(4)
        assert account.in_flight == 40
        assert account.shared.quiet.open_seconds == 0

    run(work())


def test_a_refused_account_is_refused_for_all_until_a_person_mends_it() -> None:
    async def work() -> None:
        account = Account()
        one, other = Process(account), Process(account)
        one.add(1)
        await asyncio.sleep(2)
        one.pace.failed(PayerError("AUTH_FAILED", "setup"))
        one.add(1)
        await asyncio.sleep(1)
        other.add(1)
        await asyncio.sleep(1)
        assert [held.refused for held in (*one.held, *other.held)] == ["AUTH_FAILED"] * 2
        account.shared.quiet.refused_until = 0.0  # what saving new credentials does
        await asyncio.sleep(1)
        done = one.done + other.done
        one.add(1)
        other.add(1)
        await asyncio.sleep(3)
        assert one.done + other.done == done + 2

    run(work())


def test_a_call_that_goes_first_waits_for_no_bulk_of_another_process() -> None:
    async def work() -> None:
        account = Account(in_flight=20, calls_per_minute=300, seconds=0.5)
        bulk, quick = Process(account), Process(account)
        bulk.add(3000)
        await asyncio.sleep(10)
        lookup = quick.add(1, first=True)[0]
        await asyncio.wait_for(lookup, 3)
        assert bulk.done < 100

    run(work())


def test_at_rest_it_asks_nothing_and_holds_nothing() -> None:
    async def work() -> None:
        account = Account(calls_per_minute=6000)
        process = Process(account)
        process.add(30)
        await asyncio.sleep(5)
        assert process.done == 30
        assert account.shared.shares == {}
        asks = account.asks
        await asyncio.sleep(600)
        assert account.asks == asks
        assert asks <= 20

    run(work())


def test_new_limits_of_the_account_hold_without_a_new_start() -> None:
    async def work() -> None:
        account = Account(in_flight=10)
        process = Process(account)
        process.add(1000)
        await asyncio.sleep(3)
        account.in_flight_cap = 30
        await asyncio.sleep(2)
        assert account.in_flight == 30
        account.in_flight_cap = 5
        await asyncio.sleep(3)
        assert account.in_flight == 5

    run(work())


def test_closing_gives_back_at_once() -> None:
    async def work() -> None:
        account = Account(in_flight=10)
        process = Process(account)
        tasks = process.add(100)
        await asyncio.sleep(3)
        for task in tasks:
            task.cancel()
        await process.pace.aclose()
        assert account.shared.shares == {}

    run(work())
