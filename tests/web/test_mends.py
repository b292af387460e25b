"""The refused file's page: causes, the map, the lines around a place, examples, the mended copy, what can be taken home."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings as configured
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from rowmill.jobs.arrive import inspect_due
from rowmill.models import AuditEvent, Job, Upload
from rowmill.uploads.purge import purge_upload
from tests.conftest import People
from tests.web.test_pages import HEADER, HTMX, SOUND, send, signed_in, text_of

BLOCK = SOUND.replace("C1003,Ann,Oak3,1980-01-13,S1003,=2+3", "C1003;Ann;CanaryOak;1980-01-13;S1003;x")
RAGGED = SOUND.replace("C1005,", "C1005,surplus,cells,")


@pytest.fixture
def alice(people: People) -> Client:
    return signed_in(people.alice)


@pytest.fixture
def refused(alice: Client) -> Upload:
    assert send(alice, BLOCK + "C1009,too,few\n").status_code == 400
    return Upload.objects.get()


def at(name: str, upload: Upload, query: str = "") -> str:
    return reverse(f"upload-{name}", args=[upload.public_id]) + query


def test_the_page_says_why_where_and_what_to_do(alice: Client, refused: Upload) -> None:
    page = alice.get(reverse("upload", args=[refused.public_id]))
    text, source = text_of(page), page.content.decode()
    assert "2 causes stop this file. The first:" in text
    assert "The whole file in 200 equal stretches" in text
    assert 'name="mends" value="delimiter"' in source
    assert "Or take the file without its 2 broken lines" in text
    assert "1 place cannot be mended without guessing" in text
    assert "The original is kept until" in text
    assert at("failed-rows", refused) in source
    assert reverse("precheck-upload") in source
    assert "CanaryOak" not in source


def test_the_lines_around_a_place_are_shown_and_noted(alice: Client, refused: Upload) -> None:
    stretch = refused.inspection["damage"].index("e")
    for query in ("?finding=0", f"?stretch={stretch}", "?line=4", "?byte=200"):
        part = alice.get(at("excerpt", refused, query), **HTMX)
        assert part.status_code == 200
        assert "CanaryOak" in part.content.decode(), query
        assert "<html" not in part.content.decode()
    assert "<mark>" in alice.get(at("excerpt", refused, "?finding=0")).content.decode()
    assert "<html" in alice.get(at("excerpt", refused, "?finding=0")).content.decode()
    event = AuditEvent.objects.filter(verb="upload.look", target_id=str(refused.public_id)).first()
    assert event is not None
    assert event.details == {"first_line": 1, "last_line": 7}


def test_a_place_that_is_none_is_told_in_words(alice: Client, refused: Upload) -> None:
    assert alice.get(at("excerpt", refused, "?finding=99")).status_code == 404
    for query in ("?line=x", "?byte=-1", "?stretch=1e3", "?line=" + "9" * 20):
        assert alice.get(at("excerpt", refused, query)).status_code == 400
    assert "The file has no such place" in text_of(alice.get(at("excerpt", refused, "?line=4000")))


def test_a_bad_cell_is_found_in_its_stretch(alice: Client) -> None:
    rows = "".join(f"C{n},Ann,Oak{n},1980-01-1{n % 9},S{n},\n" for n in range(1000, 1400))
    assert send(alice, HEADER + rows.replace("Oak1200,1980-01", "Oak1200,1980-77")).status_code == 201
    upload = Upload.objects.get()
    stretch = upload.inspection["damage"].index("e")
    page = alice.get(at("excerpt", upload, f"?stretch={stretch}"), **HTMX).content.decode()
    assert 'class="is-place"><th scope="row" class="num">202</th>' in page
    assert "Why, where, and what can be mended" in text_of(alice.get(reverse("upload", args=[upload.public_id])))


def test_real_cells_before_and_after_are_read_when_asked_for(alice: Client, refused: Upload) -> None:
    part = alice.get(at("examples", refused), **HTMX).content.decode()
    assert "C1003;Ann;CanaryOak;" in part
    assert "C1003,Ann,CanaryOak," in part
    assert 'hx-swap-oob="true"' in part
    assert "hx-swap-oob" not in alice.get(at("examples", refused)).content.decode()
    assert AuditEvent.objects.filter(verb="upload.look", details__part="examples").count() == 2


def test_the_mended_copy_is_made_shown_and_run(alice: Client, refused: Upload) -> None:
    answer = alice.post(at("mend", refused), {"mends": ["delimiter", "without-broken-rows"]})
    assert answer.status_code == 303
    copy = Upload.objects.exclude(parent=None).get()
    assert answer["Location"] == reverse("upload", args=[copy.public_id])
    assert "The mended copy is being made" in text_of(alice.get(answer["Location"]))
    coming = {"HTTP_HX_TARGET": f"coming-{copy.public_id}", **HTMX}
    assert "every 2s" in alice.get(at("verdict", copy), **coming).content.decode()
    assert inspect_due()
    page = alice.get(answer["Location"])
    assert "Sound. 6 rows" in text_of(page)
    assert "1 row left out of the original" in text_of(page)
    assert reverse("upload", args=[refused.public_id]) in page.content.decode()
    assert "every 2s" not in alice.get(at("verdict", copy), **coming).content.decode()
    job = Job.objects.get(upload=copy)
    assert "1 row left out of the original" in text_of(alice.get(reverse("job", args=[job.public_id])))
    parent = text_of(alice.get(reverse("upload", args=[refused.public_id])))
    assert "Mended copies: claims (mended).csv (sound" in parent
    assert (
        alice.post(at("mend", refused), {"mends": ["without-broken-rows", "delimiter"]})["Location"]
        == answer["Location"]
    )


def test_the_other_button_leaves_the_broken_lines_out_whatever_is_ticked(alice: Client, refused: Upload) -> None:
    alice.post(at("mend", refused), {"mends": ["delimiter"], "only": "without-broken-rows"})
    assert Upload.objects.exclude(parent=None).get().mends == ["without-broken-rows"]
    assert alice.post(at("mend", refused)).status_code == 400


def test_a_copy_of_bytes_that_ran_before_waits_and_is_confirmed(alice: Client, refused: Upload) -> None:
    for text in ("", "\n"):
        if text:
            send(alice, BLOCK + "C1009,too,few\n" + text)
        parent = Upload.objects.filter(parent=None).latest("id")
        alice.post(at("mend", parent), {"mends": ["delimiter", "blank-lines", "without-broken-rows"]})
        assert inspect_due()
    copy = Upload.objects.latest("id")
    assert "This very file was sent before" in text_of(alice.get(reverse("upload", args=[copy.public_id])))
    assert alice.post(at("confirm", copy), **HTMX).status_code == 202
    assert Job.objects.filter(upload=copy).count() == 1


def test_failed_rows_and_the_marked_file_can_be_taken_home(alice: Client, refused: Upload) -> None:
    answer = alice.get(at("failed-rows", refused))
    assert "claims-failed-rows.csv" in answer["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
    assert len(rows) == 3
    assert {row[0] for row in rows[1:]} == {"4", "8"}
    book = b"".join(alice.get(at("annotated", refused)).streaming_content)
    assert "xl/workbook.xml" in zipfile.ZipFile(io.BytesIO(book)).namelist()
    parts = AuditEvent.objects.filter(verb="upload.download").values_list("details__part", flat=True)
    assert sorted(parts) == ["annotated.xlsx", "failed-rows.csv"]
    assert not list(configured.SCRATCH_DIR.glob("inspect-*"))


def test_what_cannot_be_read_as_a_table_offers_no_rows(alice: Client) -> None:
    assert send(alice, "%PDF-1.7\n" + "x" * 500).status_code == 400
    upload = Upload.objects.get()
    page = alice.get(reverse("upload", args=[upload.public_id])).content.decode()
    assert at("failed-rows", upload) not in page
    assert at("mend", upload) not in page
    answer = alice.get(at("failed-rows", upload))
    assert answer.status_code == 400
    assert "cannot be read as a table" in text_of(answer)


@pytest.mark.parametrize("how", ["over", "purged"])
def test_when_its_time_is_over_the_verdict_stays(alice: Client, refused: Upload, how: str) -> None:
    if how == "over":
        Upload.objects.update(purge_after=timezone.now() - timedelta(seconds=1))
    else:
        assert purge_upload(refused)
    page = alice.get(reverse("upload", args=[refused.public_id]))
    assert "2 causes stop this file" in text_of(page)
    assert at("mend", refused) not in page.content.decode()
    assert alice.get(at("excerpt", refused, "?line=1")).status_code == 410
    assert alice.get(at("annotated", refused)).status_code == 410
    assert alice.post(at("mend", refused), {"mends": ["delimiter"]}).status_code == 410


def test_an_auditor_looks_and_mends_nothing(refused: Upload, people: People) -> None:
    ada = signed_in(people.ada)
    page = ada.get(reverse("upload", args=[refused.public_id])).content.decode()
    assert 'type="checkbox"' not in page
    assert ada.get(at("excerpt", refused, "?line=4"), **HTMX).status_code == 200
    assert ada.post(at("mend", refused), {"mends": ["delimiter"]}).status_code == 403


def test_others_see_nothing_of_it(alice: Client, refused: Upload, people: People) -> None:
    charlie = signed_in(people.charlie)
    for name in ("excerpt", "examples", "failed-rows", "annotated"):
        assert charlie.get(at(name, refused)).status_code == 404
        assert alice.get(reverse(f"upload-{name}", args=[uuid4()])).status_code == 404
    assert charlie.post(at("mend", refused), {"mends": ["delimiter"]}).status_code == 404
    assert Upload.objects.count() == 1


def test_a_mended_copy_can_be_taken_home_and_nothing_else_by_that_address(alice: Client, refused: Upload) -> None:
    alice.post(at("mend", refused), {"mends": ["delimiter", "without-broken-rows"]})
    copy = Upload.objects.get(parent=refused)
    assert alice.get(at("mended", copy)).status_code == 409  # it is not made yet
    assert inspect_due()
    assert at("mended", copy) in alice.get(reverse("upload", args=[copy.public_id])).content.decode()
    answer = alice.get(at("mended", copy))
    assert b"C1003,Ann,CanaryOak" in b"".join(answer.streaming_content)
    assert "(mended).csv" in answer["Content-Disposition"]
    assert AuditEvent.objects.filter(verb="upload.download", target_id=str(copy.public_id)).count() == 1
    assert alice.get(at("mended", refused)).status_code == 404
