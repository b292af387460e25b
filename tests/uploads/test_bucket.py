"""Machines that share a bucket and no disk: what one receives another inspects, works on, reads and purges."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db.models.functions import Now
from rest_framework.test import APIClient

from rowmill.errors import LostLease, StorageFault, TableError
from rowmill.jobs.claim import claim_batch
from rowmill.jobs.results import iter_results, page_results
from rowmill.jobs.run import run_batch
from rowmill.jobs.steer import delete_job
from rowmill.jobs.submit import take_file
from rowmill.jobs.sweep import finish_dead_uploads, sweep
from rowmill.models import AuditEvent, Batch, FindingRecord, Job, Upload, UploadState
from rowmill.orgs import find_caller
from rowmill.uploads import tidy
from rowmill.uploads.inspect import claim_upload, inspect_upload
from rowmill.uploads.places import get_spool, get_storage, original_key, publish_original, publish_table, table_key
from rowmill.uploads.purge import purge_due_uploads
from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole
from tests.jobs.conftest import _fresh_probe, table, work  # noqa: F401
from tests.servers.proxy import HttpProxy
from tests.storage.conftest import s3_servers  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
_NUMBERS = count(1)
BROKEN = [b'id,note\n0001,"never closed\n0002,x\n']


@pytest.fixture
def machines(settings, tmp_path: Path, s3_servers, request) -> Iterator[SimpleNamespace]:  # noqa: F811
    """A bucket behind a proxy; `on(name)` goes to another machine: its own scratch, and no file of anybody else's."""
    server = s3_servers(getattr(request, "param", "moto"))

    def on(name: str) -> Path:
        settings.SCRATCH_DIR, settings.STORAGE_DIR = tmp_path / name / "scratch", tmp_path / name / "storage"
        return tmp_path / name

    with server.credentials(), HttpProxy(server.port) as line:
        settings.ROWMILL_STORAGE_URL = server.url(f"machines-{next(_NUMBERS)}", "p", port=line.port)
        settings.ROWMILL_MIN_FREE_BYTES = 0
        on("web")
        yield SimpleNamespace(on=on, line=line, tmp=tmp_path)


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


@pytest.fixture
def send(alice, machines) -> Callable[..., Job]:
    def take(rows: int = 25, chunks: list[bytes] | None = None) -> Job:
        salt = f"{next(_NUMBERS)} "
        taken = take_file(alice, "probe", "probe.csv", chunks or table(rows, salt), intent={})
        return Job.objects.select_related("upload", "org").get(pk=taken.job.pk)

    return take


@pytest.fixture
def checking(alice, machines) -> Upload:
    """An upload that the web has received and not inspected yet."""
    upload = begin_upload(alice, "probe", "probe.csv", {})
    return finish_upload(upload, *receive_whole(upload, table(25), 1 << 20))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def stored() -> list[str]:
    return [key.rsplit("/", 1)[1] for key in get_storage().keys("org")]


def stored_after(machines: SimpleNamespace) -> list[str]:
    machines.line.accept()
    return stored()


def expire(upload: Upload) -> Upload:
    Upload.objects.filter(pk=upload.pk).update(lease_until=Now() - timedelta(seconds=1))
    upload.refresh_from_db()
    return upload


def take_over(upload: Upload) -> Upload:
    taken = claim_upload(expire(upload).pk)
    assert taken is not None
    return taken


# ------------------------------------------------------------------------------------------------ the flow


@pytest.mark.parametrize("machines", ["moto", "rclone"], indirect=True)
def test_a_worker_that_never_saw_the_file_does_its_job(machines, send):
    job = send(25)
    assert stored() == ["original", "table.parquet"]
    assert files(machines.tmp / "web") == []
    machines.on("worker")
    machines.line.clear()
    assert work() == ["done"] * 3
    fetched = [path for method, path, _ in machines.line.seen if method == "GET"]
    assert [path.rsplit("/", 1)[1] for path in fetched] == ["table.parquet"], "brought once for all three batches"
    job.refresh_from_db()
    assert (job.state, job.results.filter(outcome="ok").count()) == ("COMPLETED", 25)
    machines.on("another web")
    _, lines = iter_results(job)
    assert len(list(lines)) == 25
    assert page_results(job, search="note 7").total == 1
    assert not list(machines.tmp.rglob("storage"))


def test_a_refused_file_leaves_its_original_and_nothing_derived(machines, send):
    with pytest.raises(TableError):
        send(chunks=BROKEN)
    upload = Upload.objects.get()
    assert (upload.state, stored(), files(machines.tmp)) == (UploadState.REJECTED, ["original"], [])


def test_ready_means_that_both_are_in_the_bucket(machines, send):
    machines.line.plan("503", times=99, method="PUT", path="table.parquet")
    with pytest.raises(StorageFault):
        send()
    upload = Upload.objects.get()
    assert (upload.state, upload.purged_at is not None) == (UploadState.ABORTED, True)
    assert (stored(), files(machines.tmp), Job.objects.count()) == ([], [], 0)


