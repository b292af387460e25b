"""A simulator for the whole run of these tests, and a server that says exactly what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from payersim.testing import Payer, running
from rowmill.contracts import PayerLimits, PayerProfile
from rowmill.payers.uhc import UnitedHealthcare

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(scope="session")
def shared_payer() -> Iterator[Payer]:
    with running("calm") as payer:
        yield payer


@pytest.fixture
def payer(shared_payer: Payer) -> Payer:
    shared_payer.reset()
    return shared_payer


async def give_token(request: web.Request) -> web.Response:
    return web.json_response({"access_token": "made-up-token", "expires_in": 3600})


@asynccontextmanager
async def stub(inquiry: Handler, token: Handler = give_token, **limits: Any) -> AsyncIterator[UnitedHealthcare]:
    """Run a server with these two answers and give a connector to it."""
    app = web.Application()
    app.router.add_post("/token", token)
    app.router.add_post("/oihub/claim/inquiry/v1", inquiry)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = site.name  # http://127.0.0.1:<port>
    made = PayerLimits(**{"read_timeout_seconds": 30, **limits})
    profile = PayerProfile(1, url, url + "/token", "an-id", "a-secret", "001234567", limits=made)
    connector = UnitedHealthcare(profile)
    try:
        yield connector
    finally:
        await connector.aclose()
        await runner.cleanup()
        await asyncio.sleep(0)
