"""Keeps an org's payer accounts: addresses, pace, and credentials that go in and never come out again."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.db import transaction

from rowmill import audit, registry
from rowmill.claims.accounts import make_profile, mark_broken, mark_working, seal_credentials
from rowmill.contracts import PayerProfile
from rowmill.errors import InputError, NotFound, PayerError
from rowmill.models import PayerAccount, Practice
from rowmill.orgs import Caller, fetch, own

TEST_SECONDS = 15
MAX_IN_FLIGHT = 1000
MAX_CALLS_PER_MINUTE = 100_000
_PLAIN_FIELDS = ("payer_id", "environment", "calls_per_minute", "in_flight")
_URL_FIELDS = ("base_url", "token_url")


@dataclass(frozen=True, slots=True)
class ConnectionVerdict:
    """What became of a connection test. `message` is ours or the connector's, never a cell or a secret."""

    ok: bool
    code: str
    message: str
    seconds: float


@transaction.atomic
def save_account(caller: Caller, account: PayerAccount, values: Mapping[str, Any]) -> PayerAccount:
    """Add a payer account or change what `values` names; a blank client_id or client_secret leaves the one that is set.

    Where an address moves to another server, the secret must come along: else whoever may change an address could
    have the old secret sent to a server of their own.
    Shape: values of payer, practice (public id or ""), payer_id, base_url, token_url, environment, calls_per_minute,
    in_flight, client_id, client_secret.
    Raises: NotAllowed; InputError with details["field"].
    """
    caller.need_admin()
    is_new = account.pk is None
    before = {name: _origin(getattr(account, name)) for name in _URL_FIELDS}
    account.org = caller.org
    _put_values(caller, account, values)
    client_id, client_secret = values.get("client_id") or None, values.get("client_secret") or None
    if is_new:
        _need(client_id, "client_id", "Give the client ID that the payer issued.")
        _need(client_secret, "client_secret", "Give the client secret that the payer issued.")
    elif any(before[name] != _origin(getattr(account, name)) for name in _URL_FIELDS):
        _need(client_secret, "client_secret", "An address moves to another server: enter the client secret again.")
    seal_credentials(account, client_id, client_secret)
    account.save()
    renewed = bool(client_id or client_secret)
    verb = "payer_account.added" if is_new else "payer_account.changed"
    audit.record(
        caller.org, caller.user, verb, "payer_account", account.public_id, payer=account.payer, credentials=renewed
    )
    if renewed:
        mark_working(account, tested=False)
        account.refresh_from_db()
    return account


@transaction.atomic
def remove_account(caller: Caller, account: PayerAccount) -> None:
    """Remove a payer account with its credentials. Raises: NotAllowed."""
    caller.need_admin()
    audit.record(
        caller.org, caller.user, "payer_account.removed", "payer_account", account.public_id, payer=account.payer
    )
    account.delete()


def run_connection_test(caller: Caller, account: PayerAccount) -> ConnectionVerdict:
    """Ask the payer for a token and for a claim that cannot exist. On success waiting jobs go on at once.

    Raises: NotAllowed. Again: yes. Cost: two calls to the payer, at most 15 seconds.
    """
    caller.need_admin()
    practice = account.practice or own(caller, Practice).order_by("id").first()
    if practice is None:
        return ConnectionVerdict(
            False, "NO_PRACTICE", "Add a practice first: payers are asked in the name of its TIN.", 0.0
        )
    started = time.monotonic()
    error = asyncio.run(_try_connection(account.payer, make_profile(account, practice.tin)))
    seconds = round(time.monotonic() - started, 2)
    if error is None:
        mark_working(account)
        tested = ConnectionVerdict(True, "", "The payer let us in and answered.", seconds)
    else:
        if error.blame == "setup":
            mark_broken(account.pk, error.code)
        tested = ConnectionVerdict(False, error.code, str(error), seconds)
    audit.record(
        caller.org,
        caller.user,
        "payer_account.tested",
        "payer_account",
        account.public_id,
        ok=tested.ok,
        code=tested.code,
    )
    return tested


async def _try_connection(slug: str, profile: PayerProfile) -> PayerError | None:
    """Give the payer's error, None where there was none."""
    connector = registry.get_payer(slug)(profile)
    try:
        await asyncio.wait_for(connector.test_connection(), TEST_SECONDS)
    except PayerError as error:
        return error
    except TimeoutError:
        return PayerError("NO_ANSWER", "world", f"The payer gave no answer within {TEST_SECONDS} seconds.")
    finally:
        await connector.aclose()
    return None


def _put_values(caller: Caller, account: PayerAccount, values: Mapping[str, Any]) -> None:
    """Put the plain values on an account. Raises: InputError."""
    if "payer" in values:
        if values["payer"] not in registry.PAYERS:
            raise InputError(f"A payer is one of {', '.join(sorted(registry.PAYERS))}.", field="payer")
        account.payer = values["payer"]
    if "practice" in values:
        account.practice = _find_practice(caller, values["practice"])
    for name in _URL_FIELDS:
        if name in values:
            setattr(account, name, read_url(values[name], name))
    for name in _PLAIN_FIELDS:
        if name in values:
            setattr(account, name, values[name])
    _need(account.payer_id, "payer_id", "Give the payer ID, for example 87726.")
    _need_between(account.in_flight, 1, MAX_IN_FLIGHT, "in_flight")
    _need_between(account.calls_per_minute, 0, MAX_CALLS_PER_MINUTE, "calls_per_minute")


def _find_practice(caller: Caller, public_id: Any) -> Practice | None:
    """Give the org's practice of this id, None for blank. Raises: InputError."""
    if not public_id:
        return None
    try:
        return fetch(caller, own(caller, Practice), public_id)
    except NotFound:
        raise InputError("There is no such practice in this org.", field="practice") from None


def read_url(text: str, field: str) -> str:
    """Give an address of a payer: https, or plain http where it is this same machine. Raises: InputError.

    Whether the host is one of the payer's is for the org's admin to know; the server calls whatever stands here.
    """
    url = text.strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = SplitResult("", "", "", "", ""), ""
    if parts.scheme not in {"http", "https"} or not host or any(letter.isspace() for letter in url):
        raise InputError("An address begins with https:// and names a host.", code="bad_url", field=field)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InputError("An address holds no user name, password or #.", code="bad_url", field=field)
    if parts.scheme == "http" and not _is_loopback(host):
        raise InputError("Use https://. Plain http:// is for this same machine only.", code="bad_url", field=field)
    return url


def _is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str, int | None]:
    """Give what decides which server an address is."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port


def _need(value: str | None, field: str, message: str) -> None:
    """Raises: InputError where a value is blank."""
    if not value:
        raise InputError(message, code="missing", field=field)


def _need_between(value: int, low: int, high: int, field: str) -> None:
    """Raises: InputError where a number is out of range."""
    if not low <= value <= high:
        raise InputError(f"Give a whole number from {low:,} to {high:,}.", code="out_of_range", field=field)
