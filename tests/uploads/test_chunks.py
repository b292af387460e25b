"""The chunk door's verbs: any order, again, other bytes, at once; completing over crashes, in a folder and in a bucket."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from django.utils import timezone

from rowmill.errors import Expired, InputError, StateError
from rowmill.jobs.arrive import complete_upload, inspect_due
from rowmill.models import Job, Upload, UploadPart, UploadSession
from rowmill.orgs import find_caller
from rowmill.uploads.chunks import here_chunks, plan_chunks, put_chunk
from rowmill.uploads.completing import complete_session
from rowmill.uploads.places import get_storage, original_key
from rowmill.uploads.sessions import cancel_session, expire_sessions, fetch_session, open_session
from tests.jobs.conftest import in_thread, table, work
from tests.storage.conftest import s3_servers  # noqa: F401

pytestmark = pytest.mark.django_db
_NUMBERS = count(1)


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def storage(request, settings, tmp_path: Path) -> Iterator[str]:
    """A folder, then a bucket."""
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    settings.ROWMILL_MIN_FREE_BYTES = 0
    if request.param == "folder":
        yield request.param
        return
    server = request.getfixturevalue("s3_servers")("moto")
    with server.credentials():
        settings.ROWMILL_STORAGE_URL = server.url(f"chunks-{next(_NUMBERS)}", "p")
        yield request.param


@pytest.fixture
def folder(settings, tmp_path: Path) -> None:
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


class Sender:
    """A file and the session that it comes in by."""

    def __init__(self, caller, tmp: Path, data: bytes, length: int, **more) -> None:
        self.data, self.length, self.caller, self._tmp = data, length, caller, tmp
        words = {"chunk_count": -(-len(data) // length), "intent": {}, "fingerprint": str(next(_NUMBERS)), **more}
        self.session = open_session(caller, "probe", "big.csv", door="chunks", size_bytes=len(data), **words)

    @property
    def count(self) -> int:
        return self.session.chunk_count

    def bytes_of(self, index: int) -> bytes:
        return self.data[index * self.length : (index + 1) * self.length]

    def put(self, index: int, data: bytes | None = None, **more) -> UploadPart:
        path = self._tmp / f"spool-{next(_NUMBERS)}"
        path.write_bytes(self.bytes_of(index) if data is None else data)
        session = UploadSession.objects.select_related("upload").get(pk=self.session.pk)
        try:
            return put_chunk(session, index, path, **more)
        finally:
            assert path.exists(), "the caller's file is the caller's"
            path.unlink()

    def put_all(self) -> None:
        order = list(range(self.count))
        random.Random(5).shuffle(order)
        for index in order:
            self.put(index)

    def fresh(self) -> UploadSession:
        return fetch_session(self.caller, self.session.upload.public_id)

    def stored(self) -> bytes:
        with get_storage().open(original_key(self.session.upload)) as file:
            return file.read()


@pytest.fixture
def send(alice, tmp_path: Path) -> Callable[..., Sender]:
    def make(rows: int = 200, length: int = 700, **more) -> Sender:
        data = b"".join(table(rows, f"{next(_NUMBERS)} "))
        return Sender(alice, tmp_path, data, length, **more)

    return make


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def left(sender: Sender) -> list[str]:
    """List what lies in the upload's folder."""
    return [key.rsplit("/", 1)[1] for key in get_storage().keys(f"org/{sender.caller.org.pk}/uploads")]


# ------------------------------------------------------------------------------------------------ chunks


def test_chunks_in_any_order_become_the_file_and_its_job(storage, send, alice):
    sender = send(sha256="")
    sender.put_all()
    assert here_chunks(sender.fresh()) == list(range(sender.count))
    upload = complete_upload(alice, sender.fresh(), sha256=sha(sender.data))
    assert (upload.state, upload.size_bytes) == ("CHECKING", len(sender.data))
    assert upload.sha256 == (sha(sender.data) if storage == "folder" else "")
    assert sender.stored() == sender.data
    assert inspect_due() is True
    assert inspect_due() is False
    upload.refresh_from_db()
    assert (upload.state, upload.sha256, upload.row_count) == ("READY", sha(sender.data), 200)
    job = Job.objects.get(upload=upload)
    work()
    job.refresh_from_db()
    assert (job.state, job.total_rows) == ("COMPLETED", 200)
    assert sender.fresh().state == "closed"
    assert [key for key in left(sender) if not key.startswith(("original", "table"))] == []
    assert complete_upload(alice, sender.fresh()).pk == upload.pk


def test_the_same_bytes_again_do_no_harm_and_others_are_refused(storage, send):
    sender = send()
    for index in (1, 1, 0, 1):
        assert sender.put(index).size_bytes == sender.length
    assert UploadPart.objects.count() == 2
    assert sender.put(1, sha256_declared=sha(sender.bytes_of(1))).number == 1
    with pytest.raises(StateError) as refused:
        sender.put(1, bytes(sender.length))
    assert refused.value.code == "chunk_differs"
    other = sender.bytes_of(1)[:-1] + b"\0"
    with pytest.raises(StateError) as refused:  # one byte at its end is enough, also where a hash is declared
        sender.put(1, other, sha256_declared=sha(other))
    assert refused.value.code == "chunk_differs"
    sender.put_all()
    complete_session(sender.fresh())
    assert sender.stored() == sender.data


def test_a_checksum_guards_a_chunk(folder, send):
    sender = send()
    with pytest.raises(InputError) as refused:
        sender.put(0, sha256_declared=sha(b"other"))
    assert refused.value.code == "checksum_mismatch"
    assert (here_chunks(sender.fresh()), sender.fresh().chunk_bytes) == ([], 0)
    assert sender.put(0, sha256_declared=sha(sender.bytes_of(0)).upper()).number == 0


