"""The wall between orgs, at every address that there is: new ones are found by themselves.

Every URL of the URLconf is called with every id of acme's by Charlie (admin of another org), by Ada (acme's auditor) and
by nobody; what acme has is compared before and after, row by row and file by file. Alice makes the same calls as a control:
hers must change things, else the crawl proves nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver
from django.urls.converters import IntConverter, UUIDConverter
from django.utils import timezone

from rowmill.claims.intake import take_claims_file
from rowmill.cohorts.files import keep_unknown
from rowmill.cohorts.submissions import create_cohort, create_submission
from rowmill.jobs.submit import take_file
from rowmill.models import Export, Invitation, Job, Membership, Org, PayerAccount, Practice, Precheck, User
from rowmill.orgs import find_caller, make_token
from rowmill.uploads.chunks import put_chunk
from rowmill.uploads.places import get_storage
from rowmill.uploads.sessions import open_session
from tests.api.made import make_job, make_upload
from tests.conftest import People
from tests.contacts.made import make_contact

pytestmark = pytest.mark.slow

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
CANARY = "acme-canary"
# Addresses that answer people who are not signed in, as they must.
OPEN = re.compile(r"health/|api/v1/auth/token/|accounts/|admin/|invitation/|sign-in/|static/|favicon|robots")
# Addresses that act on nobody but the person who calls.
OWN = re.compile(r"accounts/|orgs/switch/|admin/|api/v1/auth/token/|sign-in/|invitation/|sign-out|theme")
# Tables that a sign-in or a look may add to.
UNCOUNTED = {"AuditEvent", "AttemptCount"}
# What reads by POST, so that no address holds a cell.
READING_POSTS = {"api/v1/contacts/search/", "api/v1/contacts/export/"}
FORM: dict[str, Any] = {
    "name": "Other name",
    "tin": "990000009",
    "npi": "",
    "email": "new@acme.test",
    "role": "admin",
    "payer": "UHC",
    "practice": "",
    "payer_id": "87726",
    "base_url": "http://127.0.0.1:9/",
    "token_url": "http://127.0.0.1:9/token",
    "environment": "test",
    "calls_per_minute": "60",
    "in_flight": "5",
    "client_id": "an-id",
    "client_secret": "a-secret",
    "iso_dates": "on",
    "kind": "claim_status",
    "table": "patient",
    "cause": "case",
    "confirm_duplicate": "true",
    "confirm": "yes",
    "fileName": "other.csv",
    "fileSize": "5",
    "totalChunks": "1",
    "chunkIndex": "0",
    "mends": "without-broken-rows",
    "do": "save",
    "c1": "E-mail",
    "go_ahead_percent": "50",
}
CLAIMS = b"claim_number,first_name,last_name,date_of_birth,subscriber_id\nC1001,Ann,Oak,1980-01-15,S1001\n"
CONTACTS = f"email,first_name\nann@example.org,{CANARY}\n".encode()


@dataclass(frozen=True)
class Address:
    """One pattern of the URLconf, with a path for every id of acme's that fits it."""

    route: str
    paths: tuple[str, ...]
    names_object: bool


def find_addresses(ids: list[str], numbers: list[str]) -> list[Address]:
    """Walk the whole URLconf."""
    return [make_address(route, converters, ids, numbers) for route, converters in walk(get_resolver())]


def walk(resolver: URLResolver, before: str = "", converters: dict | None = None) -> Iterator[tuple[str, dict]]:
    for entry in resolver.url_patterns:
        route = before + str(entry.pattern)
        known = {**(converters or {}), **entry.pattern.converters}
        if isinstance(entry, URLResolver):
            yield from walk(entry, route, known)
        else:
            yield route, known


