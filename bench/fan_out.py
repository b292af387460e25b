"""Fan-out to a payer that takes a fixed time: RowKind in several batches at once against the ideal."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp

from payersim.testing import Payer, running_apart
from rowmill.claims.call_loop import close_calls
from rowmill.contracts import PayerLimits
from rowmill.payers.uhc_wire import inquiry_body
from tests.claims.made import ClaimStatusOn, batch, inquiry, profile, row

THREADS = 4


def measure(payer: Payer, in_flight: int, waves: int) -> float:
    """Ask for `waves` times as many claims as may be in flight; gives the seconds."""
    kind = ClaimStatusOn(profile(payer, limits=PayerLimits(in_flight=in_flight)))
    list(kind.process(batch(), [row(1, "SIMPD0")]))  # the token, and the first connection
    count = in_flight * waves
    rows = [row(n, f"SIMPD{n}") for n in range(1, count + 1)]
    size = min(kind.batch_rows, math.ceil(count / THREADS))
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        parts = threads.map(
            lambda at: sum(1 for _ in kind.process(batch(), rows[at : at + size])), range(0, count, size)
        )
        assert sum(parts) == count
    return time.perf_counter() - started


async def plain(payer: Payer, in_flight: int, waves: int) -> float:
    """Do the same with bare aiohttp, reading no answer: what this machine and this simulator allow. Gives the seconds."""
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

        started = time.perf_counter()
        await asyncio.gather(*(ask(number) for number in range(in_flight * waves)))
        return time.perf_counter() - started


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waves", type=int, default=20, help="how many times the calls in flight are filled")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds that a call takes")
    options = parser.parse_args()
    latency = options.latency
    ratios, figures = {}, {"latency_seconds": latency, "waves": options.waves, "threads": THREADS}
    print(f"{'in flight':>10} {'calls':>7} {'ideal s':>9} {'ours s':>9} {'of ideal':>9} {'bare aiohttp s':>15}")
    with running_apart("--latency-scale", "1") as payer:
        payer.control("profile", {"name": "calm", "latency": [latency, latency, latency]})
        for in_flight in (50, 200, 1000):
            ours = statistics.median(measure(payer, in_flight, options.waves) for _ in range(options.runs))
            ideal = latency * options.waves
            bare = statistics.median(asyncio.run(plain(payer, in_flight, options.waves)) for _ in range(options.runs))
            ratios[f"bare_aiohttp_{in_flight}"] = round(ours / bare, 4)
            ratios[f"ideal_{in_flight}"] = round(ours / ideal, 4)
            figures[f"seconds_{in_flight}"] = round(ours, 3)
            print(
                f"{in_flight:>10} {in_flight * options.waves:>7} {ideal:>9.2f} {ours:>9.2f} {ideal / ours:>9.1%} {bare:>15.2f}"
            )
        figures["max_in_flight"] = payer.stats()["max_in_flight"]
        close_calls()
    print(json.dumps({"name": "fan-out", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
