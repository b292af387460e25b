"""How an upload in chunks ends: completed, refused, killed in the middle, swept, joined before a bucket."""

# ruff: noqa: F811  (an argument is named as the fixture that it gets)
from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from rowmill.errors import DuplicateFile, Expired, InputError, StateError, StorageFault
from rowmill.jobs.arrive import await_verdict, complete_upload, inspect_due, is_held, start_held
from rowmill.jobs.sweep import finish_dead_uploads, recover_after_start, sweep
from rowmill.models import AuditEvent, Job, Upload, UploadSession
from rowmill.uploads import chunks, completing
from rowmill.uploads.chunks import missing_chunks, put_chunk
from rowmill.uploads.completing import complete_session
from rowmill.uploads.hashing import follower
from rowmill.uploads.places import get_storage, original_key
from tests.storage.conftest import s3_servers  # noqa: F401
from tests.uploads.test_chunks import _NUMBERS, Sender, alice, folder, left, send, sha, storage  # noqa: F401  fixtures

pytestmark = pytest.mark.django_db


# ------------------------------------------------------------------------------------------------ completing


def test_completing_says_what_is_missing_and_goes_on_later(folder, send, alice):
    sender = send()
    for index in range(0, sender.count, 2):
        sender.put(index)
    odd = list(range(1, sender.count, 2))
    assert missing_chunks(sender.fresh()) == odd
    with pytest.raises(StateError) as refused:
        complete_upload(alice, sender.fresh())
    assert (refused.value.code, refused.value.details["missing"]) == ("chunk_missing", odd)
    assert refused.value.details["missing_count"] == len(odd)
    sender.put_all()
    assert complete_upload(alice, sender.fresh()).state == "CHECKING"


def test_another_hash_than_was_declared_refuses_the_file_and_its_bytes_go(storage, send, alice):
    sender = send(sha256=sha(b"something else"))
    sender.put_all()
    with pytest.raises(InputError) as refused:
        complete_upload(alice, sender.fresh(), sha256=sha(b"a third thing"))
    assert refused.value.code == "bad_sha256"
    upload = complete_upload(alice, sender.fresh())
    inspect_due()
    upload = await_verdict(upload, 0)
    assert (upload.state, [f.code for f in upload.findings.all()]) == ("REJECTED", ["hash_mismatch"])
    assert upload.purged_at is not None
    assert left(sender) == []
    assert not Job.objects.exists()


@pytest.mark.parametrize("said", ["complete", "later"])
def test_the_same_bytes_within_a_day_wait_for_a_word(storage, send, alice, tmp_path, said):
    first = send()
    first.put_all()
    complete_upload(alice, first.fresh())
    inspect_due()
    again = Sender(alice, tmp_path, first.data, 1000, confirmed=False)
    again.put_all()
    if said == "later":
        with pytest.raises(DuplicateFile) as held:
            await_verdict(_complete_and_inspect(alice, again), 0)
        assert held.value.details["job_id"] == str(Job.objects.get().public_id)
        if storage == "folder":
            assert again.fresh().state == "open"
            return
        upload = Upload.objects.get(pk=again.session.upload_id)
        assert is_held(upload)
        finish_dead_uploads(all_of_them=True)
        assert Job.objects.count() == 1
        assert start_held(alice, upload) is not None
        assert start_held(alice, upload) is None
    else:
        upload = complete_upload(alice, again.fresh(), confirmed=said == "complete")
        inspect_due()
        assert await_verdict(upload, 0).state == "READY"
    assert Job.objects.count() == 2


def _complete_and_inspect(alice, sender: Sender) -> Upload:
    upload = complete_upload(alice, sender.fresh())
    inspect_due()
    return upload


class Killed(BaseException):
    """The process ends here."""


POINTS = ("session_completing", "session_assembled", "finished", "session_closed")


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_completing_it_ends_once(storage, send, alice, monkeypatch, point):
    sender = send()
    sender.put_all()

    def strike(name: str) -> None:
        if name == point:
            raise Killed

    for module in ("completing", "sessions", "receive"):
        monkeypatch.setattr(f"rowmill.uploads.{module}.fault_point", strike)
    with pytest.raises(Killed):
        complete_upload(alice, sender.fresh())
    monkeypatch.undo()
    follower.forget(original_key(sender.session.upload))
    sender.fresh().upload.refresh_from_db()
    Upload.objects.update(created_at=timezone.now() - timedelta(days=2))  # as old as it may be
    UploadSession.objects.update(lease_until=None)
    sweep()
    upload = Upload.objects.get()
    assert (upload.state, sender.stored() == sender.data) == ("READY", True)
    assert sender.fresh().state == "closed"
    assert Job.objects.count() == 1


