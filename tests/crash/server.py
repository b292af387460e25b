"""A real `rowmill up` for the crash tests: a process group of its own, killed and started again; and a client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.database import database_of_its_own
from tests.crash.inside import EMAIL, PASSWORD, run_inside
from tests.servers.ports import free_port

JOBS = "/api/v1/claims/csv-jobs/"
UPLOAD = "/api/v1/claims/bulk/upload/"
FINAL = ("COMPLETED", "FAILED", "CANCELLED")
Lost = (urllib.error.URLError, ConnectionError, http.client.HTTPException, TimeoutError)


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status, self.problem = status, problem


@dataclass
class Server:
    """One data directory, and the process that serves it."""

    data_dir: Path
    environment: dict[str, str]
    port: int = 0
    process: subprocess.Popen[str] | None = None
    token: str = ""
    starts: int = 0
    stopped_in_seconds: float = 0.0
    patience_seconds: float = 60.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spawn(self) -> subprocess.Popen[str]:
        """Start a process on the data directory, whoever else is there."""
        command = [sys.executable, "-m", "rowmill", "up", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        environment = {**os.environ, "ROWMILL_LOG_LEVEL": "ERROR", "ROWMILL_ACCESS_TOKEN_MINUTES": "600"}
        environment |= {"ROWMILL_POLL_SECONDS": "0.1", "ROWMILL_SWEEP_SECONDS": "0.5", **self.environment}
        with self.log.open("a") as log:
            return subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=log, text=True, start_new_session=True
            )

    @property
    def log(self) -> Path:
        """Give where its stderr goes."""
        return self.data_dir.parent / "server.log"

    def start(self, **environment: str) -> None:
        """Start it and wait until it answers."""
        self.environment |= environment
        self.port = self.port or free_port()
        self.process = self.spawn()
        self.starts += 1
        wait_for(self._answers, 60, "rowmill up did not come up")
        if not self.token:
            self.token = self.call("POST", "/api/v1/auth/token/", {"email": EMAIL, "password": PASSWORD})["access"]

    def _answers(self) -> bool:
        """Tell whether it serves. Raises: AssertionError where it has ended instead."""
        assert self.process is not None
        assert self.process.poll() is None, f"rowmill up ended: {self.log.read_text()[-1500:]}"
        try:
            with urllib.request.urlopen(f"{self.url}/accounts/login/", timeout=30):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except Lost:
            return False

    def kill(self) -> None:
        """kill -9 of the whole process group."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def terminate(self) -> int:
        """SIGTERM. Gives the exit code."""
        assert self.process is not None
        asked = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(120)
        self.stopped_in_seconds = time.monotonic() - asked
        return code

    # ------------------------------------------------------------------------------------ the client

    def call(self, method: str, path: str, data: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Make a call. Shape: parsed JSON, or bytes. Raises: Refused; one of Lost where no answer came."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        body = data if isinstance(data, bytes) or data is None else json.dumps(data).encode()
        if data is not None and not isinstance(data, bytes):
            sent["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data=body, method=method, headers={**sent, **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=self.patience_seconds) as answer:
                told = answer.read()
                return json.loads(told) if "json" in (answer.headers.get_content_type()) else told
        except urllib.error.HTTPError as error:
            with error:
                told = error.read()
            raise Refused(error.code, json.loads(told) if told.startswith(b"{") else {}) from None

    def upload(self, data: bytes, key: str | None = None, **fields: str) -> dict[str, Any]:
        """Send a claims file."""
        headers, body = multipart(data, fields)
        answer: dict[str, Any] = self.call(
            "POST", UPLOAD, body, {**headers, **({"Idempotency-Key": key} if key else {})}
        )
        return answer

    def progress(self, job: str) -> dict[str, Any]:
        """Ask how far a job is."""
        answer: dict[str, Any] = self.call("GET", f"{JOBS}{job}/progress/")
        return answer

    def wait(
        self, job: str, seconds: float = 240, *, until: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        """Follow a job until it is final, or until something else is true of its progress."""
        last: dict[str, Any] = {}

        def there() -> bool:
            last.update(self.progress(job))
            return until(last) if until else last["status"] in FINAL

        wait_for(there, seconds, f"job {job} did not get there")
        return last

    def save_results(self, job: str, out: Path) -> Path:
        """Fetch the results file."""
        out.write_bytes(self.call("GET", f"{JOBS}{job}/results/"))
        return out


def multipart(data: bytes, fields: dict[str, str]) -> tuple[dict[str, str], bytes]:
    """Lay out a form with one file."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="claims.csv"\r\n'
    parts += [head.encode(), b"Content-Type: text/csv\r\n\r\n", data, f"\r\n--{boundary}--\r\n".encode()]
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, b"".join(parts)


def wait_for(true: Callable[[], bool], seconds: float, words: str) -> None:
    """Wait until something is true. Raises: AssertionError after so long, and not before two minutes on a slow machine."""
    until = time.monotonic() + max(seconds, 120.0)
    while not true():
        assert time.monotonic() < until, words
        time.sleep(0.05)


@contextlib.contextmanager
def provided(folder: Path, base_url: str, token_url: str, in_flight: int = 20, **environment: str) -> Iterator[Server]:
    """Give a server over a fresh data directory that has all that a job needs; not started yet, and killed at the end."""
    with database_of_its_own():
        complaint = run_inside("provide", folder / "data", base_url, token_url, str(in_flight))
        assert not complaint, complaint
        server = Server(folder / "data", dict(environment))
        try:
            yield server
        finally:
            if server.process is not None:
                server.kill()
