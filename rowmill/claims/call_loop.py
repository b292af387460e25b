"""The one event loop of this process on which every payer call runs: sessions, tokens and limits live here."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_pid = 0
_closers: list[Callable[[], Awaitable[None]]] = []


def call_loop() -> asyncio.AbstractEventLoop:
    """Give the loop; its thread starts at the first call, and again in a process that was forked."""
    global _loop, _pid
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop, _pid = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_run, args=(_loop,), name="payer-calls", daemon=True).start()
        return _loop


def start_call(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the loop from any other thread. Cancelling the future cancels the work."""
    return asyncio.run_coroutine_threadsafe(work, call_loop())


def at_close(closer: Callable[[], Awaitable[None]]) -> None:
    """Have something closed on the loop when the process ends."""
    _closers.append(closer)


def close_calls() -> None:
    """Close what the loop holds, and stop it. Again: yes; the next call starts a new loop."""
    global _loop
    with _lock:
        loop, _loop = _loop, None
    if loop is None or _pid != os.getpid():
        return
    asyncio.run_coroutine_threadsafe(_close_all(), loop).result(timeout=10)
    loop.call_soon_threadsafe(loop.stop)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _close_all() -> None:
    """Cancel what still runs, then run the closers."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for closer in _closers:
        await closer()
    # Closed connections say goodbye on the loop's next turns.
    await asyncio.sleep(0.02)


atexit.register(close_calls)
