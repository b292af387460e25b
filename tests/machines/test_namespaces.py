"""Machines for real, in network namespaces: web on one, workers on two others, no folder in common, links cut and mended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rowmill.cli.demo import compare
from tests.crash.claims import Slice, make_slices
from tests.crash.server import Refused, wait_for
from tests.machines.account import find_violations
from tests.machines.cluster import (
    IN_FLIGHT,
    Client,
    Machine,
    Servers,
    ended_after,
    open_client,
    servers,
    wait_while_weighing,
)
from tests.machines.network import Network, refusal

pytestmark = [pytest.mark.slow, pytest.mark.crash, pytest.mark.timeout(600)]

SEED, SCALE, LEASE_SECONDS = 3, 0.05, 3
LARGEST_BYTES = 300 * 1024 * 1024
OWNERS = """
    SELECT b.id, b.claims, w.host FROM rowmill_batch b JOIN rowmill_worker w
    ON replace(w.uuid::text, '-', '') = b.owner WHERE b.state = 'running'
"""


@dataclass
class Scene:
    """The machines, and what is sent to them."""

    them: Servers
    network: Network
    web: Machine
    workers: list[Machine]
    files: list[Slice]
    client: Client

    @property
    def machines(self) -> list[Machine]:
        return [self.web, *self.workers]

    def wait(self, true, seconds: float, words: str) -> None:
        """Wait for the machines, and look how large they become."""
        wait_while_weighing(true, self.machines, seconds, words)

    def need_equal_to_book(self, job: str, file: Slice, folder: Path) -> None:
        """Hold a job's results against what is known."""
        report = compare(self.client.save_results(job, folder / f"{job}.csv"), file.book)
        assert report["rows_compared"] == file.rows
        assert report["equal_to_book"], report


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    if why := refusal():
        pytest.skip(why)
    # Without the claims that take half a minute to be given up.
    book, files = make_slices(tmp_path, SEED, [1200, 60, 5, 6, 7, 8], without=("out_of_order",))
    with Network(tmp_path) as network:
        hosts = [network.add("web", lanes=2), network.add("worker-1"), network.add("worker-2")]
        with servers(
            book,
            address=network.address,
            more=(network.second_address,),
            subnet=network.subnet,
            seed=SEED,
            scale=SCALE,
        ) as them:
            names = {
                "ROWMILL_BASE_URL": f"http://{hosts[0].address}",
                "ROWMILL_ALLOWED_HOSTS": hosts[0].address,
                "ROWMILL_LEASE_SECONDS": str(LEASE_SECONDS),
            }
            web, *workers = machines = [
                Machine(host.name, tmp_path / "logs", them.environment(broker_at=at, **names), host)
                for host, at in zip(hosts, (network.second_address, "", ""), strict=True)
            ]
            with ended_after(*machines):
                web.run("migrate")
                account = (them.payer.base_url, them.payer.token_url, str(IN_FLIGHT))
                web.run("provide", *account, module="tests.machines.inside")
                client = open_client(web, hosts[0].address)
                for worker in workers:
                    worker.start("worker", "--concurrency", "1")
                scene = Scene(them, network, web, workers, files, client)
                scene.wait(lambda: all(worker.is_up() for worker in workers), 60, "a worker did not come up")
                yield scene
    assert network.leavings() == []


