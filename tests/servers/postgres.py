"""A private Postgres: made in a temporary folder, on 127.0.0.1 and a free port, gone at the end.

    with Postgres() as server:
        url = server.new_database()             # DATABASE_URL of an empty database
        copy = server.new_database(template=url)
        server.restart_immediate()              # as by a crash; needs sync=True to prove anything

It does not run as root (`runuser -u postgres`), and dies with whoever started it.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from tests.servers.ports import free_port

USER, PASSWORD = "rowmill", "not-a-secret"
READY_SECONDS = 120.0
_NOT_SYNCED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# The watch dies with the pipe that its starter holds: then the server is ended, however the starter died.
_WATCH = """
import os, shutil, signal, sys, time
os.setsid()
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sys.stdin.buffer.read()
try:
    pid = int(open(sys.argv[1] + "/data/postmaster.pid").readline())
    os.kill(pid, signal.SIGQUIT)
    until = time.monotonic() + 10
    while time.monotonic() < until and os.path.exists(f"/proc/{pid}"):
        time.sleep(0.05)
except (OSError, ValueError):
    pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


def find_programs() -> Path | None:
    """Give the folder of the newest Postgres installed, None where there is none."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[-3]))
    if found:
        return Path(found[-1]).parent
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


class Postgres:
    """One server. `sync`: with fsync, for tests that crash the server itself. `base`: on the disk of this folder."""

    def __init__(self, *, sync: bool = False, port: int = 0, base: str | None = None, **settings: str) -> None:
        programs = find_programs()
        if programs is None:
            raise RuntimeError("Postgres is not installed: make system")
        self._programs = programs
        self._base = base
        self.port = port or free_port()
        self.settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "max_connections": "300",
            "shared_buffers": "128MB",
            "max_wal_size": "2GB",
            **({} if sync else _NOT_SYNCED),
            **settings,
        }
        self._made = count(1)
        self._watch: subprocess.Popen[bytes] | None = None

    # ---------------------------------------------------------------------------------------- its life

    def __enter__(self) -> Postgres:
        in_memory = self.settings.get("fsync") == "off" and os.access("/dev/shm", os.W_OK)
        base = self._base or ("/dev/shm" if in_memory else "/tmp")
        self.folder = Path(tempfile.mkdtemp(prefix="rowmill-postgres-", dir=base))
        try:
            if os.getuid() == 0:
                shutil.chown(self.folder, "postgres", "postgres")
            self._initialise()
            self.start()
            self._watch = subprocess.Popen([sys.executable, "-c", _WATCH, str(self.folder)], stdin=subprocess.PIPE)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._watch is not None and self._watch.stdin is not None:
            self._watch.stdin.close()
            self._watch.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _initialise(self) -> None:
        """Make the cluster, with one role that may do everything and needs its password over TCP."""
        secret = self.folder / "secret"
        secret.write_text(PASSWORD + "\n")
        if os.getuid() == 0:
            shutil.chown(secret, "postgres", "postgres")
        options = ["-U", USER, "--pwfile", str(secret), "--auth-host=scram-sha-256", "--auth-local=trust"]
        self._run("initdb", "-D", self.data, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", *options)
        settings = {**self.settings, "unix_socket_directories": str(self.folder)}
        lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        with (Path(self.data) / "postgresql.conf").open("a") as file:
            file.write(lines)

    @property
    def data(self) -> str:
        """Give the data directory."""
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of its programs, not as root. Raises: RuntimeError with what it said."""
        command = [str(self._programs / program), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )
        if done.returncode:
            log = Path(self.folder / "log")
            told = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise RuntimeError(f"{program}: {done.stderr[-2000:]}{done.stdout[-500:]}{told}")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._run(
            "pg_ctl", "-D", self.data, "-l", str(self.folder / "log"), "-w", "-t", str(int(READY_SECONDS)), "start"
        )

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: "immediate" as by a crash (it recovers at the next start), "fast" in good order."""
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", str(int(READY_SECONDS)), "stop")

    def restart_immediate(self, seconds_down: float = 0.0) -> None:
        """Crash it and start it again: every connection breaks, what was not committed is gone."""
        self.stop()
        time.sleep(seconds_down)
        self.start()

    @property
    def pid(self) -> int | None:
        """Give its first process, None where it does not run."""
        try:
            return int((self.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def kill(self) -> None:
        """End it at once, whatever it does."""
        pid = self.pid
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        until = time.monotonic() + 60
        while time.monotonic() < until and Path(f"/proc/{pid}").exists():
            time.sleep(0.02)

    # ---------------------------------------------------------------------------------------- its databases

    def url(self, name: str = "postgres") -> str:
        """Give a database's address as DATABASE_URL takes it."""
        return f"postgres://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}?sslmode=disable"

    def new_database(self, template: str = "", name: str = "") -> str:
        """Make a database, empty or a copy of another that nobody is connected to. Gives its URL."""
        name = name or f"rowmill_{os.getpid()}_{next(self._made)}"
        make_database(self.url(), name, template)
        return self.url(name)


def make_database(server_url: str, name: str, template: str = "") -> str:
    """Make a database on a server, in the place of one of that name. Gives its URL."""
    import psycopg

    copied = urlsplit(template).path.strip("/") or "template0"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        for other in [copied] if template else []:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                (other,),
            )
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{copied}"')
    parts = urlsplit(server_url)
    return parts._replace(path=f"/{name}").geturl()
