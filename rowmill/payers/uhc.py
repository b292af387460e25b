"""UnitedHealthcare's connector: one claim inquiry by claim number through Optum Real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar
from uuid import uuid4

import aiohttp

from rowmill.contracts import CLAIM_STATUS, Answer, Claim, Inquiry, PayerProfile
from rowmill.errors import PayerError
from rowmill.payers.http_errors import payer_error_from, raise_for_status
from rowmill.payers.token import Token, TokenKeeper
from rowmill.payers.uhc_wire import ERROR_CODES, NO_CLAIMS, NOTHING_FOUND, inquiry_body, read_claim, search_range

WHO = "UHC"
INQUIRY_PATH = "/oihub/claim/inquiry/v1"
MAX_PAGES = 20
MAX_ANSWER_BYTES = 8 * 1024 * 1024
DEFAULT_TOKEN_SECONDS = 300.0
PROBE_CLAIM_NUMBER = "0"


class UnitedHealthcare:
    """Ask UnitedHealthcare about claims.

    One object serves one account from one event loop. Every call has a total deadline (connect + read time-out), so
    that an answer which drips in byte by byte holds no slot for ever.
    """

    slug: ClassVar[str] = "UHC"
    label: ClassVar[str] = "UnitedHealthcare"
    transactions: ClassVar[frozenset[str]] = frozenset({CLAIM_STATUS})

    def __init__(self, profile: PayerProfile) -> None:
        self._profile = profile
        self._limits = profile.limits
        self._session: aiohttp.ClientSession | None = None
        self._tokens = TokenKeeper(self._fetch_token)

    async def lookup(self, inquiry: Inquiry) -> Answer:
        """Ask about one claim. Raises: PayerError and nothing else. Again: yes, an inquiry changes nothing."""
        if inquiry.transaction not in self.transactions:
            raise PayerError("UNSUPPORTED", "row", f"{WHO} is not asked for this transaction yet.")
        dates = search_range(inquiry)
        claims, trace_id = await self._all_pages(inquiry)
        start, end = dates or (None, None)
        return Answer(claims=tuple(claims), searched_from=start, searched_to=end, trace_id=trace_id)

    async def test_connection(self) -> None:
        """Get a token and ask for a claim that cannot exist. Raises: PayerError."""
        await self.lookup(Inquiry(transaction=CLAIM_STATUS, claim_number=PROBE_CLAIM_NUMBER))

    async def aclose(self) -> None:
        """Close connections."""
        await self._tokens.aclose()
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -------------------------------------------------------------------------------------------- inquiry

    async def _all_pages(self, inquiry: Inquiry) -> tuple[list[Claim], str]:
        """Follow the pages of one inquiry; gives the claims and the id the last call was traced by."""
        body = inquiry_body(inquiry, inquiry.payer_id or self._profile.payer_id)
        claims: list[Claim] = []
        seen: set[str] = set()
        page = ""
        while True:
            data, trace_id = await self._ask(body, inquiry.tin, page)
            result = _search_result(data)
            claims.extend(claim for item in _claims_of(result) if (claim := read_claim(item)) is not None)
            page = _next_page(result)
            if not page:
                return claims, trace_id
            if page in seen or len(seen) >= MAX_PAGES:
                raise PayerError("BAD_RESPONSE", "world", f"{WHO}'s pages run in a circle.")
            seen.add(page)

    async def _ask(self, body: Mapping[str, Any], tin: str, page: str) -> tuple[object, str]:
        """Make one call; a token that is refused is renewed once and the call made again."""
        for last_try in (False, True):
            token = await self._tokens.get()
            trace_id = str(uuid4())
            status, headers, raw = await self._post(
                self._profile.base_url.rstrip("/") + INQUIRY_PATH,
                data=json.dumps(body),
                headers=self._headers(token, trace_id, tin, page),
            )
            data = _parse(raw)
            codes = _error_codes(data)
            if status != 401 and "AUTH_FAILURE" not in codes:
                if codes and codes <= NOTHING_FOUND:
                    return NO_CLAIMS, trace_id
                _raise_for_answer(status, headers, codes)
                if data is None:
                    raise PayerError("BAD_RESPONSE", "world", f"{WHO} answered with something that cannot be read.")
                return data, trace_id
            self._tokens.drop(token)
            if last_try:
                break
        raise PayerError("AUTH_FAILED", "setup", f"{WHO} refuses a token it has just given.")

    def _headers(self, token: Token, trace_id: str, tin: str, page: str) -> dict[str, str]:
        """Give the headers of one call."""
        headers = {
            "Authorization": f"Bearer {token.value}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "providerTaxId": tin or self._profile.tin,
            "x-optum-consumer-correlation-id": trace_id,
        }
        if self._profile.environment:
            headers["environment"] = self._profile.environment
        if page:
            headers["nextPageToken"] = page
        return headers

    # -------------------------------------------------------------------------------------------- token

    async def _fetch_token(self) -> Token:
        """Get a token by client credentials, form-encoded. Raises: PayerError."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self._profile.client_id,
            "client_secret": self._profile.client_secret,
        }
        status, headers, raw = await self._post(self._profile.token_url, data=form, headers={})
        if status in (400, 401):
            raise PayerError("AUTH_FAILED", "setup", f"{WHO} does not accept the client id and secret.")
        raise_for_status(status, headers, WHO)
        return _read_token(_parse(raw))

    # -------------------------------------------------------------------------------------------- HTTP

    async def _post(
        self, url: str, *, data: str | Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one POST within the deadline; gives status, headers and body. Raises: PayerError."""
        deadline = self._limits.connect_timeout_seconds + self._limits.read_timeout_seconds
        failure: PayerError
        try:
            async with (
                asyncio.timeout(deadline),
                self._open_session().post(url, data=data, headers=headers, allow_redirects=False) as response,
            ):
                return response.status, response.headers, await _read_body(response)
        except PayerError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            failure = payer_error_from(error, WHO)
        # Raised outside of the handler: the client's own error may quote the answer and must not travel along.
        raise failure

    def _open_session(self) -> aiohttp.ClientSession:
        """Give the one session, made on the loop that uses it. It follows no proxy of the environment."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=True),
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=self._limits.connect_timeout_seconds,
                    sock_read=self._limits.read_timeout_seconds,
                ),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "rowmill"},
            )
        return self._session


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer up to its largest sensible size."""
    body = bytearray()
    async for block in response.content.iter_any():
        body += block
        if len(body) > MAX_ANSWER_BYTES:
            raise PayerError("BAD_RESPONSE", "world", f"{WHO}'s answer is far too large.")
    return bytes(body)


def _parse(raw: bytes) -> object:
    """Read JSON, numbers as Decimal; None where it is none."""
    try:
        return json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


def _error_codes(data: object) -> frozenset[str]:
    """Give the codes of the answer's `errors`; an error without a code counts as one of the payer's own."""
    if not isinstance(data, Mapping) or not data.get("errors"):
        return frozenset()
    errors = data["errors"]
    found = errors if isinstance(errors, list) else [errors]
    return frozenset(_error_code(error) for error in found)


def _error_code(error: object) -> str:
    """Give an error's code, which stands in `code` or, as GraphQL has it, in `extensions.code`."""
    if not isinstance(error, Mapping):
        return "INTERNAL_SERVER_ERROR"
    extensions = error.get("extensions")
    code = error.get("code") or (extensions.get("code") if isinstance(extensions, Mapping) else None)
    return str(code or "INTERNAL_SERVER_ERROR").upper()


