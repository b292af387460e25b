"""Measure the chunk door: a large file in 8 MB chunks against bare views of the same server, and against cp.

    python bench/upload.py --mb 1000 --runs 3
    python bench/upload.py --sessions 2000

Prints a table for people and, as its last line, JSON: {"name", "ratios", "figures"}; a ratio is our seconds over theirs,
from the same run. `ours` ends when the server has put the file together, knows the SHA-256 of the whole and has handed it on
to be inspected; nothing is inspected here. The server is that of `rowmill up`, in a process of its own; the client sends
ready-made requests from a file in memory.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

CHUNK = 8_000_000
BOUNDARY = b"rowmill-bench"
EMAIL, PASSWORD = "bench@rowmill.test", "a-long-password-1"
SERVE = """
import sys
from pathlib import Path
from rowmill.cli.serving import Embedded, set_up_django
set_up_django(Path(sys.argv[1]))
from django.conf import settings
from rowmill.api import chunks
settings.ROOT_URLCONF = "bare"
chunks.VERDICT_SECONDS = 0
embedded = Embedded("127.0.0.1", 0)
embedded.runner.start = lambda: settings.SCRATCH_DIR.mkdir(exist_ok=True)
from rowmill.orgs import make_first_admin
make_first_admin(sys.argv[2], sys.argv[3], "Bench")
embedded.start()
print(embedded.url, flush=True)
sys.stdin.read()
"""


class Server:
    """A Rowmill in a process of its own, and who is signed in."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        assert process.stdout is not None
        self.process, self.folder = process, folder
        self.port = int(process.stdout.readline().rsplit(":", 1)[1])
        told = {"email": EMAIL, "password": PASSWORD}
        self.token = json.loads(self.call(self.connect(), "POST", "/api/v1/auth/token/", told))["access"]

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def call(self, line: http.client.HTTPConnection, method: str, path: str, told: Any = None) -> bytes:
        """Make a call in JSON. Raises: SystemExit where it is refused."""
        return self._ask(line, method, path, json.dumps(told).encode(), "application/json")

    def send(self, line: http.client.HTTPConnection, path: str, form: bytes) -> bytes:
        """Post a form. Raises: SystemExit where it is refused."""
        return self._ask(line, "POST", path, form, f"multipart/form-data; boundary={BOUNDARY.decode()}")

    def _ask(self, line: http.client.HTTPConnection, method: str, path: str, body: bytes, kind: str) -> bytes:
        headers = {"Content-Type": kind, "Authorization": f"Bearer {getattr(self, 'token', '')}"}
        line.request(method, path, body, headers)
        answer = line.getresponse()
        told = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"{path} answered {answer.status}: {told[:500]!r}")
        return told

    def rss(self) -> float:
        """Give what the server's own process holds. Units: MB."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6


@contextmanager
def serving(**environment: str) -> Iterator[Server]:
    """Serve from a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="rowmill-bench-") as folder:
        here = Path(__file__).resolve().parent
        settings = {"ROWMILL_LOG_LEVEL": "ERROR", "ROWMILL_ACCESS_TOKEN_MINUTES": "600", "ROWMILL_ORG_SESSIONS": "0"}
        settings |= {"ROWMILL_DUPLICATE_HOURS": "0", "PYTHONPATH": f"{here}:{here.parent}", **environment}
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, folder, EMAIL, PASSWORD],
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield Server(process, Path(folder))
        finally:
            process.kill()
            process.communicate()


@contextmanager
def watching(server: Server) -> Iterator[list[float]]:
    """Watch the server's memory. Shape: one number, the most that was seen over the start. Units: MB."""
    most, over, idle = [0.0], threading.Event(), server.rss()

    def watch() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], server.rss() - idle)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def make_file(path: Path, megabytes: int) -> str:
    """Write a table of claims whose rows repeat. Gives its SHA-256."""
    head = b"claim_number,first_name,last_name,date_of_birth,subscriber_id\n"
    block = b"".join(b"SIM%09d,Jordan,Sample,1980-01-15,SIM000123456\n" % n for n in range(20_000))
    digest = hashlib.sha256(head)
    with path.open("wb") as file:
        file.write(head)
        while file.tell() < megabytes * 1_000_000:
            file.write(block)
            digest.update(block)
    return digest.hexdigest()


