"""The first step: bytes come in whole, measured and hashed, or nothing of them stays."""

from __future__ import annotations

import hashlib

import pytest

from rowmill.errors import InputError, NotAllowed, NotFound, OutOfSpace, StateError
from rowmill.models import AuditEvent, Upload, UploadState
from rowmill.orgs import find_caller
from rowmill.uploads.places import folder_key, get_storage, original_key
from rowmill.uploads.receive import abandon_upload, begin_upload, clean_name, finish_upload, receive_whole
from tests.jobs import conftest as _registers_probe  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


@pytest.fixture
def upload(alice) -> Upload:
    return begin_upload(alice, "probe", "table.csv")


def stored(upload: Upload) -> list[str]:
    return list(get_storage().keys(folder_key(upload)))


def test_an_upload_begins_receiving_and_leaves_a_trail(upload):
    assert upload.state == UploadState.RECEIVING
    event = AuditEvent.objects.get(verb="upload.begin")
    assert (event.target_id, event.actor_name) == (str(upload.public_id), "alice@acme.test")


def test_bytes_are_stored_as_they_came_and_hashed(upload):
    data = b"id\n" + b"x" * 300_000
    chunks = [data[:7], b"", data[7:200_000], data[200_000:]]
    assert receive_whole(upload, chunks, 1_000_000) == (len(data), hashlib.sha256(data).hexdigest())
    with get_storage().open(original_key(upload)) as file:
        assert file.read() == data


@pytest.mark.parametrize(
    ("data", "code"), [([b"12345", b"67890", b"1"], "too_large"), ([], "empty_file"), ([b""], "empty_file")]
)
def test_too_much_and_nothing_at_all_are_refused(upload, data, code):
    with pytest.raises(InputError) as refused:
        receive_whole(upload, data, 10)
    assert refused.value.code == code
    upload.refresh_from_db()
    assert (upload.state, stored(upload)) == (UploadState.ABORTED, [])


def test_the_limit_itself_is_taken(upload):
    assert receive_whole(upload, [b"1234567890"], 10)[0] == 10


def test_a_sender_who_goes_away_leaves_nothing(upload):
    def goes_away():
        yield b"some"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        receive_whole(upload, goes_away(), 1000)
    upload.refresh_from_db()
    assert (upload.state, stored(upload)) == (UploadState.ABORTED, [])
    assert upload.purged_at is not None


def test_an_upload_is_finished_once(upload):
    size, sha256 = receive_whole(upload, [b"id\n1\n"], 100)
    finished = finish_upload(upload, size, sha256)
    assert (finished.state, finished.size_bytes, finished.sha256) == (UploadState.CHECKING, 5, sha256)
    assert (finished.claims, finished.lease_until is None) == (1, False)
    with pytest.raises(StateError):
        finish_upload(upload, size, sha256)


def test_what_was_abandoned_cannot_be_finished(upload):
    receive_whole(upload, [b"id\n"], 100)
    assert abandon_upload(upload)
    abandon_upload(upload)
    assert stored(upload) == []
    with pytest.raises(StateError):
        finish_upload(upload, 3, "x")


def test_an_auditor_sends_nothing(people):
    with pytest.raises(NotAllowed):
        begin_upload(find_caller(people.ada), "probe", "table.csv")
    assert not Upload.objects.exists()


def test_a_kind_that_is_not_there(alice):
    with pytest.raises(NotFound, match="probe"):
        begin_upload(alice, "cats", "table.csv")
    assert not Upload.objects.exists()


def test_a_full_disk_takes_nothing(alice, settings):
    settings.ROWMILL_MIN_FREE_BYTES = 1 << 60
    with pytest.raises(OutOfSpace, match="Ask your admin"):
        begin_upload(alice, "probe", "table.csv")
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("claims.csv", "claims.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\März report.csv", "März report.csv"),
        ("a\x00b\nc.csv", "abc.csv"),
        ("", "upload.csv"),
        ("/", "upload.csv"),
        ("   ", "upload.csv"),
        ("x" * 300 + ".csv", "x" * 255),
        ("\u202egpj.csv", "gpj.csv"),
    ],
)
def test_a_name_is_shown_and_never_a_path(sent, kept):
    assert clean_name(sent) == kept
