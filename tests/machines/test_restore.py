"""A dump in the middle of jobs, restored after they went on to their end: every row once, no effect twice (docs/cluster.md)."""

from __future__ import annotations

import csv
import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rowmill.claims.sample import make_claims
from rowmill.cli.demo import compare
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

pytestmark = [pytest.mark.slow, pytest.mark.crash, pytest.mark.timeout(600)]

ROWS, SEED, SCALE, TALLIES = 300, 5, 0.1, 400
PLUGINS = {"ROWMILL_KINDS": "tally=tests.machines.tally.Tally", "ROWMILL_LEASE_SECONDS": "5"}
MIDDLE = """
    SELECT count(*) FROM rowmill_job j WHERE j.state = 'PROCESSING'
    AND EXISTS (SELECT 1 FROM rowmill_batch b WHERE b.job_id = j.id AND b.state = 'running')
    AND (SELECT count(*) FROM rowmill_result r WHERE r.job_id = j.id) BETWEEN 20 AND j.total_rows - 50
"""


@dataclass
class Site:
    """The servers, and a web machine and a worker that are started anew after the restore."""

    them: Servers
    folder: Path
    web: Machine
    worker: Machine

    def start_web(self) -> Client:
        """Start web on the database of now."""
        for machine in (self.web, self.worker):
            machine.environment = self.them.environment(**PLUGINS)
        return open_client(self.web)

    def start_worker(self) -> None:
        """Start the worker."""
        self.worker.start("worker", "--concurrency", "4")
        wait_while_weighing(self.worker.is_up, [self.worker], 60, "the worker did not come up")

    def stop(self) -> None:
        """Stop both in good order."""
        assert [self.worker.stop(), self.web.stop()] == [0, 0]

    def wait_until_rest(self) -> None:
        """Wait until every job has ended."""
        left = "SELECT count(*) FROM rowmill_job WHERE state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')"
        wait_while_weighing(lambda: not self.them.one(left), [self.worker], 240, "a job does not end")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    make_claims(ROWS, SEED, tmp_path / "claims.csv", tmp_path / "book.jsonl")
    with servers(tmp_path / "book.jsonl", seed=SEED, scale=SCALE) as them:
        web, worker = (Machine(name, tmp_path / "machines", them.environment(**PLUGINS)) for name in ("web", "worker"))
        with ended_after(web, worker):
            web.run("migrate")
            web.run(
                "provide", them.payer.base_url, them.payer.token_url, str(IN_FLIGHT), module="tests.machines.inside"
            )
            yield Site(them, tmp_path, web, worker)


def test_restored_from_the_middle_every_row_is_there_once(site: Site) -> None:
    them, client = site.them, site.start_web()
    claims = client.upload((site.folder / "claims.csv").read_bytes())["id"]
    tally = submit_tally(site, "before", TALLIES)
    site.start_worker()  # only now, so that both jobs begin at one time
    wait_while_weighing(lambda: them.one(MIDDLE) == 2, [], 120, "the two jobs are not in the middle at one time")
    dump = site.folder / "rowmill.dump"
    run("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={them.database_url}")

    later = submit_tally(site, "after the dump", 20)
    site.wait_until_rest()
    first_results = lines_of(client.save_results(claims, site.folder / "first.csv"))
    assert find_violations(them) == []
    site.stop()
    kept = objects(them)
    assert len([key for key in kept if folder_of(them, later) in key]) == 2
    gone = folder_of(them, later)

    them.new_database()
    run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={them.database_url}", str(dump))
    assert them.one(MIDDLE) == 2, "the dump was not of the middle"
    before = {job: results_of(them, job) for job in (claims, tally)}
    client = site.start_web()
    site.start_worker()
    site.wait_until_rest()

    for job, rows in ((claims, ROWS), (tally, TALLIES)):
        assert client.progress(job)["status"] == "COMPLETED"
        assert before[job] <= results_of(them, job), "a result of before the dump was written anew"
        assert len(results_of(them, job)) == rows
    assert find_violations(them) == []
    again = client.save_results(claims, site.folder / "again.csv")
    assert compare(again, site.folder / "book.jsonl")["equal_to_book"]
    assert lines_of(again) == first_results
    need_each_effect_once(them, tally)
    site.web.run("audit", module="tests.machines.inside")
    assert not them.one("SELECT count(*) FROM rowmill_job WHERE public_id = %s", later)
    need_orphans_swept(site, gone)
    site.stop()


def need_each_effect_once(them: Servers, tally: str) -> None:
    """Hold effects and their log against the file that was sent."""
    effects = them.ask("SELECT row, note FROM tally_effect WHERE job = %s ORDER BY row", tally)
    assert effects == [(n, f"before {n}") for n in range(1, TALLIES + 1)]
    assert them.ask("SELECT row FROM tally_log WHERE job = %s ORDER BY row", tally) == [(n,) for n, _ in effects]
    assert them.one("SELECT count(*) FROM tally_effect") == TALLIES, "effects of a job that is not there"


def need_orphans_swept(site: Site, gone: str) -> None:
    """The objects of an upload made after the dump stay for a day, then the sweeper takes them, and only them."""
    sweep = ("orphans", str(24 * 3600))
    assert site.worker.run(*sweep, module="tests.machines.inside").split() == ["0"]
    before = objects(site.them)
    assert site.worker.run("orphans", "0", module="tests.machines.inside").split() == ["2"]
    assert before - objects(site.them) == {key for key in before if gone in key}


def submit_tally(site: Site, note: str, rows: int) -> str:
    """Begin a job of the kind that works in bulk. Gives its id."""
    file = site.folder / f"{note.replace(' ', '-')}.csv"
    file.write_text("id,note\n" + "".join(f"{n:04d},{note} {n}\n" for n in range(1, rows + 1)))
    return site.web.run("submit", "tally", str(file), module="tests.machines.inside").split()[-1]


def results_of(them: Servers, job: str) -> set[tuple[object, ...]]:
    """Give a job's results as they are stored, by a digest of the sealed answer."""
    sql = (
        "SELECT r.row_number, r.outcome, r.code, r.written_at, r.answer FROM rowmill_result r "
        "JOIN rowmill_job j ON j.id = r.job_id WHERE j.public_id = %s"
    )
    return {(*row[:4], hashlib.sha256(bytes(row[4])).hexdigest()) for row in them.ask(sql, job)}  # type: ignore[arg-type]


def lines_of(results: Path) -> list[dict[str, str]]:
    """Read a results file, but for what the payer tells otherwise when it is asked again.

    That is upper and lower case, and how often it was asked: one that has recovered meanwhile answers at once.
    """
    with results.open(newline="", encoding="utf-8-sig") as file:
        return [
            {name: cell.casefold() for name, cell in line.items() if name != "attempts"}
            for line in csv.DictReader(file)
        ]


def folder_of(them: Servers, job: str) -> str:
    """Give the part of a key that is the upload's own."""
    sql = "SELECT u.public_id FROM rowmill_upload u JOIN rowmill_job j ON j.upload_id = u.id WHERE j.public_id = %s"
    return f"/uploads/{them.ask(sql, job)[0][0]}/"


def objects(them: Servers) -> set[str]:
    """Give the keys in the bucket."""
    return {found["Key"] for found in them.s3.client().list_objects_v2(Bucket="rowmill").get("Contents", [])}


def run(*command: str) -> None:
    """Run a program of Postgres."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
