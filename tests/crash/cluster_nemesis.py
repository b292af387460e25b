"""A whole cluster under fire: processes killed, frozen and deployed, servers crashed, lines cut; then every row is accounted for.

    python -m tests.crash.cluster_nemesis --seconds 60 [--seed 7] [--keep FOLDER]

Prints its seed, what it did, and every violation. Exit: 0 when nothing broke, else 1.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from payersim.testing import Payer, running_apart
from tests.crash import history
from tests.crash.claims import Slice, make_slices
from tests.crash.cluster import Cluster, running
from tests.crash.cluster_checks import RunOut, check_all
from tests.crash.cluster_clients import Clients
from tests.crash.cluster_faults import Fates
from tests.crash.cluster_inside import IDLE_EMAIL, run_inside
from tests.crash.inside import EMAIL, PASSWORD
from tests.crash.plugins import TALLY_TABLE
from tests.crash.server import Server, wait_for

IN_FLIGHT = 30
ROWS_PER_SECOND = 40
SIZES = (1, 7, 40, 90, 160)


def run(seconds: float, seed: int, folder: Path, say: Callable[[str], None] = print) -> list[str]:
    """Do one run. Gives the violations."""
    book, slices = _make_files(seconds, seed, folder)
    simulator = ("--profile", "hostile", "--latency-scale", "0.03", "--seed", str(seed), "--book", str(book))
    with running(folder, seed) as cluster, running_apart(*simulator) as payer:
        payer.control("settings", {"in_flight_cap": IN_FLIGHT})
        payer.control("profile", {"name": "calm"})
        say(f"cluster nemesis: seed {seed}, {seconds:.0f} s")
        idle_org = _provide(cluster, payer)
        cluster.start()
        clients, idle = _meet(cluster, slices, seed, idle_org)
        payer.control("profile", {"name": "hostile"})
        began = time.monotonic()
        fates = Fates(cluster, seed, clients.did, clients.found)
        clients.start()
        fates.start()
        fates.stopping.wait(seconds)
        fates.stop()
        cluster.heal()
        clients.stop()
        healed = time.monotonic()
        violations = RunOut(cluster, clients).run()
        ran_out = time.monotonic()
        violations += clients.found + check_all(cluster, clients, payer, idle, IN_FLIGHT)
        _tell(say, cluster, clients, payer)
        say(f"seconds: {healed - began:.0f} under fire, {ran_out - healed:.0f} to run out")
    for words in violations:
        say(f"VIOLATION {words}")
    say(f"{len(violations)} violations (seed {seed})")
    return violations


def _make_files(seconds: float, seed: int, folder: Path) -> tuple[Path, list[Slice]]:
    """Make more claims files than can be sent in the time; the last one is for the idle org."""
    dice = random.Random(f"sizes {seed}")
    sizes: list[int] = []
    while sum(sizes) < max(600, seconds * ROWS_PER_SECOND):
        sizes.append(dice.choice(SIZES))
    return make_slices(folder, seed, [*sizes, 9], without=("out_of_order",))  # half a minute each


def _provide(cluster: Cluster, payer: Payer) -> int:
    """Make tables, two orgs, and the history. Gives the idle org's id."""
    done = run_inside(
        cluster.base, cluster.folder / "first", "provide", payer.base_url, payer.token_url, str(IN_FLIGHT)
    )
    assert done.returncode == 0, done.stderr[-3000:]
    history.install(cluster.url, TALLY_TABLE)
    with psycopg.connect(cluster.url) as connection:
        found = connection.execute("SELECT id FROM rowmill_org WHERE name = 'Idle clinic'").fetchone()
    assert found is not None
    return int(found[0])


def _meet(
    cluster: Cluster, slices: list[Slice], seed: int, idle_org: int
) -> tuple[Clients, tuple[int, dict[str, str]]]:
    """Sign both people in, and let the idle org have one finished job before anything breaks."""
    tokens = {}
    web = cluster.those("web")[0]
    for email in (EMAIL, IDLE_EMAIL):
        server = Server(web.data_dir, {}, port=web.port)
        told = {"email": email, "password": PASSWORD}
        tokens[email] = server.token = server.call("POST", "/api/v1/auth/token/", told)["access"]
    server.wait(server.upload(slices[-1].data, "idle")["id"])
    clients = Clients(cluster, slices[:-1], seed, tokens[EMAIL], tokens[IDLE_EMAIL], Counter(), [])
    return clients, (idle_org, _at_rest(cluster, idle_org))


def _at_rest(cluster: Cluster, org: int) -> dict[str, str]:
    """Give the checksums of an org's tables once they stay the same for a while: its last process has let go of all."""
    seen = [history.checksums(cluster.url, org)]

    def quiet() -> bool:
        time.sleep(2.0)
        seen.append(history.checksums(cluster.url, org))
        return seen[-1] == seen[-2]

    wait_for(quiet, 120, "an org whose only job has ended does not come to rest")
    return seen[-1]


def _tell(say: Callable[[str], None], cluster: Cluster, clients: Clients, payer: Payer) -> None:
    """Say what was done, and what came of it."""
    rows = Counter(dict.fromkeys(("claims", "tally"), 0))
    for one in clients.sent.values():
        rows[one.kind] += one.rows
    starts = {node.name: node.starts for node in cluster.nodes}
    say(f"did: {dict(sorted(clients.did.items()))}")
    say(f"jobs: {len(clients.sent)}; rows: {dict(rows)}; starts: {starts}")
    say(f"database: {history.summary(cluster.url)}; batches ended: {_outcomes(cluster)}")
    say(f"payer: {_short(payer.stats())}")
    say(f"Postgres: {_errors(cluster)}")


def _outcomes(cluster: Cluster) -> dict[str, int]:
    """Count in the workers' logs how batches ended; `lost` is a worker that was refused by the fence."""
    told: Counter[str] = Counter()
    for node in cluster.those("worker"):
        for line in node.log.read_text(errors="replace").splitlines():
            if '"batch ended"' in line:
                told[line.split('"outcome": "')[1].split('"')[0]] += 1
    return dict(told)


def _errors(cluster: Cluster) -> dict[str, int]:
    """Count the errors that Postgres wrote down, by kind."""
    told: Counter[str] = Counter()
    for line in (cluster.postgres.folder / "log").read_text(errors="replace").splitlines():
        if " ERROR:  " in line or "deadlock" in line:
            told[re.sub(r"[\d\"].*", "", line.split("ERROR:  ")[-1])[:50].strip()] += 1
    return dict(told)


def _short(stats: dict[str, Any]) -> dict[str, Any]:
    """Give the payer's figures that matter here."""
    names = ("inquiries", "sent_429", "tokens_issued", "max_in_flight", "cap_exceeded", "duplicates", "abandoned")
    return {name: stats[name] for name in names}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--keep", type=Path, help="folder for files and logs, which then stay")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that every server is stopped

    def say(words: str) -> None:
        print(words, flush=True)

    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        return 1 if run(given.seconds, given.seed, given.keep, say) else 0
    with tempfile.TemporaryDirectory(prefix="rowmill-nemesis-") as folder:
        return 1 if run(given.seconds, given.seed, Path(folder), say) else 0


if __name__ == "__main__":
    sys.exit(main())
