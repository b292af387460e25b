"""The cleanup of prechecks: what goes, what stays, what is said; and when the night's tidying is due."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.jobs.arrive import inspect_due, precheck_due
from rowmill.models import AuditEvent, Precheck, Upload
from rowmill.orgs import find_caller
from rowmill.uploads import tidy
from rowmill.uploads.inspect import inspect_upload
from rowmill.uploads.mending import mend_upload
from rowmill.uploads.places import folder_key, get_storage, original_key
from rowmill.uploads.prechecks import begin_precheck, claim_due_precheck, receive_precheck
from rowmill.uploads.purge import purge_due_uploads
from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole
from rowmill.uploads.tidy import clear_orphans, next_night, tidy_bytes
from tests.jobs import conftest as _registers_probe  # noqa: F401

SOUND = b"id,note\n0001,a\n0002,b\n"
BROKEN = b'id,note\n0001,"a\n0002,b\n'
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _folders(settings, tmp_path: Path) -> None:
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    settings.ROWMILL_MIN_FREE_BYTES = 0


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


def clean(*arguments: str) -> str:
    out = io.StringIO()
    call_command("cleanup_precheck_validations", *arguments, stdout=out)
    return out.getvalue()


def make(alice, data: bytes = SOUND, *, hours: float = 0, run: bool = True) -> Precheck:
    precheck = receive_precheck(alice, "secret-name.csv", [data])
    if run:
        assert precheck_due() is True
    Precheck.objects.filter(pk=precheck.pk).update(created_at=timezone.now() - hours * HOUR)
    precheck.refresh_from_db()
    return precheck


def is_there(precheck: Precheck) -> bool:
    return bool(list(get_storage().keys(folder_key(precheck.upload))))


@pytest.mark.django_db
def test_what_is_older_than_a_day_goes_with_an_audit_event(alice) -> None:
    old, young = make(alice, hours=25), make(alice, hours=23)
    said = clean()
    assert f"removed {old.public_id} COMPLETED" in said
    assert "secret-name" not in said
    assert str(young.public_id) not in said
    assert (is_there(old), is_there(young)) == (False, True)
    events = AuditEvent.objects.filter(verb="upload.purge", target_id=str(old.upload.public_id))
    assert events.count() == 1
    old.refresh_from_db()
    assert (old.status, bool(old.validation)) == ("COMPLETED", True)
    assert clean() == "0 prechecks cleaned up, 0 bytes removed.\n"


@pytest.mark.django_db
def test_a_dry_run_removes_nothing(alice) -> None:
    old = make(alice, hours=25)
    said = clean("--dry-run")
    assert f"would remove {old.public_id}" in said
    assert "Nothing was removed." in said
    assert is_there(old)


@pytest.mark.django_db
def test_age_and_status_choose(alice) -> None:
    sound, waiting = make(alice, hours=5), make(alice, BROKEN, hours=5, run=False)
    assert str(sound.public_id) not in clean("--dry-run")
    assert str(sound.public_id) in clean("--dry-run", "--hours", "4")
    assert str(waiting.public_id) not in clean("--dry-run", "--all", "--status", "completed")
    assert clean("--all", "--status", "PENDING").count("removed ") == 1
    assert (is_there(sound), is_there(waiting)) == (True, False)
    waiting.refresh_from_db()
    assert (waiting.status, "before it was done" in waiting.error) == ("FAILED", True)
    assert Upload.objects.get(pk=waiting.upload_id).state == "REJECTED"
    for wrong in (["--status", "nonsense"], ["--hours", "-1"]):
        with pytest.raises(CommandError):
            clean(*wrong)


@pytest.mark.django_db
def test_what_a_worker_runs_is_left_alone_until_the_worker_is_dead(alice) -> None:
    precheck = make(alice, hours=30, run=False)
    assert claim_due_precheck() is not None
    assert clean("--all").startswith("0 prechecks")
    assert is_there(precheck)
    Precheck.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert f"removed {precheck.public_id} RUNNING" in clean()
    assert not is_there(precheck)


@pytest.mark.django_db
def test_a_file_that_came_for_a_job_is_not_the_prechecks_to_remove(alice) -> None:
    upload = begin_upload(alice, "probe", "table.csv", None)
    upload = inspect_upload(finish_upload(upload, *receive_whole(upload, [BROKEN], 1 << 20)))
    begin_precheck(alice, upload)
    assert precheck_due() is True
    assert clean("--all").startswith("0 prechecks")
    assert get_storage().stat(original_key(upload)) is not None


@pytest.mark.django_db
def test_a_file_of_which_a_mended_copy_is_being_made_goes_when_that_is_there(alice) -> None:
    old = make(alice, b"id,note\n0001,a\n0002;b\n0003,c\n", hours=25)
    copy = mend_upload(alice, old.upload, ["delimiter"])
    assert clean().startswith("0 prechecks")
    assert is_there(old)
    assert inspect_due() is True
    copy.refresh_from_db()
    assert copy.state == "READY"
    assert purge_due_uploads() == 1
    assert not is_there(old)


@pytest.mark.django_db
def test_what_died_processes_left_in_scratch_goes_after_a_day(alice, settings) -> None:
    for name in ("rowmill-child-old", "rowmill-child-new", "inspect-old"):
        (settings.SCRATCH_DIR / name).mkdir(parents=True)
        (settings.SCRATCH_DIR / name / "text").write_bytes(b"1,2\n")
    for name in ("rowmill-child-old", "inspect-old"):
        os.utime(settings.SCRATCH_DIR / name, (0, 0))
    clean()
    assert [path.name for path in settings.SCRATCH_DIR.iterdir()] == ["rowmill-child-new"]


@pytest.mark.django_db
def test_an_orphan_that_goes_stands_in_the_trail(alice, monkeypatch) -> None:
    precheck = make(alice)
    Upload.objects.filter(pk=precheck.upload_id).update(purged_at=timezone.now())
    monkeypatch.setattr(tidy, "ORPHAN_AGE", timedelta(0))
    assert clear_orphans() == 1
    event = AuditEvent.objects.get(verb="upload.orphan")
    assert (event.org, event.target_id) == (alice.org, str(precheck.upload.public_id))


# ------------------------------------------------------------------------------------------------ the night


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-23 01:59", "2026-11-23 02:00"),
        ("2026-11-23 02:00", "2026-11-24 02:00"),
        ("2026-11-23 17:00", "2026-11-24 02:00"),
    ],
)
def test_the_night_comes_at_two(now: str, due: str) -> None:
    zone = ZoneInfo("America/New_York")
    assert next_night(datetime.fromisoformat(now).replace(tzinfo=zone)) == datetime.fromisoformat(due).replace(
        tzinfo=zone
    )


@pytest.mark.django_db
def test_the_night_tidies_once(alice, monkeypatch) -> None:
    now = [datetime(2026, 11, 23, 1, 30, tzinfo=ZoneInfo("UTC"))]
    swept: list[str] = []
    monkeypatch.setattr(tidy.timezone, "localtime", lambda: now[0])
    monkeypatch.setattr(tidy, "_nightly", tidy._Nightly())
    monkeypatch.setattr(tidy, "_orphans", tidy._Pace(3600, 3600))
    for name in ("clear_leavings", "clean_old_prechecks", "clear_orphans"):
        monkeypatch.setattr(tidy, name, lambda name=name: swept.append(name))
    for hour, minute in ((1, 30), (1, 59), (2, 0), (2, 1), (14, 0)):
        now[0] = now[0].replace(hour=hour, minute=minute)
        tidy_bytes()
    assert swept == ["clear_leavings", "clean_old_prechecks", "clear_orphans"]
    now[0] += timedelta(days=1)
    tidy_bytes()
    assert len(swept) == 6


def test_the_command_is_there_by_its_agreed_name(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rowmill", *arguments, "--data-dir", str(tmp_path)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROWMILL")}
        environment |= {"DATABASE_URL": "", "ROWMILL_LOG_LEVEL": "ERROR"}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)

    assert run("migrate").returncode == 0
    done = run("cleanup-precheck-validations", "--dry-run", "--all", "--hours", "1", "--status", "COMPLETED")
    assert (done.returncode, done.stdout) == (0, "0 prechecks would be cleaned up. Nothing was removed.\n"), done.stderr
    assert run("cleanup-precheck-validations", "--status", "nonsense").returncode == 2
