"""Keep one access token for a payer account: fetched once for all who wait, renewed before it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic

FRESH_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and how long it lives. Units: seconds."""

    value: str = field(repr=False)
    lives_seconds: float


class TokenKeeper:
    """Hand out the token of one account, within one event loop.

    However many calls wait, one fetch is under way. A waiter that is cancelled does not take the others' fetch with it.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Token]], clock: Callable[[], float] = monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._token: Token | None = None
        self._renew_at = 0.0
        self._under_way: asyncio.Task[Token] | None = None

    async def get(self) -> Token:
        """Give a token with at least a fifth of its life left. Raises: what the fetch raises."""
        if self._token is not None and self._clock() < self._renew_at:
            return self._token
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._renew())
            self._under_way.add_done_callback(self._landed)
        return await asyncio.shield(self._under_way)

    def drop(self, token: Token) -> None:
        """Forget this token, unless a newer one has already taken its place."""
        if self._token is token:
            self._token = None

    async def aclose(self) -> None:
        """Stop a fetch that is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.wait([self._under_way])

    async def _renew(self) -> Token:
        """Fetch a token and note when it wants renewing."""
        asked_at = self._clock()
        token = await self._fetch()
        self._token = token
        self._renew_at = asked_at + FRESH_SHARE * token.lives_seconds
        return token

    def _landed(self, task: asyncio.Task[Token]) -> None:
        """Make room for the next fetch, and take note of an error that nobody waited for."""
        self._under_way = None
        if not task.cancelled():
            task.exception()
