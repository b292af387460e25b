"""The profiles: whoever asks five times gets the book's answer, and the order of asking changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence

import aiohttp
import pytest

from payersim.chance import Draws, triangular
from payersim.settings import PROFILES, named_profile
from payersim.testing import Payer, running
from tests.payersim.asking import Asker, Told, with_asker

ATTEMPTS = 5
# What may be wrong once more before a client takes it for final (facts about real payers' clients).
GARBAGE_ATTEMPTS = 2


async def ask_until_answered(asker: Asker, number: str, refreshing: asyncio.Lock) -> Counter[str]:
    """Ask as a patient client does. Gives what was met on the way; "answered" once at most."""
    met: Counter[str] = Counter()
    while sum(met.values()) - met["401"] - met["429"] < ATTEMPTS:
        token = asker.token
        try:
            told = await asker.ask(number)
        except (aiohttp.ClientError, TimeoutError):
            met["network"] += 1
            continue
        met[kind_of(told)] += 1
        if met["answered"]:
            return met
        if told.status == 401:
            async with refreshing:
                if asker.token == token:
                    await asker.get_token()
    return met


def kind_of(told: Told) -> str:
    if told.status != 200:
        return str(told.status)
    try:
        body = json.loads(told.body)
    except ValueError:
        return "garbage"
    if body.get("errors"):
        return "errors"
    return "answered" if body.get("data") else "garbage"


def work_through(payer: Payer, numbers: Sequence[str], in_flight: int) -> list[Counter[str]]:
    async def story(asker: Asker) -> list[Counter[str]]:
        places, refreshing = asyncio.Semaphore(in_flight), asyncio.Lock()

        async def one(number: str) -> Counter[str]:
            async with places:
                return await ask_until_answered(asker, number, refreshing)

        return await asyncio.gather(*map(one, numbers))

    return with_asker(payer, story, timeout_seconds=60)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_everybody_who_asks_five_times_is_answered(profile: str) -> None:
    numbers = [f"SIMPD{i}" for i in range(500)] + ["SIMPD1"] * 2
    with running(profile, in_flight_cap=40) as payer:
        met = work_through(payer, numbers, in_flight=40)
        stats = payer.stats()
    assert all(m["answered"] == 1 for m in met)
    assert all(m["garbage"] < GARBAGE_ATTEMPTS for m in met)
    assert all(m["401"] <= 1 for m in met)
    assert stats["cap_exceeded"] == 0
    assert 2 <= stats["max_in_flight"] <= 40
    assert stats["tokens_issued"] <= 4
    assert stats["claims_answered"] == 500
    assert stats["sent_429"] <= 100


def test_hostile_shows_every_kind_of_trouble() -> None:
    with running("hostile") as payer:
        work_through(payer, [f"SIMPD{i}" for i in range(500)], in_flight=40)
        answers = payer.stats()["answers"]
    assert set(PROFILES["hostile"].faults) <= set(answers)
    assert answers["unauthorized"] > 0


def test_story_does_not_depend_on_the_order() -> None:
    # Without what goes by the clock or by the number of calls.
    profile = named_profile("hostile", {"burst_every": 0.0, "revoke_at": ()})
    numbers = [f"SIMPD{i}" for i in range(150)]
    told = []
    for order, in_flight in ((numbers, 4), (numbers[::-1], 30)):
        with running(profile, seed=7) as payer:
            met = work_through(payer, order, in_flight)
        told.append(dict(zip(order, map(dict, met), strict=True)))
    assert told[0] == told[1]
    with running(profile, seed=8) as payer:
        other = work_through(payer, numbers, 30)
    assert told[0] != dict(zip(numbers, map(dict, other), strict=True))


def test_bursts_come_and_go() -> None:
    # At scale 0 a burst is the last 0.3 s of every 3 s.
    now = [1000.0]
    profile = named_profile("bursty", {"faults": {}})
    with running(profile, clock=lambda: now[0]) as payer:
        before = work_through(payer, [f"SIMPD{i}" for i in range(50)], in_flight=10)
        now[0] += 2.9
        during = work_through(payer, [f"SIMPD{i}" for i in range(50, 100)], in_flight=10)
        now[0] += 0.2
        after = work_through(payer, [f"SIMPD{i}" for i in range(100, 150)], in_flight=10)
    assert all(sum(m.values()) == 1 for m in before + after)
    assert sum(sum(m.values()) for m in during) > 75
    assert all(m["answered"] == 1 for m in during)


def test_same_draws_for_the_same_attempt() -> None:
    one, same, other = Draws(1, "A", 1), Draws(1, "A", 1), Draws(1, "A", 2)
    assert (one.latency, one.fault) == (same.latency, same.fault)
    assert one.fault != other.fault


def test_latency_is_triangular() -> None:
    values = [triangular((i + 0.5) / 10_000, 8.0, 8.8, 10.0) for i in range(10_000)]
    assert min(values) >= 8.0
    assert max(values) <= 10.0
    assert sum(values) / len(values) == pytest.approx((8.0 + 8.8 + 10.0) / 3, abs=0.001)
    assert triangular(0.5, 2.0, 2.0, 2.0) == 2.0
