"""How a payer misbehaves: each behaviour makes one bad reply, or None where the answer itself is to be given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from payersim.chance import Draws
from payersim.messages import Reply, error_reply, json_reply
from payersim.settings import Settings

Behaviour = Callable[[Settings, Draws], Awaitable[Reply]]

# A client may well give up at the second of these in a row, so a profile deals at most one of them to a claim.
GARBAGE = frozenset({"bad_json", "empty_body", "missing_data"})
# The whole answer comes, only the delivery is bad: bytes of it are made by the answer itself.
DELIVERIES = frozenset({"drip", "cut"})

_HTML = b"<html><head><title>503 Service Unavailable</title></head><body><h1>Service Unavailable</h1></body></html>"


def retry_after(settings: Settings, draw: float, seconds: float) -> dict[str, str]:
    """Give the Retry-After header of a 429: seconds, an HTTP date, or none at all.

    Units: whole seconds, as the header knows no others; at a latency scale near 0 that is 0.
    """
    mode = settings.retry_after
    if mode == "mixed":
        mode = ("seconds", "date", "absent")[int(draw * 3) % 3]
    wait = round(seconds * min(settings.latency_scale, 1.0))
    if mode == "absent":
        return {}
    if mode == "seconds":
        return {"Retry-After": str(wait)}
    return {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=wait), usegmt=True)}


def too_many(settings: Settings, draw: float) -> Reply:
    """Give a 429."""
    reply = error_reply(429, "TOO_MANY_REQUESTS", "Too many requests")
    reply.headers.update(retry_after(settings, draw, 1 + draw * 2))
    return reply


def unauthorized() -> Reply:
    """Give the 401 of an API call."""
    return error_reply(401, "AUTH_FAILURE", "Invalid or expired token")


async def _rate_limited(settings: Settings, draws: Draws) -> Reply:
    return too_many(settings, draws.detail)


async def _unauthorized(settings: Settings, draws: Draws) -> Reply:
    return unauthorized()


async def _forbidden(settings: Settings, draws: Draws) -> Reply:
    return error_reply(403, "FORBIDDEN", "Not subscribed to this API")


async def _server_error(settings: Settings, draws: Draws) -> Reply:
    status = (500, 502, 503)[int(draws.detail * 3) % 3]
    return error_reply(status, "INTERNAL_SERVER_ERROR", "Something went wrong")


async def _unavailable(settings: Settings, draws: Draws) -> Reply:
    return error_reply(503, "SERVICE_UNAVAILABLE", "Try again later")


async def _html_error(settings: Settings, draws: Draws) -> Reply:
    return Reply((502, 503)[int(draws.detail * 2) % 2], _HTML, "text/html")


async def _gateway_timeout(settings: Settings, draws: Draws) -> Reply:
    await asyncio.sleep(min(30.0 * settings.latency_scale, settings.hang()))
    return error_reply(504, "GATEWAY_TIMEOUT", "The endpoint did not answer in time")


async def _invalid_request(settings: Settings, draws: Draws) -> Reply:
    return error_reply(400, "GRAPHQL_VALIDATION_FAILED", "The request is not valid")


async def _graphql_errors(settings: Settings, draws: Draws) -> Reply:
    errors = [
        {"code": "INTERNAL_SERVER_ERROR", "description": "Something went wrong", "message": "Something went wrong"}
    ]
    return json_reply({"data": None, "errors": errors})


async def _graphql_not_found(settings: Settings, draws: Draws) -> Reply:
    errors = [{"code": "LCLM_PS_201", "description": "No claims found", "message": "No claims found"}]
    return json_reply({"data": None, "errors": errors})


async def _bad_json(settings: Settings, draws: Draws) -> Reply:
    return Reply(200, b'{"data": {"searchClaim": {"claims": [{"claimNumber": ')


async def _empty_body(settings: Settings, draws: Draws) -> Reply:
    return Reply(200, b"")


async def _missing_data(settings: Settings, draws: Draws) -> Reply:
    return json_reply({"data": None} if draws.detail < 0.5 else {"meta": {}})


async def _hang(settings: Settings, draws: Draws) -> Reply:
    """Say nothing for longer than a client waits, then drop the connection."""
    await asyncio.sleep(settings.hang())
    return Reply(manner="reset")


async def _reset(settings: Settings, draws: Draws) -> Reply:
    return Reply(manner="reset")


BEHAVIOURS: dict[str, Behaviour] = {
    "rate_limited": _rate_limited,
    "unauthorized": _unauthorized,
    "forbidden": _forbidden,
    "server_error": _server_error,
    "unavailable": _unavailable,
    "html_error": _html_error,
    "gateway_timeout": _gateway_timeout,
    "invalid_request": _invalid_request,
    "graphql_errors": _graphql_errors,
    "graphql_not_found": _graphql_not_found,
    "bad_json": _bad_json,
    "empty_body": _empty_body,
    "missing_data": _missing_data,
    "hang": _hang,
    "reset": _reset,
}
