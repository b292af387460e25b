"""What the page's uploader asks for: the verdict on a file, its line in the history, its unfinished files, running it again."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from rowmill.jobs.arrive import inspect_due
from rowmill.models import Job, Upload, UploadSession, UploadState
from tests.conftest import People
from tests.web.test_pages import BROKEN, HTMX, SOUND, signed_in, text_of

TUS = {"HTTP_TUS_RESUMABLE": "1.0.0", "content_type": "application/offset+octet-stream"}


@pytest.fixture
def alice(people: People) -> Client:
    return signed_in(people.alice)


def send(client: Client, text: str, *, short_by: int = 0, **told: str) -> Upload:
    """Send a file as the page's script does; `short_by`: the line breaks before its last bytes."""
    body = text.encode()
    pairs = {"filename": "claims.csv", "kind": "claim_status", **told}
    metadata = ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in pairs.items())
    headers = {"HTTP_UPLOAD_LENGTH": str(len(body)), "HTTP_UPLOAD_METADATA": metadata}
    answer = client.generic("POST", reverse("api-tus"), b"", content_type="", HTTP_TUS_RESUMABLE="1.0.0", **headers)
    assert answer.status_code == 201
    kept = body[: len(body) - short_by]
    assert client.patch(answer["Location"], kept, HTTP_UPLOAD_OFFSET="0", **TUS).status_code == 204  # type: ignore[arg-type]
    return Upload.objects.latest("id")


def ask(client: Client, upload: Upload, **more: str):
    return client.get(reverse("upload-verdict", args=[upload.public_id]) + "?poll", **HTMX, **more)


def test_the_verdict_comes_once_it_is_there(alice: Client) -> None:
    upload = send(alice, SOUND)
    assert ask(alice, upload).status_code == 202
    assert "still being checked" in text_of(alice.get(reverse("upload", args=[upload.public_id])))
    assert inspect_due()
    page = ask(alice, upload)
    assert 'data-verdict="sound"' in page.content.decode()
    assert "Sound. 6 rows" in text_of(page)
    assert str(Job.objects.get().public_id) in page.content.decode()


def test_what_is_known_before_the_copy_is_made_is_told(alice: Client) -> None:
    upload = send(alice, SOUND)
    assert ask(alice, upload).content == b""
    Upload.objects.update(inspection={"found": {"rows": 482113, "columns": 1}})
    answer = ask(alice, upload)
    assert (answer.status_code, answer.content.decode()) == (
        202,
        "Sound: 482,113 rows, 1 column. It is being made ready.",
    )
    assert "482,113 rows" in text_of(alice.get(reverse("upload", args=[upload.public_id])))


def test_a_sound_file_whose_job_is_about_to_be_made_has_no_verdict_yet(alice: Client) -> None:
    upload = send(alice, SOUND)
    Upload.objects.update(state=UploadState.READY)
    assert ask(alice, upload).status_code == 202
    assert "its job is being started" in text_of(alice.get(reverse("upload", args=[upload.public_id])))


def test_a_refused_file_tells_where_it_is_broken(alice: Client) -> None:
    upload = send(alice, BROKEN)
    assert inspect_due()
    assert "One cause stops this file. An unclosed quote on line 4" in text_of(ask(alice, upload))
    assert not Job.objects.exists()


def test_a_cancelled_file_was_not_taken(alice: Client) -> None:
    upload = send(alice, SOUND, short_by=1)
    assert ask(alice, upload).status_code == 202
    assert alice.delete(reverse("api-tus-upload", args=[upload.public_id]), **TUS).status_code == 204  # type: ignore[arg-type]
    assert 'data-verdict="not_taken"' in ask(alice, upload).content.decode()


def test_the_same_bytes_again_wait_for_a_word_and_are_not_sent_twice(alice: Client, people: People) -> None:
    send(alice, SOUND)
    assert inspect_due()
    first = Job.objects.get()
    upload = send(alice, SOUND)
    assert inspect_due()
    page = ask(alice, upload)
    assert "This very file was sent before" in text_of(page)
    assert str(first.public_id) in page.content.decode()
    assert "SENT BEFORE" in text_of(alice.get("/jobs/"))
    confirm = reverse("upload-confirm", args=[upload.public_id])
    assert signed_in(people.ada).post(confirm).status_code == 403
    assert Job.objects.count() == 1
    assert alice.post(confirm, **HTMX).status_code == 202
    assert Job.objects.filter(upload=upload).count() == 1
    assert 'data-verdict="sound"' in ask(alice, upload).content.decode()
    assert alice.post(confirm)["Location"] == reverse("job", args=[Job.objects.get(upload=upload).public_id])
    assert Job.objects.count() == 2


def test_what_was_confirmed_beforehand_runs_at_once(alice: Client) -> None:
    for told in ({}, {"confirm_duplicate": "true"}):
        upload = send(alice, SOUND, **told)
        assert inspect_due()
    assert 'data-verdict="sound"' in ask(alice, upload).content.decode()
    assert Job.objects.count() == 2


def test_there_is_nothing_to_confirm_about_a_file_whose_time_is_over(alice: Client) -> None:
    upload = send(alice, SOUND, short_by=1)
    UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    page = alice.post(reverse("upload-confirm", args=[upload.public_id]))
    assert page.status_code == 410
    assert "Send the file again" in text_of(page)


def test_others_see_nothing_of_it(alice: Client, people: People) -> None:
    upload = send(alice, SOUND, short_by=1)
    charlie = signed_in(people.charlie)
    for name in ("upload-verdict", "upload-confirm"):
        address = reverse(name, args=[upload.public_id])
        assert (charlie.get(address) if name == "upload-verdict" else charlie.post(address)).status_code == 404
        missing = reverse(name, args=[uuid4()])
        assert (alice.get(missing) if name == "upload-verdict" else alice.post(missing)).status_code == 404


def test_what_a_person_began_is_offered_to_them_alone_until_its_time_is_over(alice: Client, people: People) -> None:
    upload = send(alice, SOUND, short_by=5, fingerprint="7-1")
    page = alice.get("/bulk-upload").content.decode()
    assert f'data-upload="{upload.public_id}"' in page
    assert f'data-here="{len(SOUND) - 5}"' in page
    assert 'data-fingerprint="7-1"' in page
    assert str(upload.public_id) not in signed_in(people.bob).get("/bulk-upload").content.decode()
    UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert str(upload.public_id) not in alice.get("/bulk-upload").content.decode()


def test_a_line_of_the_history_renews_itself_until_the_job_is_there(alice: Client) -> None:
    upload = send(alice, SOUND)
    row = {"HTTP_HX_TARGET": f"row-{upload.public_id}"}
    assert "every 2s" in ask(alice, upload, **row).content.decode()
    assert "Every line is being checked" in text_of(alice.get("/jobs/"))
    assert inspect_due()
    assert f'id="row-{Job.objects.get().public_id}"' in ask(alice, upload, **row).content.decode()
