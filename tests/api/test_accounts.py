"""Practices and payer accounts by API: who may, what is refused, what never comes out."""

from __future__ import annotations

from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from rowmill.models import PayerAccount, Practice
from tests.conftest import People

PRACTICES, ACCOUNTS = "/api/v1/practices/", "/api/v1/payer-accounts/"
PRACTICE = {"name": "Clinic", "tin": "99-0000001", "npi": "1234567893"}
SECRETS = ("canary-client-id", "canary-client-secret")
ACCOUNT = {
    "payer": "UHC",
    "base_url": "https://api.payer.test",
    "token_url": "https://api.payer.test/token",
    "client_id": SECRETS[0],
    "client_secret": SECRETS[1],
}


def add(client: APIClient, path: str, body: dict) -> dict:
    answer = client.post(path, body, format="json")
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_practice_comes_changes_and_goes(alice: APIClient) -> None:
    made = add(alice, PRACTICES, PRACTICE)
    assert made | PRACTICE == made | {"name": "Clinic", "tin": "99-0000001", "npi": "1234567893"}
    assert (made["tin"], made["npi_fits"]) == ("990000001", True)
    path = f"{PRACTICES}{made['id']}/"
    changed = alice.patch(path, {"npi": "1234567890"}, format="json").json()
    assert (changed["name"], changed["tin"], changed["npi_fits"]) == ("Clinic", "990000001", False)
    assert alice.get(PRACTICES).json()["results"] == [changed]
    assert alice.delete(path).status_code == 204
    assert alice.get(path).status_code == 404


def test_account_never_gives_its_credentials(alice: APIClient) -> None:
    practice = add(alice, PRACTICES, PRACTICE)
    made = add(alice, ACCOUNTS, {**ACCOUNT, "practice": practice["id"]})
    assert (made["practice"], made["payer_id"], made["in_flight"]) == (practice["id"], "87726", 10)
    path = f"{ACCOUNTS}{made['id']}/"
    answers = [alice.get(path), alice.get(ACCOUNTS), alice.patch(path, {"in_flight": 5}, format="json")]
    for answer in answers:
        assert answer.status_code == 200
        for secret in SECRETS:
            assert secret not in answer.content.decode()
    assert alice.get(path).json() == answers[2].json()
    assert answers[2].json()["in_flight"] == 5
    assert answers[2].json()["practice"] == practice["id"], "what is not sent stays"
    assert alice.patch(path, {"practice": None}, format="json").json()["practice"] is None
    assert alice.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"base_url": "http://payer.test"}, "base_url"),
        ({"token_url": "file:///etc/passwd"}, "token_url"),
        ({"payer": "NOBODY"}, "payer"),
        ({"in_flight": 0}, "in_flight"),
        ({"in_flight": 100_000}, "in_flight"),
        ({"client_secret": ""}, "client_secret"),
        ({"practice": str(uuid4())}, "practice"),
    ],
)
def test_what_cannot_be_is_refused(alice: APIClient, change: dict, field: str) -> None:
    answer = alice.post(ACCOUNTS, {**ACCOUNT, **change}, format="json")
    assert answer.status_code == 400
    problem = answer.json()
    assert problem.get("field", problem.get("errors", [{}])[0].get("field")) == field
    assert not PayerAccount.objects.exists()


def test_another_orgs_practice_cannot_be_named(people: People, alice: APIClient) -> None:
    theirs = Practice.objects.create(org=people.other, name="Theirs", tin="990000009")
    assert alice.post(ACCOUNTS, {**ACCOUNT, "practice": str(theirs.public_id)}, format="json").status_code == 400
    made = add(alice, ACCOUNTS, ACCOUNT)
    moved = alice.patch(f"{ACCOUNTS}{made['id']}/", {"practice": str(theirs.public_id)}, format="json")
    assert moved.status_code == 400


def test_a_secret_does_not_follow_an_address_to_another_server(alice: APIClient) -> None:
    path = f"{ACCOUNTS}{add(alice, ACCOUNTS, ACCOUNT)['id']}/"
    answer = alice.patch(path, {"base_url": "https://spy.test"}, format="json")
    assert (answer.status_code, answer.json()["field"]) == (400, "client_secret")
    assert alice.get(path).json()["base_url"] == ACCOUNT["base_url"]


def test_members_and_auditors_read_labels_and_change_nothing(
    alice: APIClient, bob: APIClient, ada: APIClient, charlie: APIClient
) -> None:
    account, practice = add(alice, ACCOUNTS, ACCOUNT), add(alice, PRACTICES, PRACTICE)
    for client in (bob, ada):
        (seen,) = client.get(ACCOUNTS).json()["results"]
        assert seen["state"] == "new"
        assert not {"base_url", "token_url", "in_flight", "client_id", "client_secret"} & set(seen)
        assert client.get(PRACTICES).json()["results"] == [practice]
    for path, made, body in ((ACCOUNTS, account, ACCOUNT), (PRACTICES, practice, PRACTICE)):
        one = f"{path}{made['id']}/"
        for client, status in ((bob, 403), (ada, 403), (charlie, 404)):
            assert client.patch(one, {"name": "x"}, format="json").status_code == status
            assert client.delete(one).status_code == status
            if client is not charlie:
                assert client.post(path, body, format="json").status_code == 403
        assert charlie.get(one).status_code == 404
        assert charlie.get(path).json()["results"] == []
    for client, status in ((bob, 403), (ada, 403), (charlie, 404)):
        assert client.post(f"{ACCOUNTS}{account['id']}/test/").status_code == status
    assert (Practice.objects.count(), PayerAccount.objects.count()) == (1, 1)


def test_connection_test_gives_a_verdict(alice: APIClient) -> None:
    add(alice, PRACTICES, PRACTICE)
    nowhere = {"base_url": "http://127.0.0.1:1", "token_url": "http://127.0.0.1:1/token"}
    account = add(alice, ACCOUNTS, {**ACCOUNT, **nowhere})
    answer = alice.post(f"{ACCOUNTS}{account['id']}/test/")
    assert answer.status_code == 200
    assert answer.json()["ok"] is False
    assert answer.json()["code"]
