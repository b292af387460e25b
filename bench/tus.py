"""Measure the tus door against the reference tus server from npm: same client (tus-js-client), same file, same run.

    python bench/tus.py --mb 500 --runs 3 [--modules DIR]

Prints a table for people and, as its last line, JSON: {"name", "ratios", "figures"}; a ratio is our seconds over theirs,
from the same run. Needs node and npm; the three packages are installed into a temporary folder, or taken from
DIR/node_modules. Ours syncs to disk before it acknowledges, and hashes; the reference server does neither.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upload import Server, make_file, serving

PACKAGES = ("@tus/server@2.4.5", "@tus/file-store@2.1.1", "tus-js-client@4.3.1")
WAYS = {"whole": 0, "chunks": 8_000_000}  # one PATCH for all, or one for each 8 MB
REFERENCE = """
import { Server } from '@tus/server'
import { FileStore } from '@tus/file-store'
const server = new Server({ path: '/files', datastore: new FileStore({ directory: process.argv[2] }) })
const listening = server.listen({ host: '127.0.0.1', port: 0 }, () => console.log(listening.address().port))
"""
CLIENT = """
import fs from 'node:fs'
import * as tus from 'tus-js-client'
const [path, endpoint, token, chunk, name] = process.argv.slice(2)
const begun = performance.now()
const upload = new tus.Upload(fs.createReadStream(path), {
  endpoint,
  uploadSize: fs.statSync(path).size,
  chunkSize: Number(chunk) || Infinity,
  retryDelays: null,
  headers: token ? { Authorization: `Bearer ${token}` } : {},
  metadata: { filename: name, kind: 'claim_status' },
  onError(error) { console.error(String(error)); process.exit(1) },
  onSuccess() { console.log((performance.now() - begun) / 1000) },
})
upload.start()
"""


def install(folder: Path, modules: Path | None) -> None:
    """Put the packages and the two programs into a folder."""
    (folder / "reference.mjs").write_text(REFERENCE)
    (folder / "client.mjs").write_text(CLIENT)
    if modules:
        (folder / "node_modules").symlink_to(modules.resolve() / "node_modules")
    else:
        quietly = ("--no-audit", "--no-fund", "--silent")
        subprocess.run(["npm", "install", *quietly, *PACKAGES], cwd=folder, check=True)


@contextmanager
def reference(folder: Path) -> Iterator[str]:
    """Run the reference server. Gives where uploads are created."""
    kept = folder / "kept"
    kept.mkdir()
    process = subprocess.Popen(["node", "reference.mjs", str(kept)], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/files"
    finally:
        process.terminate()
        process.wait(30)


def send(folder: Path, path: Path, endpoint: str, token: str, chunk: int, name: str) -> float:
    """Send a file. Gives the seconds that the client saw, from its start to its success."""
    command = ["node", "client.mjs", str(path), endpoint, token, str(chunk), name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The client failed: {done.stderr[-1000:]}")
    return float(done.stdout)


def measure(server: Server, folder: Path, path: Path, theirs: str, runs: int) -> dict[str, float]:
    """Send to both in turn. Shape: medians in seconds."""
    ours = f"http://127.0.0.1:{server.port}/api/v1/uploads/tus/"
    taken: dict[str, list[float]] = {}
    for run in range(runs):
        for way, chunk in WAYS.items():
            for who, endpoint, token in (("ours", ours, server.token), ("reference", theirs, "")):
                seconds = send(folder, path, endpoint, token, chunk, f"bench-{way}-{run}.csv")
                taken.setdefault(f"{who}_{way}", []).append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def main() -> None:
    """Serve both, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mb", type=int, default=500, help="size of the file in MB")
    parser.add_argument("--runs", type=int, default=3, help="runs each; the median counts")
    parser.add_argument("--modules", type=Path, help="a folder whose node_modules has the packages")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rowmill-bench-") as name, serving() as server:
        folder = Path(name)
        install(folder, options.modules)
        path = folder / "file.csv"
        make_file(path, options.mb)
        with reference(folder) as theirs:
            medians = measure(server, folder, path, theirs, options.runs)
    print(f"\n{'':<20}{'seconds':>9}{'MB/s':>9}")
    for name, seconds in medians.items():
        print(f"{name:<20}{seconds:>9.2f}{options.mb / seconds:>9,.0f}")
    ratios = {way: round(medians[f"ours_{way}"] / medians[f"reference_{way}"], 3) for way in WAYS}
    figures = {"mb": options.mb, "runs": options.runs} | {f"{n}_seconds": round(s, 3) for n, s in medians.items()}
    print(json.dumps({"name": "tus", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
