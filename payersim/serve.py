"""Run the simulator: the payer on one port, its control plane on another, until somebody stops it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payersim.book import Book
from payersim.control import Control
from payersim.settings import CLIENT_ID, Settings, settings_from
from payersim.simulator import INQUIRY_PATH, TOKEN_PATH, Simulator
from payersim.wire import listen

BANNER = """
  ############################################################
  #  SIMULATED PAYER: no real payer, no real person, no PHI  #
  ############################################################
"""


@dataclass(frozen=True, slots=True)
class Running:
    """Where a running simulator is reached."""

    base_url: str
    control_url: str
    simulator: Simulator

    def places(self) -> dict[str, str]:
        """Give the addresses by name."""
        return {
            "base_url": self.base_url,
            "token_url": self.base_url + TOKEN_PATH,
            "inquiry_url": self.base_url + INQUIRY_PATH,
            "control_url": self.control_url,
        }


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, book: Path | None = None, host: str = "127.0.0.1", port: int = 0, control_port: int = 0
) -> AsyncIterator[Running]:
    """Serve inside the running event loop for as long as the context lasts."""
    simulator = Simulator(settings, Book.from_path(book) if book else None)
    payer, port = await listen(simulator, host, port)
    try:
        control, control_port = await listen(Control(simulator), host, control_port)
        try:
            yield Running(f"http://{host}:{port}", f"http://{host}:{control_port}", simulator)
        finally:
            await control.cleanup()
    finally:
        await payer.cleanup()


def _say(running: Running, settings: Settings, as_json: bool) -> None:
    if as_json:
        line = json.dumps({"simulated": True, "client_id": CLIENT_ID, **running.places()})
    else:
        lines = [f"  {name:<12} {url}" for name, url in running.places().items()]
        facts = f"  profile {settings.profile.name}, seed {settings.seed}, latency x {settings.latency_scale:g}"
        line = "\n".join([BANNER, *lines, f"{facts}, {len(running.simulator.book)} claims in the book", ""])
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _serve(settings: Settings, book: Path | None, host: str, port: int, control_port: int, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not the main thread: whoever started the thread stops the loop.
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(number, stop.set)
    async with opened(settings, book, host, port, control_port) as running:
        _say(running, settings, as_json)
        await stop.wait()


def serve(
    host: str = "127.0.0.1",
    port: int = 8099,
    control_port: int = 8098,
    profile: str = "realistic",
    latency_scale: float = 1.0,
    seed: int = 1,
    book: Path | None = None,
    in_flight_cap: int | None = None,
    as_json: bool = False,
    **more: Any,
) -> None:
    """Run until SIGINT or SIGTERM. `more` are further fields of Settings.

    Shape: prints the banner and the addresses, or with `as_json` one line of JSON, once it answers.
    Raises: OSError when a port is taken; KeyError for an unknown profile.
    """
    settings = settings_from(profile, latency_scale=latency_scale, seed=seed, in_flight_cap=in_flight_cap, **more)
    asyncio.run(_serve(settings, book, host, port, control_port, as_json))
