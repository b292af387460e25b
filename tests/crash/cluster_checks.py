"""What must be true of a cluster when all has run out: the invariants of reliability.md §8, by SQL, by bytes, by the payer."""

from __future__ import annotations

import csv
import json
import os
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from payersim.testing import Payer
from rowmill.cli.demo import compare
from tests.crash import history
from tests.crash.checker import Acknowledged, find_violations
from tests.crash.claims import Slice
from tests.crash.cluster import Cluster, until
from tests.crash.cluster_clients import Clients
from tests.crash.cluster_inside import run_inside
from tests.crash.inside import run_inside as run_single
from tests.crash.server import FINAL, JOBS

RUN_OUT_SECONDS = 300
CANARY_COLUMNS = ("claim_number", "subscriber_id")
_OPEN_JOBS = f"SELECT count(*) FROM rowmill_job WHERE state NOT IN {FINAL}"
_AGES = (
    "UPDATE rowmill_upload u SET created_at = created_at - interval '3 hours', checked_at = checked_at - interval '3 hours' "
    "WHERE state <> 'CHECKING' AND NOT EXISTS (SELECT 1 FROM rowmill_job j WHERE j.upload_id = u.id)",
    "UPDATE rowmill_upload SET lease_until = now() - interval '1 second' WHERE state = 'CHECKING'",
    "UPDATE rowmill_idempotencykey SET created_at = created_at - interval '3 hours' WHERE job_id IS NULL",
    "UPDATE rowmill_batch SET available_at = now() WHERE state = 'waiting'",
)
_LIMBO = """
SELECT 'upload ' || state, count(*) FROM rowmill_upload WHERE state IN ('RECEIVING', 'CHECKING') GROUP BY 1
UNION ALL SELECT 'upload without its job', count(*) FROM rowmill_upload u WHERE state = 'READY' AND intent IS NOT NULL
    AND purged_at IS NULL AND NOT EXISTS (SELECT 1 FROM rowmill_job j WHERE j.upload_id = u.id) HAVING count(*) > 0
UNION ALL SELECT 'key', count(*) FROM rowmill_idempotencykey WHERE job_id IS NULL HAVING count(*) > 0
UNION ALL SELECT 'job ' || state, count(*) FROM rowmill_job WHERE state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED') GROUP BY 1
UNION ALL SELECT 'upload not purged', count(*) FROM rowmill_upload WHERE state = 'ABORTED' AND purged_at IS NULL HAVING count(*) > 0
"""


class RunOut:
    """Lets everything come to its end once nothing is broken any more, and names what does not."""

    def __init__(self, cluster: Cluster, clients: Clients) -> None:
        self.cluster, self.clients = cluster, clients
        self.dice = random.Random(0)
        self.found: list[str] = []

    def run(self) -> list[str]:
        """Do it: what is under way ends, what hours would end is aged, what is left over is retried until done."""
        self._wait("SELECT state, count(*) FROM rowmill_job WHERE state = 'CANCELLING' GROUP BY 1", 180)
        with psycopg.connect(self.cluster.url) as connection:
            for sql in _AGES:
                connection.execute(sql)
        self._wait(_LIMBO, RUN_OUT_SECONDS)
        for _ in range(4):
            if not self._retry_what_is_left():
                return self.found
            self._wait(_LIMBO, RUN_OUT_SECONDS)
        self.found.append("limbo: jobs still have rows to retry after four retries")
        return self.found

    def _wait(self, sql: str, seconds: float) -> None:
        """Wait until a query finds nothing. What it still finds then is a violation."""
        left: list[Any] = []

        def none() -> bool:
            with psycopg.connect(self.cluster.url) as connection:
                left[:] = connection.execute(sql).fetchall()
            return not left

        if not until(none, seconds):
            self.found += [f"limbo: {what} ({count}) {seconds:.0f} s after the last fault" for what, count in left]

    def _retry_what_is_left(self) -> int:
        """Retry every job that was cancelled, has failed, or has rows that the kills spoilt. Gives how many."""
        sql = (
            "SELECT public_id FROM rowmill_job j WHERE deleted_at IS NULL AND (state IN ('CANCELLED', 'FAILED') OR EXISTS "
            "(SELECT 1 FROM rowmill_result r WHERE r.job_id = j.id AND r.outcome = 'failed'))"
        )
        with psycopg.connect(self.cluster.url) as connection:
            jobs = [str(row[0]) for row in connection.execute(sql)]
        tried = sum(self.clients.try_to(self.dice, job, "retry") for job in jobs)
        self.clients.did["retries at the end"] += tried
        return tried


