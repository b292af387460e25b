"""The pages of the main job: who may see what, what each state shows, and that nothing comes from elsewhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from rowmill.models import AuditEvent, Batch, Job, Result, Upload
from rowmill.orgs import find_caller
from rowmill.web import tags
from rowmill.web.jobs import find_job
from tests.conftest import People

PACKAGE = Path(django_settings.PACKAGE)
STATIC, TEMPLATES = PACKAGE / "static", PACKAGE / "templates"
HEADER = "claim_number,first_name,last_name,date_of_birth,subscriber_id,note\n"
SOUND = HEADER + "".join(f"C100{n},Ann,Oak{n},1980-01-1{n},S100{n},=2+{n}\n" for n in range(1, 7))
BROKEN = SOUND.replace("C1003,Ann", 'C1003,"Ann')
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(autouse=True)
def _quick_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def alice(people: People, client: Client) -> Client:
    client.force_login(people.alice)
    return client


def signed_in(person: object) -> Client:
    client = Client()
    client.force_login(person)
    return client


def send(client: Client, text: str = SOUND, name: str = "claims.csv", *, part: bool = True, **form: str):
    """Send a file as the page does: by its script, or as a plain form."""
    file = SimpleUploadedFile(name, text.encode(), content_type="text/csv")
    return client.post("/bulk-upload", {"file": file, **form}, **(HTMX if part else {}))


def finish(job: Job, *outcomes: tuple[str, str], state: str = "COMPLETED") -> Job:
    """Give a job's rows these outcomes, one after the other, as the engine would."""
    now = timezone.now()
    Result.objects.bulk_create(
        Result(org=job.org, job=job, row_number=n, outcome=word, code=code, message="A reason.", written_at=now)
        for n, (word, code) in enumerate(outcomes, 1)
    )
    counts = {
        word: sum(1 for found, _ in outcomes if found == word) for word in ("ok", "not_found", "rejected", "failed")
    }
    Batch.objects.filter(job=job).update(state="done", **counts)
    Job.objects.filter(pk=job.pk).update(state=state, completed_at=now, processing_started_at=now)
    job.refresh_from_db()
    return job


@pytest.fixture
def job(alice: Client) -> Job:
    assert send(alice).status_code == 201
    return Job.objects.get()


@pytest.fixture
def done(job: Job) -> Job:
    rest = [("rejected", "MEMBER_MISMATCH"), ("rejected", "MEMBER_MISMATCH"), ("failed", "RETRIES_EXHAUSTED")]
    return finish(job, ("ok", ""), ("not_found", "NOT_FOUND"), *rest)


