r"""From the drop of a contacts file to its last row imported, as the page does it, on a running `rowmill up`.

    python bench/drop.py --mb 100 [--database sqlite] [--again]

A person clicks twice in it, and waits for neither: "work out what it would do" once the verdict is there, "import" once the
effect is known. Everything goes over HTTP to a server in a process of its own, as shipped, on a private Postgres with fsync.
Machine time is the sum of the steps. `--again` sends the same file once more, now into the full table. The account and the
book of the file are held against each other. The last line is JSON; figures are seconds of each step, and the largest
resident memory of any process of the server, in MB.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
EMAIL, PASSWORD = "bench@rowmill.test", "a-long-password-1"
CHUNK, ROW_BYTES = 8_000_000, 694


class Server:
    """`rowmill up` in a process of its own, and somebody who is signed in."""

    def __init__(self, folder: Path, port: int, **environment: str) -> None:
        command = [sys.executable, "-m", "rowmill", "up", "--port", str(port), "--data-dir", str(folder / "data")]
        settings = {"ROWMILL_LOG_LEVEL": "ERROR", "ROWMILL_ADMIN_EMAIL": EMAIL, "ROWMILL_ADMIN_PASSWORD": PASSWORD}
        settings |= {"ROWMILL_DUPLICATE_HOURS": "0", "PYTHONPATH": str(ROOT), **environment}
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, env=os.environ | settings, stdout=quiet, start_new_session=True)
        self.port, self.token, self.most_mb, self.over = port, "", 0.0, threading.Event()
        told = {"email": EMAIL, "password": PASSWORD}
        self.wait(lambda: self._signed_in(told), 120)
        threading.Thread(target=self._watch, daemon=True).start()

    def _signed_in(self, told: dict[str, str]) -> bool:
        try:
            self.token = self.call("POST", "/api/v1/auth/token/", told)["access"]
        except (OSError, SystemExit):  # not up yet, or up before its admin is made
            return False
        return True

    def _watch(self) -> None:
        """Note the most memory that one of its processes holds."""
        own = psutil.Process(self.process.pid)
        while not self.over.wait(0.02):
            for process in (own, *own.children(recursive=True)):
                try:
                    self.most_mb = max(self.most_mb, process.memory_info().rss / 1e6)
                except psutil.Error:
                    continue

    def call(self, method: str, path: str, told: Any = None, kind: str = "application/json") -> Any:
        """Make a call. Raises: SystemExit where it is refused."""
        body = told if isinstance(told, bytes) or told is None else json.dumps(told).encode()
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            line.request(method, path, body, {"Content-Type": kind, "Authorization": f"Bearer {self.token}"})
            answer = line.getresponse()
            data = answer.read()
        finally:
            line.close()
        if answer.status >= 400:
            raise SystemExit(f"{path} answered {answer.status}: {data[:300]!r}")
        return json.loads(data)

    def wait(self, there: Callable[[], bool], seconds: float = 1800) -> None:
        """Wait until something is so, looking every 50 ms. Raises: SystemExit where it does not come."""
        until = time.monotonic() + seconds
        while not there():
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit("the server did not get there")
            time.sleep(0.05)

    def end(self) -> None:
        """Stop it."""
        self.over.set()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)


def send(server: Server, file: Path, name: str) -> str:
    """Send a file in chunks. Gives the upload's id."""
    size = file.stat().st_size
    asked = {"fileName": name, "fileSize": size, "chunkSize": CHUNK, "totalChunks": -(-size // CHUNK)}
    asked |= {"kind": "contact_import", "review": True, "fingerprint": uuid.uuid4().hex}
    upload = str(server.call("POST", "/api/upload/init/", asked)["uploadId"])
    with file.open("rb") as source:
        for index in range(-(-size // CHUNK)):
            head = "".join(
                f'--cut\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
                for field, value in (("uploadId", upload), ("chunkIndex", index))
            )
            head += '--cut\r\nContent-Disposition: form-data; name="chunk"; filename="c"\r\n\r\n'
            form = head.encode() + source.read(CHUNK) + b"\r\n--cut--\r\n"
            server.call("POST", "/api/upload/chunk/", form, "multipart/form-data; boundary=cut")
    return upload


def go_through(server: Server, file: Path, name: str) -> tuple[dict[str, float], dict[str, Any]]:
    """Take a file from the drop to the account. Shape: (seconds of each step, the job's progress)."""
    marks = [time.perf_counter()]
    upload = send(server, file, name)
    marks.append(time.perf_counter())
    server.call("POST", "/api/upload/complete/", {"uploadId": upload})
    server.wait(lambda: server.call("GET", f"/api/v1/uploads/{upload}/")["status"] != "CHECKING")
    marks.append(time.perf_counter())
    server.call("GET", f"/api/v1/uploads/{upload}/mapping/")  # the page of the columns
    marks.append(time.perf_counter())
    effect = f"/api/v1/uploads/{upload}/effect/"
    server.call("POST", effect, {"duplicates": "update"})
    server.wait(lambda: server.call("GET", effect)["state"] in ("DONE", "FAILED"))
    marks.append(time.perf_counter())
    asked = {"duplicates": "update", "go_ahead": True}
    job = server.call("POST", f"/api/v1/uploads/{upload}/import/", asked)["id"]
    progress = f"/api/v1/claims/csv-jobs/{job}/progress/"
    server.wait(lambda: server.call("GET", progress)["status"] in ("COMPLETED", "FAILED", "CANCELLED"))
    marks.append(time.perf_counter())
    steps = ("sending", "verdict", "columns", "effect", "import")
    seconds = {step: after - before for step, before, after in zip(steps, marks[:-1], marks[1:], strict=True)}
    return seconds | {"machine": marks[-1] - marks[0]}, server.call("GET", progress)


def main() -> None:
    """Run it, print the table, then the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=100, help="size of the file (100)")
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres", help="which (postgres)")
    parser.add_argument("--again", action="store_true", help="send it a second time, into the full table")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT)]
    from rowmill.contacts.sample import make_contacts
    from tests.servers.ports import free_port
    from tests.servers.postgres import Postgres

    figures: dict[str, Any] = {}
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="rowmill-bench-")))
        file, book = folder / "contacts.csv", folder / "book"
        make_contacts(options.mb * 1_000_000 // ROW_BYTES, 1, file, book)
        expected = Counter(json.loads(line)["expect"] for line in book.open("rb"))
        figures["bytes"], figures["rows"] = file.stat().st_size, sum(expected.values())
        url = held.enter_context(Postgres(sync=True)).new_database() if options.database == "postgres" else ""
        server = Server(folder, free_port(), DATABASE_URL=url)
        held.callback(server.end)
        for name in ("empty", "full")[: 1 + options.again]:
            seconds, progress = go_through(server, file, f"{name}.csv")
            told = progress["merged"]
            figures[name] = {step: round(value, 2) for step, value in seconds.items()}
            right = expected["inserted"] if name == "empty" else 0
            if (told["inserted"], told["rejected"]) != (right, expected["rejected"]):
                raise SystemExit(f"the account is not the book's: {told} {dict(expected)}")
            print(f"{name:8}" + "".join(f"  {step} {value:.2f} s" for step, value in seconds.items()), flush=True)
        figures["largest_process_mb"] = round(server.most_mb)
    print("\n" + json.dumps({"name": "drop", "ratios": {}, "figures": figures}))


if __name__ == "__main__":
    main()