def make_address(route: str, converters: dict, ids: list[str], numbers: list[str]) -> Address:
    """Fill a route's places with every id that fits."""
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", route).replace("^", "").replace("$", "")
    places = re.findall(r"<(?:\w+:)?(\w+)>", plain)
    choices = []
    for place in places:
        kind = converters.get(place)
        fits = ids if isinstance(kind, UUIDConverter) else numbers if isinstance(kind, IntConverter) else ["patient"]
        choices.append(fits)
    template = re.sub(r"<(?:\w+:)?\w+>", "{}", plain)
    named = any(isinstance(converters.get(place), UUIDConverter | IntConverter) for place in places)
    return Address(route, tuple("/" + template.format(*values) for values in product(*choices)), named)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def world(people: People, settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Address]:
    """Fill acme with one of everything, and give every address with acme's ids."""
    monkeypatch.setattr("rowmill.api.chunks.VERDICT_SECONDS", 0.0)  # there is no worker to wait for
    monkeypatch.setitem(FORM, "uploadId", "")
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    acme, alice = people.acme, people.alice
    practice = Practice.objects.create(org=acme, name=f"{CANARY} practice", tin="990000001")
    account = PayerAccount.objects.create(
        org=acme, payer="UHC", practice=practice, base_url="http://127.0.0.1:9", token_url="http://127.0.0.1:9/token"
    )
    invitation = Invitation.objects.create(
        org=acme, email=f"{CANARY}@acme.test", token_hash=make_token()[1], expires_at="2030-01-01T00:00:00Z"
    )
    real = take_claims_file(find_caller(alice), f"{CANARY}.csv", [CLAIMS], {}).job
    contacts = take_file(
        find_caller(alice), "contact_import", f"{CANARY}.csv", [CONTACTS], intent={"review": True}
    ).upload
    jobs = [real, make_job(acme, alice, f"{CANARY}.csv", state="CANCELLED")]
    refused = make_upload(acme, alice, f"{CANARY}.csv", state="REJECTED", findings=1)
    precheck = Precheck.objects.create(org=acme, upload=refused, metadata={"file_name": f"{CANARY}.csv"})
    heart, empty = (create_cohort(find_caller(alice), f"{CANARY} {word}") for word in ("heart", "empty"))
    spring = create_submission(find_caller(alice), heart, f"{CANARY} spring")
    keep_unknown(refused, [{"id": CANARY, "rows": 1, "row": 1, "line": 2, "cause": "case", "known": CANARY}])
    spring.tables.update(upload=refused, state="REJECTED", code="unknown_ids", unknown_count=1, causes={"case": 1})
    workbook = Export.objects.create(
        org=acme,
        kind="contact_import",
        state="DONE",
        asked_by=alice,
        done_at=timezone.now(),
        key=f"org/{acme.pk}/exports/x",
    )
    get_storage().write(workbook.key, [CANARY.encode()])
    things = [
        workbook,
        *jobs,
        real.upload,
        contacts,
        refused,
        precheck,
        heart,
        empty,
        spring,
        practice,
        account,
        invitation,
        acme,
    ]
    ids = [str(thing.public_id) for thing in things]
    session = open_session(
        find_caller(alice), "claim_status", f"{CANARY}.csv", door="chunks", size_bytes=5, chunk_count=1, intent=None
    )
    spool = tmp_path / "spool"
    spool.write_bytes(b"12345")
    put_chunk(session, 0, spool)
    ids.append(str(session.upload.public_id))
    FORM["uploadId"] = ids[-1]
    members = [str(pk) for pk in Membership.objects.filter(org=acme).values_list("pk", flat=True)]
    for number in members:  # contacts have numbers too
        make_contact(acme, int(number), pk=int(number), last_name=f"{CANARY} {number}", created_job=real)
    return find_addresses(ids, members)


def everything_of(org: Org) -> dict[str, list[tuple]]:
    """Read all that an org has: every row of every table of ours, its people, its files."""
    found = {}
    for model in apps.get_app_config("rowmill").get_models():
        names = {field.name for field in model._meta.fields}
        if "org" in names and model.__name__ not in UNCOUNTED:
            found[model.__name__] = list(model._default_manager.filter(org=org).order_by("pk").values_list())
    found["Org"] = list(Org.objects.filter(pk=org.pk).values_list())
    people = User.objects.filter(memberships__org=org).order_by("pk")
    found["User"] = list(people.values_list("email", "name", "is_active", "is_staff", "is_superuser"))
    folder = Path(django_settings.STORAGE_DIR) / "org" / str(org.pk)
    found["files"] = [(str(path), path.stat().st_size) for path in sorted(folder.rglob("*")) if path.is_file()]
    return found


