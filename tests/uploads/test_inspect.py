"""The second step: READY with a copy, or REJECTED with findings; and whoever lost the upload writes nothing."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.conf import settings as configured
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.contracts import Finding
from rowmill.errors import ChildError, LostLease
from rowmill.jobs.submit import submit_job
from rowmill.models import AuditEvent, FindingRecord, Upload, UploadState
from rowmill.orgs import find_caller
from rowmill.uploads import inspect as inspect_module
from rowmill.uploads.inspect import as_finding, claim_upload, inspect_upload
from rowmill.uploads.places import folder_key, get_storage, hold_table, original_key
from rowmill.uploads.purge import purge_due_uploads, purge_upload
from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole
from tests.jobs import conftest as _registers_probe  # noqa: F401

pytestmark = pytest.mark.django_db
SOUND = b"id,note\n0001,a\n0002,b\n"
BROKEN = b'id,note\n0001,"a\n0002,b\n'


@pytest.fixture
def sent(people):
    def send(data: bytes, **intent) -> Upload:
        upload = begin_upload(find_caller(people.alice), "probe", "table.csv", intent or None)
        return finish_upload(upload, *receive_whole(upload, [data], 1 << 20))

    return send


def stored(upload: Upload) -> set[str]:
    return {key.rsplit("/", 1)[1] for key in get_storage().keys(folder_key(upload))}


def scratch() -> list[str]:
    return [path.name for path in configured.SCRATCH_DIR.glob("inspect-*")]


def test_a_sound_file_is_ready_with_its_copy_and_its_facts(sent):
    upload = inspect_upload(sent(SOUND))
    assert upload.state == UploadState.READY
    assert (upload.row_count, upload.header, upload.mapping) == (2, ["id", "note"], {"id": 1, "note": 2})
    assert upload.inspection["balance"]["balances"] is True
    assert upload.inspection["sha256"] == upload.sha256 == hashlib.sha256(SOUND).hexdigest()
    assert stored(upload) == {"original", "table.parquet"}
    with hold_table(upload) as path:
        assert path.is_file()
    assert (upload.lease_until, upload.purge_after) == (None, None)
    assert AuditEvent.objects.filter(verb="upload.ready", target_id=str(upload.public_id)).count() == 1
    assert scratch() == []


@pytest.mark.parametrize(("data", "found"), [(SOUND, {"rows": 2, "columns": 2}), (BROKEN, None)])
def test_a_sound_file_is_told_before_its_copy_is_written(sent, monkeypatch, data, found):
    known = []
    publish = inspect_module.publish_original
    monkeypatch.setattr(
        inspect_module,
        "publish_original",
        lambda upload: (known.append(Upload.objects.get(pk=upload.pk).inspection.get("found")), publish(upload)),
    )
    upload = inspect_upload(sent(data))
    assert known == [found]
    assert "found" not in upload.inspection


def test_a_broken_file_is_rejected_with_its_findings_and_without_a_copy(sent):
    upload = inspect_upload(sent(BROKEN))
    assert upload.state == UploadState.REJECTED
    assert stored(upload) == {"original"}
    record = FindingRecord.objects.get(upload=upload, severity="error")
    assert (record.code, record.line, record.column_name) == ("quote-not-closed", 2, "note")
    assert upload.purge_after is not None
    assert AuditEvent.objects.filter(verb="upload.rejected").count() == 1
    assert scratch() == []


def test_the_original_keeps_its_bytes(sent):
    for data in (SOUND, BROKEN):
        upload = inspect_upload(sent(data))
        with get_storage().open(original_key(upload)) as file:
            assert file.read() == data


def test_a_finding_survives_its_way_through_the_database(people, sent):
    upload = sent(SOUND)
    finding = Finding("date", "warning", "words", 2, 1, 3, "born", 17, "mend", 9)
    inspect_module._as_record(upload, 0, finding).save()
    assert as_finding(FindingRecord.objects.get()) == finding


def test_whoever_lost_the_upload_writes_nothing(sent):
    upload = sent(SOUND)
    Upload.objects.filter(pk=upload.pk).update(claims=7)
    with pytest.raises(LostLease):
        inspect_upload(upload)
    upload.refresh_from_db()
    assert (upload.state, upload.row_count) == (UploadState.CHECKING, 0)
    assert not FindingRecord.objects.exists()
    assert not AuditEvent.objects.filter(verb="upload.ready").exists()


def test_an_upload_is_claimed_only_when_its_inspector_is_dead(sent):
    upload = sent(SOUND)
    assert claim_upload(upload.pk) is None
    Upload.objects.filter(pk=upload.pk).update(lease_until=Now() - timedelta(seconds=1))
    taken = claim_upload(upload.pk)
    assert taken is not None
    assert taken.claims == upload.claims + 1
    assert claim_upload(upload.pk) is None
    assert inspect_upload(taken).state == UploadState.READY
    with pytest.raises(LostLease):
        inspect_upload(upload)


def test_a_child_that_dies_refuses_the_file_in_words(sent, monkeypatch):
    def dies(*_args, **_more):
        raise ChildError("Reading the file took more memory than it may. Split it and send its parts.")

    monkeypatch.setattr(inspect_module, "inspect_in_child", dies)
    upload = inspect_upload(sent(SOUND))
    assert (upload.state, stored(upload)) == (UploadState.REJECTED, {"original"})
    record = FindingRecord.objects.get()
    assert (record.code, record.message[:16]) == ("cannot_be_read", "Reading the file")
    assert record.mend


def test_a_purge_takes_the_bytes_and_leaves_the_record(sent, people):
    upload = inspect_upload(sent(SOUND))
    assert purge_upload(upload, people.alice)
    assert not purge_upload(upload, people.alice)
    upload.refresh_from_db()
    assert (upload.purged_at is not None, stored(upload)) == (True, set())
    assert AuditEvent.objects.filter(verb="upload.purge").count() == 1


def test_refused_files_go_when_their_day_is_over(sent):
    refused, fresh = inspect_upload(sent(BROKEN)), inspect_upload(sent(BROKEN + b"\n"))
    Upload.objects.filter(pk=refused.pk).update(purge_after=timezone.now() - timedelta(seconds=1))
    assert purge_due_uploads() == 1
    assert (stored(refused), stored(fresh)) == (set(), {"original"})
    assert purge_due_uploads() == 0


def test_what_a_job_uses_is_not_purged_by_date(sent):
    upload = inspect_upload(sent(SOUND))
    submit_job(upload, None, {})
    Upload.objects.filter(pk=upload.pk).update(purge_after=timezone.now() - timedelta(seconds=1))
    assert purge_due_uploads() == 0
    assert stored(upload) == {"original", "table.parquet"}
