"""A mended copy: a new upload of its parent's bytes, made once, judged as any other; the original stays as it was."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings as configured
from django.utils import timezone

from rowmill.errors import ChildError, Expired, InputError, LostLease, NotAllowed, QuotaExceeded, StateError
from rowmill.jobs.arrive import inspect_due, precheck_due, start_held
from rowmill.jobs.progress import read_progress
from rowmill.jobs.sweep import finish_dead_uploads
from rowmill.models import AuditEvent, Job, Upload, UploadState
from rowmill.orgs import find_caller
from rowmill.uploads import mending
from rowmill.uploads.inspect import claim_upload, inspect_upload
from rowmill.uploads.mending import left_out_rows, mend_upload, mended_name, order_mends, propose_mends
from rowmill.uploads.places import folder_key, get_storage, original_key
from rowmill.uploads.prechecks import receive_precheck
from rowmill.uploads.purge import purge_due_uploads, purge_upload
from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole
from tests.jobs import conftest as _registers_probe  # noqa: F401

pytestmark = pytest.mark.django_db
BLOCK = b"id,note\n0001,a\n0002;b\n0003;c\n0004,d\n"
MENDED = b"id,note\n0001,a\n0002,b\n0003,c\n0004,d\n"
RAGGED = b"id,note\n0001,a\n0002,b,c,d\n0003,c\n"
WITHOUT = ["without-broken-rows"]


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


@pytest.fixture
def send(alice):
    def judge(data: bytes, *, intent: dict | None = None) -> Upload:
        upload = begin_upload(alice, "probe", "table.csv", intent)
        return inspect_upload(finish_upload(upload, *receive_whole(upload, [data], 1 << 20)))

    return judge


def read(upload: Upload) -> bytes:
    with get_storage().open(original_key(upload)) as file:
        return file.read()


def run(copy: Upload) -> Upload:
    """Let a worker take it."""
    assert inspect_due()
    copy.refresh_from_db()
    return copy


def test_a_block_with_another_delimiter_is_mended_and_the_original_stays(send, alice):
    parent = send(BLOCK)
    assert parent.state == UploadState.REJECTED
    assert "delimiter" in [mend.slug for mend in propose_mends(parent)]
    copy = mend_upload(alice, parent, ["delimiter"])
    assert (copy.state, copy.sha256, copy.parent_id, copy.mends) == ("CHECKING", "", parent.pk, ["delimiter"])
    assert (copy.name, copy.kind, copy.created_by) == ("table (mended).csv", "probe", alice.user)
    copy = run(copy)
    assert (copy.state, copy.row_count, read(copy)) == (UploadState.READY, 4, MENDED)
    assert (copy.size_bytes, len(copy.sha256), left_out_rows(copy)) == (len(MENDED), 64, 0)
    assert copy.inspection["mended"]["applied"] == {"delimiter": 2}
    assert read(parent) == BLOCK
    asked = AuditEvent.objects.get(verb="upload.mend")
    assert (asked.target_id, asked.details["mends"], asked.actor) == (str(parent.public_id), "delimiter", alice.user)
    made = AuditEvent.objects.get(verb="upload.mended")
    assert (made.target_id, made.details) == (str(copy.public_id), {"places": 2, "left_out": 0})
    assert not list(configured.SCRATCH_DIR.glob("inspect-*"))


def test_its_job_starts_as_the_parents_would_have(send, alice):
    parent = send(RAGGED, intent={"mark": 1, "sheet": "One"})
    copy = run(mend_upload(alice, parent, WITHOUT))
    job = Job.objects.get()
    assert (job.upload_id, job.options, job.total_rows) == (copy.pk, {"mark": 1}, 2)
    assert left_out_rows(copy) == 1
    assert read_progress(job).balance["left_out"] == 1
    assert read_progress(job).balance["rows_balance"]


def test_asked_twice_it_is_the_same_copy_until_its_bytes_are_gone(send, alice, people):
    parent = send(RAGGED)
    first = mend_upload(alice, parent, WITHOUT)
    assert mend_upload(find_caller(people.bob), parent, WITHOUT * 2) == first
    run(first)
    assert mend_upload(alice, parent, WITHOUT) == first
    other = mend_upload(alice, parent, ["encoding", *WITHOUT])
    assert other != first
    assert purge_upload(first)
    assert mend_upload(alice, parent, WITHOUT) not in (first, other)
    assert AuditEvent.objects.filter(verb="upload.mend").count() == 3


def test_what_stays_broken_refuses_the_copy_which_can_be_mended_again(send, alice):
    parent = send(BLOCK + b"0005,x,y,z\n")
    copy = run(mend_upload(alice, parent, ["delimiter"]))
    assert copy.state == UploadState.REJECTED
    assert copy.purge_after is not None
    last = run(mend_upload(alice, copy, WITHOUT))
    assert (last.state, last.row_count, last.parent_id) == (UploadState.READY, 4, copy.pk)
    assert last.name == "table (mended).csv"


def test_mends_stand_in_the_houses_order_each_once():
    assert order_mends([*WITHOUT, "date-form:b", "encoding", "date-form:a", "encoding"]) == [
        "encoding",
        "date-form:a",
        "date-form:b",
        "without-broken-rows",
    ]
    for wrong in (
        [],
        ["nonsense"],
        ["date-form"],
        ["encoding:a"],
        ["date-form:a"] * 501,
        ["header:a\0"],
        ["header:" + "a" * 400],
    ):
        with pytest.raises(InputError) as failed:
            order_mends(wrong)
        assert failed.value.code == "bad_mend"


@pytest.mark.parametrize(
    ("name", "mended"),
    [
        ("a.csv", "a (mended).csv"),
        ("a.xlsx", "a (mended).csv"),
        ("a.csv.gz", "a (mended).csv"),
        ("a (mended).csv", "a (mended).csv"),
        ("x" * 255, "x" * 242 + " (mended).csv"),
        ("", "upload (mended).csv"),
    ],
)
def test_a_copy_is_named_after_its_original(name: str, mended: str):
    assert mended_name(name) == mended


def test_an_auditor_mends_nothing_and_nobody_another_orgs_file(send, alice, people):
    parent = send(RAGGED)
    with pytest.raises(NotAllowed):
        mend_upload(find_caller(people.ada), parent, WITHOUT)
    with pytest.raises(Upload.DoesNotExist):
        mend_upload(find_caller(people.charlie), parent, WITHOUT)
    assert Upload.objects.count() == 1


def test_a_file_that_is_not_judged_or_gone_is_not_mended(send, alice):
    parent = send(RAGGED)
    Upload.objects.filter(pk=parent.pk).update(state=UploadState.CHECKING)
    with pytest.raises(StateError):
        mend_upload(alice, parent, WITHOUT)
    Upload.objects.filter(pk=parent.pk).update(
        state=UploadState.REJECTED, purge_after=timezone.now() - timedelta(seconds=1)
    )
    with pytest.raises(Expired):
        mend_upload(alice, parent, WITHOUT)
    assert purge_due_uploads() == 1
    with pytest.raises(Expired):
        mend_upload(alice, parent, WITHOUT)


def test_a_copy_counts_against_the_orgs_quota(send, alice, settings):
    parent = send(RAGGED)
    settings.ROWMILL_ORG_FILES = 1
    with pytest.raises(QuotaExceeded):
        mend_upload(alice, parent, WITHOUT)


def test_a_parent_is_not_purged_by_date_while_it_is_read(send, alice):
    parent = send(RAGGED)
    copy = mend_upload(alice, parent, WITHOUT)
    Upload.objects.filter(pk=parent.pk).update(purge_after=timezone.now() - timedelta(seconds=1))
    assert purge_due_uploads() == 0
    assert run(copy).state == UploadState.READY
    assert purge_due_uploads() == 1
    assert read(copy) == b"id,note\n0001,a\n0003,c\n"


@pytest.mark.parametrize("how", ["purged", "lost", "deleted"])
def test_a_parent_that_is_gone_refuses_the_copy_in_words(send, alice, how):
    parent = send(RAGGED)
    copy = mend_upload(alice, parent, WITHOUT)
    if how == "purged":
        purge_upload(parent)
    elif how == "lost":
        get_storage().delete_under(folder_key(parent))
    else:
        parent.delete()
    run(copy)
    assert copy.state == UploadState.REJECTED
    assert copy.purged_at is not None
    assert "deleted before the copy was made" in copy.findings.get().message


def test_a_parent_purged_under_the_childs_hands_is_told_so(send, alice, monkeypatch):
    parent = send(RAGGED)
    copy = mend_upload(alice, parent, WITHOUT)

    def gone(*_args, **_more):
        purge_upload(parent)
        raise ChildError("The file could not be read (FileNotFoundError).")

    monkeypatch.setattr(mending, "run_in_child", gone)
    assert "deleted before" in run(copy).findings.get().message


def test_a_child_that_dies_refuses_the_copy_in_words(send, alice, monkeypatch):
    parent = send(RAGGED)
    copy = mend_upload(alice, parent, WITHOUT)

    def dies(*_args, **_more):
        raise ChildError("Reading the file took more memory than it may.")

    monkeypatch.setattr(mending, "run_in_child", dies)
    found = run(copy).findings.get()
    assert (found.code, found.message) == ("cannot_be_read", "Reading the file took more memory than it may.")
    assert read(parent) == RAGGED


def test_whoever_lost_the_copy_writes_nothing_and_the_next_makes_it_anew(send, alice):
    parent = send(RAGGED)
    copy = mend_upload(alice, parent, WITHOUT)
    lost = claim_upload(copy.pk)
    assert lost is not None
    Upload.objects.filter(pk=copy.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    taken = claim_upload(copy.pk)
    assert taken is not None
    with pytest.raises(LostLease):
        inspect_upload(lost)
    copy.refresh_from_db()
    assert (copy.state, copy.sha256, copy.inspection) == (UploadState.CHECKING, "", {})
    assert inspect_upload(taken).state == UploadState.READY
    assert AuditEvent.objects.filter(verb="upload.mended").count() == 1


def test_the_sweeper_leaves_copies_to_the_threads_that_inspect(send, alice):
    copy = mend_upload(alice, send(RAGGED), WITHOUT)
    finish_dead_uploads(large_too=False)
    copy.refresh_from_db()
    assert copy.state == UploadState.CHECKING
    finish_dead_uploads()
    copy.refresh_from_db()
    assert copy.state == UploadState.READY


def test_the_same_bytes_as_a_job_had_wait_for_a_word(send, alice):
    for _ in range(2):
        copy = run(mend_upload(alice, send(RAGGED, intent={}), WITHOUT))
    assert Job.objects.count() == 1
    assert copy.purge_after is not None
    assert start_held(alice, copy) is not None
    assert start_held(alice, copy) is None
    assert Job.objects.count() == 2


def test_a_sound_file_with_something_odd_is_mended_too(send, alice):
    parent = send(b"id,note\n0001,a\n\n0002,b\n")
    assert parent.state == UploadState.READY
    copy = run(mend_upload(alice, parent, ["blank-lines"]))
    assert (copy.state, read(copy)) == (UploadState.READY, b"id,note\n0001,a\n0002,b\n")


def test_what_was_prechecked_without_a_kind_is_mended_too(alice):
    precheck = receive_precheck(alice, "table.csv", [b"id,note\n1,a\n2,b,c\n"])
    assert precheck_due()
    copy = run(mend_upload(alice, precheck.upload, ["without-broken-rows"]))
    assert (copy.state, copy.kind, copy.row_count) == ("READY", "", 1)
    assert copy.purge_after is not None
    assert not inspect_due()
    assert not Job.objects.exists()