class Browser(Client):
    """A person's browser; whoever was signed out by a call signs in again."""

    def __init__(self, user: User | None = None) -> None:
        super().__init__(raise_request_exception=False)
        self.user = user

    def need_session(self) -> None:
        if self.user is not None and "_auth_user_id" not in self.session:
            self.force_login(self.user, backend="allauth.account.auth_backends.AuthenticationBackend")


def call(client: Browser, method: str, path: str):
    """Call an address as a person, with a body that any form would like."""
    client.need_session()
    if method == "GET" and path.endswith("/upload/progress/"):
        path += f"?uploadId={FORM['uploadId']}"
    if method == "POST" and path.startswith("/api/upload/"):
        chunk = {"chunk": SimpleUploadedFile("chunk", b"12345")} if path.endswith("/chunk/") else {}
        kind = {} if chunk else {"content_type": "application/json"}
        return client.post(path, {**FORM, "parts": [1], **chunk}, **kind)
    if method == "POST":
        return client.post(path, {**FORM, "file": SimpleUploadedFile("claims.csv", CLAIMS)})
    if method in ("PUT", "PATCH"):
        return client.generic(method, path, "{}", content_type="application/json")
    return client.generic(method, path)


def read(response) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_crawl_finds_the_addresses(world: list[Address]) -> None:
    routes = {address.route for address in world}
    assert {"api/v1/claims/csv-jobs/<uuid:job_id>/results/", "api/v1/claims/bulk/upload/", "bulk-upload"} <= routes
    assert {f"api/upload/{word}/" for word in ("init", "chunk", "complete", "progress", "cancel", "sign")} <= routes
    assert sum(address.names_object for address in world) >= 15
    assert not [address.route for address in world if any(char in address.paths[0] for char in "<>(){}")]


def test_charlie_gets_404_for_all_that_is_acmes(world: list[Address], people: People) -> None:
    before = everything_of(people.acme)
    charlie, wrong = Browser(people.charlie), []
    for address, method in product(world, METHODS):
        for path in address.paths:
            response = call(charlie, method, path)
            if address.names_object and response.status_code not in (404, 405) and method != "OPTIONS":
                wrong.append((method, address.route, response.status_code))
            if CANARY.encode() in read(response):
                wrong.append((method, address.route, "shows what is acme's"))
            if response.status_code >= 500 and response.status_code != 507:
                wrong.append((method, address.route, response.status_code))
    assert sorted(set(map(str, wrong))) == []
    assert everything_of(people.acme) == before


def test_charlie_finds_no_upload_by_what_a_body_or_a_query_names(world: list[Address], people: People) -> None:
    """The chunk door's addresses name no object; what is said to them does."""
    charlie, nowhere = Browser(people.charlie), "00000000-0000-0000-0000-000000000000"
    mine = FORM["uploadId"]
    for word, method in (
        ("chunk", "POST"),
        ("complete", "POST"),
        ("cancel", "POST"),
        ("sign", "POST"),
        ("progress", "GET"),
    ):
        answers = []
        for upload_id in (mine, nowhere):
            FORM["uploadId"] = upload_id
            response = call(charlie, method, f"/api/upload/{word}/")
            answers.append((response.status_code, response.json()["code"], response.json()["detail"]))
        assert answers[0] == answers[1] == (404, "not_found", "There is no such upload."), word
    FORM["uploadId"] = mine


def test_charlie_prechecks_no_file_of_acmes(world: list[Address], people: People) -> None:
    """The door's address names no object; what a body says does."""
    nowhere = "00000000-0000-0000-0000-000000000000"
    refused = Precheck.objects.get().upload
    charlie, answers = Browser(people.charlie), []
    charlie.need_session()
    for upload_id in (str(refused.public_id), nowhere):
        response = charlie.post("/precheck-validation/upload", {"upload_id": upload_id})
        answers.append((response.status_code, response.json()["code"], response.json()["detail"]))
    assert answers[0] == answers[1] == (404, "not_found", "There is no such upload.")
    assert Precheck.objects.count() == 1


