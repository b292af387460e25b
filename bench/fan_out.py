"""Fan-out to a payer that takes a fixed time: RowKind in several batches at once against the ideal, and bare aiohttp.

The payer is bench/echo_payer.py, which gives one real answer of the simulator again and again at a tenth of its cost: client
and payer share the cores of this machine, and it is the client that is measured. `--simulator` asks the simulator itself.
"of ideal" is calls a second against calls in flight / latency, from the end of the first wave to that of the last but one;
the whole run, with the opening of all connections and the last calls, stands beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp

from payersim.testing import Payer, running, running_apart
from rowmill.claims.call_loop import close_calls
from rowmill.contracts import PayerLimits
from rowmill.payers.uhc_wire import inquiry_body
from tests.claims.made import ClaimStatusOn, batch, inquiry, profile, row

THREADS = 4


Taken = tuple[float, float]


def taken(started: float, ends: list[float], in_flight: int) -> Taken:
    """Give the seconds of the whole run, and the calls a second from the end of its first wave to that of its last but one."""
    ends.sort()
    first, last = ends[in_flight - 1], ends[len(ends) - in_flight - 1]
    return ends[-1] - started, (len(ends) - 2 * in_flight) / (last - first)


def measure(payer: Payer, in_flight: int, waves: int) -> Taken:
    """Ask for `waves` times as many claims as may be in flight."""
    kind = ClaimStatusOn(profile(payer, limits=PayerLimits(in_flight=in_flight)))
    list(kind.process(batch(), [row(1, "SIMPD0")]))  # the token, and the first connection
    count = in_flight * waves
    rows = [row(n, f"SIMPD{n}") for n in range(1, count + 1)]
    size = min(kind.batch_rows, math.ceil(count / THREADS))
    ends: list[float] = []

    def work(at: int) -> None:
        for outcome in kind.process(batch(), rows[at : at + size]):
            assert outcome.outcome == "ok"
            ends.append(time.perf_counter())

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(work, range(0, count, size)))
    assert len(ends) == count
    return taken(started, ends, in_flight)


async def plain(payer: Payer, in_flight: int, waves: int) -> Taken:
    """Do the same with bare aiohttp, reading no answer: what this machine allows."""
    form = {"grant_type": "client_credentials", "client_id": payer.client_id, "client_secret": payer.client_secret}
    places = asyncio.Semaphore(in_flight)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with session.post(payer.token_url, data=form) as reply:
            token = (await reply.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}", "providerTaxId": "001234567"}

        async def ask(number: int) -> None:
            body = inquiry_body(inquiry(f"SIMPD{number}"), "87726")
            async with places, session.post(payer.inquiry_url, json=body, headers=headers) as reply:
                assert reply.status == 200
                await reply.read()
            ends.append(time.perf_counter())

        ends: list[float] = []
        started = time.perf_counter()
        await asyncio.gather(*(ask(number) for number in range(in_flight * waves)))
        return taken(started, ends, in_flight)


@contextlib.contextmanager
def simulator(latency: float) -> Iterator[Payer]:
    """Run the simulator in a process of its own."""
    with running_apart("--latency-scale", "1") as payer:
        payer.control("profile", {"name": "calm", "latency": [latency, latency, latency]})
        yield payer


@contextlib.contextmanager
def echo_payer(latency: float) -> Iterator[Payer]:
    """Run the payer that answers alike, in a process of its own, with an answer that the simulator gave."""
    with running() as real:
        answer = asyncio.run(ask_once(real)).replace(b"SIMPD0", b"CLAIM_NUMBER", 1)
    command = [sys.executable, str(Path(__file__).with_name("echo_payer.py")), str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(answer + b"\n")
        process.stdin.flush()
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        yield Payer(address, address)
        process.stdin.close()


async def ask_once(payer: Payer) -> bytes:
    """Get one answer as it comes over the wire."""
    form = {"grant_type": "client_credentials", "client_id": payer.client_id, "client_secret": payer.client_secret}
    async with aiohttp.ClientSession() as session:
        async with session.post(payer.token_url, data=form) as reply:
            headers = {"Authorization": f"Bearer {(await reply.json())['access_token']}", "providerTaxId": "001234567"}
        async with session.post(
            payer.inquiry_url, json=inquiry_body(inquiry("SIMPD0"), "87726"), headers=headers
        ) as reply:
            return await reply.read()


def most_in_flight(payer: Payer, of_simulator: bool) -> int:
    """Ask how many calls were in flight at the most."""
    if of_simulator:
        return int(payer.stats()["max_in_flight"])
    with urllib.request.urlopen(payer.control_url + "/stats", timeout=10) as reply:
        return int(json.loads(reply.read())["max_in_flight"])


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waves", type=int, default=12, help="how many times the calls in flight are filled")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds that a call takes")
    parser.add_argument("--simulator", action="store_true", help="ask the simulator itself")
    options = parser.parse_args()
    latency = options.latency
    ratios: dict[str, float] = {}
    figures: dict[str, float] = {"latency_seconds": latency, "waves": options.waves, "threads": THREADS}
    print(
        f"{'in flight':>10} {'calls':>7} {'of ideal':>9} {'bare aiohttp':>13} {'whole run, s':>13} {'bare':>7} {'ideal':>7}"
    )
    with (simulator if options.simulator else echo_payer)(latency) as payer:
        for in_flight in (50, 200, 1000):
            ideal = in_flight / latency
            ours, bare = [], []
            for _ in range(options.runs):
                ours.append(measure(payer, in_flight, options.waves))
                bare.append(asyncio.run(plain(payer, in_flight, options.waves)))
            seconds, rate = (statistics.median(one) for one in zip(*ours, strict=True))
            bare_seconds, bare_rate = (statistics.median(one) for one in zip(*bare, strict=True))
            ratios[f"ideal_{in_flight}"] = round(rate / ideal, 4)
            ratios[f"bare_aiohttp_{in_flight}"] = round(rate / bare_rate, 4)
            figures[f"seconds_{in_flight}"] = round(seconds, 3)
            figures[f"calls_per_second_{in_flight}"] = round(rate, 1)
            print(
                f"{in_flight:>10} {in_flight * options.waves:>7} {rate / ideal:>9.1%} {bare_rate / ideal:>13.1%}"
                f" {seconds:>13.2f} {bare_seconds:>7.2f} {latency * options.waves:>7.2f}"
            )
        figures["max_in_flight"] = most_in_flight(payer, options.simulator)
        close_calls()
    print(json.dumps({"name": "fan-out", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
