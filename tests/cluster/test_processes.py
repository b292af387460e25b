"""Real web, worker and beat processes on one Postgres: jobs end, with the broker there, gone, frozen; stops lose nothing."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.cluster.running import ROOT, Cluster, cluster_on
from tests.crash.server import Refused, Server, wait_for

pytestmark = pytest.mark.slow
NEVER = {"ROWMILL_POLL_SECONDS": "600", "ROWMILL_SWEEP_SECONDS": "600"}
SOON = {"ROWMILL_POLL_SECONDS": "0.2", "ROWMILL_SWEEP_SECONDS": "0.5"}


def test_web_two_workers_and_beat_do_a_job_to_the_end(postgres, redis, tmp_path: Path) -> None:
    with cluster_on(postgres, tmp_path, redis.url, **SOON, ROWMILL_BEAT_SECONDS="1") as cluster:
        web = cluster.start_web()
        workers = [cluster.start("worker"), cluster.start("worker", "--concurrency", "1")]
        cluster.start("beat")
        job = cluster.submit("slow", 200)
        cluster.wait(job)
        assert cluster.outcomes(job) == {"ok": 200}
        owners = "SELECT count(DISTINCT host), count(*) FROM rowmill_worker WHERE role = 'worker'"
        wait_for(lambda: cluster.ask(owners) == [(1, 2)], 30, "no sign of life of each worker")
        wait_for(lambda: is_ready(web), 30, "not ready")
        wait_for(lambda: cluster.run("rowmill", "health", "--role", "beat").returncode == 0, 30, "no sign of beat")
        assert cluster.run("rowmill", "worker", "--check").returncode == 0
        assert cluster.run("rowmill", "health", "--role", "embedded").returncode == 1
        for process in workers:
            assert 0 < largest_bytes(process.pid) < 300 * 1024 * 1024
        for process in cluster.started:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(120) for process in cluster.started] == [0, 0, 0, 0]
        assert cluster.ask("SELECT count(*) FROM rowmill_worker") == [(0,)], "each took its row away"


def largest_bytes(pid: int) -> int:
    """Weigh a process and its children; a child may end while it is weighed."""
    sizes = []
    for process in [psutil.Process(pid), *psutil.Process(pid).children()]:
        with contextlib.suppress(psutil.Error):
            sizes.append(process.memory_info().rss)
    return max(sizes)


def is_ready(web: Server) -> bool:
    """Tell whether all is well; what is slow to answer makes it unwell for a moment."""
    try:
        return bool(web.call("GET", "/health/ready")["status"] == "ok")
    except Refused:
        return False


def test_a_ring_starts_work_where_nobody_polls(postgres, redis, tmp_path: Path) -> None:
    with cluster_on(postgres, tmp_path, redis.url, **NEVER) as cluster:
        cluster.start("worker")
        for count in (1, 2):  # the second after Redis came back empty
            wait_for(lambda: listens(redis), 30, "nobody listens")
            job = cluster.submit("nothing", 100 * count)
            cluster.wait(job)
            redis.restart_empty()


def claims_file(rows: int) -> bytes:
    """Give the first rows of the sample that ships."""
    return b"".join((ROOT / "samples" / "claims-20.csv").read_bytes().splitlines(keepends=True)[: rows + 1])


def listens(redis) -> bool:
    """Tell whether a consumer waits at a queue."""
    return b"cmd=brpop" in redis.ask("CLIENT", "LIST")


@pytest.mark.parametrize("broker", ["", "redis://127.0.0.1:1/0"], ids=["none", "dead"])
def test_without_a_broker_work_is_found_by_polling(postgres, tmp_path: Path, broker: str) -> None:
    with cluster_on(postgres, tmp_path, broker, **SOON) as cluster:
        cluster.start("worker")
        job = cluster.submit("nothing", 300)
        cluster.wait(job)


def test_a_post_while_redis_is_frozen_is_answered_and_its_job_ends(postgres, redis, tmp_path: Path) -> None:
    with cluster_on(postgres, tmp_path, redis.url, **SOON) as cluster:
        web = cluster.start_web()
        usual = min(seconds_to_send(web, count) for count in (3, 4))  # this machine may be slow by itself
        redis.freeze()
        took = [seconds_to_send(web, count) for count in (5, 6, 7)]
        assert min(took) < usual + 3, took  # a ring that waited for the broker would hold up each of them
        cluster.start("worker")  # with the broker frozen from its first breath
        job = cluster.submit("nothing", 300)
        cluster.wait(job)


def seconds_to_send(web: Server, rows: int) -> float:
    """Send a file, and measure how long it takes."""
    asked = time.monotonic()
    web.upload(claims_file(rows))
    return time.monotonic() - asked


def test_a_stop_in_the_middle_loses_nothing_and_costs_no_attempt(postgres, tmp_path: Path) -> None:
    with cluster_on(postgres, tmp_path, **SOON) as cluster:
        first = cluster.start("worker")
        job = cluster.submit("slow", 300)  # a quarter of a minute's work, so that the stop falls into it
        wait_for(lambda: sum(cluster.outcomes(job).values()) > 5, 30, "no row was done")
        first.send_signal(signal.SIGTERM)
        assert first.wait(120) == 0
        held = "SELECT state, attempts, owner FROM rowmill_batch WHERE state <> 'done'"
        assert set(cluster.ask(held)) == {("waiting", 0, "")}
        cluster.start("worker")
        cluster.wait(job)
        assert cluster.outcomes(job) == {"ok": 300}


@pytest.mark.parametrize("signals", [1, 2])
def test_a_batch_that_hears_nothing_is_given_back_at_a_stop(postgres, tmp_path: Path, signals: int) -> None:
    seconds = {1: "1", 2: "600"}[signals]  # the second signal does not wait for the limit
    with cluster_on(postgres, tmp_path, **SOON, ROWMILL_STOP_SECONDS=seconds) as cluster:
        worker = cluster.start("worker")
        cluster.submit("deaf", 5)
        running = "SELECT count(*) FROM rowmill_batch WHERE state = 'running'"
        wait_for(lambda: cluster.ask(running) == [(1,)], 30, "it was not claimed")
        worker.send_signal(signal.SIGTERM)
        hear_stopping(worker)
        for _ in range(signals - 1):
            worker.send_signal(signal.SIGTERM)
        assert worker.wait(120) == 0
        assert cluster.ask("SELECT state, attempts, claims FROM rowmill_batch") == [("waiting", 0, 1)]


def hear_stopping(worker: subprocess.Popen[bytes]) -> None:
    """Wait until a process says that it has heard a signal: two that come together are one to it."""
    assert worker.stdout is not None
    assert any(b"Stopping" in line for line in iter(worker.stdout.readline, b""))


def test_sigterm_inside_a_commit_ends_well(postgres, tmp_path: Path) -> None:
    """A deferred trigger holds the commit of results as long as the test does: the signal comes while the server commits."""
    slow_commit = """
        CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON rowmill_result DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.row_number = 1) EXECUTE FUNCTION hold()"""
    with cluster_on(postgres, tmp_path, **SOON) as cluster:
        with psycopg.connect(cluster.database_url, autocommit=True) as connection:
            connection.execute(slow_commit)
            connection.execute("SELECT pg_advisory_lock(4711)")
            job = cluster.submit("nothing", 100)
            worker = cluster.start("worker")
            committing = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COMMIT%%' AND wait_event = 'advisory'"
            wait_for(lambda: cluster.ask(committing) == [(1,)], 30, "no commit was seen")
            worker.send_signal(signal.SIGTERM)
            hear_stopping(worker)
        assert worker.wait(120) == 0
        (state,) = cluster.ask("SELECT state FROM rowmill_batch")[0]
        assert state in ("done", "waiting")
        cluster.start("worker")
        cluster.wait(job)
        assert cluster.outcomes(job) == {"ok": 100}


def test_a_start_leaves_live_leases_of_others_alone(postgres, tmp_path: Path) -> None:
    with cluster_on(postgres, tmp_path, **SOON) as cluster:
        cluster.start("worker", "--concurrency", "1")
        job = cluster.submit("slow", 30)
        running = "SELECT count(*) FROM rowmill_batch WHERE state = 'running'"
        wait_for(lambda: cluster.ask(running) == [(1,)], 30, "it was not claimed")
        cluster.start("worker", "--concurrency", "1")
        cluster.start_web()
        cluster.wait(job)
        assert cluster.ask("SELECT max(claims), max(attempts) FROM rowmill_batch") == [(1, 1)]


def test_two_migrate_at_once_take_turns(postgres, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, postgres.new_database())
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: cluster.run("rowmill", "migrate"), range(3)))
    assert [(d.returncode, d.stderr) for d in done] == [(0, "")] * 3
    assert cluster.ask("SELECT count(*) FROM rowmill_org") == [(1,)]


def test_before_migrate_nothing_starts(postgres, tmp_path: Path) -> None:
    done = Cluster(tmp_path, postgres.new_database()).run("rowmill", "worker")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Run `rowmill migrate` first" in done.stderr
