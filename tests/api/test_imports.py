"""Imports by API: the mapping, the effect, the go-ahead, the start, the undo; and who may look."""

from __future__ import annotations

import hashlib

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from rowmill.jobs.arrive import effect_due, inspect_due, submit_intended
from rowmill.jobs.submit import take_file
from rowmill.models import AuditEvent, Contact, EffectState, ImportEffect, Job, Org, Upload
from rowmill.orgs import find_caller
from rowmill.uploads.purge import purge_upload
from tests.conftest import People
from tests.jobs.conftest import work_until_final
from tests.merging.conftest import as_csv
from tests.merging.undoing import run_undos

pytestmark = pytest.mark.django_db
HEADER = ("Reach by", "First Name", "Companie Name", "Secret", "Staff")
ROWS = [(f"p{n}@canary.test", f"Canary{n}", "Acme", "s", "11-50" if n else "many") for n in range(5)]
LATER = [(mail, name + "x", *rest) for mail, name, *rest in ROWS]


@pytest.fixture(autouse=True)
def _quick(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    monkeypatch.setattr("rowmill.api.effects.PATIENCE_SECONDS", 0.0)  # there is no worker to wait for


def client_of(person: object) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def alice(people: People) -> Client:
    return client_of(people.alice)


def take(people: People, rows=ROWS, header=HEADER, **intent) -> Upload:
    """Take a file in as the chunk door would; without a word it waits for a look."""
    intent = intent or {"review": True}
    taken = take_file(find_caller(people.alice), "contact_import", "canary.csv", [as_csv(header, rows)], intent=intent)
    return Upload.objects.select_related("org").get(pk=taken.upload.pk)


def ask(client: Client, method: str, name: str, thing: Upload | Job, body: object = None, query: str = ""):
    address = reverse(f"api-{name}", args=[thing.public_id]) + query
    call = getattr(client, method)
    return call(address) if method == "get" else call(address, body or {}, content_type="application/json")


def set_mapping(client: Client, upload: Upload, **mapping: int):
    return ask(
        client, "put", "upload-mapping", upload, {"mapping": mapping or {"email": 1, "first_name": 2}, "ignored": [4]}
    )


@pytest.fixture
def imported(people: People, alice: Client) -> Job:
    """Five contacts that are there, four of them in order."""
    upload = take(people)
    assert set_mapping(alice, upload, email=1, first_name=2, employees=5).status_code == 200
    assert ask(alice, "post", "upload-import", upload).status_code == 201
    job = Job.objects.select_related("upload", "org").get()
    assert work_until_final(job) == "COMPLETED"
    return job


def test_a_mapping_is_shown_changed_and_remembered(people: People, alice: Client) -> None:
    upload = take(people)
    assert not Job.objects.exists()
    told = ask(alice, "get", "upload-mapping", upload).json()
    columns = {column["header"]: column for column in told["columns"]}
    assert (columns["First Name"]["field"], columns["First Name"]["how"]) == ("first_name", "name")
    assert (columns["Companie Name"]["field"], columns["Companie Name"]["suggested_field"]) == (None, "company")
    assert columns["Reach by"]["samples"] == [row[0] for row in ROWS[:3]]
    assert columns["Reach by"]["filled"] == 1.0
    assert told["missing_keys"] == ["email", "contact_id"]
    assert "neither" in told["first_rows"][0]["problem"]
    assert {field["name"] for field in told["available"] if field["key"]} == {"email", "contact_id"}

    told = set_mapping(alice, upload, email=1, first_name=2, employees=5).json()
    assert [(c["field"], c["ignored"]) for c in told["columns"]] == [
        ("email", False), ("first_name", False), (None, False), (None, True), ("employees", False),
    ]  # fmt: skip
    assert told["missing_keys"] == []
    first, second = told["first_rows"][:2]
    assert first["problem"] == "employees: this is not a number of things"
    assert second["values"] == {
        "email": "p1@canary.test", "first_name": "Canary1", "employees": 11, "employees_most": 50,
        "extra": {"Companie Name": "Acme"},
    }  # fmt: skip
    again = take(people, [("other@canary.test", "Other", "", "", "")])
    assert ask(alice, "get", "upload-mapping", again).json()["columns"][0]["how"] == "remembered"
    looks = AuditEvent.objects.filter(verb="upload.look", target_id=str(upload.public_id))
    assert {event.details["part"] for event in looks} == {"columns"}


def test_a_mapping_that_cannot_be_is_refused(people: People, alice: Client) -> None:
    upload = take(people)
    for body in (
        {},
        {"mapping": {"no_such": 1}},
        {"mapping": {"email": 9}},
        {"mapping": {"first_name": 2}},
        {"mapping": 1},
    ):
        answer = ask(alice, "put", "upload-mapping", upload, body)
        assert answer.status_code == 400, body
    assert ask(alice, "put", "upload-mapping", upload, {"mapping": {"first_name": 2}}).json()["code"] == "bad_mapping"
    assert ask(alice, "post", "upload-import", upload).json()["code"] == "bad_mapping"
    assert ask(alice, "post", "upload-effect", upload).json()["code"] == "bad_mapping"
    assert set_mapping(client_of(people.ada), upload).status_code == 403
    assert not Job.objects.exists()


def test_an_effect_is_worked_out_and_told(people: People, alice: Client, imported: Job) -> None:
    upload = take(people, LATER)
    assert ask(alice, "get", "upload-effect", upload).status_code == 404
    assert ask(alice, "post", "upload-effect", upload, {"duplicates": "perhaps"}).status_code == 400
    asked = ask(alice, "post", "upload-effect", upload, {"duplicates": "update"})
    assert (asked.status_code, asked.json()["state"]) == (202, "WAITING")
    assert effect_due()
    assert not effect_due()
    told = ask(alice, "get", "upload-effect", upload).json()
    counts = [told[name] for name in ("inserted", "updated", "unchanged", "rejected", "conflicts", "duplicate_rows")]
    assert counts == [0, 4, 0, 1, 0, 0]
    assert (told["percent_changed"], told["go_ahead_percent"], told["go_ahead_needed"]) == (80.0, 20, True)
    assert told["causes"] == [{"message": "employees: this is not a number of things", "rows": 1}]
    assert told["examples"][0]["changes"] == [{"field": "first_name", "before": "Canary1", "after": "Canary1x"}]
    assert not told["outdated"]
    assert Contact.objects.filter(first_name__endswith="x").count() == 0

    stored = ImportEffect.objects.get()
    assert b"anary" not in bytes(stored.examples)
    assert "anary" not in str(stored.causes)
    purge_upload(upload)
    stored.refresh_from_db()
    assert (bytes(stored.examples), stored.updated) == (b"", 4)


def test_each_policy_has_an_effect_of_its_own(people: People, alice: Client, imported: Job) -> None:
    upload = take(people, LATER)
    updated = {}
    for policy in ("update", "blanks", "skip", "newest"):
        ask(alice, "post", "upload-effect", upload, {"duplicates": policy})
        assert effect_due()
        updated[policy] = ask(alice, "get", "upload-effect", upload, query=f"?duplicates={policy}").json()["updated"]
    assert updated == {"update": 4, "blanks": 0, "skip": 0, "newest": 4}
    assert ask(alice, "get", "upload-effect", upload).json()["duplicates"] == "newest"
    set_mapping(alice, upload)
    assert not ImportEffect.objects.exists()


def test_a_large_change_needs_a_go_ahead(people: People, alice: Client, imported: Job) -> None:
    upload = take(people, LATER)
    assert ask(alice, "post", "upload-import", upload).json()["code"] == "effect_needed"
    assert effect_due()
    refused = ask(alice, "post", "upload-import", upload)
    assert (refused.status_code, refused.json()["code"]) == (409, "go_ahead_needed")
    assert (refused.json()["updated"], refused.json()["limit_percent"]) == (4, 20)
    assert Job.objects.count() == 1
    started = ask(alice, "post", "upload-import", upload, {"go_ahead": True})
    assert started.status_code == 201
    job = Job.objects.get(public_id=started.json()["id"])
    assert AuditEvent.objects.get(verb="import.go_ahead").details == {"updated": 4}
    assert work_until_final(job) == "COMPLETED"
    assert Contact.objects.filter(first_name__endswith="x").count() == 4
    assert ask(alice, "post", "upload-import", upload, {"go_ahead": True}).status_code == 409
    assert set_mapping(alice, upload).status_code == 409


def test_a_job_that_would_start_by_itself_waits_for_a_word(people: People, alice: Client, imported: Job) -> None:
    same, upload = take(people, ROWS[1:], duplicates="update"), take(people, LATER, duplicates="update")
    assert Job.objects.count() == 1
    assert effect_due()
    assert Job.objects.get(upload=same).state == "PENDING"
    assert effect_due()
    assert not Job.objects.filter(upload=upload).exists()
    assert submit_intended(upload) is None
    Org.objects.update(go_ahead_percent=100)
    assert submit_intended(Upload.objects.get(pk=upload.pk)) is not None


def test_the_first_import_and_one_that_may_change_anything_start_at_once(people: People, alice: Client) -> None:
    header = ("E-mail", *HEADER[1:])
    first = take(people, header=header, duplicates="update")
    assert work_until_final(Job.objects.get(upload=first)) == "COMPLETED"
    second = take(people, LATER, header, duplicates="update", go_ahead=True)
    assert Job.objects.filter(upload=second).exists()
    assert not ImportEffect.objects.exists()


def test_a_file_of_which_no_column_is_a_key_waits_for_somebody_to_say_which(people: People, alice: Client) -> None:
    upload = take(people, duplicates="update", go_ahead=True)
    assert ask(alice, "get", "upload", upload).json()["awaits"] == "review"
    assert set_mapping(alice, upload).status_code == 200
    assert ask(alice, "get", "upload", upload).json()["awaits"] == "review", "nothing starts by itself from here on"
    assert submit_intended(Upload.objects.get(pk=upload.pk)) is None
    assert ask(alice, "post", "upload-import", upload).status_code == 201


def test_an_effect_that_is_not_true_any_more_is_worked_out_anew(people: People, alice: Client, imported: Job) -> None:
    upload, other = take(people, LATER), take(people, [("new@canary.test", "New", "", "", "")])
    ask(alice, "post", "upload-effect", upload)
    assert effect_due()
    assert ask(alice, "post", "upload-import", other, {"duplicates": "skip"}).status_code == 201
    work_until_final(Job.objects.latest("id"))
    assert ask(alice, "get", "upload-effect", upload).json()["outdated"]
    assert ask(alice, "post", "upload-import", upload).json()["code"] == "effect_needed"
    assert ImportEffect.objects.get(upload=upload).state == EffectState.WAITING


def test_an_import_is_taken_back(people: People, alice: Client, imported: Job) -> None:
    assert ask(client_of(people.ada), "post", "job-undo", imported).status_code == 403
    assert ask(alice, "get", "job-undo", imported).status_code == 404
    begun = ask(alice, "post", "job-undo", imported)
    assert (begun.status_code, begun.json()["state"], begun.json()["rows"]) == (202, "WAITING", 4)
    assert ask(alice, "post", "job-undo", imported).status_code == 202
    assert ask(alice, "post", "job-retry", imported).status_code == 409
    assert Contact.objects.count() == 4
    run_undos()
    undone = alice.get(begun["Location"]).json()
    assert (undone["state"], undone["removed"], undone["kept"], undone["rows_done"]) == ("DONE", 4, 0, 4)
    assert undone["undone_by"] == "alice@acme.test"
    again = ask(alice, "post", "job-undo", imported)
    assert (again.status_code, again.json()) == (200, undone)
    assert not Contact.objects.exists()


def test_what_an_import_brought_is_removed(people: People, alice: Client, imported: Job) -> None:
    Contact.objects.filter(first_name="Canary1").update(revision=2)
    assert ask(client_of(people.ada), "post", "job-removal", imported).status_code == 403
    assert ask(alice, "get", "job-removal", imported).status_code == 404
    begun = ask(alice, "post", "job-removal", imported)
    assert begun.status_code == 202
    run_undos()
    told = ask(client_of(people.ada), "get", "job-removal", imported).json()
    assert (told["state"], told["removed"], told["kept"]) == ("DONE", 3, 1)
    assert told["kept_ids"] == [Contact.objects.get().pk]
    assert ask(alice, "post", "job-removal", imported).status_code == 202  # it looks anew
    run_undos()
    Contact.objects.update(revision=1)
    assert ask(alice, "post", "job-removal", imported).status_code == 202
    run_undos()
    last = ask(alice, "post", "job-removal", imported)  # by a page of before: there is nothing left to do
    assert (last.status_code, last.json()["state"], last.json()["removed"]) == (200, "DONE", 4)
    assert ask(alice, "get", "job-undo", imported).status_code == 404


def test_charlie_finds_nothing(people: People, imported: Job) -> None:
    charlie, upload = client_of(people.charlie), take(people, LATER)
    for method, name in (
        ("get", "mapping"),
        ("put", "mapping"),
        ("get", "effect"),
        ("post", "effect"),
        ("post", "import"),
    ):
        assert ask(charlie, method, f"upload-{name}", upload, {"mapping": {"email": 1}}).status_code == 404
    for name in ("job-undo", "job-removal"):
        assert ask(charlie, "get", name, imported).status_code == 404
        assert ask(charlie, "post", name, imported).status_code == 404


def test_claims_have_no_columns_to_map(people: People, alice: Client) -> None:
    claims = b"claim_number,first_name,last_name,date_of_birth,subscriber_id\nC1,Ann,Oak,1980-01-15,S1\n"
    upload = take_file(find_caller(people.alice), "claim_status", "c.csv", [claims], intent={}).upload
    for method, name in (("get", "mapping"), ("get", "effect"), ("post", "effect"), ("post", "import")):
        assert ask(alice, method, f"upload-{name}", upload).status_code == 409


def send_chunk(client: Client, data: bytes, **words) -> dict:
    """Send a file as one chunk, and give what `complete` answers."""
    told = {"fileName": "canary.csv", "fileSize": len(data), "totalChunks": 1, **words}
    upload_id = client.post("/api/upload/init/", told, content_type="application/json").json()["uploadId"]
    chunk = SimpleUploadedFile("chunk", data)
    assert (
        client.post("/api/upload/chunk/", {"uploadId": upload_id, "chunkIndex": 0, "chunk": chunk}).status_code == 200
    )
    client.post("/api/upload/complete/", {"uploadId": upload_id}, content_type="application/json")
    inspect_due()
    return client.post("/api/upload/complete/", {"uploadId": upload_id}, content_type="application/json").json()


def test_the_chunk_door_says_what_a_file_waits_for(
    alice: Client, imported: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rowmill.api.chunks.VERDICT_SECONDS", 0.0)
    told = send_chunk(alice, as_csv(HEADER, LATER), review=True)
    assert (told["importStatus"], told["jobId"], told["upload"]["awaits"]) == ("REVIEW", None, "review")
    told = send_chunk(alice, as_csv(HEADER, LATER[1:]), duplicates="update")
    assert (told["importStatus"], told["jobId"]) == ("EFFECT", None)
    assert effect_due()
    progress = alice.get(f"/api/upload/progress/?uploadId={told['uploadId']}").json()
    assert (progress["importStatus"], progress["jobId"]) == ("GO_AHEAD", None)
    told = send_chunk(alice, as_csv(HEADER, LATER[2:]), goAhead=True)
    assert (told["importStatus"], told["upload"]["awaits"]) == ("PENDING", "")
    job = alice.get(f"/api/v1/claims/csv-jobs/{told['jobId']}/").json()
    assert job["merged"] == {"inserted": 0, "updated": 0, "unchanged": 0, "duplicates": 0, "rejected": 0}
    assert job["links"]["undo"].endswith("/undo/")


def test_a_file_that_waits_is_found_by_its_hash(
    people: People, alice: Client, imported: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rowmill.api.chunks.VERDICT_SECONDS", 0.0)
    data = as_csv(HEADER, LATER[1:])

    def find(client: Client, sha256: str = hashlib.sha256(data).hexdigest(), kind: str = "contact_import") -> list:
        return client.get("/api/v1/uploads/waiting/", {"sha256": sha256, "kind": kind}).json()

    looked_at = as_csv(HEADER, LATER)
    send_chunk(alice, looked_at, review=True)
    waits = send_chunk(alice, data, duplicates="update")["uploadId"]
    assert [(one["id"], one["waits_for"]) for one in find(alice)] == [(waits, "effect")]
    assert effect_due()
    assert [(one["id"], one["waits_for"]) for one in find(alice)] == [(waits, "go_ahead")]
    assert find(alice, hashlib.sha256(looked_at).hexdigest()) == [], "somebody is to look at its columns first"
    assert find(alice, kind="claim_status") == []
    assert find(alice, "") == []
    assert find(client_of(people.charlie)) == []
    assert alice.get("/api/v1/uploads/waiting/", {"sha256": "x"}).status_code == 400
    started = alice.post(f"/api/v1/uploads/{waits}/import/", {"go_ahead": True}, content_type="application/json")
    assert started.status_code == 201
    assert find(alice) == []
