"""The suite that every listed payer passes, by being listed."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from rowmill.contracts import CLAIM_DETAILS, CLAIM_STATUS, PAYMENT, Inquiry, Payer, PayerLimits, PayerProfile
from rowmill.errors import PayerError
from rowmill.registry import PAYERS, get_payer

NOWHERE = PayerProfile(
    1,
    "http://127.0.0.1:9",
    "http://127.0.0.1:9/token",
    "an-id",
    "CANARY-SECRET",
    "001234567",
    limits=PayerLimits(connect_timeout_seconds=1, read_timeout_seconds=1),
)


@pytest.fixture(params=sorted(PAYERS))
def slug(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_names_itself_as_it_is_listed(slug: str) -> None:
    payer = get_payer(slug)
    assert payer.slug == slug
    assert payer.label
    assert payer.transactions
    assert payer.transactions <= {CLAIM_STATUS, CLAIM_DETAILS, PAYMENT}


def test_keeps_the_contract(slug: str) -> None:
    payer = get_payer(slug)
    assert isinstance(payer(NOWHERE), Payer)
    for verb in ("lookup", "test_connection", "aclose"):
        assert inspect.iscoroutinefunction(getattr(payer, verb))


def test_a_payer_that_is_not_there_is_a_payer_error_that_tells_no_value(slug: str) -> None:
    async def work() -> PayerError:
        connector = get_payer(slug)(NOWHERE)
        try:
            with pytest.raises(PayerError) as caught:
                await connector.lookup(Inquiry(CLAIM_STATUS, "CANARY-CLAIM", "CANARY-FIRST", "CANARY-LAST"))
            return caught.value
        finally:
            await connector.aclose()

    error = asyncio.run(work())
    assert error.blame == "world"
    assert "CANARY" not in f"{error!r} {error} {error.details}"


def test_what_it_cannot_do_is_unsupported(slug: str) -> None:
    async def work() -> PayerError:
        connector = get_payer(slug)(NOWHERE)
        with pytest.raises(PayerError) as caught:
            await connector.lookup(Inquiry("NO_SUCH_TRANSACTION", "C1"))
        await connector.aclose()
        return caught.value

    assert asyncio.run(work()).blame == "row"


def test_may_be_closed_unused_and_twice(slug: str) -> None:
    async def work() -> None:
        connector = get_payer(slug)(NOWHERE)
        await connector.aclose()
        await connector.aclose()

    asyncio.run(work())
