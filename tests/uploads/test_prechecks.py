"""The precheck: three stages written down as they come, whatever the file, whoever dies."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models.functions import Now

from rowmill.errors import ChildError, InputError, LostLease, StateError, StorageFault
from rowmill.jobs.arrive import inspect_due, precheck_due
from rowmill.jobs.sweep import recover_after_start, sweep
from rowmill.models import AuditEvent, FindingRecord, Job, Precheck, Upload
from rowmill.orgs import find_caller
from rowmill.uploads import prechecks
from rowmill.uploads.inspect import inspect_upload
from rowmill.uploads.places import get_storage, original_key
from rowmill.uploads.prechecks import begin_precheck, claim_due_precheck, put_off, receive_precheck, run_precheck
from rowmill.uploads.purge import purge_upload
from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole
from tests.jobs import conftest as _registers_probe  # noqa: F401

pytestmark = pytest.mark.django_db
SOUND = b"id,note\n0001,a\n0002,b\n"
BROKEN = b'id,note\n0001,"a\n0002,b\n'


@pytest.fixture(autouse=True)
def _folders(settings, tmp_path: Path) -> None:
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    settings.ROWMILL_MIN_FREE_BYTES = 0


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


def run_all() -> None:
    while precheck_due():
        pass


def test_a_sound_file_is_told_whole_and_goes_after_a_day(alice) -> None:
    precheck = receive_precheck(alice, "table.csv", [SOUND])
    assert (precheck.status, precheck.upload.state, precheck.upload.lease_until) == ("PENDING", "CHECKING", None)
    run_all()
    precheck.refresh_from_db()
    assert (precheck.status, precheck.stage, precheck.progress, precheck.error) == ("COMPLETED", "validation", 100, "")
    assert precheck.metadata["sha256"] == hashlib.sha256(SOUND).hexdigest()
    assert (precheck.metadata["encoding"], precheck.metadata["delimiter"], precheck.metadata["newline"]) == (
        "utf-8",
        ",",
        "\n",
    )
    assert precheck.metadata["header"] == ["id", "note"]
    assert precheck.integrity["balance"]["balances"] is True
    assert (precheck.validation["verdict"], precheck.validation["rows"]) == ("sound", 2)
    upload = Upload.objects.get(pk=precheck.upload_id)
    assert (upload.state, upload.row_count) == ("READY", 2)
    assert upload.purge_after is not None
    verbs = list(AuditEvent.objects.filter(target_type="precheck").values_list("verb", flat=True))
    assert sorted(verbs) == ["precheck.begin", "precheck.done"]


def test_a_broken_file_is_refused_and_told_place_by_place(alice) -> None:
    precheck = receive_precheck(alice, "table.csv", [BROKEN])
    run_all()
    precheck.refresh_from_db()
    assert (precheck.status, precheck.validation["verdict"]) == ("COMPLETED", "unsound")
    first = precheck.findings[0]
    assert (first["code"], first["severity"], first["line"], first["column_name"]) == (
        "quote-not-closed",
        "error",
        2,
        "note",
    )
    assert precheck.integrity["counts"]["quote-not-closed"] == 1
    assert (precheck.integrity["sound"], "e" in precheck.integrity["damage"]) == (False, True)
    upload = Upload.objects.get(pk=precheck.upload_id)
    assert upload.state == "REJECTED"
    assert FindingRecord.objects.filter(upload=upload, code="quote-not-closed").count() == 1


def test_cells_are_held_against_the_kind(alice) -> None:
    precheck = receive_precheck(alice, "table.csv", [b"id,note\n0001,a\n,b\n"], "probe")
    run_all()
    precheck.refresh_from_db()
    assert (precheck.validation["kind"], precheck.metadata["kind"]) == ("probe", "probe")
    assert precheck.validation["mapping"] == {"id": 1, "note": 2}
    with pytest.raises(InputError):
        receive_precheck(alice, "table.csv", [SOUND], "nonsense")


def test_no_inspector_and_no_job_touches_what_is_prechecked(alice) -> None:
    precheck = receive_precheck(alice, "table.csv", [SOUND], "probe")
    assert inspect_due() is False
    sweep()
    assert Upload.objects.get().state == "CHECKING"
    recover_after_start()
    assert Upload.objects.get().state == "CHECKING"
    run_all()
    sweep()
    recover_after_start()
    assert Upload.objects.get().state == "READY"
    assert not Job.objects.exists()
    assert get_storage().stat(original_key(precheck.upload)) is not None


def test_each_stage_is_written_as_soon_as_it_is_known(alice, monkeypatch) -> None:
    precheck = receive_precheck(alice, "table.csv", [BROKEN])
    seen = []

    def look(name: str) -> None:
        row = Precheck.objects.get(pk=precheck.pk)
        seen.append((name, row.stage, row.progress, bool(row.metadata), bool(row.integrity), bool(row.findings)))

    monkeypatch.setattr(prechecks, "fault_point", look)
    monkeypatch.setattr(prechecks, "TOLD_SECONDS", 0.0)
    run_all()
    assert [row[0] for row in seen] == ["precheck_metadata", "precheck_integrity", "prechecked"]
    assert seen[0][1:] == ("metadata", 0, False, False, False)
    assert seen[1][1:] == ("integrity", 80, True, True, False)
    assert seen[2][1:] == ("validation", 90, True, True, True)


def test_a_file_that_is_here_is_prechecked_and_left_as_it_is(alice) -> None:
    upload = begin_upload(alice, "probe", "table.csv", None)
    upload = inspect_upload(finish_upload(upload, *receive_whole(upload, [BROKEN], 1 << 20)))
    before = Upload.objects.filter(pk=upload.pk).values().get()
    precheck = begin_precheck(alice, upload)
    assert begin_precheck(alice, upload).pk == precheck.pk
    run_all()
    precheck.refresh_from_db()
    assert (precheck.status, precheck.validation["verdict"]) == ("COMPLETED", "unsound")
    assert Upload.objects.filter(pk=upload.pk).values().get() == before
    assert begin_precheck(alice, upload).pk != precheck.pk
    purge_upload(upload)
    upload.refresh_from_db()
    with pytest.raises(StateError):
        begin_precheck(alice, upload)


def test_only_a_dead_workers_precheck_is_taken_over(alice) -> None:
    receive_precheck(alice, "table.csv", [SOUND])
    first = claim_due_precheck()
    assert first is not None
    assert claim_due_precheck() is None
    Precheck.objects.update(lease_until=Now() - timedelta(seconds=1))
    second = claim_due_precheck()
    assert second is not None
    assert second.claims == first.claims + 1
    with pytest.raises(LostLease):
        run_precheck(first)
    assert Upload.objects.get().state == "CHECKING"
    run_precheck(second)
    assert Precheck.objects.get().status == "COMPLETED"


def test_a_file_that_ends_every_process_is_given_up(alice) -> None:
    receive_precheck(alice, "table.csv", [SOUND])
    Precheck.objects.update(claims=prechecks.MOST_CLAIMS)
    run_all()
    precheck = Precheck.objects.get()
    assert (precheck.status, "stopped 5 times" in precheck.error) == ("FAILED", True)
    upload = Upload.objects.get()
    assert (upload.state, upload.purge_after is not None) == ("REJECTED", True)


def test_a_child_that_dies_is_told_in_words(alice, monkeypatch) -> None:
    def dies(*_args, **_more):
        raise ChildError("Reading the file took more memory than it may. Split it and send its parts.")

    monkeypatch.setattr(prechecks, "run_in_child", dies)
    receive_precheck(alice, "table.csv", [SOUND])
    run_all()
    precheck = Precheck.objects.get()
    assert (precheck.status, precheck.error[:16]) == ("FAILED", "Reading the file")
    assert FindingRecord.objects.get().code == "cannot_be_read"


def test_while_the_storage_is_away_it_waits(alice, monkeypatch) -> None:
    def away(*_args):
        raise StorageFault("The storage does not answer.")

    receive_precheck(alice, "table.csv", [SOUND])
    monkeypatch.setattr(prechecks, "hold_original", away)
    for _ in range(prechecks.MOST_CLAIMS + 2):  # however long that is
        assert precheck_due() is True
        assert precheck_due() is False
        assert Precheck.objects.get().status == "PENDING"
        Precheck.objects.update(lease_until=None)
    monkeypatch.undo()
    run_all()
    assert Precheck.objects.get().status == "COMPLETED"


def test_a_process_that_ends_gives_back_what_it_runs(alice) -> None:
    receive_precheck(alice, "table.csv", [SOUND])
    held = claim_due_precheck()
    assert held is not None
    put_off(held)
    with pytest.raises(LostLease):
        run_precheck(held)
    run_all()
    assert Precheck.objects.get().status == "COMPLETED"


def test_no_more_findings_are_kept_than_anybody_reads(alice) -> None:
    rows = b"".join(b"1,2,3,4\n" if n % 2 else b"1,2\n" for n in range(20))
    columns = ",".join(f"c{n}" for n in range(30)).encode()
    wide = b"".join(b",".join([b"x"] * 30) + b"\n" for _ in range(5))
    precheck = receive_precheck(alice, "table.csv", [columns + b"\n" + wide + rows])
    run_all()
    precheck.refresh_from_db()
    assert 0 < len(precheck.findings) <= 1000
    assert precheck.integrity["errors"] == 20


def test_nothing_stored_or_logged_holds_a_cell(alice, caplog) -> None:
    data = b'name,born\nCanaryOak,1980-01-15\n"CanaryElm,1980-01-16\nCanaryAsh,x,CanaryFir\n'
    precheck = receive_precheck(alice, "table.csv", [data])
    run_all()
    precheck.refresh_from_db()
    row = Precheck.objects.filter(pk=precheck.pk).values().get()
    assert precheck.findings
    assert "Canary" not in str(row)
    assert "Canary" not in caplog.text
