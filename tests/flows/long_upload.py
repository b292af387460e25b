"""A long upload under fire: the server killed and started again five times, the client's connections cut ten times.

python -m tests.flows.long_upload --gb 1 [--seed 7]

Nothing here goes by the clock: a valve between the two lets so many bytes pass and then holds them until the next blow has
fallen, so that each blow falls in the middle of the upload however fast the machine is.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.crash.checker import find_violations, open_read_only
from tests.crash.server import Server, provided, wait_for
from tests.servers.proxy import Proxy

NOBODY = "http://127.0.0.1:9"
CELL = 2_000
CLIENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background would have it ignored
from rowmill.cli import main, sending
sending.CHUNK_BYTES, sending.RESUMABLE_BYTES, sending.LONGEST_WAIT_SECONDS = int(sys.argv.pop(1)), 0, 0.5
main()
"""


class Valve(Proxy):
    """Lets so many bytes pass towards the server, over all connections, and then holds them."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.passed = 0
        self.budget = float("inf")

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join the two ends until one of them hangs up."""
        server_reader, server_writer = await asyncio.open_connection(*self._server_at)
        self._writers.add(server_writer)
        ways = {
            asyncio.ensure_future(self._let_pass(reader, server_writer)),
            asyncio.ensure_future(self._pass(server_reader, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(server_writer)
            server_writer.close()

    async def _let_pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass blocks on while there is budget."""
        while block := await reader.read(16 * 1024):
            while self.passed >= self.budget:
                await asyncio.sleep(0.01)
            self.passed += len(block)
            writer.write(block)
            await writer.drain()

    def hold_at(self, budget: float) -> None:
        """Let pass until so many bytes have gone in all, and wait until they have."""
        self.budget = budget
        wait_for(lambda: self.passed >= budget, 120, f"only {self.passed:,} of {budget:,.0f} bytes were sent")


def make_file(path: Path, size: int, seed: int) -> str:
    """Write a sound claims file of long rows, so that it is large and has few of them. Gives its SHA-256."""
    rng = random.Random(seed)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        line = "claim_number,first_name,last_name,date_of_birth,subscriber_id,note\n"
        row = 0
        while line:
            file.write(line.encode())
            digest.update(line.encode())
            row += 1
            note = rng.randbytes(CELL // 2).hex()
            line = f"SIM{row:09},Jordan,Sample,1980-01-15,SIM000123456,{note}\n" if file.tell() < size else ""
    return digest.hexdigest()


def start_client(file: Path, url: str, token: str, chunk: int, *more: str) -> subprocess.Popen[str]:
    """Start `rowmill upload` with chunks of another size, in a process of its own."""
    command = [sys.executable, "-c", CLIENT, str(chunk), "upload", str(file), "--url", url, "--token", token, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stored_original(server: Server, upload: Any) -> Path:
    """Give where the bytes of an upload lie."""
    (path,) = (server.data_dir / "storage").glob(f"org/*/uploads/{upload['public_id_text']}/original")
    return path


def uploads_of(server: Server) -> list[dict[str, Any]]:
    """Read the uploads there are."""
    database = open_read_only(server.data_dir)
    try:
        found = [dict(row) for row in database.execute("SELECT * FROM rowmill_upload ORDER BY id").fetchall()]
    finally:
        database.close()
    for row in found:
        plain = str(row["public_id"]).replace("-", "")
        row["public_id_text"] = "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))
    return found


def carry_out(folder: Path, size: int, chunk: int, *, kills: int = 5, cuts: int = 10, seed: int = 1) -> dict[str, Any]:
    """Send a file under fire and look at what came of it. Gives a report. Raises: AssertionError where anything is wrong."""
    file = folder / "long.csv"
    sha256 = make_file(file, size, seed)
    size = file.stat().st_size
    blows = ["kill"] * kills + ["cut"] * cuts
    random.Random(seed).shuffle(blows)
    begun = time.monotonic()
    with provided(folder, NOBODY, NOBODY) as server:
        server.start()
        with Valve(server.port) as valve:
            client = start_client(file, f"http://127.0.0.1:{valve.port}", server.token, chunk)
            try:
                for number, blow in enumerate(blows, 1):
                    valve.hold_at(size * number / (len(blows) + 1))
                    strike(server, valve, blow, number)
                valve.budget = float("inf")
                told, complaint = client.communicate(timeout=1200)
            finally:
                client.kill()
                client.communicate()
            sent = valve.passed
        assert client.returncode == 0, complaint
        assert "Job " in told
        look(server, file, sha256)
    return {
        "bytes": size,
        "sent_bytes": sent,
        "seconds": round(time.monotonic() - begun, 1),
        "blows": blows,
        "starts": server.starts,
    }


def strike(server: Server, valve: Valve, blow: str, number: int) -> None:
    """Let a blow fall."""
    if blow == "cut":
        valve.cut(reset=number % 2 == 0)
    else:
        server.kill()
        server.start()


def look(server: Server, file: Path, sha256: str) -> None:
    """One upload, with the file's own bytes and hash, and nothing left of its coming in."""
    (upload,) = uploads_of(server)
    assert (upload["state"], upload["sha256"], upload["size_bytes"]) == ("READY", sha256, file.stat().st_size)
    stored = stored_original(server, upload)
    with file.open("rb") as ours, stored.open("rb") as theirs:
        while block := ours.read(1 << 20):
            assert theirs.read(1 << 20) == block, "the bytes differ"
        assert theirs.read(1) == b""
    assert sorted(path.name for path in stored.parent.iterdir()) == ["original", "table.parquet"]
    database = open_read_only(server.data_dir)
    try:
        sessions = [tuple(row) for row in database.execute("SELECT state FROM rowmill_uploadsession").fetchall()]
        parts = database.execute("SELECT count(*) FROM rowmill_uploadpart").fetchone()[0]
        jobs = database.execute("SELECT count(*) FROM rowmill_job").fetchone()[0]
    finally:
        database.close()
    assert (sessions, parts, jobs) == ([("closed",)], 0, 1)
    assert find_violations(server.data_dir, at_rest=False, started=False) == []


def main() -> None:
    """Run it by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chunk-mb", type=float, default=8.0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="rowmill-long-") as folder:
        report = carry_out(Path(folder), int(options.gb * 1e9), int(options.chunk_mb * 1e6), seed=options.seed)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
