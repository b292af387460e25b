"""The token keeper: one fetch for all, renewed in time, and not lost with the first who gives up."""

from __future__ import annotations

import asyncio

import pytest

from rowmill.errors import PayerError
from rowmill.payers.token import Token, TokenKeeper


class Source:
    """Gives tokens that live 100 s, when it is let."""

    def __init__(self) -> None:
        self.fetched = 0
        self.now = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: PayerError | None = None

    async def fetch(self) -> Token:
        self.fetched += 1
        await self.gate.wait()
        if self.error:
            raise self.error
        return Token(f"token-{self.fetched}", 100.0)

    def keeper(self) -> TokenKeeper:
        return TokenKeeper(self.fetch, clock=lambda: self.now)


def test_many_who_ask_at_once_make_one_fetch() -> None:
    async def work() -> None:
        source = Source()
        keeper = source.keeper()
        got = await asyncio.gather(*(keeper.get() for _ in range(100)))
        assert source.fetched == 1
        assert len(set(map(id, got))) == 1

    asyncio.run(work())


def test_renewed_after_four_fifths_of_its_life() -> None:
    async def work() -> None:
        source = Source()
        keeper = source.keeper()
        first = await keeper.get()
        source.now = 79.9
        assert await keeper.get() is first
        source.now = 80.0
        assert await keeper.get() is not first
        assert source.fetched == 2

    asyncio.run(work())


def test_only_the_present_token_can_be_dropped() -> None:
    async def work() -> None:
        source = Source()
        keeper = source.keeper()
        old = await keeper.get()
        keeper.drop(old)
        new = await keeper.get()
        keeper.drop(old)  # a call that was under way with the old one comes back late
        assert await keeper.get() is new
        assert source.fetched == 2

    asyncio.run(work())


def test_who_gives_up_does_not_take_the_fetch_along() -> None:
    async def work() -> None:
        source = Source()
        source.gate.clear()
        keeper = source.keeper()
        first, second = asyncio.create_task(keeper.get()), asyncio.create_task(keeper.get())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        source.gate.set()
        assert (await second).value == "token-1"

    asyncio.run(work())


def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    async def work() -> None:
        source = Source()
        source.error = PayerError("AUTH_FAILED", "setup")
        keeper = source.keeper()
        got = await asyncio.gather(*(keeper.get() for _ in range(3)), return_exceptions=True)
        assert all(isinstance(error, PayerError) for error in got)
        assert source.fetched == 1
        source.error = None
        assert (await keeper.get()).value == "token-2"

    asyncio.run(work())


def test_an_error_that_nobody_waits_for_makes_no_noise() -> None:
    async def work() -> None:
        source = Source()
        source.error = PayerError("NETWORK", "world")
        source.gate.clear()
        keeper = source.keeper()
        waiting = asyncio.create_task(keeper.get())
        await asyncio.sleep(0)
        waiting.cancel()
        source.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await keeper.aclose()

    asyncio.run(work())
