"""Turn what HTTP did into a PayerError with whom to blame. Holds no text of a body, ever.

Source: facts/payers.md §7.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from rowmill.errors import PayerError

MAX_RETRY_AFTER_SECONDS = 300.0


def raise_for_status(status: int, headers: Mapping[str, str], who: str) -> None:
    """Raise for a status that is no answer. 401 is left to the caller, who may hold an old token."""
    if 200 <= status < 300:
        return
    if status == 429:
        wait = read_retry_after(headers.get("Retry-After"))
        raise PayerError("RATE_LIMITED", "world", f"{who} asks us to slow down.", retry_after_seconds=wait)
    if status in (408, 504):
        raise PayerError("PAYER_TIMEOUT", "world", f"{who} did not answer in time.")
    if status >= 500:
        wait = read_retry_after(headers.get("Retry-After"))
        raise PayerError("PAYER_UNAVAILABLE", "world", f"{who} is not available.", retry_after_seconds=wait)
    if status == 403:
        raise PayerError(
            "NOT_ENTITLED", "setup", f"{who} does not let this account ask. Check subscription, environment and TIN."
        )
    if status in (404, 405) or status < 400:
        raise PayerError("CONFIG", "setup", f"{who} has no service at this address. Check the account's address.")
    raise PayerError("INVALID_REQUEST", "row", f"{who} does not accept this inquiry.")


def read_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date; None where there is none. Units: seconds, at most 300."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    seconds = (when - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def payer_error_from(error: BaseException, who: str) -> PayerError:
    """Give the PayerError for what the HTTP client raised; its text is ours, never the client's."""
    if isinstance(error, ssl.SSLCertVerificationError | aiohttp.ClientConnectorCertificateError):
        return PayerError("CONFIG", "setup", f"The certificate at {who}'s address cannot be verified.")
    if isinstance(error, aiohttp.InvalidURL):
        return PayerError("CONFIG", "setup", f"The address of {who} is not a usable URL.")
    if isinstance(error, TimeoutError):
        return PayerError("PAYER_TIMEOUT", "world", f"{who} did not answer in time.")
    if isinstance(
        error, aiohttp.ClientPayloadError | aiohttp.ClientOSError | aiohttp.ServerDisconnectedError | OSError
    ):
        return PayerError("NETWORK", "world", f"The connection to {who} broke or could not be made.")
    return PayerError("BAD_RESPONSE", "world", f"{who} answered with something that cannot be read.")
