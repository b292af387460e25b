"""A cluster as docs/cluster.md has it: Postgres, Redis, a bucket and a payer, and machines that run the roles of Rowmill.

with servers(book) as them:                       # on 127.0.0.1; `addresses` for a network
    machine = Machine("web", folder, them.environment())
    machine.run("migrate"); machine.start("web", "--port", "8000"); machine.stop()
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from payersim.testing import Payer, running_apart
from tests.crash.server import Lost, Server, wait_for
from tests.machines.inside import EMAIL, PASSWORD
from tests.machines.network import Host
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres
from tests.servers.redis import RedisServer, redis_server
from tests.servers.s3 import S3

IN_FLIGHT = 20
DAY_MINUTES = "600"


@dataclass
class Servers:
    """What all machines reach."""

    postgres: Postgres
    redis: RedisServer
    s3: S3
    payer: Payer
    address: str
    database_url: str
    secrets: dict[str, str]

    def environment(self, *, broker_at: str = "", **more: str) -> dict[str, str]:
        """Give the settings of a machine (docs/cluster.md, step 5); the same on every one."""
        return {
            "DATABASE_URL": self.database_url,
            "ROWMILL_BROKER_URL": f"redis://{broker_at or self.address}:{self.redis.port}/0",
            "ROWMILL_STORAGE_URL": self.s3.url("rowmill", "prod"),
            "AWS_ACCESS_KEY_ID": self.s3.environment["AWS_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": self.s3.environment["AWS_SECRET_ACCESS_KEY"],
            **self.secrets,
            "ROWMILL_BASE_URL": "http://127.0.0.1:8000",
            "ROWMILL_ALLOWED_HOSTS": "localhost,127.0.0.1",
            "ROWMILL_ADMIN_EMAIL": EMAIL,
            "ROWMILL_ADMIN_PASSWORD": PASSWORD,
            "ROWMILL_ACCESS_TOKEN_MINUTES": DAY_MINUTES,
            "ROWMILL_MIN_FREE_BYTES": "0",
            **more,
        }

    def new_database(self) -> None:
        """Point new machines at an empty database."""
        self.database_url = self._reached(self.postgres.new_database())

    def _reached(self, url: str) -> str:
        """Give a database's address as machines reach it."""
        return url.replace("@127.0.0.1:", f"@{self.address}:")

    def ask(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Ask the database behind Rowmill's back."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(sql, values).fetchall()  # type: ignore[call-overload, no-any-return]

    def one(self, sql: str, *values: object) -> int:
        """Ask for one number."""
        return int(self.ask(sql, *values)[0][0])  # type: ignore[call-overload]


@contextlib.contextmanager
def servers(
    book: Path, *, address: str = "127.0.0.1", more: tuple[str, ...] = (), subnet: str = "", seed: int = 1, scale: float
) -> Iterator[Servers]:
    """Run them on this machine, reached on `address` (Redis on `more` too) by all of `subnet`."""
    here = tuple(one for one in (address,) if one != "127.0.0.1")
    payer_options = ["--host", address, "--book", str(book), "--seed", str(seed), "--latency-scale", str(scale)]
    with (
        Postgres(listen_addresses=",".join(("127.0.0.1", *here))) as postgres,
        redis_server(*here, *more) as redis,
        S3("rclone", host=address) as s3,
        running_apart("--profile", "realistic", "--in-flight-cap", str(IN_FLIGHT), *payer_options) as payer,
    ):
        if subnet:
            _let_in(postgres, subnet)
        keys = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "ROWMILL_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        them = Servers(postgres, redis, s3, payer, address, "", keys)
        them.new_database()
        yield them


def _let_in(postgres: Postgres, subnet: str) -> None:
    """Let machines of a network sign in, by their password."""
    with (Path(postgres.data) / "pg_hba.conf").open("a") as file:
        file.write(f"host all all {subnet} scram-sha-256\n")
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("SELECT pg_reload_conf()")


@dataclass
class Machine:
    """Where processes of Rowmill run: a data folder of its own, and a network of its own where a host is given."""

    name: str
    folder: Path
    environment: dict[str, str]
    host: Host | None = None
    process: subprocess.Popen[bytes] | None = None
    peak_bytes: int = 0
    log_begins: int = 0
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """Give where its processes write."""
        return self.folder / f"{self.name}.log"

    @property
    def _disk(self) -> Path:
        """Give its data folder, as its own processes see it."""
        return self.host.disk if self.host else self.folder / self.name

    def _command(self, *arguments: str) -> list[str]:
        """Give a command of this machine's, that dies with whoever started it."""
        command = ["setpriv", "--pdeathsig", "KILL", *arguments]
        return self.host.wrap(command) if self.host else command

    def _environment(self) -> dict[str, str]:
        """Give what its processes find in their environment: nothing of this one's settings."""
        unwanted = ("ROWMILL_", "DATABASE_URL", "SECRET_KEY", "AWS_", "TMPDIR")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        return {**kept, "ROWMILL_DATA_DIR": str(self._disk / "data"), **self.environment}

    def start(self, role: str, *options: str) -> None:
        """Start a role, in the place of the one that ran here."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / self.name).mkdir(exist_ok=True)
        self.log_begins = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(sys.executable, "-m", "rowmill", role, *options),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(self.process)

    def run(self, *words: str, module: str = "rowmill") -> str:
        """Run a command to its end. Gives what it prints. Raises: AssertionError where it fails."""
        command = self._command(sys.executable, "-m", module, *words)
        done = subprocess.run(
            command, env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"{self.name}: {words}: {done.stderr[-3000:]}{done.stdout[-1000:]}"
        return done.stdout

    def is_up(self) -> bool:
        """Tell whether its process said that it is up. Raises: AssertionError where it has ended."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended: {self.tail()}"
        return re.search(r"^Rowmill \w+.* is up: ", self.said(), re.M) is not None

    def said(self) -> str:
        """Give what the process that was started last has written."""
        return self.log.read_bytes()[self.log_begins :].decode(errors="replace")

    def tail(self) -> str:
        """Give the end of its log."""
        return self.log.read_text(errors="replace")[-2500:]

    def ended(self, outcome: str) -> int:
        """Count the batches that its log says ended so."""
        lines = self.log.read_text(errors="replace").splitlines()
        return sum("batch ended" in line and f'"outcome": "{outcome}"' in line for line in lines)

    def stop(self, seconds: float = 120) -> int:
        """SIGTERM, and wait. Gives the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """kill -9 of all that runs there. Again: yes."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        self.started.clear()

    def weigh(self) -> None:
        """Note the largest of its processes, children too, where it is larger than any seen."""
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(psutil.Error):
            mine = psutil.Process(self.process.pid)
            for process in [mine, *mine.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    self.peak_bytes = max(self.peak_bytes, process.memory_info().rss)


class Client(Server):
    """The crash tests' client, of a web server that somebody else started."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(folder, {})
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    def sign_in(self) -> None:
        """Get a token, once the server answers."""
        self.token = self.call("POST", "/api/v1/auth/token/", {"email": EMAIL, "password": PASSWORD})["access"]


@contextlib.contextmanager
def ended_after(*machines: Machine) -> Iterator[None]:
    """See that nothing of these machines outlives the block."""
    try:
        yield
    finally:
        for machine in machines:
            machine.kill()


def open_client(machine: Machine, address: str = "127.0.0.1", *options: str) -> Client:
    """Start `rowmill web` on a machine, wait until it answers, sign in."""
    port = free_port()
    machine.start("web", "--host", address, "--port", str(port), *options)
    wait_for(machine.is_up, 90, f"{machine.name} did not come up")
    client = Client(f"http://{address}:{port}", machine.folder)
    client.sign_in()
    return client


def wait_while_weighing(true: Callable[[], bool], machines: list[Machine], seconds: float, words: str) -> None:
    """Wait until something is true, weighing the machines meanwhile; an answer that does not come is no answer."""

    def look() -> bool:
        for machine in machines:
            machine.weigh()
        try:
            return true()
        except Lost:
            return False

    wait_for(look, seconds, words)
