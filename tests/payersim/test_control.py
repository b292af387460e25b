"""The control plane, the command line, and the payer under somebody else's web server."""

from __future__ import annotations

import asyncio
import json
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from payersim.__main__ import parser
from payersim.app import Dropped, make_app, make_apps
from payersim.book import Book
from payersim.settings import Settings, settings_from
from payersim.testing import Payer, running, running_apart
from tests.payersim.asking import QUERY, ask


def test_everything_that_a_test_asks_for_is_counted() -> None:
    with running("calm") as payer:
        ask(payer, "SIMPD1", "SIMPD1", "SIM50A", "SIMNF1")
        stats = payer.stats(claims=True)
        payer.reset()
        fresh = payer.stats(claims=True)
    assert (stats["requests"], stats["inquiries"], stats["tokens_issued"]) == (5, 4, 1)
    assert stats["calls_by_claim"] == {"SIMPD1": 2, "SIM50A": 1, "SIMNF1": 1}
    assert stats["duplicates_by_claim"] == {"SIMPD1": 1}
    assert stats["answers"] == {"token": 1, "found": 2, "unavailable": 1, "not_found": 1}
    assert stats["statuses"] == {"200": 4, "503": 1}
    assert (stats["claims_seen"], stats["claims_answered"], stats["duplicates"]) == (3, 2, 1)
    assert fresh["requests"] == 0
    assert fresh["calls_by_claim"] == {}


def test_numbers_are_not_told_unless_asked_for() -> None:
    with running("calm") as payer:
        ask(payer, "SIMPD1")
        assert "SIMPD1" not in json.dumps(payer.stats())


def test_profile_seed_and_settings_change_while_it_runs() -> None:
    with running("calm") as payer:
        assert payer.control("profile", {"name": "hostile", "faults": {"reset": 1.0}})["profile"] == "hostile"
        assert payer.control("seed", {"seed": 9}) == {"seed": 9}
        assert payer.control("settings", {"in_flight_cap": 3, "token_ttl": 9}) == {
            "set": ["in_flight_cap", "token_ttl"]
        }
        assert payer.control("health") == {"simulated": True, "profile": "hostile", "seed": 9, "claims_in_book": 0}


@pytest.mark.parametrize(
    ("verb", "data"),
    [
        ("profile", {"name": "polite"}),
        ("profile", {"name": "calm", "colour": 1}),
        ("profile", [1]),
        ("seed", {}),
        ("settings", {"clock": 1}),
        ("settings", {"colour": 1}),
        ("book", {"no": "claim number"}),
        ("book?path=/nowhere/at/all", {}),
    ],
)
def test_what_cannot_be_done_is_said(calm: Payer, verb: str, data: Any) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        calm.control(verb, data)
    with caught.value as reply:
        assert reply.code == 400
        assert json.loads(reply.read())["error"]


def test_unknown_verb_tells_the_known_ones(calm: Payer) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        calm.control("dance")
    with caught.value as reply:
        assert reply.code == 404
        assert "GET /control/stats" in json.loads(reply.read())["verbs"]


def test_book_from_a_path_and_over_the_wire(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    path.write_text('{"claim_number":"A1","answer":{"claims":[{"number":"A1"}]}}\n\n{"claim_number":"A2"}')
    with running("calm", book=path) as payer:
        assert payer.control("health")["claims_in_book"] == 2
        assert [len(told.claims) for told in ask(payer, "A1", "A2")] == [1, 0]
    with running("calm") as payer:
        assert payer.load_book(path) == 2
        assert [len(told.claims) for told in ask(payer, "A1", "A2")] == [1, 0]


def test_empty_book_is_a_book(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    path.touch()
    assert len(Book.from_path(path)) == 0
    assert Book.from_bytes(b"").get("A1") is None


def test_a_start_that_fails_is_said_to_the_one_who_starts_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), running("calm", book=tmp_path / "none.jsonl"):
        pass


def test_process_of_its_own(tmp_path: Path) -> None:
    book = tmp_path / "book.jsonl"
    book.write_text('{"claim_number":"A1","answer":{"claims":[{"number":"A1"}]}}\n')
    with running_apart("--profile", "calm", "--latency-scale", "0", "--book", str(book)) as payer:
        assert [len(told.claims) for told in ask(payer, "A1", "A2")] == [1, 0]


def test_help_teaches() -> None:
    text = parser().format_help()
    for word in ("--profile", "--latency-scale", "--book", "sim-secret", "docs/payer-simulator.md"):
        assert word in text


# ------------------------------------------------------------------------------------------------ as ASGI


async def call_app(app: Any, method: str, path: str, body: bytes, **headers: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs, "query_string": b""}
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Dropped:
        sent.append({"type": "dropped"})
    return sent


FORM = b"grant_type=client_credentials&client_id=sim-client&client_secret=sim-secret"


async def ask_app(app: Any, number: str) -> list[dict[str, Any]]:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    issued = await call_app(app, "POST", "/apip/auth/sntl/v1/token", FORM, **kind)
    token = json.loads(issued[1]["body"])["access_token"]
    asked = {"query": QUERY, "variables": {"searchClaimInput": {"payerId": "87726", "claimNumber": number}}}
    headers = {"authorization": f"Bearer {token}", "providertaxid": "000000001"}
    return await call_app(app, "POST", "/oihub/claim/inquiry/v1", json.dumps(asked).encode(), **headers)


@pytest.mark.parametrize(
    ("number", "messages"),
    [
        ("SIMPD1", ["http.response.start", "http.response.body"]),
        ("SIMDP1", ["http.response.start", "http.response.body", "http.response.body"]),
        ("SIMCU1", ["http.response.start", "http.response.body", "dropped"]),
        ("SIMRS1", ["dropped"]),
    ],
)
def test_asgi_application_answers_the_same(number: str, messages: list[str]) -> None:
    app = make_app(settings_from("calm", latency_scale=0.0))
    sent = asyncio.run(ask_app(app, number))
    assert [message["type"] for message in sent] == messages
    if messages[0] != "dropped":
        assert (b"x-simulator", b"1") in sent[0]["headers"]
    if messages[-1] != "dropped":
        body = b"".join(message["body"] for message in sent[1:])
        assert json.loads(body)["data"]["searchClaim"]["claims"][0]["claimNumber"] == number


def test_control_plane_as_asgi() -> None:
    async def story() -> dict[str, Any]:
        payer, control = make_apps(Settings(latency_scale=0.0))
        await ask_app(payer, "SIMPD1")
        sent = await call_app(control, "GET", "/control/stats", b"")
        told: dict[str, Any] = json.loads(sent[1]["body"])
        return told

    assert asyncio.run(story())["inquiries"] == 1
