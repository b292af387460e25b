"""Signing programs in: what a token opens, and everything that must close it again."""

from __future__ import annotations

import base64
import json
import warnings
from datetime import timedelta

import jwt
import pytest
from django.conf import settings
from django.utils import timezone
from jwt.warnings import InsecureKeyLengthWarning
from rest_framework.test import APIClient

from rowmill.models import AttemptCount, Membership
from rowmill.orgs import add_member
from tests.conftest import PASSWORD, People

TOKEN = "/api/v1/auth/token/"
REFRESH = "/api/v1/auth/token/refresh/"


def get_tokens(email: str = "alice@acme.test", password: str = PASSWORD) -> dict[str, str]:
    response = APIClient().post(TOKEN, {"email": email, "password": password}, format="json")
    assert response.status_code == 200, response.content
    return response.json()


def open_with(access: str) -> int:
    return (
        APIClient()
        .get("/api/v1/uploads/00000000-0000-0000-0000-000000000000/", headers={"authorization": f"Bearer {access}"})
        .status_code
    )


def refresh(token: str):
    return APIClient().post(REFRESH, {"refresh": token}, format="json")


def test_password_gives_two_tokens(people: People) -> None:
    tokens = get_tokens()
    assert set(tokens) == {"access", "refresh"}
    assert open_with(tokens["access"]) == 404, "signed in, and there is no such upload"
    assert get_tokens("ALICE@acme.test")["access"], "the address is not case-sensitive"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("alice@acme.test", "wrong-password-wrong"),
        ("nobody@acme.test", PASSWORD),
        ("", PASSWORD),
        ("alice@acme.test", ""),
    ],
)
def test_wrong_sign_ins_are_problems(people: People, email: str, password: str) -> None:
    response = APIClient().post(TOKEN, {"email": email, "password": password}, format="json")
    blank = not email or not password
    assert response.status_code == (400 if blank else 401)
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == ("bad_input" if blank else "wrong_password")
    assert blank or response["WWW-Authenticate"].startswith("Bearer")


def test_known_and_unknown_people_look_alike(people: People) -> None:
    answers = []
    for email in ("alice@acme.test", "nobody@acme.test"):
        body = APIClient().post(TOKEN, {"email": email, "password": "wrong-password-wrong"}, format="json").json()
        body.pop("request_id")
        answers.append(body)
    assert answers[0] == answers[1]


def test_disabled_person_gets_no_token(people: People) -> None:
    people.alice.is_active = False
    people.alice.save()
    response = APIClient().post(TOKEN, {"email": "alice@acme.test", "password": PASSWORD}, format="json")
    assert response.status_code == 401


def test_sixth_guess_is_held_back(people: People) -> None:
    client = APIClient()
    wrong = {"email": "alice@acme.test", "password": "wrong-password-wrong"}
    assert [client.post(TOKEN, wrong, format="json").status_code for _ in range(6)] == [401] * 5 + [429]
    held = client.post(TOKEN, {"email": "alice@acme.test", "password": PASSWORD}, format="json")
    assert held.status_code == 429, "the right password too, else the limit tells which it is"
    assert held.json()["code"] == "too_many_attempts"
    assert 0 < int(held["Retry-After"]) <= 300
    elsewhere = client.post(
        TOKEN, {"email": "alice@acme.test", "password": PASSWORD}, format="json", REMOTE_ADDR="192.0.2.9"
    )
    assert elsewhere.status_code == 200, "a stranger's guesses do not lock Alice out"


def test_window_ends(people: People) -> None:
    client = APIClient()
    wrong = {"email": "alice@acme.test", "password": "wrong-password-wrong"}
    for _ in range(6):
        client.post(TOKEN, wrong, format="json")
    AttemptCount.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert get_tokens()["access"]


def test_right_sign_ins_are_not_counted(people: People) -> None:
    for _ in range(8):
        get_tokens()
    assert not AttemptCount.objects.filter(count__gt=0).exists()


