"""The same payer as an ASGI application, for whoever wants it under a web server of his own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from payersim.book import Book
from payersim.control import Control
from payersim.messages import Call, Reply
from payersim.settings import Settings
from payersim.simulator import Simulator

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]


class Dropped(ConnectionError):
    """The simulated payer drops this connection on purpose."""


async def _read(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Dropped
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _send(send: Send, reply: Reply) -> None:
    """Send a reply. Raises: Dropped in place of a reset, at which the server closes the connection."""
    if reply.manner == "reset":
        raise Dropped
    headers = {**reply.headers, "Content-Type": reply.content_type, "Content-Length": str(len(reply.body))}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
    if reply.manner == "cut":
        await send({"type": "http.response.body", "body": reply.body[: len(reply.body) // 2], "more_body": True})
        raise Dropped
    if reply.manner == "drip":
        half = len(reply.body) // 2
        await send({"type": "http.response.body", "body": reply.body[:half], "more_body": True})
        await asyncio.sleep(reply.over_seconds)
        await send({"type": "http.response.body", "body": reply.body[half:]})
        return
    await send({"type": "http.response.body", "body": reply.body})


def asgi(handler: Callable[[Call], Awaitable[Reply]]) -> AsgiApp:
    """Make an ASGI application of a handler."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise Dropped
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        call = Call(scope["method"], scope["path"], headers, await _read(receive), query)
        await _send(send, await handler(call))

    return app


def make_app(settings: Settings | None = None, book: Path | None = None) -> AsgiApp:
    """Make the payer as an ASGI application. See `make_apps` for one that can be controlled."""
    return make_apps(settings, book)[0]


def make_apps(settings: Settings | None = None, book: Path | None = None) -> tuple[AsgiApp, AsgiApp]:
    """Make the payer and its control plane, to be served on two ports."""
    simulator = Simulator(settings, Book.from_path(book) if book else None)
    return asgi(simulator), asgi(Control(simulator))
