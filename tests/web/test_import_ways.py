"""The ways off the straight path of an import: thrown away, pressed twice, signed out, come too early or too late."""

from __future__ import annotations

import csv
import io
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from rowmill.jobs.arrive import effect_due, inspect_due
from rowmill.models import AuditEvent, Batch, BatchMerge, ImportEffect, Job, Result, Upload, UploadState
from rowmill.orgs import find_caller
from rowmill.uploads.places import folder_key, get_storage
from rowmill.uploads.receive import finish_upload
from rowmill.uploads.sessions import close_session, open_session
from tests.conftest import People
from tests.web.test_imports import HEADER, ROWS, alice, at, save, send, signed_in, start, text_of

__all__ = ["alice"]

pytestmark = pytest.mark.django_db
PART = {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "http://testserver/"}
BROWSER = {"HTTP_ACCEPT": "text/html,*/*"}


@pytest.fixture(autouse=True)
def _quick_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def is_gone(upload: Upload) -> bool:
    upload.refresh_from_db()
    return upload.state == UploadState.ABORTED and not any(True for _ in get_storage().keys(folder_key(upload)))


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_file_that_waits_is_thrown_away_at_each_step(alice: Client, people: People, steps: int) -> None:
    upload = send(alice)
    if steps:
        save(alice, upload)
    if steps == 2:
        assert effect_due()
    for page in (reverse("upload", args=[upload.public_id]), at("mapping", upload), at("effect", upload)):
        assert at("discard", upload) in alice.get(page).content.decode()
    assert signed_in(people.ada).post(at("discard", upload)).status_code == 403
    assert signed_in(people.charlie).post(at("discard", upload)).status_code == 404
    assert not is_gone(upload)
    page = alice.post(at("discard", upload), follow=True)
    assert "The file is discarded" in text_of(page)
    assert is_gone(upload)
    assert not ImportEffect.objects.filter(upload=upload).exists()
    assert AuditEvent.objects.get(verb="upload.discard").actor_id == people.alice.pk
    assert not effect_due()
    assert not Job.objects.exists()
    assert upload.name not in text_of(alice.get("/jobs/"))
    for name in ("mapping", "effect"):
        assert alice.get(at(name, upload))["Location"] == reverse("upload", args=[upload.public_id])
    assert alice.post(at("discard", upload)).status_code == 303, "again without harm"


