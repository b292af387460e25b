"""A whole cluster of real processes for the crash tests: Postgres, Redis, S3, web, workers, beat; nothing is shared on disk.

Between the processes and each server lies a proxy that can break the line. Whatever dies is started again, as systemd would.
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.crash.history import TRACED
from tests.crash.server import Server, wait_for
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres
from tests.servers.proxy import HttpProxy, Proxy
from tests.servers.redis import RedisServer, redis_server
from tests.servers.s3 import S3

MARK = "ROWMILL_NEMESIS_MARK"
LEASE_SECONDS = 4
STOP_SECONDS = 5
BUCKET, PREFIX = "nemesis", "cluster"
PLUGINS = "claim_status=tests.crash.plugins.HastyClaims,tally=tests.crash.plugins.Tally"
_WATCH = """
import glob, os, signal, sys
os.setsid()
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sys.stdin.buffer.read()
for path in glob.glob("/proc/[0-9]*/environ"):
    pid = int(path.split("/")[2])
    try:
        if pid != os.getpid() and sys.argv[1].encode() in open(path, "rb").read():
            os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
"""


@dataclass
class Node:
    """One process of Rowmill with a data directory of its own."""

    role: str
    name: str
    folder: Path
    environment: dict[str, str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    frozen: bool = False
    expected: set[int] = field(default_factory=set)
    died: list[str] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        return self.folder / self.name

    @property
    def log(self) -> Path:
        """Give where it writes."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it, without waiting."""
        command = [sys.executable, "-m", "rowmill", self.role]
        if self.role == "web":
            command += ["--host", "127.0.0.1", "--port", str(self.port), "--threads", "12"]
        environment = {**os.environ, **self.environment, "ROWMILL_DATA_DIR": str(self.data_dir)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        self.frozen = False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the process, or to its whole group."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.process.pid, number)

    def kill(self, *, group: bool = False) -> None:
        """kill -9, of the process alone or of its group."""
        assert self.process is not None
        self.expected.add(self.process.pid)
        self.send(signal.SIGKILL, group=group)
        self.process.wait(30)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT. Again: yes."""
        self.send(signal.SIGCONT)
        self.frozen = False

    def terminate(self, seconds: float = STOP_SECONDS + 40.0) -> int | None:
        """SIGTERM. Gives the exit code, None where it does not end."""
        assert self.process is not None
        self.expected.add(self.process.pid)
        self.send(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill(group=True)
            return None

    def last_words(self) -> str:
        """Give the end of its log."""
        return self.log.read_text(errors="replace")[-1200:] if self.log.exists() else ""


class Cluster:
    """The servers, the lines to them, and the processes."""

    def __init__(self, folder: Path, postgres: Postgres, redis: RedisServer, s3: S3, seed: int) -> None:
        self.folder, self.postgres, self.redis, self.s3 = folder, postgres, redis, s3
        self.mark = uuid.uuid4().hex
        self.database_line, self.redis_line = Proxy(postgres.port), Proxy(redis.port)
        self.s3_line = HttpProxy(s3.port, seed=seed)
        self.nodes: list[Node] = []
        self.lock = threading.Lock()
        self.url = ""
        self._supervising = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    # ---------------------------------------------------------------------------------------- its life

    def prepare(self) -> None:
        """Make the database and the environment that all processes share."""
        self.url = self.postgres.new_database(name="cluster")
        place = urlsplit(self.url)
        through = place._replace(netloc=place.netloc.replace(f":{self.postgres.port}", f":{self.database_line.port}"))
        self.base = {
            **self.s3.environment,
            MARK: self.mark,
            "DATABASE_URL": self.url,
            "SECRET_KEY": "nemesis-" + "k" * 48,
            "ROWMILL_ENCRYPTION_KEY": base64.b64encode(b"n" * 32).decode(),
            "ROWMILL_BROKER_URL": f"redis://127.0.0.1:{self.redis_line.port}/0",
            "ROWMILL_STORAGE_URL": self.s3.url(BUCKET, PREFIX, port=self.s3_line.port),
            "ROWMILL_ALLOWED_HOSTS": "127.0.0.1",
            "ROWMILL_BASE_URL": "http://127.0.0.1",
            "ROWMILL_LEASE_SECONDS": str(LEASE_SECONDS),
            "ROWMILL_POLL_SECONDS": "0.4",
            "ROWMILL_SWEEP_SECONDS": "1",
            "ROWMILL_BEAT_SECONDS": "2",
            "ROWMILL_STOP_SECONDS": str(STOP_SECONDS),
            "ROWMILL_CONCURRENCY": "4",
            "ROWMILL_MIN_FREE_BYTES": "0",
            "ROWMILL_INSPECT_SECONDS": "30",
            "ROWMILL_ACCESS_TOKEN_MINUTES": "600",
            "ROWMILL_LOG_LEVEL": "INFO",
            "ROWMILL_KINDS": PLUGINS,
        }
        self.through = {"DATABASE_URL": through.geturl()}

    @property
    def objects(self) -> Path:
        """Give the folder in which the S3 server keeps this cluster's objects."""
        return self.s3.folder / "files" / BUCKET / PREFIX

    def start(self, webs: int = 2, workers: int = 3) -> None:
        """Start every process, and the supervisor."""
        roles = ["web"] * webs + ["worker"] * workers + ["beat"]
        for number, role in enumerate(roles):
            more = self.through if role != "web" else {}
            node = Node(role, f"{role}-{number}", self.folder, {**self.base, **more})
            node.port = free_port() if role == "web" else 0
            self.nodes.append(node)
            node.start()
        for web in self.those("web"):
            wait_for(lambda web=web: answers(web), 90, "a web process did not come up")  # type: ignore[misc]
        self._supervisor.start()

    def those(self, role: str) -> list[Node]:
        """Give the processes of a role."""
        return [node for node in self.nodes if node.role == role]

    def _supervise(self) -> None:
        """Start again what died, and note what died by itself."""
        while not self._supervising.wait(0.25):
            with self.lock:
                for node in self.nodes:
                    if not node.alive and node.process is not None and not self._supervising.is_set():
                        self._note_death(node)
                        node.start()

    def _note_death(self, node: Node) -> None:
        assert node.process is not None
        if node.process.pid not in node.expected:
            node.died.append(f"{node.name} ended by itself ({node.process.returncode}): {node.last_words()[-400:]}")

    def stop_supervising(self) -> None:
        """Let the dead be dead from now on."""
        self._supervising.set()
        if self._supervisor.ident is not None:
            self._supervisor.join(60)

    def heal(self) -> None:
        """Mend every line, thaw and start every server and process."""
        for line in (self.database_line, self.redis_line, self.s3_line):
            line.accept()
            line.black_hole = line.swallow_answers = False
            line.latency_seconds = 0.0
        self.s3_line.clear()
        self.redis.thaw()
        self.s3.thaw()
        for node in self.nodes:
            if node.frozen:
                node.thaw()

    def left_behind(self) -> list[int]:
        """Give the processes of Rowmill that outlived their end."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"{MARK}={self.mark}".encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def kill_all(self) -> None:
        """End every process of Rowmill at once."""
        self.stop_supervising()
        for node in self.nodes:
            if node.process is not None:
                node.kill(group=True)
        for pid in self.left_behind():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def answers(web: Node) -> bool:
    """Tell whether a web process serves."""
    from tests.crash.server import Lost, Refused

    try:
        Server(web.data_dir, {}, port=web.port, patience_seconds=5).call("GET", "/health/")
        return True
    except Refused:
        return True
    except Lost:
        return False


@contextlib.contextmanager
def running(folder: Path, seed: int) -> Iterator[Cluster]:
    """Run the servers and give a cluster that is prepared, its processes not started yet; all ends with it."""
    with (
        Postgres(sync=True, max_connections="200", **TRACED) as postgres,
        redis_server() as redis,
        S3("rclone", dir_cache="24h") as s3,
    ):
        cluster = Cluster(folder, postgres, redis, s3, seed)
        watch = subprocess.Popen([sys.executable, "-c", _WATCH, f"{MARK}={cluster.mark}"], stdin=subprocess.PIPE)
        try:
            with cluster.database_line, cluster.redis_line, cluster.s3_line:
                cluster.prepare()
                yield cluster
                cluster.kill_all()
        finally:
            cluster.kill_all()
            assert watch.stdin is not None
            watch.stdin.close()
            watch.wait(60)


def until(true: object, seconds: float) -> bool:
    """Wait until something is true, at most so long. Gives whether it became so."""
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True
