"""Mends by API: what an upload proposes, the mended copy, what can be taken of it; errors in the house's form."""

from __future__ import annotations

import io
import zipfile

import pytest
from django.test import Client
from django.urls import reverse

from rowmill.claims.intake import take_claims_file
from rowmill.errors import TableError
from rowmill.jobs.arrive import inspect_due
from rowmill.models import AuditEvent, Job, Upload
from rowmill.orgs import find_caller
from rowmill.uploads.purge import purge_upload
from tests.conftest import People

pytestmark = pytest.mark.django_db
BLOCK = (
    b"claim_number,first_name,last_name,date_of_birth,subscriber_id\n"
    b"C1,Ann,Oak,1980-01-15,S1\nC2;Ann;CanaryOak;1980-01-15;S2\nC3,x\nC4,Ann,Oak,1980-01-15,S4\n"
)


def client_of(person: object) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def alice(people: People) -> Client:
    return client_of(people.alice)


@pytest.fixture
def refused(people: People) -> Upload:
    with pytest.raises(TableError):
        take_claims_file(find_caller(people.alice), "claims.csv", [BLOCK], {})
    return Upload.objects.get()


def mend(client: Client, upload: Upload, body: object):
    address = reverse("api-upload-mend", args=[upload.public_id])
    return client.post(address, body, content_type="application/json")


def test_an_upload_tells_its_causes_its_map_and_what_can_be_mended(alice: Client, refused: Upload) -> None:
    told = alice.get(reverse("api-upload", args=[refused.public_id])).json()
    assert {cause["code"]: cause["mend"] for cause in told["causes"]} == {
        "other-delimiter": "delimiter",
        "too-few-fields": "",
    }
    assert len(told["damage"]) == 200
    assert [proposed["slug"] for proposed in told["proposed_mends"]] == ["delimiter", "without-broken-rows"]
    assert all(proposed["title"] and proposed["help"] for proposed in told["proposed_mends"])
    assert (told["mended_from"], told["mends"], told["left_out_rows"]) == (None, [], 0)
    assert told["purge_after"]
    assert "CanaryOak" not in str(told)


def test_a_mended_copy_is_begun_once_and_runs(alice: Client, refused: Upload) -> None:
    answer = mend(alice, refused, {"mends": ["without-broken-rows", "delimiter"]})
    assert answer.status_code == 202
    told = answer.json()
    assert (told["status"], told["mends"]) == ("CHECKING", ["delimiter", "without-broken-rows"])
    assert told["mended_from"] == str(refused.public_id)
    assert answer["Location"] == told["links"]["self"]
    assert mend(alice, refused, {"mends": ["delimiter", "without-broken-rows"]}).json()["id"] == told["id"]
    assert inspect_due()
    now = alice.get(told["links"]["self"]).json()
    assert (now["status"], now["rows"], now["left_out_rows"]) == ("READY", 3, 1)
    job = alice.get(now["links"]["jobs"][0]).json()
    assert (job["total_rows"], job["balance"]["left_out"]) == (3, 1)
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"mends": []}, "bad_mend"),
        ({"mends": ["nonsense"]}, "bad_mend"),
        ({"mends": ["date-form"]}, "bad_mend"),
        ({"mends": "delimiter"}, "bad_input"),
        ({"mends": [{}]}, "bad_input"),
        ({}, "bad_input"),
        ([], "bad_input"),
    ],
)
def test_what_is_no_mend_is_a_400(alice: Client, refused: Upload, body: object, code: str) -> None:
    answer = mend(alice, refused, body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert Upload.objects.count() == 1


def test_the_failed_rows_and_the_marked_file_come_as_attachments(alice: Client, refused: Upload) -> None:
    rows = alice.get(reverse("api-upload-failed-rows", args=[refused.public_id]))
    assert rows["Content-Type"].startswith("text/csv")
    assert "claims-failed-rows.csv" in rows["Content-Disposition"]
    assert b"CanaryOak" in b"".join(rows.streaming_content)
    book = alice.get(reverse("api-upload-annotated", args=[refused.public_id]))
    assert zipfile.is_zipfile(io.BytesIO(b"".join(book.streaming_content)))
    assert AuditEvent.objects.filter(verb="upload.download", target_id=str(refused.public_id)).count() == 2


def test_what_is_gone_is_a_410_and_what_is_not_judged_a_409(alice: Client, refused: Upload) -> None:
    Upload.objects.update(state="CHECKING")
    assert mend(alice, refused, {"mends": ["delimiter"]}).status_code == 409
    assert alice.get(reverse("api-upload-failed-rows", args=[refused.public_id])).status_code == 409
    Upload.objects.update(state="REJECTED")
    purge_upload(refused)
    assert mend(alice, refused, {"mends": ["delimiter"]}).json()["code"] == "expired"
    gone = alice.get(reverse("api-upload-annotated", args=[refused.public_id]))
    assert (gone.status_code, gone.json()["code"]) == (410, "expired")
    assert alice.get(reverse("api-upload", args=[refused.public_id])).json()["proposed_mends"] == []


def test_auditors_read_and_others_see_nothing(refused: Upload, people: People) -> None:
    ada, charlie = client_of(people.ada), client_of(people.charlie)
    assert mend(ada, refused, {"mends": ["delimiter"]}).status_code == 403
    rows = ada.get(reverse("api-upload-failed-rows", args=[refused.public_id]))
    assert b"CanaryOak" in b"".join(rows.streaming_content)
    assert mend(charlie, refused, {"mends": ["delimiter"]}).status_code == 404
    for name in ("api-upload-failed-rows", "api-upload-annotated"):
        assert charlie.get(reverse(name, args=[refused.public_id])).status_code == 404