def test_other_methods_than_an_address_has_tell_nothing(world: list[Address], people: People) -> None:
    """A 405 must not depend on whether the id is there."""
    nowhere = "00000000-0000-0000-0000-000000000000"
    charlie = Browser(people.charlie)
    for address, method in product(world, METHODS):
        if not address.names_object or "<int:" in address.route:
            continue
        unknown = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", nowhere, address.paths[0])
        answers = {call(charlie, method, path).status_code for path in (*address.paths, unknown)}
        assert len(answers) == 1, (method, address.route)


def test_auditor_changes_nothing(world: list[Address], people: People) -> None:
    before = everything_of(people.acme)
    ada, wrong = Browser(people.ada), []
    for address, method in product(world, UNSAFE):
        for path in address.paths:
            response = call(ada, method, path)
            let_in = (
                address.route.startswith(("api/v1/", "api/upload/", "precheck-validation/"))
                and response.status_code < 400
                and not OWN.match(address.route)
                and address.route not in READING_POSTS
            )
            if response.status_code >= 500 or let_in:
                wrong.append((method, address.route, response.status_code))
    assert sorted(set(map(str, wrong))) == []
    assert everything_of(people.acme) == before


def test_looking_changes_nothing(world: list[Address], people: People) -> None:
    before = everything_of(people.acme)
    alice, seen = Browser(people.alice), 0
    for address, method in product(world, ("GET", "HEAD", "OPTIONS")):
        if OWN.match(address.route):
            continue
        for path in address.paths:
            seen += CANARY.encode() in read(call(alice, method, path))
    assert seen >= 10
    assert everything_of(people.acme) == before


def test_stranger_gets_nowhere(world: list[Address], people: People) -> None:
    before = everything_of(people.acme)
    nobody, wrong = Browser(), []
    for address, method in product(world, METHODS):
        for path in address.paths[:1]:
            response = call(nobody, method, path)
            status = response.status_code
            refused = status in (302, 401, 403, 404, 405)
            if status >= 500 or not (refused or OPEN.match(address.route)):
                wrong.append((method, address.route, status))
            if CANARY.encode() in read(response):
                wrong.append((method, address.route, "shows what is acme's"))
    assert sorted(set(map(str, wrong))) == []
    assert everything_of(people.acme) == before


def test_admin_changes_things_by_the_same_calls(world: list[Address], people: People) -> None:
    """The control: were these calls harmless by themselves, the tests above would show nothing."""
    before = everything_of(people.acme)
    alice, changed = Browser(people.alice), set()
    for address, method in product(world, ("POST", "DELETE")):
        if OWN.match(address.route):
            continue
        for path in address.paths:
            with transaction.atomic():
                status = call(alice, method, path).status_code
                if status not in (404, 405) and everything_of(people.acme) != before:
                    changed.add((method, address.route))
                transaction.set_rollback(True)
    assert {
        ("POST", "api/v1/claims/bulk/upload/"),
        ("POST", "api/v1/claims/csv-jobs/<uuid:job_id>/cancel/"),
        ("POST", "api/v1/claims/csv-jobs/<uuid:job_id>/retry/"),
        ("DELETE", "api/v1/claims/csv-jobs/<uuid:job_id>/"),
        ("POST", "api/upload/init/"),
        ("POST", "api/upload/complete/"),
        ("POST", "precheck-validation/upload"),
        ("POST", "uploads/<uuid:public_id>/mend"),
        ("POST", "uploads/<uuid:public_id>/mapping"),
        ("POST", "uploads/<uuid:public_id>/effect"),
        ("POST", "uploads/<uuid:public_id>/import"),
        ("POST", "api/v1/uploads/<uuid:upload_id>/effect/"),
        ("POST", "settings/imports/"),
        ("POST", "api/v1/uploads/<uuid:upload_id>/mend/"),
        ("POST", "cohorts/"),
        ("POST", "cohorts/<uuid:public_id>/"),
        ("POST", "cohorts/<uuid:public_id>/delete"),
        ("POST", "submissions/<uuid:submission_id>/upload"),
        ("POST", "submissions/<uuid:public_id>/delete"),
        ("POST", "submissions/<uuid:public_id>/<slug:table_name>/delete"),
        ("POST", "submissions/<uuid:public_id>/<slug:table_name>/mend"),
    } <= changed
    assert Job.objects.filter(org=people.acme).count() == 2
