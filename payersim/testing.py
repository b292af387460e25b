"""A simulator for a test: in a thread of this process, or in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payersim.serve import opened
from payersim.settings import CLIENT_ID, CLIENT_SECRET, Profile, settings_from
from payersim.simulator import INQUIRY_PATH, TOKEN_PATH


@dataclass(frozen=True, slots=True)
class Payer:
    """A running simulator as a test sees it."""

    base_url: str
    control_url: str
    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET

    @property
    def token_url(self) -> str:
        """Give where tokens are had."""
        return self.base_url + TOKEN_PATH

    @property
    def inquiry_url(self) -> str:
        """Give where claims are asked for."""
        return self.base_url + INQUIRY_PATH

    def control(self, verb: str, data: Any = None, *, lines: bytes | None = None) -> dict[str, Any]:
        """Call a verb of the control plane: GET without data, POST with JSON data or with JSON lines."""
        body = lines if lines is not None else (None if data is None else json.dumps(data).encode())
        request = urllib.request.Request(f"{self.control_url}/control/{verb}", data=body)  # noqa: S310  loopback
        with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
            told: dict[str, Any] = json.loads(reply.read())
            return told

    def stats(self, claims: bool = False) -> dict[str, Any]:
        """Give the statistics."""
        return self.control("stats?claims=1" if claims else "stats")

    def load_book(self, path: Path) -> int:
        """Load a claim book. Gives how many claims it has."""
        return int(self.control("book", lines=path.read_bytes())["claims"])

    def load_entries(self, *entries: dict[str, Any]) -> int:
        """Load a claim book given as objects."""
        return int(self.control("book", lines="\n".join(map(json.dumps, entries)).encode())["claims"])

    def reset(self) -> None:
        """Forget tokens, attempts and statistics."""
        self.control("reset", {})

    def revoke_tokens(self) -> None:
        """Make every token invalid at once."""
        self.control("revoke-tokens", {})


@contextlib.contextmanager
def running(
    profile: str | Profile = "calm", book: Path | None = None, latency_scale: float = 0.0, **settings: Any
) -> Iterator[Payer]:
    """Run a simulator in a thread, on free ports; further fields of Settings by name."""
    made = settings_from(profile, latency_scale=latency_scale, **settings)
    loop = asyncio.new_event_loop()
    ready: list[Payer] = []
    trouble: list[BaseException] = []
    up, stop = threading.Event(), asyncio.Event()

    async def live() -> None:
        try:
            async with opened(made, book) as place:
                ready.append(Payer(place.base_url, place.control_url))
                up.set()
                await stop.wait()
        except Exception as error:
            trouble.append(error)
            up.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),), name="payersim", daemon=True)
    thread.start()
    up.wait(60)
    try:
        if trouble:
            raise trouble[0]
        yield ready[0]
    finally:
        if not trouble:
            loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()


@contextlib.contextmanager
def running_apart(*arguments: str) -> Iterator[Payer]:
    """Run a simulator in a process of its own, on free ports; `arguments` as `python -m payersim` takes them."""
    command = [sys.executable, "-m", "payersim", "--port", "0", "--control-port", "0", "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            place = json.loads(process.stdout.readline())
            yield Payer(place["base_url"], place["control_url"])
        finally:
            process.terminate()
            process.wait(60)
