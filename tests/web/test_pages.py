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

from rowmill.models import Batch, Job, Result, Upload
from rowmill.web import tags
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