def test_a_worker_cut_off_in_the_middle_of_a_job(scene: Scene, tmp_path: Path) -> None:
    them, client = scene.them, scene.client
    big, middling, *small = scene.files
    scene.wait(lambda: hosts_alive(them) >= {"worker-1", "worker-2"}, 60, "no sign of life of each worker")
    assert {item.name for item in (tmp_path / "machines").iterdir()} == {"web", "worker-1", "worker-2"}
    scene.wait(lambda: is_ready(client), 60, "not ready")

    job = client.upload(big.data)["id"]
    scene.wait(lambda: both_in_the_middle(them), 60, "the workers did not both get to work")
    batch, claims = next((b, c) for b, c, host in them.ask(OWNERS) if host == "worker-2")
    lost = scene.workers[1]
    assert lost.host is not None
    lost.host.cut()
    scene.wait(
        lambda: them.one("SELECT claims FROM rowmill_batch WHERE id = %s", batch) > claims, 120, "nobody took it over"
    )
    before = written_under(them, batch, claims)
    assert 0 < before < 500
    time.sleep(2 * LEASE_SECONDS)  # the one cut off goes on with what it had begun
    assert not lost.ended("lost"), "it cannot know yet"
    lost.host.mend()

    scene.wait(lambda: client.progress(job)["status"] == "COMPLETED", 240, "the job does not end")
    scene.wait(lambda: lost.ended("lost") > 0, 240, "the one cut off was not told that it had lost its batch")
    assert written_under(them, batch, claims) == before, "a stale commit was taken"
    scene.need_equal_to_book(job, big, tmp_path)

    usual, cut = posts_while_redis_is_out_of_reach(scene, small, tmp_path)
    the_mended_one_works_alone(scene, middling, tmp_path)

    stats = them.payer.stats()
    assert stats["cap_exceeded"] == 0
    assert stats["max_in_flight"] <= IN_FLIGHT
    assert find_violations(them) == []
    scene.web.run("audit", module="tests.machines.inside")
    peaks = {machine.name: machine.peak_bytes for machine in scene.machines}
    assert max(peaks["worker-1"], peaks["worker-2"]) < LARGEST_BYTES
    print(
        {name: f"{size / 1e6:.0f} MB" for name, size in peaks.items()},
        f"POST: {usual:.1f} s, with Redis out of reach: {cut:.1f} s",
        stats,
    )


def posts_while_redis_is_out_of_reach(scene: Scene, files: list[Slice], folder: Path) -> tuple[float, float]:
    """Cut only web's way to Redis; POSTs are answered, and their jobs done by polling.

    Shape: the slowest answer before, the fastest while it is cut; the machine that runs the tests may be slow by itself.
    """
    assert scene.web.host is not None
    half = len(files) // 2
    before = [post(scene, file) for file in files[:half]]
    scene.web.host.cut("second")
    after = [post(scene, file) for file in files[half:]]
    usual, cut = max(seconds for _, seconds in before), min(seconds for _, seconds in after)
    assert cut < usual + 3, "a broker out of reach held up a request"
    for (job, _), file in zip(before + after, files, strict=True):
        scene.wait(lambda job=job: scene.client.progress(job)["status"] == "COMPLETED", 120, "polling did not find it")
        scene.need_equal_to_book(job, file, folder)
    scene.web.host.mend("second")
    return usual, cut


def post(scene: Scene, file: Slice) -> tuple[str, float]:
    """Send a file. Gives the job, and the seconds until it was told."""
    asked = time.monotonic()
    return scene.client.upload(file.data)["id"], time.monotonic() - asked


def the_mended_one_works_alone(scene: Scene, file: Slice, folder: Path) -> None:
    """Stop the other worker: the one that was cut off does the next job by itself."""
    steady, mended = scene.workers
    assert steady.stop() == 0
    done = mended.ended("done")
    job = scene.client.upload(file.data)["id"]
    scene.wait(lambda: scene.client.progress(job)["status"] == "COMPLETED", 180, "the mended worker does no work")
    wait_for(lambda: mended.ended("done") > done, 20, "somebody else did it")
    scene.need_equal_to_book(job, file, folder)
    assert [mended.stop(), scene.web.stop()] == [0, 0]


def is_ready(client: Client) -> bool:
    """Tell whether all is well; what is slow to answer makes it unwell for a moment."""
    try:
        return bool(client.call("GET", "/health/ready")["status"] == "ok")
    except Refused:
        return False


def hosts_alive(them: Servers) -> set[str]:
    """Give the hosts that have given a sign of life; a worker gives its first just after it says that it is up."""
    return {str(row[0]) for row in them.ask("SELECT host FROM rowmill_worker")}


def both_in_the_middle(them: Servers) -> bool:
    """Tell whether both workers have a batch of which some results are written."""
    running = them.ask(OWNERS)
    return {row[2] for row in running} == {"worker-1", "worker-2"} and all(
        written_under(them, row[0], row[1]) > 20 for row in running
    )


def written_under(them: Servers, batch: object, claims: object) -> int:
    """Count a batch's results that were written under one claim."""
    return them.one(
        "SELECT count(*) FROM rowmill_result r JOIN rowmill_batch b ON b.job_id = r.job_id "
        "AND r.row_number BETWEEN b.first_row AND b.last_row WHERE b.id = %s AND r.claims = %s",
        batch,
        claims,
    )