def _raise_for_answer(status: int, headers: Mapping[str, str], codes: frozenset[str]) -> None:
    """Raise for codes we know, for the HTTP status, then for any other `errors`: all of them come before `data`."""
    for code in sorted(codes & ERROR_CODES.keys()):
        name, blame, text = ERROR_CODES[code]
        raise PayerError(name, blame, text)
    raise_for_status(status, headers, WHO)
    if codes:
        raise PayerError("PAYER_UNAVAILABLE", "world", f"{WHO} answered with an error of its own.")


def _search_result(data: object) -> Mapping[str, Any]:
    """Give the search's result, under either of the two names in use."""
    inner = data.get("data") if isinstance(data, Mapping) else None
    if isinstance(inner, Mapping):
        for name in ("searchClaim", "searchClaimResponse"):
            if isinstance(inner.get(name), Mapping):
                result: Mapping[str, Any] = inner[name]
                return result
    raise PayerError("BAD_RESPONSE", "world", f"{WHO}'s answer holds no search result.")


def _claims_of(result: Mapping[str, Any]) -> list[object]:
    """Give the claims of a result. A null list is an empty one; a missing one is no answer."""
    claims = result.get("claims", ())
    if claims is None:
        return []
    if not isinstance(claims, list):
        raise PayerError("BAD_RESPONSE", "world", f"{WHO}'s answer holds no list of claims.")
    return claims


def _next_page(result: Mapping[str, Any]) -> str:
    """Give the token of the next page, "" at the end; more records without a token are the end too."""
    pages = result.get("pagination")
    if not isinstance(pages, Mapping) or not pages.get("hasMoreRecords"):
        return ""
    token = pages.get("nextPageToken")
    return token if isinstance(token, str) else ""


def _read_token(data: object) -> Token:
    """Read the token endpoint's answer. Raises: PayerError BAD_RESPONSE."""
    value = data.get("access_token") if isinstance(data, Mapping) else None
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise PayerError("BAD_RESPONSE", "world", f"{WHO}'s token service answered with something that is no token.")
    lives = data.get("expires_in") if isinstance(data, Mapping) else None
    try:
        seconds = float(str(lives))
    except ValueError:
        seconds = DEFAULT_TOKEN_SECONDS
    return Token(value, seconds if seconds > 0 else DEFAULT_TOKEN_SECONDS)
