"""A small cluster for a benchmark: a private Postgres, Redis where wanted, `rowmill worker` processes, one folder for files."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from tests.servers.postgres import Postgres  # noqa: E402
from tests.servers.redis import redis_server  # noqa: E402

KINDS = "nothing=nothing.Nothing,claims_few=few.ClaimsFew"


class Cluster:
    """Workers on one database; this process submits and looks on, through Django."""

    def __init__(self, folder: Path, database_url: str, broker_url: str, **settings: str) -> None:
        self.folder = folder
        self.settings = {
            "DATABASE_URL": database_url,
            "ROWMILL_BROKER_URL": broker_url,
            "ROWMILL_STORAGE_URL": f"file://{folder}/files",
            "ROWMILL_SHARED_STORAGE": "yes",
            "SECRET_KEY": "bench" * 10,
            "ROWMILL_ENCRYPTION_KEY": base64.b64encode(b"b" * 32).decode(),
            "ROWMILL_LOG_LEVEL": "ERROR",
            "ROWMILL_MIN_FREE_BYTES": "0",
            "ROWMILL_MAX_UPLOAD_BYTES": str(1 << 30),
            "ROWMILL_KINDS": KINDS,
            "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}",
            **settings,
        }
        self.workers: list[subprocess.Popen[str]] = []

    def begin(self) -> Cluster:
        """Make the tables and an org to work in."""
        os.environ.update(self.settings, ROWMILL_DATA_DIR=str(self.folder / "lead"))
        from rowmill.cli.serving import set_up_django

        set_up_django()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from rowmill.claims.practices import save_practice
        from rowmill.models import Practice
        from rowmill.orgs import add_member, create_org, find_caller

        self.caller = find_caller(add_member(create_org("bench"), "bench@rowmill.test", "admin"))
        save_practice(self.caller, Practice(), name="Bench", tin="001234567")
        return self

    def start_workers(self, count: int, concurrency: int) -> None:
        """Start so many workers more, and wait until each says that it is up."""
        started = [self._start(len(self.workers) + n, concurrency) for n in range(count)]
        self.workers += started
        for process in started:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "is up" not in line:
                raise SystemExit(f"A worker did not start: {line}{process.stdout.read()}")
            threading.Thread(target=process.stdout.read, daemon=True).start()

    def _start(self, number: int, concurrency: int) -> subprocess.Popen[str]:
        environment = {**os.environ, **self.settings, "ROWMILL_DATA_DIR": str(self.folder / f"worker-{number}")}
        command = [sys.executable, "-m", "rowmill", "worker", "--concurrency", str(concurrency)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def stop_workers(self) -> None:
        """End them all."""
        workers, self.workers = self.workers, []
        for process in workers:
            process.send_signal(signal.SIGTERM)
        for process in workers:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def cluster(*, broker: bool, sync: bool = False, **settings: str) -> Iterator[Cluster]:
    """Run a cluster without workers yet. `sync`: Postgres waits for its disk."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rowmill-bench-")))
        postgres = stack.enter_context(Postgres(sync=sync))
        url = stack.enter_context(redis_server()).url if broker else ""
        made = Cluster(folder, postgres.new_database(), url, **settings).begin()
        stack.callback(made.stop_workers)
        yield made
        from django.db import connections

        connections.close_all()
