"""The page of a job: what each state shows, what polls, what is downloaded; and the pages of errors."""

# ruff: noqa: F811  (an argument is named as the fixture that it gets)
from __future__ import annotations

import io
import re

import openpyxl
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from rowmill.jobs.exporting import export_due
from rowmill.jobs.exports import purge_due_exports
from rowmill.models import AuditEvent, Batch, Job, Result, Upload
from rowmill.orgs import find_caller
from rowmill.web import tags
from rowmill.web.jobs import find_job
from tests.web.test_pages import HTMX, SOUND, alice, done, finish, job, send, signed_in, text_of  # noqa: F401  fixtures

# ------------------------------------------------------------------------------------------------ a large workbook


def test_a_large_workbook_of_results_is_made_in_the_background(alice, done, monkeypatch):
    address = reverse("job-workbook", args=[done.public_id])
    at_once = reverse("job-xlsx", args=[done.public_id])
    assert alice.post(address, {"outcome": "rejected"})["Location"] == f"{at_once}?outcome=rejected"
    assert address not in whole_page(alice, done)
    monkeypatch.setattr("rowmill.web.jobs.DIRECT_RESULTS", 3)
    assert address in whole_page(alice, done)
    response = alice.post(address, {"outcome": "rejected"})
    assert response.status_code == 303
    assert alice.post(address, {"outcome": "rejected"})["Location"] == response["Location"]
    assert export_due()
    page = text_of(alice.get(response["Location"]))
    assert "2 rows, ready" in page
    given = alice.get(response["Location"] + "file")
    assert "claims-results-" in given["Content-Disposition"]
    book = openpyxl.load_workbook(io.BytesIO(b"".join(given.streaming_content)))
    assert book.sheetnames == ["Results", "Account"]
    assert [cell.value for cell in book["Results"]["A"]][0] == "row"
    assert book["Results"].max_row == 3
    assert alice.get(reverse("exports")).status_code == 200
    Job.objects.filter(pk=done.pk).update(deleted_at=timezone.now())
    assert alice.get(response["Location"] + "file").status_code == 410
    assert purge_due_exports() == 1


# ------------------------------------------------------------------------------------------------ the job


def whole_page(client: Client, job: Job) -> str:
    """Give a job's page."""
    return client.get(reverse("job", args=[job.public_id])).content.decode()


def part(client: Client, job: Job, target: str, query: str = ""):
    """Ask for a part of the job's page as htmx does."""
    address = reverse("job", args=[job.public_id]) + query
    return client.get(address, headers={"HX-Request": "true", "HX-Target": target})


def test_a_fragment_is_what_its_page_includes(alice, done):
    whole = alice.get(reverse("job", args=[done.public_id])).content.decode()
    for target in ("live", "tab", "results"):
        fragment = re.sub(r'value="\w{64}"', "", part(alice, done, target).content.decode().strip())
        assert fragment in re.sub(r'value="\w{64}"', "", whole), target


def test_polling_stops_by_itself(alice, job):
    assert "hx-trigger" in part(alice, job, "live").content.decode().split(">")[0]
    finish(job, *[("ok", "")] * 6)
    assert "hx-trigger" not in part(alice, job, "live").content.decode().split(">")[0]
    assert "every " not in "".join(re.findall('hx-trigger="([^"]*)"', whole_page(alice, job)))


def test_the_live_part_shows_every_number(alice, done):
    assert "≠" in text_of(part(alice, done, "live")), "a completed job has an outcome for each row"
    Job.objects.filter(pk=done.pk).update(state="FAILED")
    page = text_of(part(alice, done, "live"))
    assert "6 rows = 1 ok + 1 not found + 2 rejected + 1 failed + 1 not processed" in page
    assert "Retry 2 rows" in page
    assert "83 %" in page


def test_a_balance_that_breaks_is_shown_red(alice, done):
    Result.objects.filter(job=done, row_number=1).delete()
    response = part(alice, done, "live")
    assert "The rows do not balance" in text_of(response)
    assert "is-broken" in response.content.decode()


def test_why_a_job_waits_is_said_in_words(alice, job):
    Batch.objects.filter(job=job).update(waiting_reason="The payer asks us to slow down.")
    Job.objects.filter(pk=job.pk).update(state="PROCESSING")
    assert "The payer asks us to slow down." in text_of(part(alice, job, "live"))


def test_results_filter_by_outcome_cause_and_search(alice, done):
    address = reverse("job", args=[done.public_id])
    assert "Rows 1–2 of 2, rejected" in text_of(alice.get(f"{address}?outcome=rejected"))
    assert "Rows 1–1 of 1, RETRIES_EXHAUSTED" in text_of(alice.get(f"{address}?code=RETRIES_EXHAUSTED"))
    assert "Rows 1–1 of 1, searched" in text_of(alice.post(address, {"tab": "results", "search": "oak4"}))
    assert "Rows 1–6 of 6" in text_of(alice.get(f"{address}?search=oak4"))
    assert "No row fits" in text_of(alice.post(address, {"tab": "results", "search": "nowhere"}))


def test_no_cell_is_in_an_address(alice, done):
    pages = [alice.get(reverse("job", args=[done.public_id])), alice.get("/jobs/"), send(alice)]
    pages.append(alice.post(reverse("job", args=[done.public_id]), {"tab": "results", "search": "oak4"}))
    for response in pages:
        for address in re.findall(r'(?:href|action|hx-get|hx-post)="([^"]*)"', response.content.decode()):
            assert not re.search(r"oak|C100|S100|claims\.csv", address, re.I), address