def test_while_one_completes_the_other_is_told_so(folder, send, alice):
    sender = send()
    sender.put_all()
    UploadSession.objects.update(state="completing", lease_until=timezone.now() + timedelta(seconds=60))
    with pytest.raises(StateError) as told:
        complete_upload(alice, sender.fresh())
    assert told.value.code == "in_progress"
    with pytest.raises(StateError):
        sender.put(0)
    assert completing.continue_completing() == 0


def test_open_sessions_outlive_a_restart_and_a_long_silence(folder, send, alice):
    sender = send()
    sender.put(0)
    Upload.objects.update(created_at=timezone.now() - timedelta(hours=5))
    recover_after_start()
    finish_dead_uploads()
    sweep()
    assert sender.fresh().upload.state == "RECEIVING"
    sender.put_all()
    assert complete_upload(alice, sender.fresh()).state == "CHECKING"


def test_a_session_that_was_cut_while_it_ended_is_ended_by_the_sweeper(folder, send, alice):
    sender = send()
    sender.put(0)
    UploadSession.objects.update(state="closed")  # and then the process died
    Upload.objects.update(created_at=timezone.now() - timedelta(hours=2))
    sweep()
    assert (Upload.objects.get().state, left(sender)) == ("ABORTED", [])


def test_abandoned_sessions_go_with_an_event_each_and_their_bytes(storage, send):
    senders = [send(fingerprint=str(number)) for number in range(5)]
    for sender in senders:
        sender.put(0)
    UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    sweep()
    assert set(Upload.objects.values_list("state", flat=True)) == {"ABORTED"}
    assert AuditEvent.objects.filter(verb="upload.expire").count() == 5
    assert left(senders[0]) == []
    if storage == "bucket":
        from rowmill.storage.assembling import is_in_bucket, open_assembly

        assembly = open_assembly(get_storage())
        assert is_in_bucket(assembly)
        assert assembly.unfinished() == []


def test_the_hash_is_followed_on_the_way(folder, send, monkeypatch):
    """Completing reads only what was not hashed as it came, and the hash is right however little is known."""
    sender = send(rows=2000, length=1500)
    for index in range(sender.count - 1, 0, -1):
        sender.put(index)
    follower.forget(original_key(sender.session.upload))  # a restart
    sender.put(0)
    deadline = 60.0
    import time

    until = time.monotonic() + deadline
    while (
        follower._files[original_key(sender.session.upload)].hashed_bytes < len(sender.data)
        and time.monotonic() < until
    ):
        time.sleep(0.01)
    read: list[int] = []
    monkeypatch.setattr("rowmill.uploads.hashing.os.pread", lambda *args: read.append(args[1]) or b"")
    assert complete_session(sender.fresh()).sha256 == sha(sender.data)
    assert read == []


@pytest.mark.slow
def test_small_chunks_before_a_bucket_are_joined_on_the_way(send, settings, tmp_path, s3_servers, monkeypatch):  # noqa: F811
    from rowmill.uploads import pieces

    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    settings.ROWMILL_MIN_FREE_BYTES = 0
    monkeypatch.setattr(pieces, "GROUP_BYTES", 5_500_000)  # moto holds parts to 5 MiB
    server = s3_servers("moto")
    with server.credentials():
        settings.ROWMILL_STORAGE_URL = server.url(f"chunks-{next(_NUMBERS)}", "p")
        sender = send()
        sender.data = b"0123456789abcdef" * 700_000
        sender.length = 2_000_000
        sender = Sender(sender.caller, tmp_path, sender.data, 2_000_000)
        for index in (0, 1, 3, 4, 5):
            sender.put(index)
        # The second group (3, 4, 5) is a part by now, the first waits for its third chunk.
        places = dict(sender.session.parts.values_list("number", "place"))
        assert places == {0: "piece", 1: "piece", 3: "part", 4: "part", 5: "part"}
        assert sorted(name.split("-")[0] for name in left(sender)) == ["0", "1"]
        sender.put(2)
        assert left(sender) == []
        complete_session(sender.fresh())
        assert sender.stored() == sender.data
        assert not list((tmp_path / "scratch").glob("*.piece"))


def test_a_bucket_that_gave_the_upload_up_ends_the_session(storage, send, alice):
    if storage == "folder":
        pytest.skip("a folder gives nothing up")
    from rowmill.storage.assembling import open_assembly

    sender = send()
    sender.put(0)
    session = sender.fresh()
    open_assembly(get_storage()).abort(original_key(session.upload), session.storage_token)
    with pytest.raises((Expired, StorageFault)):
        sender.put_all()


def test_nothing_here_needs_more_than_a_few_queries(folder, send, django_assert_max_num_queries):
    sender = send()
    sender.put(0)
    path = chunks.Path(get_storage().root) / "spool"
    path.write_bytes(sender.bytes_of(1))
    session = sender.fresh()
    with django_assert_max_num_queries(5 if connection.vendor == "sqlite" else 6):
        put_chunk(session, 1, path)
