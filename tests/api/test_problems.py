"""Errors in one shape, whatever went wrong."""

from __future__ import annotations

import pytest
from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from rest_framework.test import APIClient, APIRequestFactory

from rowmill import errors
from rowmill.api.problems import handle_exception
from rowmill.contracts import Finding
from tests.conftest import PASSWORD, People

NOWHERE = "00000000-0000-0000-0000-000000000000"
WORDS = {"type", "title", "status", "detail", "code", "request_id"}


def problem_of(error: Exception):
    request = APIRequestFactory().get("/api/")
    request.META["rowmill.request_id"] = "abc123"
    return handle_exception(error, {"request": request})


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InputError("x"), 400, "bad_input"),
        (errors.InputError("x", code="bad_option"), 400, "bad_option"),
        (errors.InputError("x", code="too_large"), 413, "too_large"),
        (errors.TableError("x"), 400, "unsound_file"),
        (errors.DuplicateFile(), 409, "duplicate_file"),
        (errors.StateError(), 409, "wrong_state"),
        (errors.LostLease(), 409, "lost_lease"),
        (errors.KeyReused(), 422, "idempotency_key_reused"),
        (errors.NotFound(), 404, "not_found"),
        (errors.NotAllowed(), 403, "not_allowed"),
        (errors.QuotaExceeded(), 403, "quota_exceeded"),
        (errors.Expired(), 410, "expired"),
        (errors.OutOfSpace(), 507, "out_of_space"),
        (errors.Busy(), 503, "busy"),
        (errors.TooMuch(), 500, "server_error"),
        (errors.StorageFault(), 503, "storage_down"),
        (errors.Snooze(5), 503, "snooze"),
        (errors.PayerError("AUTH", "setup"), 502, "AUTH"),
        (errors.ChildError(), 500, "server_error"),
        (errors.ConfigError("secret path"), 500, "server_error"),
        (ValueError("a cell's value"), 500, "server_error"),
        (OperationalError("a cell's value"), 503, "database_down"),
        (RequestDataTooBig(), 413, "too_large"),
    ],
)
def test_every_error_has_its_status_and_code(error: Exception, status: int, code: str) -> None:
    response = problem_of(error)
    assert (response.status_code, response.data["status"], response.data["code"]) == (status, status, code)
    assert response.data.keys() >= WORDS
    assert response.data["request_id"] == "abc123"
    assert response.render()["Content-Type"] == "application/problem+json"


def test_every_error_of_the_tree_is_tried_above() -> None:
    def below(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(below(inner) for inner in kind.__subclasses__()))

    named = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RowmillError)}
    assert below(errors.RowmillError) >= named
    for kind in named - {errors.RowmillError, errors.Snooze, errors.PayerError}:
        assert problem_of(kind("x")).status_code in {400, 403, 404, 409, 410, 422, 500, 503, 507}, kind


def test_unforeseen_errors_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    response = problem_of(ValueError("CANARY-817"))
    assert "CANARY-817" not in str(response.data)


def test_findings_and_places_come_along() -> None:
    finding = Finding(
        code="open_quote", severity="error", message="m", line=3, row=2, column=1, byte=40, mend="Close it."
    )
    body = problem_of(errors.TableError("x", [finding], upload_id=NOWHERE, secret="no")).data
    assert body["findings"] == [
        {
            "code": "open_quote",
            "severity": "error",
            "message": "m",
            "line": 3,
            "row": 2,
            "column": 1,
            "column_name": None,
            "byte": 40,
            "mend": "Close it.",
            "count": 1,
        }
    ]
    assert body["upload_id"] == NOWHERE
    assert "secret" not in body


def test_addresses_that_are_none(alice: APIClient) -> None:
    for path in (
        "/api/",
        "/api/v1/",
        "/api/v1/nothing/",
        f"/api/v1/uploads/{NOWHERE}/more/",
        "/api/v1/uploads/not-an-id/",
    ):
        for method in ("get", "post", "put", "patch", "delete"):
            response = getattr(alice, method)(path)
            assert (response.status_code, response.json()["code"]) == (404, "not_found"), (method, path)
            assert response["Content-Type"] == "application/problem+json"
    assert "slash" in alice.get(f"/api/v1/uploads/{NOWHERE}").json()["detail"]


def test_stranger_gets_401_even_where_nothing_is(db: None) -> None:
    for path in ("/api/v1/nothing/", f"/api/v1/uploads/{NOWHERE}/"):
        response = APIClient().get(path)
        assert (response.status_code, response.json()["code"]) == (401, "not_signed_in")
        assert response["WWW-Authenticate"].startswith("Bearer")


def test_bad_token_is_401_with_a_sentence(db: None) -> None:
    response = APIClient().get(f"/api/v1/uploads/{NOWHERE}/", headers={"authorization": "Bearer rubbish"})
    assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")
    assert isinstance(response.json()["detail"], str)


def test_wrong_method_type_and_body(alice: APIClient) -> None:
    assert alice.put(f"/api/v1/uploads/{NOWHERE}/").json()["code"] == "method_not_allowed"
    assert alice.put(f"/api/v1/uploads/{NOWHERE}/")["Allow"] == "GET, DELETE, HEAD, OPTIONS"
    wrong_type = alice.post("/api/v1/auth/token/", "email=a", content_type="text/plain")
    assert (wrong_type.status_code, wrong_type.json()["code"]) == (415, "unsupported_type")
    broken = alice.post("/api/v1/auth/token/", "{", content_type="application/json")
    assert (broken.status_code, broken.json()["code"]) == (400, "unreadable_body")
    empty = alice.post("/api/v1/auth/token/", {}, format="json")
    assert {error["field"] for error in empty.json()["errors"]} == {"email", "password"}


def test_huge_json_is_not_read(alice: APIClient, settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    response = alice.post("/api/v1/auth/token/", {"email": "x" * 2000, "password": "x"}, format="json")
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_any_accept_header_is_answered(alice: APIClient) -> None:
    for accept in ("text/csv", "application/pdf", "*/*"):
        assert alice.get(f"/api/v1/uploads/{NOWHERE}/", headers={"accept": accept}).status_code == 404


def test_session_needs_the_csrf_token(people: People) -> None:
    client = APIClient(enforce_csrf_checks=True)
    assert client.login(email="alice@acme.test", password=PASSWORD)
    assert client.get("/api/v1/nothing/").status_code == 404
    assert client.post("/api/v1/nothing/").status_code == 403


def test_person_of_no_org_is_403(people: People) -> None:
    from tests.api.conftest import sign_in

    client = sign_in("bob@acme.test")
    people.bob.memberships.all().delete()
    response = client.get("/api/v1/nothing/")
    assert (response.status_code, response.json()["code"]) == (403, "not_allowed")
