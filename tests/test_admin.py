"""Django's admin: who gets in, that it changes next to nothing, and that no cell of any file is on any of its pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from rowmill.admin import ReadOnly, site
from rowmill.models import (
    AuditEvent,
    Batch,
    BatchMerge,
    ChosenColumns,
    Cohort,
    ColumnMapping,
    Contact,
    Export,
    FindingRecord,
    ImportEffect,
    Invitation,
    Job,
    OldRow,
    PayerAccount,
    Practice,
    Precheck,
    Result,
    Submission,
    SubmissionTable,
    Undo,
    UnknownIds,
    Upload,
    UploadSession,
    User,
    Worker,
)
from tests.conftest import People

CANARY = "canary7f3a"
HIDDEN = {
    BatchMerge,
    ChosenColumns,
    ColumnMapping,
    Contact,
    Export,
    FindingRecord,
    ImportEffect,
    OldRow,
    Result,
    Undo,
    UnknownIds,
}


@pytest.fixture(autouse=True)
def _quick_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def operator(people: People) -> Iterator[Client]:
    User.objects.filter(pk=people.alice.pk).update(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(people.alice)
    return client


@pytest.fixture
def world(people: People) -> People:
    """One of everything, with a canary in every place that a cell, a header, an answer, a secret or a token may be in."""
    acme, alice = people.acme, people.alice
    upload = Upload.objects.create(
        org=acme,
        kind="claim_status",
        name=f"{CANARY}.csv",
        header=[CANARY],
        mapping={"claim_number": 1, CANARY: 2},
        inspection={"header": [CANARY]},
        intent={"note": CANARY},
        created_by=alice,
    )
    UploadSession.objects.create(
        org=acme, upload=upload, door="chunks", fingerprint=CANARY, storage_token=CANARY, expires_at=timezone.now()
    )
    FindingRecord.objects.create(
        org=acme, upload=upload, position=0, code="x", severity="error", message=CANARY, column_name=CANARY
    )
    cohort = Cohort.objects.create(org=acme, name=CANARY)
    submission = Submission.objects.create(org=acme, cohort=cohort, name=CANARY)
    SubmissionTable.objects.create(org=acme, submission=submission, name=CANARY, message=CANARY, upload=upload)
    job = Job.objects.create(
        org=acme, upload=upload, kind="claim_status", options={"x": CANARY}, total_rows=1, error_log=[CANARY]
    )
    Batch.objects.create(org=acme, job=job, first_row=1, last_row=1, last_error=CANARY)
    Result.objects.create(
        org=acme,
        job=job,
        row_number=1,
        outcome="rejected",
        code="X",
        message=CANARY,
        answer=CANARY.encode(),
        written_at=timezone.now(),
    )
    PayerAccount.objects.create(
        org=acme,
        payer="UHC",
        base_url="https://a.test",
        token_url="https://a.test",
        client_id_sealed=CANARY.encode(),
        client_secret_sealed=CANARY.encode(),
    )
    Practice.objects.create(org=acme, name="Clinic", tin="990000001")
    Invitation.objects.create(
        org=acme, email="new@acme.test", token_hash=CANARY, expires_at="2030-01-01T00:00Z", invited_by=alice
    )
    AuditEvent.objects.create(
        org=acme,
        position=1,
        at="2026-01-01T00:00Z",
        verb="x",
        target_type="job",
        target_id="1",
        actor_name="a",
        mac="m",
    )
    Worker.objects.create(role="worker", host="machine-1", pid=1, version="1", doing="batches 7; 3 since the start")
    Precheck.objects.create(
        org=acme, upload=upload, findings=[{"message": CANARY}], metadata={"x": CANARY}, error=CANARY
    )
    User.objects.filter(pk=people.bob.pk).update(password=CANARY)
    acme.wrapped_key = CANARY.encode()
    acme.save()
    return people


def pages() -> Iterator[str]:
    """Give every list and every row's page, of everything that the admin knows."""
    yield "/admin/"
    yield "/admin/rowmill/"
    for model in site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"admin:{name}_changelist")
        for row in model._default_manager.all():
            yield reverse(f"admin:{name}_change", args=[row.pk])
            yield reverse(f"admin:{name}_history", args=[row.pk])


def test_no_cell_secret_or_token_is_on_any_page(world: People, operator: Client) -> None:
    seen = list(pages())
    assert len(seen) > 25
    for path in seen:
        answer = operator.get(path)
        assert answer.status_code == 200, path
        assert CANARY not in answer.content.decode(), path


def test_what_holds_cells_or_tokens_is_not_there(db: None) -> None:
    assert not HIDDEN & set(site._registry)
    assert {model._meta.app_label for model in site._registry} == {"rowmill"}


def test_everything_else_of_the_house_is_there_and_named_field_by_field(db: None) -> None:
    left_out = {
        "Result",
        "FindingRecord",
        "SignInLink",
        "IdempotencyKey",
        "AttemptCount",
        "PayerLimit",
        "UploadPart",
        "UnknownIds",
        *(model.__name__ for model in HIDDEN),
    }
    models = {model.__name__ for model in apps.get_app_config("rowmill").get_models()}
    assert {model.__name__ for model in site._registry} == models - left_out, "decide for every new table"
    for admin in site._registry.values():
        assert isinstance(admin, ReadOnly)
        assert admin.fields, "what is not named is not shown"


def test_nothing_is_added_changed_or_deleted(world: People, operator: Client) -> None:
    for model, admin in site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.first()
        assert operator.get(reverse(f"admin:{name}_add")).status_code == 403
        assert operator.post(reverse(f"admin:{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        if model is not User:
            assert operator.post(reverse(f"admin:{name}_change", args=[row.pk]), {}).status_code == 403
        assert admin.actions is None


def test_disabling_somebody_is_in_the_trail(people: People, operator: Client) -> None:
    bob = Client()
    bob.force_login(people.bob)
    form = {"name": "Bob", "email": "forged@acme.test"}  # no is_active: the box is unticked
    assert operator.post(f"/admin/rowmill/user/{people.bob.pk}/change/", form).status_code == 302
    people.bob.refresh_from_db()
    assert (people.bob.is_active, people.bob.email) == (False, "bob@acme.test")
    assert bob.get("/jobs/").status_code == 302
    event = AuditEvent.objects.get(org=people.acme, verb="user.changed")
    assert (event.target_id, event.details) == (str(people.bob.pk), {"is_active": False})
    operator.post(f"/admin/rowmill/user/{people.alice.pk}/change/", {"name": "Alice"})
    people.alice.refresh_from_db()
    assert (people.alice.is_active, people.alice.is_superuser) == (True, True), "nobody locks themselves out"


def test_a_password_is_changed_in_one_place_only(operator: Client) -> None:
    assert operator.get("/admin/password_change/")["Location"] == "/accounts/password/change/"


def test_only_operators_come_in_and_only_by_the_one_sign_in(people: People) -> None:
    client = Client()
    assert client.get("/admin/", follow=True).redirect_chain[-1][0].startswith("/accounts/login/")
    client.force_login(people.bob)
    assert client.get("/admin/", follow=True).status_code == 403
    assert client.get("/admin/rowmill/job/", follow=True).status_code == 403
