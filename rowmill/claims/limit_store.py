"""Keeps what processes share of a payer account in the database: one locked row, one short transaction an ask."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from django.db import connections, transaction
from django.db.models.functions import Now

from rowmill.claims.shares import Ask, Grant, News, Quiet, Share, Shared, answer_ask
from rowmill.models import PayerAccount, PayerLimit

GONE_SECONDS = 60.0
REST_SECONDS = 2.0

Settle = Callable[[Ask], Grant]


def ask_for(account_id: int) -> Callable[[Ask], Awaitable[Grant]]:
    """Give the function by which a pace asks for its part of this account, from the call loop."""

    async def ask(given: Ask) -> Grant:
        return await _clerk().do(lambda: settle_ask(account_id, given))

    return ask


def settle_ask(account_id: int, ask: Ask) -> Grant:
    """Settle an ask by the database's clock. Cost: one transaction, two statements; waits for others who ask just now."""
    with transaction.atomic():
        held = _hold(account_id)
        if held is None:
            return Grant(0, 0, quiet=News(refused_left=GONE_SECONDS, refused_reason="The payer account was removed."))
        limit, now = held
        shares = {owner: Share(*values) for owner, values in limit.shares.items()}
        shared = Shared(limit.next_call_at, shares, Quiet(**limit.quiet))
        grant = answer_ask(shared, ask, now, limit.account.in_flight, limit.account.calls_per_minute)
        quiet = asdict(shared.quiet) if shared.quiet != Quiet() else {}
        PayerLimit.objects.filter(pk=account_id).update(
            next_call_at=shared.next_call_at, shares=shared.shares_json(), quiet=quiet
        )
    return grant


def _hold(account_id: int) -> tuple[PayerLimit, float] | None:
    """Lock the account's row, made where it is missing; gives it with the time. None where the account is gone."""
    rows = PayerLimit.objects.select_for_update(of=("self",)).select_related("account").annotate(now=Now())
    limit = rows.filter(pk=account_id).first()
    if limit is None:
        if not PayerAccount.objects.filter(pk=account_id).exists():
            return None
        PayerLimit.objects.bulk_create([PayerLimit(account_id=account_id)], ignore_conflicts=True)
        limit = rows.get(pk=account_id)
    return limit, limit.now.timestamp()


def forget_quiet(account_id: int) -> None:
    """Forget pauses, breaker and refusal, after a person has mended the account."""
    PayerLimit.objects.filter(pk=account_id).update(quiet={})


class Clerk:
    """One thread beside the call loop, which talks to the database; between spells of work it holds no connection."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._asked: queue.SimpleQueue[tuple[Callable[[], Grant], asyncio.Future[Grant]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="payer-limits", daemon=True).start()

    async def do(self, work: Callable[[], Grant]) -> Grant:
        """Have something done in the thread, and wait for it on the loop."""
        answer: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        self._asked.put((work, answer))
        return await answer

    def _work(self) -> None:
        """Do what is asked, for ever."""
        while True:
            try:
                work, answer = self._asked.get(timeout=REST_SECONDS)
            except queue.Empty:
                connections.close_all()
                continue
            try:
                done, error = work(), None
            except Exception as caught:
                connections.close_all()
                done, error = None, caught
            _hand_back(answer, done, error)


def _hand_back(answer: asyncio.Future[Grant], done: Grant | None, error: Exception | None) -> None:
    """Give an answer to the loop, unless that has ended or nobody waits any more."""

    def put() -> None:
        if answer.done():
            return
        if done is not None:
            answer.set_result(done)
        else:
            answer.set_exception(error or RuntimeError("no grant"))

    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        answer.get_loop().call_soon_threadsafe(put)


_starting = threading.Lock()
_the_clerk: Clerk | None = None


def _clerk() -> Clerk:
    """Give this process's clerk; another one after a fork."""
    global _the_clerk
    with _starting:
        if _the_clerk is None or _the_clerk.pid != os.getpid():
            _the_clerk = Clerk()
        return _the_clerk
