"""A plain client of the simulator for its tests: no patience, no second try, sees everything that is on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from payersim.testing import Payer

T = TypeVar("T")
QUERY = """query Find($searchClaimInput: SearchClaimInput!) {
  searchClaim(searchClaimInput: $searchClaimInput) {
    claims {
      claimNumber claimStatus
      member { firstName lastName dateOfBirth subscriberId }
      claimEvents { processedDate serviceStartDate }
      claimLevelTotalAmount { totalBilledChargeAmount totalPaidAmount }
      claimStatusCrosswalkData { claim507Code claim508Code adjudicatedClaimSuffixCode }
    }
    pagination { hasMoreRecords nextPageToken }
  }
}"""


@dataclass
class Told:
    """What came back."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def page(self) -> dict[str, Any]:
        return json.loads(self.body)["data"]["searchClaim"]

    @property
    def claims(self) -> list[dict[str, Any]]:
        return self.page["claims"]

    @property
    def code(self) -> str:
        return json.loads(self.body)["errors"][0]["code"]


class Asker:
    """One client with one token."""

    def __init__(self, payer: Payer, session: aiohttp.ClientSession) -> None:
        self.payer, self.session, self.token = payer, session, ""

    async def get_token(self, **changes: str) -> Told:
        form = {"grant_type": "client_credentials", "client_id": "sim-client", "client_secret": "sim-secret"} | changes
        async with self.session.post(self.payer.token_url, data=form) as reply:
            told = Told(reply.status, await reply.read(), dict(reply.headers))
        if told.status == 200:
            self.token = json.loads(told.body)["access_token"]
        return told

    async def ask(self, claim_number: str = "", *, query: str = QUERY, page: str = "", **criteria: str) -> Told:
        asked = {"payerId": "87726", **criteria} | ({"claimNumber": claim_number} if claim_number else {})
        return await self.send({"query": query, "variables": {"searchClaimInput": asked}}, nextPageToken=page)

    async def send(self, body: Any, **headers: str) -> Told:
        given = {"Authorization": f"Bearer {self.token}", "providerTaxId": "000000001"} | headers
        given = {name: value for name, value in given.items() if value}
        async with self.session.post(self.payer.inquiry_url, json=body, headers=given) as reply:
            return Told(reply.status, await reply.read(), dict(reply.headers))


def with_asker(payer: Payer, story: Callable[[Asker], Awaitable[T]], timeout_seconds: float = 60) -> T:
    """Run a story with a client that has a token."""

    async def live() -> T:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            asker = Asker(payer, session)
            await asker.get_token()
            return await story(asker)

    return asyncio.run(live())


def ask(payer: Payer, *claim_numbers: str, **criteria: str) -> list[Told]:
    """Ask for one claim after the other."""

    async def story(asker: Asker) -> list[Told]:
        return [await asker.ask(number, **criteria) for number in claim_numbers]

    return with_asker(payer, story)
