"""The web server: carries calls to a handler on aiohttp, and delivers replies as badly as they ask for.

Why not an ASGI server: none lets an application reset a connection in the middle of a body (docs/payer-simulator.md).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from payersim.messages import Call, Reply

Handler = Callable[[Call], Awaitable[Reply]]
MAX_BODY_BYTES = 1 << 30


async def _take(request: web.Request) -> Call:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Call(request.method, request.path, headers, await request.read(), dict(request.query))


def _reset(request: web.Request) -> None:
    """Drop the connection so that the other side sees a reset, not an end."""
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _drip(request: web.Request, response: web.StreamResponse, reply: Reply) -> None:
    pieces = 8
    size = max(1, len(reply.body) // pieces + 1)
    for start in range(0, len(reply.body), size):
        await asyncio.sleep(reply.over_seconds / pieces)
        await response.write(reply.body[start : start + size])
    await response.write_eof()


async def _deliver(request: web.Request, reply: Reply) -> web.StreamResponse:
    headers = {**reply.headers, "Content-Type": reply.content_type}
    if reply.manner == "whole":
        return web.Response(status=reply.status, body=reply.body, headers=headers)
    response = web.StreamResponse(status=reply.status, headers=headers)
    if reply.manner == "reset":
        _reset(request)
        return response
    response.content_length = len(reply.body)
    await response.prepare(request)
    if reply.manner == "drip":
        await _drip(request, response, reply)
        return response
    await response.write(reply.body[: len(reply.body) // 2])
    await asyncio.sleep(0)
    _reset(request)
    return response


async def listen(handler: Handler, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Serve a handler on host and port (0: any free one). Shape: the runner, to be cleaned up, and the port."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await _deliver(request, await handler(await _take(request)))
        except (ConnectionError, web.HTTPException):
            return web.Response(status=400)

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", handle)
    # A client that hangs up ends its call here as well: what it no longer waits for is no longer in flight.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=4096)
    await site.start()
    address = runner.addresses[0]
    return runner, int(address[1])