def test_counts_hold_no_address(people: People) -> None:
    APIClient().post(TOKEN, {"email": "alice@acme.test", "password": "x"}, format="json")
    assert AttemptCount.objects.exists()
    for row in AttemptCount.objects.values_list("key", flat=True):
        assert len(row) == 64
        assert "alice" not in row


def test_refresh_rotates(people: People) -> None:
    first = get_tokens()
    second = refresh(first["refresh"])
    assert second.status_code == 200
    assert open_with(second.json()["access"]) == 404
    assert second.json()["refresh"] != first["refresh"]


def test_reused_refresh_token_ends_the_whole_family(people: People) -> None:
    first = get_tokens()
    second = refresh(first["refresh"]).json()
    again = refresh(first["refresh"])
    assert again.status_code == 401
    assert again.json()["code"] == "token_not_valid"
    assert refresh(second["refresh"]).status_code == 401, "one of the two holders is a thief; nobody knows which"


def test_password_change_ends_both_tokens(people: People) -> None:
    tokens = get_tokens()
    people.alice.set_password("another-correct-horse")
    people.alice.save()
    assert refresh(tokens["refresh"]).status_code == 401
    assert open_with(tokens["access"]) == 401


def test_disabling_ends_both_tokens(people: People) -> None:
    tokens = get_tokens()
    people.alice.is_active = False
    people.alice.save()
    assert refresh(tokens["refresh"]).status_code == 401
    assert open_with(tokens["access"]) == 401


def test_removed_person_is_out(people: People) -> None:
    tokens = get_tokens()
    Membership.objects.filter(user=people.alice).delete()
    assert refresh(tokens["refresh"]).status_code == 401
    assert open_with(tokens["access"]) == 403


def test_deleted_person_is_out(people: People) -> None:
    tokens = get_tokens()
    people.alice.delete()
    assert refresh(tokens["refresh"]).status_code == 401
    assert open_with(tokens["access"]) == 401


def _forge(token: str, header: dict[str, str], key: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    if header["alg"] == "none":
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
        return ".".join([*parts, ""])
    return jwt.encode(claims, key, algorithm=header["alg"])


@pytest.mark.parametrize(
    ("algorithm", "key"), [("none", ""), ("HS256", "a-guessed-key-that-is-long-enough-for-hs256"), ("HS512", "SECRET")]
)
def test_forged_tokens_are_refused(people: People, algorithm: str, key: str) -> None:
    key = settings.SECRET_KEY if key == "SECRET" else key
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        forged = _forge(get_tokens()["access"], {"alg": algorithm, "typ": "JWT"}, key)
    assert open_with(forged) == 401


@pytest.mark.parametrize(
    "change", [{"aud": "other"}, {"iss": "other"}, {"token_type": "refresh"}, {"exp": 1}, {"user_id": "999999"}]
)
def test_claims_are_checked(people: People, change: dict[str, object]) -> None:
    claims = jwt.decode(get_tokens()["access"], options={"verify_signature": False})
    forged = jwt.encode({**claims, **change}, settings.SECRET_KEY, algorithm="HS256")
    assert open_with(forged) == 401


def test_refresh_token_opens_nothing_and_access_token_refreshes_nothing(people: People) -> None:
    tokens = get_tokens()
    assert open_with(tokens["refresh"]) == 401
    assert refresh(tokens["access"]).status_code == 401
    assert refresh("rubbish").status_code == 401
    assert refresh("").status_code == 400


def test_a_token_stays_in_the_org_it_was_made_in(people: People) -> None:
    add_member(people.other, "bob@acme.test", "admin")
    first = get_tokens("bob@acme.test")
    tokens = refresh(first["refresh"]).json()
    Membership.objects.filter(user=people.bob, org=people.acme).delete()
    for access in (first["access"], tokens["access"]):
        assert open_with(access) == 403, "not into the other clinic without being asked"
    assert open_with(get_tokens("bob@acme.test")["access"]) == 404, "a new sign-in is being asked"
