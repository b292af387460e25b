"""A small cluster for tests: real `rowmill web`, `worker` and `beat` processes on one Postgres, with or without a Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.crash.server import Server, wait_for
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres

KINDS = "nothing=tests.probe.Nothing,slow=tests.cluster.kinds.Slow,deaf=tests.cluster.kinds.Deaf"
ROOT = Path(__file__).parent.parent.parent


class Cluster:
    """Processes that share a database and a folder; ended with the block."""

    def __init__(self, folder: Path, database_url: str, broker_url: str = "", **more: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "ROWMILL_BROKER_URL": broker_url,
            "ROWMILL_DATA_DIR": str(folder / "data"),
            "SECRET_KEY": "cluster-of-the-tests-" * 3,
            "ROWMILL_ENCRYPTION_KEY": b64encode(b"c" * 32).decode(),
            "ROWMILL_SHARED_STORAGE": "yes",
            "ROWMILL_ALLOWED_HOSTS": "rowmill.test",
            "ROWMILL_BASE_URL": "http://rowmill.test",
            "ROWMILL_LOG_LEVEL": "WARNING",
            "ROWMILL_MIN_FREE_BYTES": "0",
            "ROWMILL_CONCURRENCY": "2",
            "ROWMILL_KINDS": KINDS,
            **more,
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a module to its end."""
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, env={**self.environment, **more}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    def prepare(self, *payer: str) -> None:
        """Make tables, admin and account."""
        for command in (("rowmill", "migrate"), ("tests.cluster.inside", "provide", *payer)):
            done = self.run(*command)
            assert done.returncode == 0, done.stderr

    def submit(self, kind: str, rows: int, **more: str) -> str:
        """Make a job. Gives its id."""
        done = self.run("tests.cluster.inside", "submit", kind, str(rows), **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, *command: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a command of its own and wait until it says that it is up."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "rowmill", *command], cwd=ROOT, env={**self.environment, **more},
                stdout=subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        assert process.stdout is not None
        said = process.stdout.readline()
        assert b"is up" in said, self.log.read_text()[-3000:]
        return process

    def start_web(self) -> Server:
        """Start a web process. Gives a client of it."""
        server = Server(self.folder / "data", {}, free_port())
        self.start("web", "--port", str(server.port))
        from tests.cluster.inside import EMAIL, PASSWORD

        server.token = server.call("POST", "/api/v1/auth/token/", {"email": EMAIL, "password": PASSWORD})["access"]
        return server

    @property
    def log(self) -> Path:
        """Give where the processes' stderr goes."""
        return self.folder / "cluster.log"

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

    def state(self, job: str) -> str:
        """Give a job's state."""
        return str(self.ask("SELECT state FROM rowmill_job WHERE public_id = %s", job)[0][0])

    def outcomes(self, job: str) -> dict[str, int]:
        """Count a job's results by outcome, and how many rows have more than one."""
        query = "SELECT r.outcome, count(*) FROM rowmill_result r JOIN rowmill_job j ON j.id = r.job_id"
        return dict(self.ask(query + " WHERE j.public_id = %s GROUP BY 1", job))

    def wait(self, job: str, seconds: float = 60, state: str = "COMPLETED") -> None:
        """Wait until a job is in a state."""
        wait_for(lambda: self.state(job) == state, seconds, f"the job did not become {state}: {self.tail()}")

    def tail(self) -> str:
        """Give the end of the log."""
        return self.log.read_text()[-2000:] if self.log.exists() else ""

    def end(self) -> None:
        """Kill every process."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
            if process.stdout is not None:
                process.stdout.close()


@contextlib.contextmanager
def cluster_on(postgres: Postgres, folder: Path, broker_url: str = "", **more: str) -> Iterator[Cluster]:
    """Give a cluster with its tables made, nothing started."""
    made = Cluster(folder, postgres.new_database(), broker_url, **more)
    made.prepare()
    try:
        yield made
    finally:
        made.end()