def lay_out(fields: dict[str, str], chunk: bytes) -> bytes:
    """Lay out the form of one chunk."""
    head = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode() for name, text in fields.items()
    ]
    head.append(
        b'Content-Disposition: form-data; name="chunk"; filename="chunk"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    return b"".join(b"--" + BOUNDARY + b"\r\n" + part for part in head) + chunk + b"\r\n--" + BOUNDARY + b"--\r\n"


def send_all(server: Server, path: str, fields: dict[str, str], data: mmap.mmap, parallel: int) -> None:
    """Send every chunk."""
    places = iter(range(0, len(data), CHUNK))
    turn = threading.Lock()

    def carry() -> None:
        line = server.connect()
        while True:
            with turn:
                start = next(places, None)
            if start is None:
                return line.close()
            told = {**fields, "chunkIndex": str(start // CHUNK)}
            server.send(line, path, lay_out(told, data[start : start + CHUNK]))

    with ThreadPoolExecutor(parallel) as carriers:
        for done in [carriers.submit(carry) for _ in range(parallel)]:
            done.result()


def ours(server: Server, data: mmap.mmap, parallel: int, sha256: str) -> None:
    """Send a file through the chunk door, to the hash of the whole."""
    line = server.connect()
    told = {"fileName": f"bench-{time.time_ns()}.csv", "fileSize": len(data), "totalChunks": -(-len(data) // CHUNK)}
    begun = json.loads(
        server.call(line, "POST", "/api/upload/init/", {**told, "chunkSize": CHUNK, "kind": "claim_status"})
    )
    if begun["chunkSize"] != CHUNK:
        raise SystemExit(f"The server wants chunks of {begun['chunkSize']:,} bytes.")
    send_all(server, "/api/upload/chunk/", {"uploadId": begun["uploadId"]}, data, parallel)
    line.close()  # the server ends a connection on which nothing comes for some seconds
    told = {"uploadId": begun["uploadId"], "sha256": sha256}
    done = json.loads(server.call(line, "POST", "/api/upload/complete/", told))
    line.close()
    if done["sha256"] != sha256:
        raise SystemExit("The server has another hash.")


def bare(server: Server, data: mmap.mmap, parallel: int, view: str) -> None:
    """Send the same to a bare view."""
    send_all(server, f"/bare/{view}/", {"uploadId": "0" * 36}, data, parallel)


def clear(folder: Path) -> None:
    """Remove what a run has stored, so that each finds the disk as the one before it did."""
    for stored in [*folder.rglob("bare/*"), *folder.rglob("original")]:
        stored.unlink()


def copy(path: Path, folder: Path) -> None:
    """Copy the file with cp, and make it durable."""
    target = folder / "copy"
    subprocess.run(["cp", path, target], check=True)
    subprocess.run(["sync", target], check=True)
    target.unlink()


def measure(server: Server, path: Path, runs: int, sha256: str) -> tuple[dict[str, float], float]:
    """Run everybody in turn. Shape: medians in seconds, and the most memory that our door took. Units: MB over idle."""
    taken: dict[str, list[float]] = {}
    most = 0.0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        turns: dict[str, Callable[[], None]] = {"cp": lambda: copy(path, path.parent)}
        for n in (1, 4):
            turns[f"bare_hash_{n}"] = lambda n=n: bare(server, data, n, "hash")
            turns[f"bare_keep_{n}"] = lambda n=n: bare(server, data, n, "keep")
            turns[f"ours_{n}"] = lambda n=n: ours(server, data, n, sha256)
        for _ in range(runs):
            for name, run in turns.items():
                with watching(server) as memory:
                    begun = time.perf_counter()
                    run()
                    taken.setdefault(name, []).append(time.perf_counter() - begun)
                clear(server.folder)
                most = max(most, memory[0]) if name.startswith("ours") else most
    return {name: statistics.median(seconds) for name, seconds in taken.items()}, most


def open_many(server: Server, count: int) -> dict[str, float]:
    """Open many sessions and keep them open. Gives milliseconds of the calls, at the first and the last hundred."""
    line = server.connect()
    inits: list[float] = []
    keys: list[str] = []
    idle = server.rss()
    for number in range(count):
        told = {"fileName": f"{number}.csv", "fileSize": 40_000_000, "totalChunks": 5, "chunkSize": CHUNK}
        begun = time.perf_counter()
        keys.append(
            json.loads(server.call(line, "POST", "/api/upload/init/", {**told, "kind": "claim_status"}))["s3Key"]
        )
        inits.append(time.perf_counter() - begun)
    asked = []
    for key in keys[:: max(1, count // 200)]:
        begun = time.perf_counter()
        server.call(line, "GET", f"/api/upload/progress/?s3Key={key}")
        asked.append(time.perf_counter() - begun)
    middle = {"init_first": inits[:100], "init_last": inits[-100:], "progress": asked}
    found = {f"{name}_ms": round(statistics.median(seconds) * 1000, 2) for name, seconds in middle.items()}
    return {"sessions": count, **found, "rss_over_idle_mb": round(server.rss() - idle, 1)}


def tell(megabytes: int, medians: dict[str, float], memory: float, runs: int) -> None:
    """Print the table and the JSON."""
    print(f"\n{'':<14}{'seconds':>9}{'MB/s':>9}")
    for name, seconds in medians.items():
        print(f"{name:<14}{seconds:>9.2f}{megabytes / seconds:>9,.0f}")
    ratios = {"cp_4": medians["ours_4"] / medians["cp"]}
    for n in (1, 4):
        for view, does in (("hash", "only hashes"), ("keep", "hashes, writes and syncs")):
            ratio = ratios[f"bare_{view}_{n}"] = medians[f"ours_{n}"] / medians[f"bare_{view}_{n}"]
            print(f"{n} in parallel: {1 / ratio:.0%} of the bare view that {does}")
    print(f"server's memory over idle: {memory:.0f} MB")
    figures = {"mb": megabytes, "runs": runs, "rss_over_idle_mb": round(memory, 1)}
    figures |= {f"{name}_seconds": round(seconds, 3) for name, seconds in medians.items()}
    print(json.dumps({"name": "upload", "ratios": {n: round(r, 3) for n, r in ratios.items()}, "figures": figures}))


def main() -> None:
    """Serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mb", type=int, default=1000, help="size of the file in MB")
    parser.add_argument("--runs", type=int, default=3, help="runs each; the median counts")
    parser.add_argument("--sessions", type=int, default=0, help="instead: so many sessions open at once")
    options = parser.parse_args()
    with serving() as server:
        if options.sessions:
            figures = open_many(server, options.sessions)
            print("\n".join(f"{name:<18}{value:>9}" for name, value in figures.items()))
            ratios = {"init_last_to_first": round(figures["init_last_ms"] / figures["init_first_ms"], 3)}
            print(json.dumps({"name": "upload-sessions", "ratios": ratios, "figures": figures}))
            return
        path = server.folder / "file.csv"
        sha256 = make_file(path, options.mb)
        medians, memory = measure(server, path, options.runs, sha256)
        tell(options.mb, medians, memory, options.runs)


if __name__ == "__main__":
    main()
