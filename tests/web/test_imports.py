"""The pages of an import: each step with its way on, what is refused in words, who may do what; no cell where none may be."""

from __future__ import annotations

import logging
import re

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import F
from django.test import Client
from django.urls import reverse

from rowmill.jobs.arrive import effect_due
from rowmill.models import AuditEvent, Contact, ImportEffect, Job, Org, Upload
from tests.conftest import People
from tests.jobs.conftest import work_until_final
from tests.merging.conftest import as_csv
from tests.merging.undoing import run_undos

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}
HEADER = ("Reach by", "First Name", "Shoe size")
ROWS = [(f"cnry{n}@canary.test", f"Cnryname{n}", f"cnryshoe{n}") for n in range(4)] + [("no mail", "Cnryname9", "")]
LATER = [(mail, f"{name}later", shoe) for mail, name, shoe in ROWS]
# Where cells belong: the contacts, their old values, nowhere else.
MAY_HOLD = {"Contact", "OldRow"}


@pytest.fixture(autouse=True)
def _quick_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def alice(people: People) -> Client:
    return signed_in(people.alice)


def signed_in(person: object) -> Client:
    client = Client()
    client.force_login(person)
    return client


def text_of(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def send(client: Client, rows=ROWS) -> Upload:
    """Send a file by the page's form, as a browser without scripts does."""
    file = SimpleUploadedFile("canary.csv", as_csv(HEADER, rows))
    answer = client.post("/bulk-upload", {"file": file, "kind": "contact_import", "review": "true"})
    upload = Upload.objects.latest("id")
    assert (answer.status_code, answer["Location"]) == (303, reverse("upload", args=[upload.public_id]))
    return upload


def at(name: str, upload: Upload) -> str:
    return reverse(f"upload-{name}", args=[upload.public_id])


def save(client: Client, upload: Upload, **boxes: str):
    return client.post(
        at("mapping", upload), {"c1": "E-mail", "c2": "First name", "c3": "Keep as extra", "do": "save", **boxes}
    )


def start(client: Client, upload: Upload, **form: str) -> Job:
    answer = client.post(at("import", upload), form)
    job = Job.objects.select_related("upload", "org").latest("id")
    assert answer["Location"] == reverse("job", args=[job.public_id])
    assert work_until_final(job) == "COMPLETED"
    return job


def imported(client: Client, rows=ROWS) -> Job:
    upload = send(client, rows)
    assert save(client, upload, remember="yes")["Location"] == at("effect", upload)
    return start(client, upload)


def test_each_step_leads_to_the_next(alice: Client) -> None:
    assert "Drop an export of contacts" in text_of(alice.get("/bulk-upload?kind=contact_import"))
    upload = send(alice)
    verdict = alice.get(reverse("upload", args=[upload.public_id]))
    assert at("mapping", upload) in verdict.content.decode()
    assert "Nothing is imported yet" in text_of(verdict)
    assert "YOUR TURN" in text_of(alice.get("/jobs/"))
    page = alice.get(at("mapping", upload))
    assert "No column is the E-mail or the Contact ID." in text_of(page)
    assert ROWS[0][0] in page.content.decode()
    assert save(alice, upload)["Location"] == at("effect", upload)
    live = alice.get(at("effect", upload))
    assert "Comparing" in text_of(live)
    assert "you need not wait for this" in text_of(live)
    assert 'hx-trigger="every 1s"' in live.content.decode()
    assert effect_due()
    page = alice.get(at("effect", upload) + "?poll", **HTMX)
    assert "5 rows = 4 new + 0 changed + 0 unchanged + 1 rejected" in text_of(page)
    assert "E-mail: this is not an e-mail address" in text_of(page)
    assert "<html" not in page.content.decode()
    job = start(alice, upload)
    page = text_of(alice.get(reverse("job", args=[job.public_id])))
    assert "5 rows = 4 new + 0 changed + 0 unchanged + 1 rejected + 0 not processed" in page
    for name in ("mapping", "effect"):
        assert reverse("job", args=[job.public_id]) in alice.get(at(name, upload)).content.decode()
    assert alice.post(at("import", upload))["Location"] == reverse("job", args=[job.public_id])


def test_boxes_that_make_no_sense_say_so_and_nothing_is_saved(alice: Client) -> None:
    upload = send(alice)
    for boxes, words in (
        ({"c3": "Shoe"}, "There is no such field."),
        ({"c3": "first name"}, "Column 2 is this field already."),
        ({"c1": "Keep as extra"}, "No column is the E-mail"),
    ):
        answer = save(alice, upload, **boxes)
        assert answer.status_code == 400
        assert words in text_of(answer)
    upload.refresh_from_db()
    assert "email" not in upload.mapping
    look = alice.post(at("mapping", upload), {"c1": "e-mail", "c2": "", "c3": "Do not import"}, **HTMX)
    assert look.status_code == 200
    assert "Cnryname0" not in look.content.decode().split("Trouble")[0]
    assert ROWS[0][0] in look.content.decode()
    assert ROWS[0][2] not in look.content.decode()


def test_a_go_ahead_is_asked_for_and_counts_for_what_was_shown(alice: Client) -> None:
    imported(alice)
    upload = send(alice, LATER)
    page = text_of(alice.get(at("mapping", upload)))
    assert "as you set it before" in page
    save(alice, upload)
    assert "Comparing" in text_of(alice.get(at("effect", upload)))
    assert alice.post(at("import", upload), {"go_ahead": "yes", "updated": "0"})["Location"] == at("effect", upload)
    assert effect_due()
    page = alice.get(at("effect", upload))
    assert "Go ahead and change 4 that are there already: 80.0 % of the rows." in text_of(page)
    assert "Cnryname0later" in page.content.decode()
    assert alice.post(at("import", upload))["Location"] == at("effect", upload)
    assert Job.objects.count() == 1
    chosen = alice.post(at("effect", upload), {"duplicates": "skip"}, **HTMX)
    assert "Leave alone" in text_of(chosen)
    assert "stays as it is, so you need not wait" in text_of(chosen)
    alice.post(at("effect", upload), {"duplicates": "update"})
    start(alice, upload, go_ahead="yes", updated="4")
    assert Contact.objects.filter(first_name__endswith="later").count() == 4


def test_an_import_is_taken_back_and_what_was_changed_since_is_listed(alice: Client, people: People) -> None:
    imported(alice)
    upload = send(alice, LATER)
    save(alice, upload)
    assert effect_due()
    job = start(alice, upload, go_ahead="yes", updated="4")
    kept = Contact.objects.get(email=ROWS[1][0])
    Contact.objects.filter(pk=kept.pk).update(first_name="By hand", revision=F("revision") + 1)
    address = reverse("job", args=[job.public_id])
    assert "the 4 that it changed get their old values" in text_of(alice.get(address))
    undo = reverse("job-undo", args=[job.public_id])
    assert "Would go 0 Would get their old values 4" in text_of(alice.get(undo))
    assert "A member of acme can start it" in text_of(signed_in(people.ada).get(undo))
    assert signed_in(people.ada).post(undo).status_code == 403
    assert signed_in(people.charlie).post(undo).status_code == 404
    assert alice.post(undo)["Location"] == address
    live = alice.get(address)
    assert "0 of 4 rows. Waiting for its turn." in text_of(live)
    assert 'hx-trigger="every 2s"' in live.content.decode()
    assert "ask-undo-live" not in live.content.decode()
    own = signed_in(people.ada).get(undo)
    assert "The import is being taken back" in text_of(own)
    assert 'hx-trigger="every 2s"' in own.content.decode()
    run_undos()
    own = text_of(alice.get(undo, **HTMX))
    assert "The import is taken back" in own
    assert "can be taken back only once" in own
    page = alice.get(address)
    assert 'hx-trigger="every 2s"' not in page.content.decode()
    assert "0 removed, 3 as they were before, 1 kept" in text_of(page)
    assert reverse("contact", args=[kept.pk]) in page.content.decode()
    assert "ask-undo-live" not in page.content.decode()
    assert Contact.objects.filter(first_name__endswith="later").count() == 0


def test_an_auditor_looks_and_changes_nothing(alice: Client, people: People) -> None:
    upload, ada = send(alice), signed_in(people.ada)
    assert "a member of acme says which column is which" in text_of(ada.get(at("mapping", upload)))
    assert save(ada, upload).status_code == 403
    save(alice, upload)
    assert ada.get(at("effect", upload)).status_code == 200
    assert ada.post(at("effect", upload)).status_code == 403
    assert ada.post(at("import", upload)).status_code == 403
    assert not Job.objects.exists()


def test_an_admin_sets_the_share(alice: Client, people: People) -> None:
    address = reverse("import-settings")
    assert "in percent" in text_of(alice.get(address))
    assert alice.post(address, {"go_ahead_percent": "35"}).status_code == 302
    assert Org.objects.get(pk=people.acme.pk).go_ahead_percent == 35  # type: ignore[attr-defined]
    for bad in ("101", "-1", "many", ""):
        assert alice.post(address, {"go_ahead_percent": bad}).status_code == 400
    bob = signed_in(people.bob)
    assert "An admin of acme sets the share" in text_of(bob.get(address))
    assert bob.post(address, {"go_ahead_percent": "5"}).status_code == 403
    assert bob.patch("/api/v1/org/", {"go_ahead_percent": 5}, content_type="application/json").status_code == 403
    told = alice.patch("/api/v1/org/", {"go_ahead_percent": 5}, content_type="application/json").json()
    assert (told["name"], told["go_ahead_percent"]) == ("acme", 5)
    assert alice.get("/api/v1/org/").json() == told
    assert AuditEvent.objects.filter(verb="org.changed").count() == 2


def test_no_cell_goes_where_none_may_be(
    alice: Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        imported(alice)
        upload = send(alice, LATER)
        save(alice, upload)
        assert effect_due()
        assert "later" in alice.get(at("effect", upload)).content.decode()
        job = start(alice, upload, go_ahead="yes", updated="4")
        alice.post(reverse("job-undo", args=[job.public_id]))
        run_undos()
    assert "cnry" not in (caplog.text + "".join(capfd.readouterr())).lower()
    assert bytes(ImportEffect.objects.get(upload=upload).examples)
    for model in apps.get_app_config("rowmill").get_models():
        if model.__name__ not in MAY_HOLD:
            rows = [
                [bytes(cell) if isinstance(cell, memoryview) else cell for cell in row]
                for row in model._default_manager.values_list()
            ]
            assert "cnry" not in str(rows).lower(), model.__name__
    looks = AuditEvent.objects.filter(verb="upload.look", target_id=str(upload.public_id))
    assert {event.details["part"] for event in looks} == {"effect"}
