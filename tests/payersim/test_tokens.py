"""Tokens on the wire: who gets one, how it ends."""

from __future__ import annotations

import json

import aiohttp
import pytest

from payersim.settings import Profile
from payersim.testing import Payer, running
from tests.payersim.asking import Asker, Told, with_asker


def test_token_has_the_shape_of_the_real_one(calm: Payer) -> None:
    told = with_asker(calm, lambda asker: asker.get_token())
    body = json.loads(told.body)
    assert set(body) == {
        "access_token", "expires_in", "refresh_expires_in", "refresh_token", "token_type", "id_token",
        "not-before-policy", "session_state", "scope",
    }  # fmt: skip
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_id": "somebody"}, 401, "invalid_client"),
        ({"client_secret": "guess"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_wrong_clients_get_none(calm: Payer, changes: dict[str, str], status: int, error: str) -> None:
    told = with_asker(calm, lambda asker: asker.get_token(**changes))
    assert (told.status, json.loads(told.body)["error"]) == (status, error)


def test_token_call_must_be_a_form(calm: Payer) -> None:
    async def story(asker: Asker) -> int:
        async with asker.session.post(calm.token_url, json={"grant_type": "client_credentials"}) as reply:
            return reply.status

    assert with_asker(calm, story) == 415


def test_call_without_a_good_token_is_401(calm: Payer) -> None:
    async def story(asker: Asker) -> list[Told]:
        told = []
        for asker.token in ("", "made-up"):
            told.append(await asker.ask("SIMPD1"))
        return told

    for told in with_asker(calm, story):
        assert told.status == 401
        assert json.loads(told.body) == {
            "errors": [{"code": "AUTH_FAILURE", "description": "Invalid or expired token"}]
        }


def test_client_of_another_environment_gets_a_token_and_nothing_else(calm: Payer) -> None:
    async def story(asker: Asker, client: str) -> list[int]:
        return [(await asker.get_token(client_id=client)).status, (await asker.ask("SIMPD1")).status]

    assert with_asker(calm, lambda asker: story(asker, "sim-wrong-environment")) == [200, 401]
    assert with_asker(calm, lambda asker: story(asker, "sim-not-entitled")) == [200, 403]


def test_token_expires_by_the_clock() -> None:
    async def story(asker: Asker) -> list[int]:
        statuses = [(await asker.ask("SIMPD1")).status]
        asker.payer.control("advance", {"seconds": 200})
        statuses.append((await asker.ask("SIMPD1")).status)
        asker.payer.control("advance", {"seconds": 100})
        statuses.append((await asker.ask("SIMPD1")).status)
        await asker.get_token()
        return [*statuses, (await asker.ask("SIMPD1")).status]

    with running("calm", token_ttl=300) as payer:
        assert with_asker(payer, story) == [200, 200, 401, 200]


def test_all_tokens_are_revoked_at_once() -> None:
    async def story(asker: Asker) -> list[int]:
        before = (await asker.ask("SIMPD1")).status
        asker.payer.revoke_tokens()
        after = [(await asker.ask("SIMPD1")).status, (await asker.ask("SIMPD1")).status]
        await asker.get_token()
        return [before, *after, (await asker.ask("SIMPD1")).status]

    with running("calm") as payer:
        assert with_asker(payer, story) == [200, 401, 401, 200]
        stats = payer.stats()
    assert (stats["tokens_issued"], stats["tokens_revoked"]) == (2, 1)


def test_profile_revokes_but_never_twice_in_a_row_for_a_claim() -> None:
    async def story(asker: Asker) -> list[int]:
        return [(await asker.ask(number)).status for number in ("A", "B", "C", "C", "D", "D")]

    with running(Profile(revoke_at=(2,))) as payer:
        assert with_asker(payer, story) == [200, 200, 401, 200, 401, 200]


def test_requests_without_a_body_do_no_harm(calm: Payer) -> None:
    async def story(asker: Asker) -> int:
        async with aiohttp.ClientSession() as session, session.post(calm.token_url) as reply:
            return reply.status

    assert with_asker(calm, story) in (400, 415)
