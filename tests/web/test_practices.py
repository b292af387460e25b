"""Practices and payer accounts by the pages: credentials go in, and never come out."""

# ruff: noqa: F811  (an argument is named as the fixture that it gets)
from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from payersim.testing import Payer, running
from rowmill.models import AuditEvent, PayerAccount, Practice
from tests.conftest import People
from tests.web.test_people import (  # noqa: F401  fixtures
    HTMX,
    PAGES,
    SECRETS,
    _quick_passwords,
    account_form,
    alice,
    make_account,
    verbs,
)

# ------------------------------------------------------------------------------------------------ practices


def test_practice_comes_and_goes(people: People, alice: Client) -> None:
    assert "No practice yet" in alice.get("/settings/practices/").content.decode()
    new = {"name": "Clinic", "tin": "99-0000001", "npi": "1234567890"}
    page = alice.post("/settings/practices/new/", new, follow=True).content.decode()
    assert "does not fit" in page, "a wrong check digit is told"
    practice = Practice.objects.get()
    assert (practice.tin, practice.npi) == ("990000001", "1234567890")
    assert "99-0000001" in page
    again = alice.post("/settings/practices/new/", new)
    assert (again.status_code, "there already" in again.content.decode()) == (400, True)
    path = f"/settings/practices/{practice.public_id}/"
    page = alice.post(path, {**new, "npi": "1234567893"}, follow=True).content.decode()
    assert "does not fit" not in page
    alice.post(path + "remove/")
    assert not Practice.objects.exists()
    assert verbs(people) == ["practice.added", "practice.changed", "practice.removed"]


@pytest.mark.parametrize(
    "wrong", [{"tin": "12345678"}, {"tin": "1234-56789"}, {"tin": "١٢٣٤٥٦٧٨٩"}, {"npi": "12345"}, {"name": " "}]
)
def test_practice_that_cannot_be_is_refused_at_its_field(alice: Client, wrong: dict[str, str]) -> None:
    answer = alice.post("/settings/practices/new/", {"name": "Clinic", "tin": "990000001", "npi": "", **wrong})
    assert answer.status_code == 400
    assert f'id="id_{next(iter(wrong))}_error"' in answer.content.decode()
    assert not Practice.objects.exists()


# ------------------------------------------------------------------------------------------------ payer accounts


def test_credentials_go_in_and_never_come_out(people: People, alice: Client) -> None:
    account = make_account(alice)
    path = f"/settings/payer-accounts/{account.public_id}/"
    invalid = alice.post(path, account_form(in_flight="0"))
    pages = [alice.get(path), alice.get(PAGES[2]), invalid, alice.get("/api/v1/payer-accounts/")]
    for page in pages:
        for secret in SECRETS:
            assert secret not in page.content.decode()
    assert "leave blank to keep it" in pages[0].content.decode().lower()
    for secret in SECRETS:
        assert secret.encode() not in bytes(account.client_id_sealed) + bytes(account.client_secret_sealed)
        assert secret not in str(list(AuditEvent.objects.values()))


def test_blank_credentials_stay_and_new_ones_replace(alice: Client) -> None:
    account = make_account(alice)
    path = f"/settings/payer-accounts/{account.public_id}/"
    before = bytes(account.client_secret_sealed)
    PayerAccount.objects.update(broken_code="UNAUTHORIZED")
    alice.post(path, account_form(client_id="", client_secret="", in_flight="7"))
    account.refresh_from_db()
    assert (account.in_flight, bytes(account.client_secret_sealed), account.broken_code) == (7, before, "UNAUTHORIZED")
    alice.post(path, account_form(client_id="", client_secret="another"))
    account.refresh_from_db()
    assert bytes(account.client_secret_sealed) != before
    assert account.broken_code == "", "new credentials are given a chance at once"


@pytest.mark.parametrize("field", ["base_url", "token_url"])
def test_a_secret_does_not_follow_an_address_to_another_server(alice: Client, field: str) -> None:
    account = make_account(alice)
    path = f"/settings/payer-accounts/{account.public_id}/"
    moved = account_form(client_id="", client_secret="", **{field: "https://spy.test/token"})
    answer = alice.post(path, moved)
    assert answer.status_code == 400
    assert 'id="id_client_secret_error"' in answer.content.decode()
    account.refresh_from_db()
    assert getattr(account, field).startswith("https://api.payer.test")
    assert alice.post(path, {**moved, "client_secret": "typed again"}).status_code == 302


@pytest.mark.parametrize(
    "url",
    ["http://payer.test", "ftp://payer.test", "javascript:alert(1)", "https://", "payer.test", "https://u:p@payer.test",
     "https://payer.test/#x", "https://payer.test:port", "http://127.0.0.1.evil.test", "file:///etc/passwd"],
)  # fmt: skip
def test_addresses_that_are_not_https_are_refused(alice: Client, url: str) -> None:
    answer = alice.post("/settings/payer-accounts/new/", account_form(base_url=url))
    assert answer.status_code == 400
    assert 'id="id_base_url_error"' in answer.content.decode()
    assert not PayerAccount.objects.exists()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8001", "http://localhost:1/x", "http://[::1]:9", "https://payer.test"]
)
def test_plain_http_is_for_this_machine(alice: Client, url: str) -> None:
    assert make_account(alice, base_url=url).base_url == url


@pytest.fixture(scope="module")
def simulator() -> Iterator[Payer]:
    with running("calm") as payer:
        yield payer


def test_connection_test_says_what_the_payer_says(people: People, alice: Client, simulator: Payer) -> None:
    addresses = {"base_url": simulator.base_url, "token_url": simulator.token_url}
    account = make_account(alice, **addresses, client_id=simulator.client_id, client_secret="wrong")
    path = f"/settings/payer-accounts/{account.public_id}/test/"
    assert "practice" in alice.post(path, **HTMX).content.decode()
    Practice.objects.create(org=people.acme, name="Clinic", tin="990000001")
    refused = alice.post(path, **HTMX).content.decode()
    account.refresh_from_db()
    assert account.broken_code
    assert account.broken_code in refused
    assert "Refused" in refused
    alice.post(
        f"/settings/payer-accounts/{account.public_id}/",
        account_form(**addresses, client_id=simulator.client_id, client_secret=simulator.client_secret),
    )
    assert "let us in" in alice.post(path, follow=True).content.decode()
    account.refresh_from_db()
    assert account.broken_code == ""
    assert verbs(people)[-1] == "payer_account.tested"
    alice.post(f"/settings/payer-accounts/{account.public_id}/remove/")
    assert not PayerAccount.objects.exists()
