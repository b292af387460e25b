"""What nobody would send: schemathesis makes up requests from the OpenAPI file; none may be a server error.

Its answers must also be such as the file says: the status, the type and the shape of each.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from rest_framework.test import APIClient
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.config import SchemathesisConfig

from rowmill.claims.intake import take_claims_file
from rowmill.models import Contact
from rowmill.orgs import Caller, find_caller
from tests.api.test_claims import SOUND
from tests.conftest import PASSWORD, People
from tests.contacts.made import make_contact

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
EXAMPLES = 15
PARTS = 6  # so that they run beside each other
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def headers(people: People) -> dict[str, str]:
    body = {"email": "alice@acme.test", "password": PASSWORD}
    token = APIClient().post("/api/v1/auth/token/", body, format="json").json()["access"]
    return {"Authorization": f"Bearer {token}", "Host": "localhost"}


def _closing(app: Any) -> Any:
    """Close each response as a server does; the WSGI client of the tests never does."""

    def call(environ: Any, start_response: Any) -> list[bytes]:
        answer = app(environ, start_response)
        try:
            return [b"".join(answer)]
        finally:
            answer.close()

    return call


def _real_things(path: str, caller: Caller) -> dict[str, str]:
    """Make what an address names: a contact, a job or its upload; new ones each time, since they may be deleted."""
    if "{contact_id}" in path:
        return {"contact_id": str(make_contact(caller.org, Contact.objects.count()).pk)}
    if not {"{job_id}", "{upload_id}"} & set(re.findall(r"{\w+}", path)):
        return {}
    job = take_claims_file(caller, "claims.csv", [SOUND], {"confirm_duplicate": "true"}).job
    things = {"job_id": job.public_id, "upload_id": job.upload.public_id}
    return {name: str(value) for name, value in things.items() if f"{{{name}}}" in path}


@pytest.mark.parametrize("part", range(PARTS))
def test_no_made_up_request_breaks_the_server(part: int, people: People, headers: dict[str, str]) -> None:
    schema = schemathesis.openapi.from_wsgi(
        "/api/schema/?format=json", _closing(get_wsgi_application()), config=SchemathesisConfig(), headers=headers
    )
    called: dict[str, set[int]] = {}
    caller = find_caller(people.alice)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 12
    for operation in operations[part::PARTS]:
        real = _real_things(operation.path, caller)
        for mode in MODES:
            for places in ({}, {"path_parameters": real})[: 2 if real else 1]:
                _call(operation, mode, places, headers, called)
    assert len(called) == len(operations[part::PARTS])
    answers = set().union(*called.values())
    assert min(answers) < 300, "no request got past the door"
    assert answers & {400, 404}, "none was refused"


def _call(operation, mode, places: dict, headers: dict[str, str], called: dict[str, set[int]]) -> None:
    """Make some requests of one operation."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode, **places))
    def run(case) -> None:
        answer = case.call_and_validate(headers=headers, checks=CHECKS)
        called.setdefault(operation.label, set()).add(answer.status_code)

    run()