def test_what_has_a_job_is_not_thrown_away(alice: Client, people: People) -> None:
    upload = send(alice)
    save(alice, upload)
    job = start(alice, upload)
    assert at("discard", upload) not in alice.get(at("effect", upload)).content.decode()
    assert alice.post(at("discard", upload)).status_code == 409
    answer = alice.delete(reverse("api-upload", args=[upload.public_id]), content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert not is_gone(upload)
    assert Job.objects.get().pk == job.pk


def test_a_file_is_thrown_away_by_api(alice: Client, people: People) -> None:
    upload = send(alice)
    address = reverse("api-upload", args=[upload.public_id])
    assert signed_in(people.ada).delete(address, content_type="application/json").status_code == 403
    assert signed_in(people.charlie).delete(address, content_type="application/json").status_code == 404
    for _ in range(2):
        assert alice.delete(address, content_type="application/json").status_code == 204
    assert is_gone(upload)


def test_the_check_of_a_file_thrown_away_meanwhile_writes_nothing(people: People) -> None:
    caller = find_caller(people.alice)
    session = open_session(
        caller, "contact_import", "c.csv", intent={"review": True}, size_bytes=6, chunk_bytes=6, door="chunks"
    )
    upload = finish_upload(session.upload, 6, "", leased=False)
    close_session(session)
    told = signed_in(people.alice).post("/api/upload/cancel/", {"uploadId": str(upload.public_id)}, "application/json")
    assert (told.status_code, told.json()["status"]) == (200, "cancelled")
    assert is_gone(upload)
    assert not inspect_due()
    assert is_gone(upload)


def test_a_start_that_is_pressed_twice_leads_to_the_one_import(alice: Client) -> None:
    upload = send(alice)
    save(alice, upload)
    job = start(alice, upload)
    page = alice.post(at("import", upload), follow=True)
    assert page.redirect_chain[-1][0] == reverse("job", args=[job.public_id])
    assert "This file is imported once" in text_of(page)
    assert Job.objects.count() == 1


def test_a_deleted_import_is_not_led_to(alice: Client) -> None:
    upload = send(alice)
    save(alice, upload)
    job = start(alice, upload)
    assert "can no more be taken back" in text_of(alice.get(reverse("job", args=[job.public_id])))
    alice.post(reverse("job-delete", args=[job.public_id]))
    assert reverse("job", args=[job.public_id]) not in alice.get(at("effect", upload)).content.decode()
    page = alice.get(reverse("contacts-remove", args=[job.public_id])).content.decode()
    assert "Remove 4 contacts" in page
    assert reverse("job-undo", args=[job.public_id]) not in page


def test_a_part_of_a_page_that_may_not_be_done_says_so_on_the_page(alice: Client, people: People) -> None:
    ada = signed_in(people.ada)
    upload = send(alice)
    answer = ada.post(at("effect", upload), {"duplicates": "skip"}, **PART)
    assert (answer.status_code, answer["HX-Refresh"]) == (204, "true")
    assert "An auditor reads" in text_of(ada.get(at("effect", upload)))


def test_a_form_too_old_loads_its_page_anew(alice: Client, people: People) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(people.alice)
    upload = send(alice)
    assert strict.post(at("effect", upload), **PART)["HX-Refresh"] == "true"
    assert strict.post(at("effect", upload)).status_code == 403


def test_a_browser_that_looks_at_an_action_is_led_to_its_thing(alice: Client) -> None:
    upload = send(alice)
    here = reverse("upload", args=[upload.public_id])
    assert alice.get(at("import", upload), **BROWSER)["Location"] == here
    assert alice.get(at("import", upload)).status_code == 405
    assert alice.get("/contacts/columns", **BROWSER)["Location"] == "/contacts/"
    assert alice.get("/contacts/7/delete", **BROWSER)["Location"] == "/contacts/7/"
    assert alice.get("/api/v1/contacts/search/", **BROWSER).status_code == 405


def test_each_reason_of_a_rejected_row_is_a_cause(alice: Client) -> None:
    rows = [("no mail", "Ann", "no site"), ("ann@canary.test", "Ann", "no site"), ("bob@canary.test", "Bob", "")]
    upload = send(alice, rows)
    save(alice, upload, c3="Website")
    address = reverse("job", args=[start(alice, upload).public_id])
    page = text_of(alice.get(address + "?tab=causes"))
    assert re.search(
        r"2 rejected Show the rows Website: this is not a web address What to do: Write it without blanks", page
    )
    assert re.search(
        r"1 rejected Show the rows E-mail: this is not an e-mail address What to do: Write one address", page
    )
    for reason, rows_found in (("website: this is not a web address", 2), ("email: this is not an e-mail address", 1)):
        shown = text_of(alice.get(address, {"tab": "results", "outcome": "rejected", "code": reason}))
        assert f"Rows 1–{rows_found} of {rows_found}, rejected" in shown
    assert "E-mail: this is not an e-mail address; Website: this is not a web address" in shown


def test_a_row_that_failed_is_not_called_not_processed(alice: Client) -> None:
    upload = send(alice, [("ann@canary.test", "Ann", ""), ("bob@canary.test", "Bob", "")])
    save(alice, upload)
    job = start(alice, upload)
    Batch.objects.filter(job=job).update(ok=1, failed=1)
    BatchMerge.objects.filter(job=job).update(inserted=1)
    failed = {"outcome": "failed", "code": "POISON_ROW", "message": "No.", "attempts": 3, "written_at": timezone.now()}
    Result.objects.create(org=job.org, job=job, row_number=2, **failed)
    page = text_of(alice.get(reverse("job", args=[job.public_id])))
    assert "2 rows = 1 new + 0 changed + 0 unchanged + 0 rejected + 1 failed + 0 not processed" in page
    assert "Retry 1 row" in page


def test_what_cannot_be_saved_is_led_to(alice: Client) -> None:
    upload = send(alice)
    page = save(alice, upload, c3="Shoe")
    assert 'href="#c3"' in page.content.decode()
    assert "Nothing is saved yet" in text_of(page)
    part = alice.post(at("mapping", upload), {"c1": "E-mail", "c2": "Title", "c3": "Shoe"}, **PART).content.decode()
    assert re.search(r'id="how-2"[^>]*hx-swap-oob[^>]*>set by hand, not saved yet<', part)
    assert re.search(r'id="how-3"[^>]*hx-swap-oob[^>]*><span class="is-red">There is no such field', part)


def test_what_another_window_did_is_told_on_the_page_it_is_about(alice: Client, people: People) -> None:
    upload = send(alice)
    save(alice, upload)
    job = start(alice, upload)
    page = save(alice, upload, c3="Website")
    assert page["Location"] == at("mapping", upload)
    assert "cannot be changed any more" in text_of(alice.get(at("mapping", upload)))
    refused = alice.post(reverse("job-cancel", args=[job.public_id]))
    assert refused.status_code == 409
    assert f'href="{reverse("job", args=[job.public_id])}"' in refused.content.decode()
    gone = send(alice, ROWS[:2])
    alice.post(at("discard", gone))
    assert alice.post(at("import", gone))["Location"] == reverse("upload", args=[gone.public_id])


def test_an_auditor_is_told_who_goes_on(alice: Client, people: People) -> None:
    ada, upload = signed_in(people.ada), send(alice)
    assert "a member of acme says which column is which" in text_of(ada.get(at("mapping", upload)))
    save(alice, upload)
    assert "a member of acme starts the import" in text_of(ada.get(at("effect", upload)))


def test_the_rows_that_were_not_imported_are_mended_and_sent_again(alice: Client, people: People) -> None:
    upload = send(alice)
    save(alice, upload)
    job = start(alice, upload)
    address = reverse("job-left-rows", args=[job.public_id])
    assert f'href="{address}"' in alice.get(reverse("job", args=[job.public_id])).content.decode()
    assert signed_in(people.charlie).get(address).status_code == 404
    taken = signed_in(people.ada).get(address).getvalue().decode("utf-8-sig")
    lines = list(csv.reader(io.StringIO(taken)))
    assert lines[0] == ["Line", "What is wrong", *HEADER]
    assert lines[1:] == [["6", "email: this is not an e-mail address", *ROWS[4]]]
    again = alice.post(
        "/bulk-upload",
        {"file": SimpleUploadedFile("again.csv", taken.replace("no mail", "mended@canary.test").encode()),
         "kind": "contact_import", "review": "true"},
    )  # fmt: skip
    page = alice.get(again["Location"] + "mapping").content.decode()
    assert page.count('value="Do not import"') == 3, "the two columns that are ours, and the choice in the list"
