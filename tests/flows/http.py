"""A real server with a runner beside it, and a client that speaks plain HTTP to it."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cheroot.wsgi import Server
from django.core.wsgi import get_wsgi_application

from rowmill.jobs.runner import Runner
from tests.conftest import PASSWORD

BOUNDARY = "----rowmill-flow"
FINAL = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Api:
    """A person's client."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)

    def sign_in(self, email: str) -> Api:
        tokens = self.send("POST", "/api/v1/auth/token/", {"email": email, "password": PASSWORD}).json
        return Api(self.url, {"Authorization": f"Bearer {tokens['access']}"})

    def send(self, method: str, path: str, data: Any = None, **headers: str) -> Answer:
        body = data if isinstance(data, bytes) or data is None else json.dumps(data).encode()
        kind = {} if isinstance(data, bytes) or data is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, {**self.headers, **kind, **headers}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return Answer(reply.status, dict(reply.headers), reply.read())
        except urllib.error.HTTPError as reply:
            with reply:
                return Answer(reply.code, dict(reply.headers), reply.read())

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def upload(self, data: bytes, name: str = "claims.csv", **form: str) -> Answer:
        parts = [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{text}\r\n'
            for key, text in form.items()
        ]
        file = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = "".join(parts).encode() + file.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return self.send("POST", "/api/v1/claims/bulk/upload/", body, **kind)

    def wait(self, job: str, seconds: float = 180.0, until: Any = None) -> dict[str, Any]:
        """Ask for the progress until the job is final, or until `until(progress)` holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            progress = self.get(f"/api/v1/claims/csv-jobs/{job}/progress/").json
            if progress["final"] or (until is not None and until(progress)):
                return progress
            time.sleep(0.05)
        raise AssertionError(f"still {progress['status']}: {progress['outcomes']} {progress['waiting_reason']}")


@contextmanager
def serving(runner: bool = True) -> Iterator[Api]:
    """Serve on a free port of the loopback until the block ends."""
    server = Server(("127.0.0.1", 0), get_wsgi_application(), numthreads=4)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    works = Runner(concurrency=2) if runner else None
    if works is not None:
        works.start()
    try:
        yield Api(f"http://127.0.0.1:{server.bind_addr[1]}")
    finally:
        if works is not None:
            works.stop()
        server.stop()
        thread.join(60)