def test_a_cell_cannot_break_out_of_the_page(alice):
    evil = "<script>alert(1)</script>"
    assert send(alice, SOUND.replace("C1001", f'"{evil}"'), f"{evil}.csv").status_code == 201
    job = Job.objects.get()
    for response in (alice.get(reverse("job", args=[job.public_id])), alice.get("/jobs/")):
        assert evil not in response.content.decode()


def test_causes_come_with_their_cures_most_frequent_first(alice, done):
    page = text_of(part(alice, done, "tab", "?tab=causes"))
    assert page.index("MEMBER_MISMATCH") < page.index("NOT_FOUND")
    assert page.count("What to do:") == 4


def test_a_look_is_noted_once_a_page_not_once_a_poll(alice, done):
    alice.get(reverse("job", args=[done.public_id]))
    for target in ("live", "results", f"row-{done.public_id}"):
        part(alice, done, target, "?poll")
    part(alice, done, "tab", "?tab=causes")
    looks = AuditEvent.objects.filter(verb="results.view", target_id=str(done.public_id))
    assert looks.count() == 1
    assert "looked at the results" in text_of(part(alice, done, "tab", "?tab=activity"))


def test_downloads_hold_what_is_filtered_and_are_noted(alice, done):
    everything = b"".join(alice.get(reverse("job-csv", args=[done.public_id])).streaming_content).decode("utf-8-sig")
    assert len(everything.splitlines()) == 7
    assert everything.startswith("row,claim_number,status,")
    assert ",'=2+1" in everything
    some = alice.get(reverse("job-csv", args=[done.public_id]) + "?outcome=rejected,failed")
    assert "rejected-failed.csv" in some["Content-Disposition"]
    assert len(b"".join(some.streaming_content).decode().splitlines()) == 4
    book = alice.get(reverse("job-xlsx", args=[done.public_id]))
    assert b"".join(book.streaming_content).startswith(b"PK")
    assert AuditEvent.objects.filter(verb="results.download").count() == 3
    assert alice.get(reverse("job-csv", args=[done.public_id]) + "?outcome=nonsense").status_code == 400


def test_cancel_and_retry_go_back_to_the_page(alice, job):
    response = alice.post(reverse("job-cancel", args=[job.public_id]), follow=True)
    assert "CANCELLED" in text_of(response)
    assert "What is done is kept" in text_of(response)
    assert "Retry 6 rows" in text_of(response)
    response = alice.post(reverse("job-retry", args=[job.public_id]), **HTMX, HTTP_HX_TARGET="live")
    assert "PROCESSING" in text_of(response)
    assert alice.post(reverse("job-retry", args=[job.public_id])).status_code == 409
    assert alice.post(reverse("job-delete", args=[job.public_id])).status_code == 409


def test_actions_take_post_only(alice, job):
    for name in ("job-cancel", "job-retry", "job-delete"):
        assert alice.get(reverse(name, args=[job.public_id])).status_code == 405


# ------------------------------------------------------------------------------------------------ errors


def test_error_pages_carry_the_id_that_stands_in_the_log(alice):
    response = alice.get("/jobs/00000000-0000-4000-8000-000000000000/")
    assert response.status_code == 404
    assert response["X-Request-ID"] in response.content.decode()
    assert "list of jobs" in text_of(response)
    assert alice.get("/no-such-page").status_code == 404


def test_a_part_of_a_page_that_is_gone_makes_the_page_load_anew(alice, done):
    Job.objects.filter(pk=done.pk).update(deleted_at=timezone.now())
    response = part(alice, done, "live", "?poll")
    assert response["HX-Refresh"] == "true"


def test_a_fault_of_ours_shows_a_page_with_the_id(people, monkeypatch):
    client = Client(raise_request_exception=False)
    client.force_login(people.alice)
    monkeypatch.setattr("rowmill.web.jobs.list_history", lambda *given: 1 / 0)
    response = client.get("/jobs/")
    assert response.status_code == 500
    assert response["X-Request-ID"] in response.content.decode()
    assert "ZeroDivisionError" not in response.content.decode()


def test_somebody_of_no_org_is_told_to_ask_for_one(people):
    people.bob.memberships.all().delete()
    response = signed_in(people.bob).get("/jobs/")
    assert response.status_code == 403
    assert "You do not belong to an org" in text_of(response)


# ------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [((40, 60), "40–60 s"), ((100, 150), "2–3 min"), ((1, 1), "about 1 s"), ((5000, 9000), "1–3 h"), (None, "")],
)
def test_time_left_is_a_range_in_words(seconds, words):
    assert tags.span(seconds) == words


def test_times_are_told_with_their_zone(settings):
    at = timezone.datetime(2026, 11, 22, 14, 5, tzinfo=timezone.get_default_timezone())
    assert re.fullmatch(r"22 Nov 2026 14:05 \S+", tags.stamp(at))
    assert 'title="22 Nov 2026' in tags.moment(at)


def test_percent_says_all_only_when_all_is_done():
    assert tags.whole_percent(99.99) == 99


def test_a_job_is_looked_for_inside_the_org_only(people, done, rf):
    request = rf.get("/")
    request.caller = find_caller(people.alice)
    assert find_job(request, done.public_id) == done


@pytest.mark.parametrize(("state", "words"), [("CHECKING", "still being checked"), ("ABORTED", "is not here")])
def test_a_file_without_a_verdict_is_not_called_sound(people, alice, state, words):
    upload = Upload.objects.create(org=people.acme, kind="claim_status", name="claims.csv", state=state)
    text = alice.get(f"/uploads/{upload.public_id}/").content.decode()
    assert words in text
    assert "Sound." not in text


def test_a_page_number_beyond_all_numbers_is_the_last_page(alice, done):
    assert alice.get(f"/jobs/{done.public_id}/?page={'9' * 5000}").status_code == 200
