"""Keep one connector and one pace for each payer account that this process asks through."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib import import_module

from rowmill.claims.call_loop import at_close
from rowmill.claims.pace import Pace
from rowmill.claims.shared_pace import SharedPace
from rowmill.contracts import Payer, PayerProfile
from rowmill.registry import get_payer

Account = tuple[str, int]

# By name, because that module brings Django's models along.
LIMITS = "rowmill.claims.limit_store"


@dataclass(slots=True, eq=False)
class _Open:
    """A connector in use: it is closed when it was replaced and the last call through it has ended."""

    profile: PayerProfile
    connector: Payer
    users: int = 0
    replaced: bool = False


_lock = threading.Lock()
_connectors: dict[Account, _Open] = {}
_paces: dict[Account, tuple[PayerProfile, Pace]] = {}


def pace_for(slug: str, profile: PayerProfile) -> Pace:
    """Give the account's pace; it is the same object for every batch, from any thread."""
    account, shared = (slug, profile.account_id), _shared_part(profile)
    with _lock:
        if account not in _paces:
            _paces[account] = (shared, _make_pace(slug, profile))
        known, pace = _paces[account]
        if known != shared:
            pace.adopt(profile.limits)
            _paces[account] = (shared, pace)
        return pace


def _make_pace(slug: str, profile: PayerProfile) -> Pace:
    """Make the pace of an account that only this process asks through, or that others ask through too."""
    if not profile.shared:
        return Pace(profile.limits, slug)
    return SharedPace(profile.limits, slug, import_module(LIMITS).ask_for(profile.account_id))


@asynccontextmanager
async def borrow_connector(slug: str, profile: PayerProfile) -> AsyncIterator[Payer]:
    """Lend the account's connector for one call; on the call loop only.

    A profile that was edited gets a new one; the old one ends with its last call.
    """
    account, shared = (slug, profile.account_id), _shared_part(profile)
    current, old = _connectors.get(account), None
    if current is None or current.profile != shared:
        # Put in its place before anything is awaited, or calls that come meanwhile would each make one of their own.
        old, current = current, _Open(shared, get_payer(slug)(profile))
        _connectors[account] = current
    current.users += 1
    try:
        if old is not None:
            old.replaced = True
            await _close_if_idle(old)
        yield current.connector
    finally:
        current.users -= 1
        await _close_if_idle(current)


async def _close_if_idle(opened: _Open) -> None:
    """Close a connector that nobody will borrow again."""
    if opened.replaced and not opened.users:
        await opened.connector.aclose()


async def _close_connectors() -> None:
    """Close all of them."""
    with _lock:
        paces = [pace for _, pace in _paces.values()]
        _paces.clear()
    for pace in paces:
        if isinstance(pace, SharedPace):
            await pace.aclose()
    while _connectors:
        await _connectors.popitem()[1].connector.aclose()


def _shared_part(profile: PayerProfile) -> PayerProfile:
    """Give what practices of one account share: TIN and payer id travel with each inquiry, so one token serves all."""
    return replace(profile, tin="", payer_id="")


at_close(_close_connectors)