def check_books(clients: Clients, folder: Path) -> Iterator[str]:
    """Every result equals the claim book; every file of the tally adds up."""
    dice = random.Random(1)
    numbers = {job: number for number, job in clients.of_slice.items()}
    for one in list(clients.sent.values()):
        data = clients.insist(dice, lambda server, one=one: server.call("GET", f"{JOBS}{one.job}/results/"))
        out = folder / "results.csv"
        out.write_bytes(data)
        if one.kind == "claims":
            report = compare(out, clients.slices[numbers[one.job]].book)
            if not report["equal_to_book"]:
                yield f"book: {report['differences']} of {one.rows} rows of job {one.job} are not as the book says"
        else:
            lines = list(csv.DictReader(data.decode("utf-8-sig").splitlines()))
            good = sum(line["success"] == "True" for line in lines)
            if len(lines) != one.rows or good != one.rows - one.rows // 50:
                yield f"book: job {one.job} of {one.rows} rows has {len(lines)} lines, {good} of them good"


def check_payer(stats: dict[str, Any], clients: Clients, in_flight: int) -> Iterator[str]:
    """The payer was never overrun, nothing was answered without having been asked."""
    if stats["cap_exceeded"] or stats["max_in_flight"] > in_flight:
        yield f"payer: {stats['max_in_flight']} calls in flight, {in_flight} allowed, {stats['cap_exceeded']} refused"
    asked = stats["calls_by_claim"]
    for number in clients.of_slice:
        for page in clients.slices[number].book.read_text(encoding="utf-8").splitlines():
            known = json.loads(page)
            told = known["expect"]["outcome"] in ("ok", "not_found")
            if told and known.get("claim_number", known.get("number", "")) not in asked:
                yield f"payer: a row of file {number} has an outcome, and was never asked for"
                break


def canaries(slices: Iterable[Slice]) -> set[bytes]:
    """Give cells that may stand in no log: claim and member numbers."""
    found = set()
    for one in slices:
        for line in csv.DictReader(one.data.decode().splitlines()):
            found |= {line[name].encode() for name in CANARY_COLUMNS if len(line[name]) >= 9}
    return found


def check_logs(folder: Path, words: set[bytes], extra: Iterable[Path] = ()) -> Iterator[str]:
    """No log of any process holds a cell. `extra`: logs of servers."""
    token = re.compile(rb"[A-Za-z0-9][A-Za-z0-9-]{8,}")
    for path in [*folder.glob("*.log"), *extra]:
        seen = set(token.findall(path.read_bytes())) & words
        if seen:
            yield f"phi: {path.name} holds {len(seen)} cells"


def check_storage(cluster: Cluster) -> Iterator[str]:
    """After a tidying on each machine, no machine holds what no upload needs, and nothing half-written."""
    with psycopg.connect(cluster.url) as connection:
        kept = {
            str(row[0]) for row in connection.execute("SELECT public_id FROM rowmill_upload WHERE purged_at IS NULL")
        }
    for data_dir in [*(node.data_dir for node in cluster.nodes if node.role != "beat"), cluster.folder / "feeder"]:
        if not data_dir.exists():
            continue
        done = run_inside(cluster.base, data_dir, "tidy")
        if done.returncode:
            yield f"test: tidy on {data_dir.name}: {done.stderr[-1500:]}"
        for path in (data_dir / "scratch").rglob("*"):
            of = re.search(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(path.relative_to(data_dir)))
            if path.is_file() and (of is None or of[0] not in kept):
                yield f"orphan: {data_dir.name} keeps {path.relative_to(data_dir)}"


def check_all(
    cluster: Cluster, clients: Clients, payer: Payer, idle: tuple[int, dict[str, str]], cap: int
) -> list[str]:
    """Name every violation; the cluster is at rest, and still up."""
    found = list(check_books(clients, cluster.folder))
    if idle[1] != history.checksums(cluster.url, idle[0]):
        found.append("crossing: the idle org's tables have changed")
    first = next(iter(clients.sent), "")
    if first:
        found += clients.peek_at(random.Random(2), first)
        victim = next((job for job, one in clients.sent.items() if one.kind == "claims"), first)
        clients.insist(random.Random(3), lambda server: server.call("DELETE", f"{JOBS}{victim}/"))
    cluster.stop_supervising()
    for node in cluster.nodes:
        found += node.died
        if node.alive and (code := node.terminate()) != 0:
            found.append(f"stop: SIGTERM ended {node.name} with {code}: {node.last_words()[-300:]}")
    if not until(lambda: not cluster.left_behind(), 60):
        found.append(f"stop: {len(cluster.left_behind())} processes outlived their worker")
    found += check_storage(cluster)
    acknowledged = [Acknowledged(one.job, one.sha256, one.rows, one.key) for one in clients.sent.values()]
    os.environ["DATABASE_URL"] = cluster.url
    found += find_violations(cluster.folder / "nowhere", acknowledged, storage=cluster.objects)
    found += history.find_broken(cluster.url)
    if complaint := run_single("audit", cluster.folder / "auditor", environment=cluster.base):
        found.append(complaint)
    found += check_payer(payer.stats(claims=True), clients, cap)
    logs = [cluster.postgres.folder / "log", cluster.s3.folder / "log"]
    found += check_logs(cluster.folder, canaries(clients.slices), logs)
    return found