def test_a_storage_that_is_away_refuses_the_file_and_leaves_nothing_behind(machines, send):
    machines.line.refuse()
    with pytest.raises(StorageFault, match="cannot be reached"):
        send()
    upload = Upload.objects.get()
    assert (upload.state, upload.purged_at, Job.objects.count()) == (UploadState.ABORTED, None, 0)
    assert files(machines.tmp) == []
    assert purge_due_uploads() == 0
    machines.line.accept()
    assert purge_due_uploads() == 1
    assert stored() == []


@pytest.mark.parametrize(("address", "status"), [("/api/v1/claims/bulk/upload/", 503), ("/bulk-upload", 503)])
def test_a_sender_is_told_that_the_storage_is_away(machines, people, address: str, status: int):
    client = APIClient()
    client.force_login(people.alice)
    machines.line.refuse()
    with (Path(__file__).parents[2] / "samples" / "claims-20.csv").open("rb") as file:
        answer = client.post(address, {"file": file}, format="multipart")
    assert answer.status_code == status
    assert "The storage cannot be reached." in answer.content.decode()
    assert ("storage_down" in answer.content.decode()) == address.startswith("/api")
    assert (stored_after(machines), files(machines.tmp)) == ([], [])


def test_results_are_not_there_for_a_moment(machines, send, people):
    job = send(3)
    work()
    machines.on("another web")
    client = APIClient()
    client.force_login(people.alice)
    machines.line.refuse()
    answer = client.get(f"/api/v1/claims/csv-jobs/{job.public_id}/results/")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_down")
    page = client.get(f"/jobs/{job.public_id}/results.csv")
    assert (page.status_code, "The files cannot be reached just now" in page.content.decode()) == (503, True)
    page = client.get(f"/jobs/{job.public_id}/")
    assert (page.status_code, "The storage cannot be reached." in page.content.decode()) == (200, True)


# ------------------------------------------------------------------------------------------------ another takes over


def test_an_inspection_is_taken_over_from_the_bucket_when_the_spool_is_gone(machines, checking):
    publish_original(checking)
    shutil.rmtree(machines.tmp / "web")
    machines.on("other")
    upload = inspect_upload(take_over(checking))
    assert (upload.state, stored()) == (UploadState.READY, ["original", "table-2.parquet"])
    assert table_key(upload).endswith("/table-2.parquet")


def test_an_inspection_is_taken_over_from_the_spool_by_the_same_machine(machines, checking):
    upload = inspect_upload(take_over(checking))
    assert (upload.state, stored()) == (UploadState.READY, ["original", "table-2.parquet"])
    assert files(machines.tmp) == []


def test_a_file_that_went_with_its_machine_is_given_up_with_a_reason(machines, checking):
    machines.on("other")
    expire(checking)
    finish_dead_uploads()
    checking.refresh_from_db()
    assert (checking.state, checking.purged_at is not None, stored()) == (UploadState.ABORTED, True, [])
    assert "stopped before the file was stored" in FindingRecord.objects.get(upload=checking).message
    assert AuditEvent.objects.filter(verb="upload.lost").count() == 1
    machines.on("web")
    assert files(machines.tmp / "web") == ["original"], "the machine comes back with what nobody wants any more"
    assert tidy.clear_machine() == 1
    assert files(machines.tmp / "web") == []


def test_an_outage_gives_no_upload_up(machines, checking):
    publish_original(checking)
    machines.on("other")
    machines.line.refuse()
    expire(checking)
    finish_dead_uploads()
    checking.refresh_from_db()
    assert checking.state == UploadState.CHECKING
    machines.line.accept()
    expire(checking)
    finish_dead_uploads()
    checking.refresh_from_db()
    assert checking.state == UploadState.READY


def test_what_a_late_inspector_writes_replaces_nothing(machines, checking):
    late = Upload.objects.get(pk=checking.pk)
    publish_original(checking)
    upload = inspect_upload(take_over(checking))
    with pytest.raises(LostLease):
        inspect_upload(late)
    stray = machines.tmp / "stray"
    stray.write_bytes(b"written after its lease was lost")
    publish_table(late, stray)
    with get_storage().hold(table_key(upload), upload.inspection["table"]["sha256"]) as path:
        assert path.read_bytes()[:4] == b"PAR1"


def test_the_copy_of_an_inspector_that_died_goes_once_another_has_judged(machines, checking, monkeypatch):
    made = machines.tmp / "made"
    made.write_bytes(b"the copy of an inspector that dies before its verdict")
    publish_original(checking)
    publish_table(checking, made)
    monkeypatch.setattr(tidy, "ORPHAN_AGE", timedelta(0))
    assert (tidy.clear_orphans(), stored()) == (0, ["original", "table.parquet"]), "another may still be at work"
    upload = inspect_upload(take_over(checking))
    assert stored() == ["original", "table-2.parquet", "table.parquet"]
    assert (tidy.clear_orphans(), stored()) == (1, ["original", "table-2.parquet"])
    assert table_key(upload).endswith("/table-2.parquet")
    Upload.objects.filter(pk=upload.pk).update(state=UploadState.REJECTED)
    assert (tidy.clear_orphans(), stored()) == (1, ["original"]), "a refused file has no copy"