def text_of(response) -> str:
    """Give what a page says, without tags and doubled spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())).strip()


# ------------------------------------------------------------------------------------------------ assets


def test_vendored_files_are_the_ones_written_down():
    table = re.findall(r"`([\w./-]+)` \| `([0-9a-f]{64})`", (STATIC / "vendor/README.md").read_text())
    assert len(table) == 5
    for name, digest in table:
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest, name
    for folder in (STATIC / "vendor").iterdir():
        assert folder.is_file() or (folder / "LICENSE").is_file(), folder


def test_every_icon_used_is_in_the_sprite():
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC / "vendor/tabler-icons/sprite.svg").read_text()))
    used = {name for name, _ in (*tags.STATUS_ICONS.values(), *tags.OUTCOME_ICONS.values())}
    for page in TEMPLATES.rglob("*.html"):
        used |= set(re.findall(r'{% (?:icon|nav_entry "[^"]+") "([\w-]+)"', page.read_text()))
    assert used - drawn == set()


def test_nothing_inline_and_nothing_from_elsewhere():
    for page in (page for page in TEMPLATES.rglob("*.html") if "mail" not in page.parts):
        text = page.read_text()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\bsrc=)|javascript:", text), page
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text), page
    for own in (*STATIC.glob("css/*.css"), *STATIC.glob("js/*.js")):
        assert not re.search(r"https?://|\beval\(|new Function", own.read_text()), own


def test_the_policy_lets_nothing_inline_run(alice):
    policy = alice.get("/bulk-upload")["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_status_icons_are_the_agreed_ones():
    assert {state: tags.STATUS_ICONS[state] for state in tags.STATUS_ICONS} == {
        "PENDING": ("clock", "grey"),
        "PROCESSING": ("loader-2", "blue spin"),
        "CANCELLING": ("clock", "yellow pulse"),
        "CANCELLED": ("x", "grey"),
        "COMPLETED": ("check", "green"),
        "FAILED": ("x", "red"),
    }
    for state in tags.STATUS_ICONS:
        assert f"<span>{state}</span>" in tags.status(state)


# ------------------------------------------------------------------------------------------------ who


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/bulk-upload", "/jobs/", "/bulk-upload/template.csv", "/bulk-upload/sample.csv"])
def test_everything_needs_a_sign_in(client, path):
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


def test_another_org_finds_nothing(people, done):
    charlie = signed_in(people.charlie)
    for name in ("job", "job-csv", "job-xlsx"):
        assert charlie.get(reverse(name, args=[done.public_id])).status_code == 404
    for name in ("job", "job-cancel", "job-retry", "job-delete"):
        assert charlie.post(reverse(name, args=[done.public_id])).status_code == 404
    assert charlie.get(reverse("upload", args=[done.upload.public_id])).status_code == 404
    assert "claims.csv" not in charlie.get("/jobs/").content.decode()


def test_an_auditor_sees_all_and_changes_nothing(people, done):
    ada = signed_in(people.ada)
    page = ada.get(reverse("job", args=[done.public_id])).content.decode()
    assert "Retry" not in page
    assert "Delete" not in page
    assert 'type="file"' not in ada.get("/bulk-upload").content.decode()
    for name in ("job-cancel", "job-retry", "job-delete"):
        assert ada.post(reverse(name, args=[done.public_id])).status_code == 403
    assert send(ada, HEADER + "C9,A,B,1980-01-01,S9,x\n").status_code == 403
    assert Job.objects.count() == 1
    done.refresh_from_db()
    assert done.state == "COMPLETED"


def test_every_member_is_led_to_settings_and_only_operators_to_the_admin(people, alice):
    for client in (alice, signed_in(people.bob), signed_in(people.ada)):
        assert "Payer accounts</span>" in client.get("/jobs/").content.decode()
        assert "Django admin" not in client.get("/jobs/").content.decode()
    people.alice.is_staff = True
    people.alice.save()
    assert "Django admin" in alice.get("/jobs/").content.decode()


def test_a_form_without_its_token_is_refused_with_a_page(people):
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.alice)
    response = send(client, part=False)
    assert response.status_code == 403
    assert "too old to be used" in text_of(response)
    assert response["X-Request-ID"] in response.content.decode()
    assert not Upload.objects.exists()


# ------------------------------------------------------------------------------------------------ the door


def test_home_leads_to_the_door(alice):
    assert alice.get("/")["Location"] == "/bulk-upload"


def test_the_door_names_columns_limits_and_the_next_step(alice):
    page = text_of(alice.get("/bulk-upload"))
    assert "up to 10.0" in page
    assert "No file yet" in page
    assert "There is no payer account yet" in page
    html = alice.get("/bulk-upload").content.decode()
    assert html.index('class="drop"') < html.index('id="history"')
    assert "Also read as: dob, birth date" in html


def test_the_template_has_the_columns_of_the_kind(alice):
    response = alice.get("/bulk-upload/template.csv")
    assert response.content.decode().startswith("claim_number,first_name,last_name,date_of_birth,subscriber_id,")
    assert "claims-template.csv" in response["Content-Disposition"]


def test_the_sample_is_sound_and_the_same_every_time(alice):
    first = alice.get("/bulk-upload/sample.csv").content
    assert first == alice.get("/bulk-upload/sample.csv").content
    assert send(alice, first.decode()).status_code == 201


def test_a_sound_file_shows_its_verdict_balance_and_job(alice):
    response = send(alice)
    page = text_of(response)
    assert response.status_code == 201
    assert "Sound. 6 rows, 6 columns, UTF-8, commas." in page
    assert "7 lines = 1 header + 6 rows" in page
    assert "PENDING" in page
    assert "<html" not in response.content.decode()


def test_a_plain_form_leads_to_the_job(alice):
    response = send(alice, part=False)
    assert response.status_code == 303
    assert response["Location"] == reverse("job", args=[Job.objects.get().public_id])


def test_a_refused_file_says_where_and_what_to_do(alice):
    response = send(alice, BROKEN)
    page = text_of(response)
    assert response.status_code == 400
    assert "One cause stops this file. An unclosed quote on line 4" in page
    assert "What to do" in page
    assert not Job.objects.exists()
    upload = Upload.objects.get()
    assert "REFUSED" in text_of(alice.get("/jobs/"))
    again = text_of(alice.get(reverse("upload", args=[upload.public_id])))
    assert "One cause stops this file. An unclosed quote on line 4" in again


def test_a_bad_cell_does_not_count_among_what_stops_a_file(alice):
    page = text_of(send(alice, BROKEN.replace("1980-01-11", "1980-13-41")))
    assert "One cause stops this file. An unclosed quote on line 4" in page
    assert "Besides, these do not stop the file" in page


def test_the_same_file_again_asks_before_it_runs(alice, job):
    response = send(alice)
    assert response.status_code == 409
    assert "This very file was sent before" in text_of(response)
    assert str(job.public_id) in response.content.decode()
    assert Job.objects.count() == 1
    plain = send(alice, part=False)
    assert plain.status_code == 409
    assert 'name="confirm_duplicate"' in plain.content.decode()
    assert send(alice, confirm_duplicate="true").status_code == 201
    assert Job.objects.count() == 2


def test_no_file_an_empty_one_and_a_bad_option_are_told_in_words(alice):
    assert "No file came with the form" in text_of(alice.post("/bulk-upload", {}, **HTMX))
    empty = send(alice, "")
    assert empty.status_code == 400
    assert "empty" in text_of(empty)
    wrong = send(alice, start_date="2026-02-01", end_date="2026-01-01")
    assert wrong.status_code == 400
    assert "start_date is after end_date" in text_of(wrong)
    assert not Job.objects.exists()


def test_a_body_too_large_is_refused_unread(alice, settings):
    settings.ROWMILL_MAX_UPLOAD_BYTES = 1024 * 1024
    response = send(alice, SOUND + "x" * (1024 * 1024 + 70_000))
    assert response.status_code == 413
    assert "larger than 1 MB" in text_of(response)
    assert not Upload.objects.exists()


# ------------------------------------------------------------------------------------------------ the history


def test_the_history_shows_counts_beside_a_finished_job(alice, done):
    page = text_of(alice.get("/jobs/"))
    assert "COMPLETED" in page
    assert "1 ok · 1 not found · 2 rejected · 1 failed · 1 not processed" in page


def test_the_history_filters_by_state_and_searches_names_by_post_only(alice, done):
    assert "claims.csv" in alice.get("/jobs/?state=COMPLETED").content.decode()
    assert "No file fits" in text_of(alice.get("/jobs/?state=FAILED"))
    assert "claims.csv" in alice.get("/jobs/?search=other").content.decode()
    assert "No file fits" in text_of(alice.post("/jobs/", {"search": "other"}))
    assert "claims.csv" in alice.post("/jobs/", {"search": "CLAIMS"}).content.decode()


def test_only_lines_that_still_change_ask_again(alice, job):
    assert "?poll" in alice.get("/jobs/").content.decode()
    finish(job, *[("ok", "")] * 6)
    assert "?poll" not in alice.get("/jobs/").content.decode()
    line = alice.get(
        reverse("job", args=[job.public_id]), headers={"HX-Request": "true", "HX-Target": f"row-{job.public_id}"}
    )
    assert line.content.decode().strip().startswith("<li")


def test_a_deleted_job_is_gone_from_the_pages(alice, done):
    assert alice.post(reverse("job-delete", args=[done.public_id])).status_code == 303
    assert "claims.csv" not in alice.get("/bulk-upload").content.decode()
    assert alice.get(reverse("job", args=[done.public_id])).status_code == 404


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


@pytest.mark.parametrize(("state", "words"), [("CHECKING", "still being checked"), ("ABORTED", "was not taken")])
def test_a_file_without_a_verdict_is_not_called_sound(people, alice, state, words):
    upload = Upload.objects.create(org=people.acme, kind="claim_status", name="claims.csv", state=state)
    text = alice.get(f"/uploads/{upload.public_id}/").content.decode()
    assert words in text
    assert "Sound." not in text


def test_a_page_number_beyond_all_numbers_is_the_last_page(alice, done):
    assert alice.get(f"/jobs/{done.public_id}/?page={'9' * 5000}").status_code == 200
