"""How it fails: each behaviour seen on the wire, and how often."""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from payersim.testing import Payer, running
from tests.payersim.asking import Asker, Told, ask, with_asker


@pytest.mark.parametrize(
    ("number", "statuses"),
    [
        ("SIM29A", [429, 200]),
        ("SIM50A", [503, 503, 200]),
        ("SIM41A", [401, 200]),
        ("SIM43A", [403, 403]),
        ("SIM40A", [400, 400]),
        ("SIM54A", [504, 200]),
    ],
)
def test_prefix_fails_as_often_as_it_says(calm: Payer, number: str, statuses: list[int]) -> None:
    assert [told.status for told in ask(calm, *[number] * len(statuses))] == statuses


def test_single_server_error_then_an_answer(calm: Payer) -> None:
    first, second = ask(calm, "SIM51B", "SIM51B")
    assert first.status in (500, 502, 503)
    assert second.claims


def test_always_failing_claim_never_answers(calm: Payer) -> None:
    assert all(told.status >= 500 for told in ask(calm, *["SIMFX1"] * 8))


def test_claim_that_always_fails_can_be_healed() -> None:
    with running("calm") as payer:
        assert ask(payer, "SIMFX1")[0].status >= 500
        payer.control("heal", {"on": True})
        assert ask(payer, "SIMFX1")[0].claims


def test_error_page_is_html(calm: Payer) -> None:
    told = ask(calm, "SIM5H1")[0]
    assert told.status in (502, 503)
    assert told.headers["Content-Type"] == "text/html"
    assert told.body.startswith(b"<html>")


def test_success_with_errors_inside(calm: Payer) -> None:
    failed, missing = ask(calm, "SIMGE1", "SIMGN1")
    assert (failed.status, failed.code) == (200, "INTERNAL_SERVER_ERROR")
    assert (missing.status, missing.code) == (200, "LCLM_PS_201")


def test_bodies_that_are_no_answer(calm: Payer) -> None:
    bad, empty, missing = ask(calm, "SIMBJ1", "SIMEB1", "SIMMD1")
    assert [told.status for told in (bad, empty, missing)] == [200, 200, 200]
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad.body)
    assert empty.body == b""
    assert not json.loads(missing.body).get("data")


def test_connection_is_reset(calm: Payer) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        ask(calm, "SIMRS1")
    assert ask(calm, "SIMRS1")[0].claims


def test_connection_is_cut_in_the_middle_of_a_body(calm: Payer) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        ask(calm, "SIMCU1")
    assert ask(calm, "SIMCU1")[0].claims


def test_slow_drip_comes_to_the_end(calm: Payer) -> None:
    assert ask(calm, "SIMDP1")[0].claims


def test_hang_outlasts_a_client_and_frees_its_place() -> None:
    async def story(asker: Asker) -> Told:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asker.ask("SIMTO1"), 1.0)
        return await asker.ask("SIMPD1")

    with running("calm", hang_seconds=250, in_flight_cap=1) as payer:
        told = with_asker(payer, story)
        stats = payer.stats()
    assert told.status == 200
    assert stats["abandoned"] == 1
    assert stats["max_in_flight"] == 1


def test_hang_at_scale_zero_ends_by_itself(calm: Payer) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        ask(calm, "SIMTO1")


@pytest.mark.parametrize("mode", ["seconds", "date", "absent"])
def test_retry_after_comes_in_three_ways(mode: str) -> None:
    with running(
        "calm", latency_scale=1.0, retry_after=mode, rate_per_minute=0.01, burst=1, token_latency=0.0
    ) as payer:
        payer.control("settings", {"latency_scale": 1.0, "burst": 0})
        before = time.time()
        [told] = ask(payer, "SIMPD1")
    assert told.status == 429
    value = told.headers.get("Retry-After")
    if mode == "absent":
        assert value is None
    elif mode == "seconds":
        assert value is not None
        assert 1 <= int(value) <= 3
    else:
        assert value is not None
        assert before - 1 <= parsedate_to_datetime(value).timestamp() <= time.time() + 4


def test_token_bucket() -> None:
    with running("calm", rate_per_minute=0.01, burst=3) as payer:
        told = ask(payer, *[f"SIMPD{i}" for i in range(5)])
        stats = payer.stats()
    assert [t.status for t in told] == [200, 200, 200, 429, 429]
    assert stats["sent_429"] == 2
    assert stats["answers"]["over_rate"] == 2


def test_more_in_flight_than_the_cap_is_refused_and_told() -> None:
    async def story(asker: Asker) -> list[Told]:
        return await asyncio.gather(*(asker.ask(f"SIMPD{i}") for i in range(10)))

    # Some seconds for a call, while a full house is looked at again for 20 ms only.
    with running("calm", latency_scale=0.4, in_flight_cap=4) as payer:
        told = with_asker(payer, story)
        stats = payer.stats()
    assert sorted(t.status for t in told) == [200] * 4 + [429] * 6
    assert stats["max_in_flight"] == 4
    assert stats["cap_exceeded"] == 6
    assert stats["in_flight"] == 0


@pytest.mark.slow
def test_a_thousand_in_flight_at_once() -> None:
    async def story(asker: Asker) -> list[Told]:
        return await asyncio.gather(*(asker.ask(f"SIMPD{i}") for i in range(1000)))

    with running("calm", latency_scale=2.0) as payer:  # long enough for the last to come before the first goes
        told = with_asker(payer, story, timeout_seconds=200)
        stats = payer.stats()
    assert {t.status for t in told} == {200}
    assert stats["max_in_flight"] == 1000


def test_maintenance_shuts_everything() -> None:
    async def story(asker: Asker) -> list[Told]:
        return [await asker.get_token(), await asker.ask("SIMPD1")]

    with running("calm") as payer:
        payer.control("maintenance", {"on": True})
        assert [told.status for told in with_asker(payer, story)] == [503, 503]
        payer.control("maintenance", {"on": False})
        assert [told.status for told in with_asker(payer, story)] == [200, 200]


def test_maintenance_by_schedule() -> None:
    with running("calm", maintenance_after=100.0, maintenance_length=50.0) as payer:
        statuses = []
        for seconds in (0, 110, 60):
            payer.control("advance", {"seconds": seconds})
            statuses.append(ask(payer, "SIMPD1")[0].status)
    assert statuses == [200, 503, 200]


def test_paths_and_methods_that_are_not() -> None:
    async def story(payer: Payer) -> list[int]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(payer.base_url + "/other") as other,
            session.get(payer.inquiry_url) as got,
        ):
            return [other.status, got.status]

    with running("calm") as payer:
        assert asyncio.run(story(payer)) == [404, 405]