# ------------------------------------------------------------------------------------------------ the engine


def test_an_outage_costs_no_attempt_and_no_row_and_says_why(machines, send):
    job = send(25)
    machines.on("worker")
    machines.line.refuse()
    for _ in range(5):
        batch = claim_batch("test")
        assert batch is not None
        assert run_batch(batch) == "snoozed"
        Batch.objects.filter(pk=batch.pk).update(available_at=Now() - timedelta(seconds=1))
    assert set(Batch.objects.exclude(waiting_reason="").values_list("waiting_reason", "attempts")) == {
        ("The storage cannot be reached.", 0)
    }
    assert job.results.count() == 0
    machines.line.accept()
    assert set(work()) == {"done"}
    assert job.results.filter(outcome="ok").count() == 25


def test_the_lease_is_kept_while_the_file_is_brought(machines, send, settings):
    send(10)
    machines.on("worker")
    settings.ROWMILL_LEASE_SECONDS = 1
    machines.line.hang_seconds = 2.5
    machines.line.plan("hang", method="HEAD")
    batch = claim_batch("test")
    assert batch is not None
    assert run_batch(batch) == "done"


def test_a_changed_copy_fails_the_batch_and_blames_no_row(machines, send):
    job = send(10)
    storage = get_storage()
    key = table_key(job.upload)
    other = machines.tmp / "other.parquet"
    other.write_bytes(b"PAR1 something else")
    storage.put_file(key, other)
    machines.on("worker")
    for _ in range(10):
        Batch.objects.filter(state="waiting").update(available_at=Now() - timedelta(seconds=1))
        work()
    batch = Batch.objects.get()
    assert (batch.state, batch.last_error, job.results.count()) == ("failed", "ObjectChanged", 0)
    assert list(storage.copies()) == []


# ------------------------------------------------------------------------------------------------ the end


def test_a_purge_takes_objects_and_copies_on_every_machine(machines, send, alice):
    job = send(10)
    machines.on("worker")
    work()
    assert len(files(machines.tmp / "worker")) == 1
    machines.on("web")
    list(iter_results(Job.objects.select_related("org", "upload").get(pk=job.pk))[1])
    assert len(files(machines.tmp / "web")) == 1
    job.refresh_from_db()
    delete_job(alice, job)
    assert (stored(), files(machines.tmp / "web")) == ([], [])
    machines.on("worker")
    assert tidy.clear_machine() == 1
    assert files(machines.tmp) == []


def test_a_purge_during_an_outage_stays_due(machines, send, alice):
    job = send(10)
    work()
    job.refresh_from_db()
    machines.line.refuse()
    delete_job(alice, job)
    upload = Upload.objects.get()
    assert (upload.purged_at, upload.purge_after is not None) == (None, True)
    machines.line.accept()
    sweep()
    upload.refresh_from_db()
    assert (upload.purged_at is not None, stored()) == (True, [])


def test_orphans_older_than_a_day_go_and_nothing_else_does(machines, send, monkeypatch):
    job, storage = send(10), get_storage()
    mine = sorted(storage.keys())
    lost = f"org/{job.org_id}/uploads/00000000-0000-4000-8000-000000000000/original"
    for key in (lost, "org/1/else", "others/thing"):
        storage.write(key, [b"x"])
    assert tidy.clear_orphans() == 0, "all of them are young"
    monkeypatch.setattr(tidy, "ORPHAN_AGE", timedelta(seconds=-60))
    assert tidy.clear_orphans() == 1
    assert sorted(storage.keys()) == sorted([*mine, "org/1/else", "others/thing", "installation"])
    Upload.objects.update(purged_at=Now())
    assert tidy.clear_orphans() == len(mine)


def test_another_installation_s_prefix_is_left_alone(machines, monkeypatch, settings):
    storage = get_storage()
    lost = "org/1/uploads/00000000-0000-4000-8000-000000000000/original"
    storage.write(lost, [b"x"])
    assert tidy.owns(storage)
    monkeypatch.setattr(tidy, "ORPHAN_AGE", timedelta(seconds=-60))
    settings.ROWMILL_ENCRYPTION_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    assert not tidy.owns(storage)
    assert tidy.clear_orphans() == 0
    assert storage.stat(lost) is not None


def test_the_spool_keeps_what_is_being_received(machines, alice):
    upload = begin_upload(alice, "probe", "probe.csv", {})
    receive_whole(upload, table(3), 1 << 20)
    assert tidy.clear_machine() == 0
    assert get_spool().stat(original_key(upload)) is not None
