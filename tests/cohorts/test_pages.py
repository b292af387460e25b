"""The cohort pages: what they show, and what their buttons do without a script."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from rowmill.jobs.arrive import inspect_due
from rowmill.models import AuditEvent, Cohort, Submission, SubmissionTable, TableState
from tests.cohorts.conftest import BROKEN, DAMAGED, LABS, PATIENTS

pytestmark = pytest.mark.django_db
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@pytest.fixture
def browser(people) -> Client:
    client = Client()
    client.force_login(people.alice, backend=BACKEND)
    return client


def page(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_a_cohort_is_made_and_filled_by_forms_alone(browser):
    assert "No cohort yet" in page(browser, "/cohorts/")
    answer = browser.post("/cohorts/", {"name": "Heart"})
    cohort = Cohort.objects.get()
    assert answer.headers["Location"] == f"/cohorts/{cohort.public_id}/"
    assert browser.post("/cohorts/", {"name": "Heart"}).status_code == 400
    browser.post(f"/cohorts/{cohort.public_id}/", {"name": "Spring"})
    submission = Submission.objects.get()
    base = f"/submissions/{submission.public_id}/"
    assert "patient table" in page(browser, base)
    browser.post(base, {"name": "Lab Results", "id_column": ""})
    assert "Send it first" in page(browser, f"{base}lab_results")
    sent = browser.post(
        f"{base}upload", {"table": "patient", "file": SimpleUploadedFile("p.csv", PATIENTS)}, HTTP_ACCEPT="text/html"
    )
    assert (sent.status_code, sent.headers["Location"]) == (303, f"{base}patient")
    waiting = page(browser, f"{base}patient")
    assert "hx-trigger" in waiting
    assert "See how far it is now" in waiting
    assert inspect_due()
    done = page(browser, f"{base}patient")
    assert "4 patient IDs registered, 4 rows." in done
    assert "hx-trigger" not in done
    assert "The last 1 file" in page(browser, "/cohorts/")


def test_a_form_that_cannot_be_taken_says_so_on_the_page(browser, submission, alice):
    base = f"/submissions/{submission.public_id}/"
    answer = browser.post(
        f"{base}upload",
        {"table": "patient", "file": SimpleUploadedFile("p.csv", b"")},
        HTTP_ACCEPT="text/html",
        follow=True,
    )
    assert "The file is empty" in answer.content.decode()


def test_unknown_ids_are_shown_with_what_they_were_and_mended(browser, send, submission):
    send("patient", PATIENTS)
    send("labs", DAMAGED)
    address = f"/submissions/{submission.public_id}/labs"
    shown = page(browser, address)
    for words in (
        "File contains 5 patient IDs not in patient file.",
        "1 matches when leading zeros are restored",
        "1 is truly absent",
        ">ZZ99<",
        'value="leading-zeros" checked',
    ):
        assert words in shown
    assert 'value="absent"' not in shown
    assert 'value="swapped" checked' not in shown
    assert AuditEvent.objects.filter(verb="unknown_ids.view").count() == 1
    answer = browser.post(f"{address}/mend", {"cause": ["leading-zeros", "case"]})
    assert answer.headers["Location"] == address
    assert inspect_due()
    assert "File contains 3 patient IDs not in patient file." in page(browser, address)


def test_a_malformed_file_leads_to_the_precheck(browser, send, submission):
    table = send("patient", BROKEN)
    shown = page(browser, f"/submissions/{submission.public_id}/patient")
    assert "File appears invalid. Use Precheck Validation for diagnostics." in shown
    assert 'href="/precheck-validation"' in shown
    assert f'name="upload_id" value="{table.upload.public_id}"' in shown


def test_the_database_is_handed_out_and_the_trail_notes_it(browser, send, submission):
    address = f"/submissions/{submission.public_id}/patient"
    assert browser.get(f"{address}/database").status_code == 404
    send("patient", PATIENTS)
    answer = browser.get(f"{address}/database")
    assert b"".join(answer.streaming_content)[8:12] == b"DUCK"
    assert 'filename="patient.duckdb"' in answer.headers["Content-Disposition"]
    assert AuditEvent.objects.filter(verb="database.download").count() == 1


def test_deleting_asks_and_then_deletes(browser, send, submission):
    send("patient", PATIENTS)
    send("labs", LABS)
    base = f"/submissions/{submission.public_id}/"
    assert browser.post(f"{base}patient/delete").status_code == 409
    assert browser.get(f"{base}labs/delete").status_code == 405
    assert browser.post(f"{base}labs/delete").status_code == 302
    assert SubmissionTable.objects.get().name == "patient"
    assert browser.post(f"{base}delete").status_code == 302
    assert not Submission.objects.exists()
    assert browser.post(f"/cohorts/{Cohort.objects.get().public_id}/delete").status_code == 302
    assert not Cohort.objects.exists()


def test_a_replaced_patient_file_makes_other_tables_say_so(browser, send, submission):
    send("patient", PATIENTS)
    send("labs", LABS)
    assert send("patient", PATIENTS + b"2000,F\n").state == TableState.READY
    assert "The patient file was replaced" in page(browser, f"/submissions/{submission.public_id}/labs")


def test_the_history_of_jobs_has_no_cohort_file(browser, send):
    send("patient", PATIENTS)
    assert "patient.csv" not in page(browser, "/jobs/")


def test_an_auditor_sees_and_is_offered_nothing(send, submission, people):
    ada = Client()
    ada.force_login(people.ada, backend=BACKEND)
    send("patient", PATIENTS)
    send("labs", DAMAGED)
    shown = page(ada, f"/submissions/{submission.public_id}/labs")
    assert "not in patient file" in shown
    assert "<form" not in shown.split("<main", 1)[1]


def test_another_org_finds_nothing(browser, send, submission, people):
    send("patient", PATIENTS)
    charlie = Client()
    charlie.force_login(people.charlie, backend=BACKEND)
    base = f"/submissions/{submission.public_id}/"
    for address in (base, f"{base}patient", f"{base}patient/database", f"/cohorts/{submission.cohort.public_id}/"):
        assert charlie.get(address).status_code == 404, address
        mine = browser.get(address)
        assert not mine.streaming or b"".join(mine.streaming_content)
        assert mine.status_code == 200, address
    assert charlie.post(f"{base}delete").status_code == 404
    assert SubmissionTable.objects.exists()
