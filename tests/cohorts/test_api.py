"""The agreed addresses of cohort files, with a token, and what nobody else may see."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

from rowmill.jobs.arrive import inspect_due
from rowmill.models import AuditEvent, FindingRecord, SubmissionTable, Upload
from tests.cohorts.conftest import BROKEN, DAMAGED, LABS, PATIENTS
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def sign_in(email: str) -> APIClient:
    found = APIClient()
    told = found.post("/api/v1/auth/token/", {"email": email, "password": PASSWORD}, format="json")
    found.credentials(HTTP_AUTHORIZATION=f"Bearer {told.json()['access']}")
    return found


@pytest.fixture
def client(people) -> APIClient:
    return sign_in("alice@acme.test")


@pytest.fixture
def submission_id(client: APIClient) -> str:
    cohort = client.post("/api/v1/cohorts/", {"name": "Heart"}, format="json").json()
    made = client.post(f"/api/v1/cohorts/{cohort['id']}/submissions/", {"name": "Spring"}, format="json")
    assert made.status_code == 201
    found: str = made.json()["id"]
    added = client.post(f"/api/v1/submissions/{found}/", {"name": "labs"}, format="json")
    assert [table["table"] for table in added.json()["tables"]] == ["patient", "labs"]
    return found


def send(client: APIClient, submission_id: str, table: str, data: bytes, *, check: bool = True):
    body = {"table": table, "file": SimpleUploadedFile("x.csv", data)}
    answer = client.post(f"/submissions/{submission_id}/upload", body, format="multipart")
    if check and answer.status_code == 202:
        assert inspect_due()
    return answer


def test_a_table_is_sent_polled_and_mended(client, submission_id):
    assert send(client, submission_id, "patient", PATIENTS).status_code == 202
    answer = send(client, submission_id, "labs", DAMAGED, check=False)
    assert answer.json()["state"] == "CONVERTING"
    assert answer.headers["Location"] == f"/submissions/{submission_id}/labs/status"
    assert inspect_due()
    status = client.get(answer.headers["Location"]).json()
    assert (status["state"], status["final"], status["code"]) == ("REJECTED", True, "unknown_ids")
    assert status["message"] == "File contains 5 patient IDs not in patient file."
    assert [stage["state"] for stage in status["stages"]] == ["done", "done", "done", "stopped"]
    assert {"leading-zeros": 1}.items() <= {line["cause"]: line["count"] for line in status["causes"]}.items()
    unknown = client.get(f"/submissions/{submission_id}/labs/unknown-ids").json()["unknown_ids"]
    assert ("2", "0002") in [(one["id"], one["known"]) for one in unknown]
    assert AuditEvent.objects.filter(verb="unknown_ids.read").count() == 1
    mended = client.post(
        f"/submissions/{submission_id}/labs/mend-ids", {"causes": ["leading-zeros", "spaces"]}, format="json"
    )
    assert mended.status_code == 202
    assert inspect_due()
    assert client.get(answer.headers["Location"]).json()["unknown_count"] == 3


def test_a_malformed_file_names_the_precheck(client, submission_id):
    send(client, submission_id, "patient", BROKEN)
    status = client.get(f"/submissions/{submission_id}/patient/status").json()
    assert status["message"] == "File appears invalid. Use Precheck Validation for diagnostics."
    assert status["precheck"] == "/precheck-validation"


def test_what_cannot_be_sent_is_said_in_words(client, submission_id):
    early = send(client, submission_id, "labs", LABS)
    assert (early.status_code, early.json()["code"]) == (409, "no_patient_file")
    assert send(client, submission_id, "nothing", LABS).status_code == 404
    assert client.post(f"/submissions/{submission_id}/upload", {"table": "labs"}, format="multipart").status_code == 400
    nameless = {"file": SimpleUploadedFile("x.csv", LABS)}
    assert client.post(f"/submissions/{submission_id}/upload", nameless, format="multipart").status_code == 400
    again = client.post(f"/api/v1/submissions/{submission_id}/", {"name": "labs"}, format="json")
    assert (again.status_code, again.json()["code"]) == (400, "name_taken")
    wrong = client.post(f"/api/v1/submissions/{submission_id}/", {"name": "../x"}, format="json")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_name")


def test_a_whole_file_over_the_limit_is_refused(client, submission_id, settings):
    settings.ROWMILL_KIND_UPLOAD_BYTES = {"cohort_table": 20}
    answer = send(client, submission_id, "patient", PATIENTS)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert not Upload.objects.exists()


def test_the_other_doors_take_no_cohort_file(client):
    body = {"fileName": "x.csv", "fileSize": 10, "totalChunks": 1, "kind": "cohort_table"}
    answer = client.post("/api/upload/init/", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_option")


def test_others_and_auditors_get_nothing(client, submission_id):
    send(client, submission_id, "patient", PATIENTS)
    charlie, ada = sign_in("charlie@other.test"), sign_in("ada@acme.test")
    assert send(charlie, submission_id, "patient", PATIENTS).status_code == 404
    for address in ("patient/status", "patient/unknown-ids"):
        assert charlie.get(f"/submissions/{submission_id}/{address}").status_code == 404, address
    assert send(ada, submission_id, "patient", PATIENTS).status_code == 403
    assert ada.get(f"/submissions/{submission_id}/patient/status").status_code == 200
    assert APIClient().get(f"/submissions/{submission_id}/patient/status").status_code == 401


def test_no_id_is_in_the_database_in_plain(client, submission_id):
    send(client, submission_id, "patient", PATIENTS)
    send(client, submission_id, "labs", DAMAGED.replace(b"ZZ99", b"CANARY99"))
    kept = [
        *SubmissionTable.objects.values(),
        *FindingRecord.objects.values(),
        *Upload.objects.values(),
        *AuditEvent.objects.values(),
    ]
    assert "CANARY99" not in json.dumps(kept, default=str)
    assert "unknown-id" in json.dumps(kept, default=str)


@pytest.mark.parametrize("who", ["nobody", "alice"])
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json", "multipart/form-data", "multipart/form-data; boundary=x"]
)
def test_a_browsers_body_that_cannot_be_read_is_refused(people, submission_id, who, kind):
    browser = Client()
    if who == "alice":
        browser.force_login(people.alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    sent = browser.post(f"/submissions/{submission_id}/upload", b"{", content_type=kind, HTTP_ACCEPT="text/html")
    assert sent.status_code == (400 if who == "alice" and "multipart" in kind else 415 if who == "alice" else 401)