@pytest.mark.parametrize("first", [0, 3, -1])
def test_the_first_chunk_tells_how_long_they_are(folder, send, first):
    sender = send()
    first %= sender.count
    sender.put(first)
    assert sender.fresh().chunk_bytes == sender.length
    for index, data in (
        (1, b"short"),
        (sender.count - 1, bytes(sender.length)),
        (1, bytes(sender.length + 1)),
        (0, b""),
    ):
        if index == first:
            continue
        with pytest.raises(InputError) as refused:
            sender.put(index, data)
        assert refused.value.code == "chunk_size"
    for index in (sender.count, sender.count + 1000, -1):
        with pytest.raises(InputError) as refused:
            sender.put(index, b"x")
        assert refused.value.code == "bad_index"


@pytest.mark.parametrize(("index", "length"), [(0, 1), (0, 10**4), (-1, 1), (-1, 0), (0, 0)])
def test_a_first_chunk_that_fits_nothing_is_refused_and_teaches_nothing(folder, send, index, length):
    sender = send()
    with pytest.raises(InputError) as refused:
        sender.put(index % sender.count, bytes(length))
    assert refused.value.code == "chunk_size"
    assert sender.fresh().chunk_bytes == 0


@pytest.mark.parametrize(
    ("words", "plan"),
    [
        ((50_000_000, 10, 0), (10, 0)),
        ((50_000_000, 0, 5_000_000), (10, 5_000_000)),
        ((50_000_001, 0, 5_000_000), (11, 5_000_000)),
        ((7, 1, 0), (1, 7)),
        ((7, 7, 0), (7, 0)),
    ],
)
def test_how_a_file_is_cut(words, plan):
    assert plan_chunks(*words) == plan


@pytest.mark.parametrize("words", [(7, 8, 0), (50, 3, 10), (50, 5, 5), (10**9, 0, 1), (7, -1, 0)])
def test_cuts_that_cannot_be(words):
    with pytest.raises(InputError) as refused:
        plan_chunks(*words)
    assert refused.value.code == "bad_chunks"


def test_a_session_that_is_over_takes_no_chunk_and_keeps_no_byte(folder, send, alice):
    cancelled, expired = send(), send()
    for sender in (cancelled, expired):
        sender.put(0)
    cancel_session(alice, cancelled.fresh())
    UploadSession.objects.filter(pk=expired.session.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert expire_sessions() == 1
    for sender, error in ((cancelled, StateError), (expired, Expired)):
        with pytest.raises(error):
            sender.put(1)
        with pytest.raises(error):
            complete_session(sender.fresh())
    assert left(cancelled) == []
    assert UploadPart.objects.count() == 0


def test_what_is_cancelled_under_a_chunk_leaves_nothing(storage, send, alice, monkeypatch):
    sender = send()
    sender.put(0)
    monkeypatch.setattr("rowmill.uploads.chunks.fault_point", lambda _: cancel_session(alice, sender.fresh()))
    monkeypatch.setattr("rowmill.uploads.pieces.fault_point", lambda _: cancel_session(alice, sender.fresh()))
    with pytest.raises(StateError):
        sender.put(1)
    assert left(sender) == []
    assert UploadPart.objects.count() == 0


def test_a_file_that_is_gone_from_the_folder_has_to_be_sent_again(folder, send):
    sender = send()
    sender.put_all()
    get_storage().delete_under(original_key(sender.session.upload).rsplit("/", 1)[0])
    with pytest.raises(OSError):
        complete_session(sender.fresh())
    UploadSession.objects.update(state="open")
    UploadPart.objects.filter(number=0).delete()
    sender.put(0)
    assert here_chunks(sender.fresh()) == [0]
    sender.put_all()
    complete_session(sender.fresh())
    assert sender.stored() == sender.data


def test_a_full_disk_loses_nothing_that_was_acknowledged(folder, send, settings):
    sender = send()
    sender.put(0)
    settings.ROWMILL_MIN_FREE_BYTES = 1 << 60
    from rowmill.errors import OutOfSpace

    with pytest.raises(OutOfSpace):
        sender.put(1)
    assert here_chunks(sender.fresh()) == [0]
    settings.ROWMILL_MIN_FREE_BYTES = 0
    sender.put_all()
    complete_session(sender.fresh())
    assert sender.stored() == sender.data


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_many_senders_of_the_same_chunks_at_once(folder, send):
    """Each chunk is sent by three at once, one of them with other bytes: whoever was acknowledged, his bytes are there."""
    sender = send(rows=400, length=900)
    sender.put(0)
    said: list[tuple[int, bytes]] = []
    refusals: set[str] = set()

    def post(index: int, data: bytes) -> None:
        try:
            sender.put(index, data)
            said.append((index, data))
        except StateError as error:
            refusals.add(error.code)

    for index in range(1, sender.count):
        right = sender.bytes_of(index)
        tries = [
            in_thread(lambda data=data, index=index: post(index, data)) for data in (right, bytes(len(right)), right)
        ]
        for thread in tries:
            thread.join(60)
    complete_session(sender.fresh())
    stored = sender.stored()
    assert refusals == {"chunk_differs"}
    assert {index for index, _ in said} == set(range(1, sender.count))
    for index, data in said:
        assert stored[index * 900 : index * 900 + len(data)] == data
    assert Upload.objects.get().sha256 == sha(stored)
