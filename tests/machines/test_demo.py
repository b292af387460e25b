"""The same file, the same payer: embedded and on several machines give the same results, byte for byte; also without Redis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from payersim.testing import running_apart
from rowmill.claims.sample import make_claims
from rowmill.cli.demo import compare
from tests.crash.server import provided
from tests.machines.cluster import IN_FLIGHT, Machine, ended_after, open_client, servers, wait_while_weighing

pytestmark = [pytest.mark.slow, pytest.mark.crash, pytest.mark.timeout(600)]

ROWS, SEED, SCALE = 1200, 7, 0.02  # three batches, so that both workers have some
LARGEST_BYTES = 300 * 1024 * 1024


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the file and the book that says what must come of it."""
    folder = tmp_path_factory.mktemp("sample")
    make_claims(ROWS, SEED, folder / "claims.csv", folder / "book.jsonl")
    return folder


@pytest.fixture(scope="module")
def embedded(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The results of `rowmill up`, on SQLite and a local folder."""
    folder = tmp_path_factory.mktemp("embedded")
    options = ("--seed", str(SEED), "--latency-scale", str(SCALE), "--in-flight-cap", str(IN_FLIGHT))
    with (
        running_apart("--profile", "realistic", "--book", str(sample / "book.jsonl"), *options) as payer,
        provided(folder, payer.base_url, payer.token_url, IN_FLIGHT) as server,
    ):
        server.start()
        job = server.upload((sample / "claims.csv").read_bytes())["id"]
        assert server.wait(job, 240)["status"] == "COMPLETED"
        out = server.save_results(job, folder / "results.csv")
        assert server.terminate() == 0
    assert compare(out, sample / "book.jsonl")["equal_to_book"]
    return out.read_bytes()


@pytest.mark.parametrize("redis", ["redis", "no redis"])
def test_several_machines_give_the_same_results(sample: Path, embedded: bytes, tmp_path: Path, redis: str) -> None:
    with servers(sample / "book.jsonl", seed=SEED, scale=SCALE) as them:
        if redis == "no redis":
            them.redis.kill()  # for the whole run
        web, first, second, beat = machines = [
            Machine(name, tmp_path / "machines", them.environment()) for name in ("web", "worker-1", "worker-2", "beat")
        ]
        with ended_after(*machines):
            web.run("migrate")
            web.run(
                "provide", them.payer.base_url, them.payer.token_url, str(IN_FLIGHT), module="tests.machines.inside"
            )
            client = open_client(web)
            for worker in (first, second):
                worker.start("worker", "--concurrency", "1")  # so that one cannot take all three batches
            beat.start("beat")
            wait_while_weighing(all_up(first, second, beat), machines, 60, "a worker did not come up")
            job = client.upload((sample / "claims.csv").read_bytes())["id"]
            wait_while_weighing(
                lambda: client.progress(job)["status"] == "COMPLETED", machines, 240, "the job does not end"
            )
            out = client.save_results(job, tmp_path / "results.csv")
            assert [machine.stop() for machine in machines] == [0, 0, 0, 0]
            assert out.read_bytes() == embedded
            assert first.ended("done") > 0
            assert second.ended("done") > 0
            assert them.payer.stats()["cap_exceeded"] == 0
            assert max(first.peak_bytes, second.peak_bytes) < LARGEST_BYTES
            assert not them.one("SELECT count(*) FROM rowmill_worker"), "a process left its sign of life behind"
        print({machine.name: f"{machine.peak_bytes / 1e6:.0f} MB" for machine in machines})


def all_up(*machines: Machine) -> Callable[[], bool]:
    """Give the question whether all of them are up."""
    return lambda: all(machine.is_up() for machine in machines)
