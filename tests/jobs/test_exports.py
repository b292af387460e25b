"""Workbooks made in the background: whole, once for two clicks, stopped, given back, kept for a day and no longer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import openpyxl
import pytest
from django.utils import timezone

from rowmill.contacts.browse import Ask
from rowmill.contacts.export import export_csv, take_xlsx
from rowmill.errors import Expired, NotAllowed, StateError
from rowmill.jobs import exporting, exports
from rowmill.jobs.exporting import export_due, give_back_exports
from rowmill.jobs.exports import drop_export, open_export, purge_due_exports, take_back_exports
from rowmill.models import AuditEvent, Contact, Export
from rowmill.orgs import find_caller
from rowmill.uploads.places import get_storage
from rowmill.uploads.tidy import clear_machine, clear_orphans
from tests.contacts.made import make_contact, make_contacts
from tests.storage.conftest import s3_servers  # noqa: F401

pytestmark = pytest.mark.django_db
COLUMNS = ("contact_id", "first_name", "last_name", "email", "lists", "employees")
EVERYBODY = Ask()
SEARCH = Ask(search="Lastcanary", sort="-name")


@pytest.fixture(autouse=True)
def _alone(settings, tmp_path: Path, monkeypatch):
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    monkeypatch.setattr("rowmill.contacts.export.DIRECT_ROWS", 3)


@pytest.fixture
def alice(people):
    make_contacts(people.acme, 30)
    make_contacts(people.other, 5, first=500)
    return find_caller(people.alice)


def ask(caller, asked: Ask = EVERYBODY) -> Export:
    export = take_xlsx(caller, asked, COLUMNS)
    assert isinstance(export, Export)
    return export


def make(export: Export) -> Export:
    assert export_due()
    export.refresh_from_db()
    return export


def read(caller, export: Export) -> list[list[str]]:
    with open_export(caller, export) as file:
        sheet = openpyxl.load_workbook(file).active
        return [[cell.value or "" for cell in line] for line in sheet]


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_workbook_has_what_a_csv_has(alice, people, settings):
    make_contact(people.acme, 99, first_name="=1+1", title='He said "hm",\nthen left', lists=["a", "b"], employees=11)
    export = make(ask(alice))
    assert (export.state, export.rows, export.rows_done, export.error) == ("DONE", 31, 31, "")
    found = read(alice, export)
    plain = b"".join(export_csv(alice, Ask(), COLUMNS, bom=False)).decode().replace("'=1+1", "=1+1")
    assert len(found) == 32
    assert [",".join(line) for line in found[:-1]] == plain.split("\r\n")[:-2]
    assert found[-1] == ["K99", "=1+1", "", "", "a, b", "11"]
    assert not files_of(settings.SCRATCH_DIR), "what was gathered goes"
    assert [event.verb for event in AuditEvent.objects.filter(target_type="export")] == [
        "export.ask",
        "export.download",
    ]


def test_what_was_searched_for_is_sealed_and_kept_to(alice, people):
    Contact.objects.filter(org=people.acme, contact_id__in=["K1", "K2", "K4", "K6"]).update(last_name="Lastcanary")
    export = ask(alice, SEARCH)
    stored = Export.objects.filter(pk=export.pk).values().get()
    assert "canary" not in str({**stored, "asked": ""})
    assert b"anary" not in bytes(stored["asked"])
    assert [line[0] for line in read(alice, make(export))] == ["contact_id", "K1", "K2", "K4", "K6"]


def test_a_second_click_gives_the_same_one(alice, people):
    export = ask(alice)
    assert ask(alice) == export
    make_contacts(people.acme, 4, first=1000)
    assert ask(find_caller(people.ada)) != export
    assert make(export).rows == 34
    assert ask(alice) != export, "one that is done is of then"


def test_an_org_keeps_so_many(alice, monkeypatch):
    monkeypatch.setattr(exports, "MOST_KEPT", 2)
    make(ask(alice))
    ask(alice)
    with pytest.raises(StateError) as told:
        ask(alice, Ask(email="with"))
    assert told.value.details["code"] == "too_many"


def test_one_that_is_stopped_leaves_nothing(alice, settings, monkeypatch):
    export = ask(alice)
    whole = exporting.run_in_child

    def stopped(*arguments, **more):
        drop_export(alice, export)
        return whole(*arguments, **more)

    monkeypatch.setattr(exporting, "run_in_child", stopped)
    export = make(export)
    assert (export.state, bytes(export.asked)) == ("GONE", b"")
    assert not files_of(settings.SCRATCH_DIR)
    assert not files_of(settings.STORAGE_DIR)
    with pytest.raises(Expired):
        open_export(alice, export)


def test_one_cut_off_is_made_by_the_next(alice, monkeypatch):
    export = ask(alice)

    def died(*_arguments, **_more):
        raise KeyboardInterrupt

    whole = exporting.run_in_child
    monkeypatch.setattr(exporting, "run_in_child", died)
    with pytest.raises(KeyboardInterrupt):
        export_due()
    monkeypatch.setattr(exporting, "run_in_child", whole)
    assert not export_due(), "its lease is not over"
    take_back_exports()
    assert make(export).state == "DONE"
    assert (export.claims, export.attempts) == (2, 2)


def test_a_process_that_ends_gives_it_back(alice, monkeypatch):
    export = ask(alice)
    whole = exporting.run_in_child

    def ends(*arguments, **more):
        give_back_exports()
        return whole(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(exporting, "run_in_child", ends)
        assert export_due()
    export.refresh_from_db()
    assert (export.state, export.attempts, export.key) == ("WAITING", 0, "")
    assert make(export).state == "DONE"


def test_one_that_fails_again_and_again_says_so(alice, monkeypatch):
    export = ask(alice)
    monkeypatch.setattr(exporting, "run_in_child", lambda *_a, **_m: 1 / 0)
    for _ in range(4):
        Export.objects.update(lease_until=None)
        make(export)
    assert export.state == "FAILED"
    assert "CSV" in export.error
    with pytest.raises(StateError):
        open_export(alice, export)


def test_nobody_takes_home_what_was_asked_by_one_who_left(alice, people):
    export = ask(alice)
    people.alice.memberships.all().delete()
    assert make(export).state == "FAILED"


def test_it_goes_after_a_day(alice, settings):
    old, new = make(ask(alice)), make(ask(alice))
    Export.objects.filter(pk=old.pk).update(done_at=timezone.now() - timedelta(hours=25))
    assert purge_due_exports() == 1
    old.refresh_from_db()
    assert (old.state, bytes(old.asked)) == ("GONE", b"")
    assert [path.name for path in files_of(settings.STORAGE_DIR)] == [f"{new.public_id}-1.xlsx"]
    assert AuditEvent.objects.filter(verb="export.purge").count() == 1


def test_what_nobody_knows_of_is_tidied_away(alice, settings, monkeypatch):
    export = make(ask(alice))
    lost = f"org/{alice.org.pk}/exports/{export.public_id}-7.xlsx"
    get_storage().write(lost, [b"lost"])
    monkeypatch.setattr("rowmill.uploads.tidy.ORPHAN_AGE", timedelta(seconds=-60))
    clear_machine()
    assert clear_orphans() == 1
    assert get_storage().stat(lost) is None
    assert read(alice, export)


def test_an_auditor_deletes_only_what_they_asked_for(alice, people):
    ada = find_caller(people.ada)
    export = make(ask(alice))
    with pytest.raises(NotAllowed):
        drop_export(ada, export)
    drop_export(ada, ask(ada))
    drop_export(alice, export)
    drop_export(alice, export)
    assert set(Export.objects.values_list("state", flat=True)) == {"GONE"}


@pytest.mark.slow
def test_in_a_bucket_it_goes_from_every_machine(alice, settings, tmp_path, s3_servers):  # noqa: F811
    settings.ROWMILL_MIN_FREE_BYTES = 0
    server = s3_servers("moto")
    with server.credentials():
        settings.ROWMILL_STORAGE_URL = server.url("exports", "p")
        export = make(ask(alice))
        assert export.sha256
        settings.SCRATCH_DIR = tmp_path / "web"
        assert len(read(alice, export)) == 31
        assert files_of(settings.SCRATCH_DIR), "the web machine has a copy"
        clear_machine()
        assert files_of(settings.SCRATCH_DIR), "it is kept"
        Export.objects.update(done_at=timezone.now() - timedelta(hours=25))
        settings.SCRATCH_DIR = tmp_path / "scratch"
        assert purge_due_exports() == 1
        assert list(get_storage().keys("org")) == []
        settings.SCRATCH_DIR = tmp_path / "web"
        clear_machine()
        assert not files_of(settings.SCRATCH_DIR), "no copy outlives it"
