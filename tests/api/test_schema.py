"""The OpenAPI file and its page."""

from __future__ import annotations

import io

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver
from drf_spectacular.drainage import GENERATOR_STATS
from rest_framework.test import APIClient

from tests.conftest import PASSWORD, People

AGREED = {
    ("post", "/api/v1/auth/token/"),
    ("post", "/api/v1/auth/token/refresh/"),
    ("post", "/api/v1/claims/bulk/upload/"),
    ("get", "/api/v1/claims/csv-jobs/"),
    ("get", "/api/v1/claims/csv-jobs/{job_id}/"),
    ("delete", "/api/v1/claims/csv-jobs/{job_id}/"),
    ("get", "/api/v1/claims/csv-jobs/{job_id}/progress/"),
    ("get", "/api/v1/claims/csv-jobs/{job_id}/results/"),
    ("post", "/api/v1/claims/csv-jobs/{job_id}/retry/"),
    ("post", "/api/v1/claims/csv-jobs/{job_id}/cancel/"),
    ("get", "/api/v1/uploads/{upload_id}/"),
    ("get", "/api/v1/uploads/{upload_id}/findings/"),
    ("post", "/precheck-validation/upload"),
    ("get", "/precheck-validation/api/{precheck_id}/status"),
}


@pytest.fixture
def schema(alice: APIClient) -> dict:
    response = alice.get("/api/schema/")
    assert response.status_code == 200
    return yaml.safe_load(response.content)


def operations(schema: dict):
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_no_warning_and_valid() -> None:
    GENERATOR_STATS.reset()
    out, err = io.StringIO(), io.StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out, stderr=err)
    assert err.getvalue() == ""


def test_agreed_addresses_are_there(schema: dict) -> None:
    assert {(method, path) for method, path, _ in operations(schema)} >= AGREED


def test_every_operation_names_its_problems_and_itself(schema: dict) -> None:
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(set(names)) == len(names)
    for method, path, operation in operations(schema):
        if path == "/api/schema/":
            continue
        problems = {code for code in operation["responses"] if code >= "400"}
        assert "401" in problems, (method, path)
        for code in problems:
            assert set(operation["responses"][code]["content"]) == {"application/problem+json"}, (method, path, code)
        if "{" in path:
            assert "404" in problems, (method, path)


def test_every_address_of_the_api_is_in_the_file(schema: dict) -> None:
    api = next(entry for entry in get_resolver().url_patterns if str(entry.pattern) == "api/")
    hidden = {"api-docs", "api-no-such-address"}

    def count(entries) -> int:
        return sum(count(e.url_patterns) if hasattr(e, "url_patterns") else e.name not in hidden for e in entries)

    assert count(api.url_patterns) == sum(path.startswith("/api/") for path in schema["paths"])


def test_strangers_see_neither(db: None) -> None:
    assert APIClient().get("/api/schema/").status_code == 401
    page = Client().get("/api/docs/")
    assert (page.status_code, page["Location"]) == (302, "/accounts/login/?next=/api/docs/")


def test_page_runs_under_a_strict_policy(people: People) -> None:
    client = Client()
    assert client.login(email="alice@acme.test", password=PASSWORD)
    page = client.get("/api/docs/")
    policy = dict(part.split(" ", 1) for part in page["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy, "scripts fall back to default-src"
    text = page.content.decode()
    assert "<script>" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    script = client.get("/api/docs/?script=")
    assert script["Content-Type"].startswith("application/javascript")
    assert "SwaggerUIBundle" in script.content.decode()
