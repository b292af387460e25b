"""The tus door before a bucket: parts of 8 MiB, and a tail that waits for the next request."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import pytest
from django.utils import timezone

from rowmill.errors import Expired, LostLease, StorageFault
from rowmill.models import PartPlace, Upload, UploadPart, UploadSession
from rowmill.orgs import Caller, find_caller
from rowmill.storage import is_in_bucket, open_assembly
from rowmill.uploads.appending import Checksum, ChecksumMismatch, append, finish_appended, open_appending
from rowmill.uploads.completing import continue_completing
from rowmill.uploads.inspect import claim_due_upload, hold_original
from rowmill.uploads.places import get_storage, original_key
from rowmill.uploads.sessions import cancel_session, expire_sessions
from rowmill.uploads.sinks import MOST_PARTS, PART_BYTES, part_bytes
from tests.api.test_tus import call, create, offset_of, patch
from tests.servers.proxy import HttpProxy
from tests.storage.conftest import s3_servers  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
_NUMBERS = count(1)
SIZE = 2 * PART_BYTES + 1_234_567
DATA = random.Random(3).randbytes(SIZE)


@pytest.fixture
def line(settings, s3_servers) -> Iterator[HttpProxy]:  # noqa: F811
    server = s3_servers("moto")
    with server.credentials(), HttpProxy(server.port) as made:
        settings.ROWMILL_STORAGE_URL = server.url(f"tus-{next(_NUMBERS)}", "p", port=made.port)
        settings.ROWMILL_MIN_FREE_BYTES = 0
        yield made


@pytest.fixture
def bob_himself(people) -> Caller:
    return find_caller(people.bob)


@pytest.fixture
def session(line, bob_himself: Caller) -> UploadSession:
    return open_appending(bob_himself, "claim_status", "claims.csv", SIZE)


def fresh(session: UploadSession) -> UploadSession:
    return UploadSession.objects.select_related("upload", "org").get(pk=session.pk)


def blocks(start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, 300_000):
        yield DATA[at : min(at + 300_000, end)]


def stored() -> list[str]:
    return [key.rsplit("/", 1)[1] for key in get_storage().keys("org")]


def unfinished() -> list[object]:
    assembly = open_assembly(get_storage())
    assert is_in_bucket(assembly)
    return list(assembly.unfinished("org"))


def need_whole() -> None:
    upload = claim_due_upload()
    assert upload is not None
    with hold_original(upload) as path:
        assert path.read_bytes() == DATA
    assert (upload.size_bytes, stored(), unfinished()) == (SIZE, ["original"], [])


def test_a_file_in_requests_of_any_size(bob, line, settings) -> None:
    url = create(bob, SIZE)
    at = 0
    for end in (5, 1_000_000, PART_BYTES - 1, PART_BYTES, PART_BYTES + 70_000, SIZE):
        answer = patch(bob, url, at, DATA[at:end])
        assert (answer.status_code, answer["Upload-Offset"]) == (204, str(end))
        assert offset_of(bob, url) == end
        at = end
        if end % PART_BYTES and end != SIZE:
            assert len(stored()) == 1, "the tail of now, and none of before"
    need_whole()
    assert not list(settings.SCRATCH_DIR.glob("append-*"))


def test_an_end_that_is_told_late(bob, line) -> None:
    url = create(bob, None)
    assert patch(bob, url, 0, DATA).status_code == 204
    assert patch(bob, url, SIZE, b"", Upload_Length=str(SIZE)).status_code == 204
    need_whole()


def test_what_a_checksum_refuses_is_not_kept(session) -> None:
    append(fresh(session), 0, blocks(0, 1_000_000))
    for end in (1_500_000, SIZE):  # within the tail's part, and over several parts
        with pytest.raises(ChecksumMismatch):
            append(fresh(session), 1_000_000, (b"x" * len(b) for b in blocks(1_000_000, end)), Checksum("sha1", b""))
        assert fresh(session).offset_bytes == 1_000_000
    right = Checksum("sha256", hashlib.sha256(DATA[1_000_000:]).digest())
    assert append(fresh(session), 1_000_000, blocks(1_000_000, SIZE), right)
    finish_appended(fresh(session))
    need_whole()


def test_the_newest_wins(session) -> None:
    """The old line's thread has half a part when its sender comes again; what it sends after that changes nothing."""

    def old_line() -> Iterator[bytes]:
        yield b"o" * 5_000_000
        append(fresh(session), 100, blocks(100, PART_BYTES + 10))
        yield b"o" * 5_000_000

    append(fresh(session), 0, blocks(0, 100))
    with pytest.raises(LostLease):
        append(fresh(session), 100, old_line())
    assert append(fresh(session), PART_BYTES + 10, blocks(PART_BYTES + 10, SIZE))
    finish_appended(fresh(session))
    need_whole()


def test_a_part_that_comes_too_late_spoils_nothing_unseen(session, tmp_path) -> None:
    """It got past the fence and lands at last, with other bytes: the completing refuses it by its ETag."""
    append(fresh(session), 0, blocks(0, SIZE))
    late = tmp_path / "late"
    late.write_bytes(b"l" * PART_BYTES)
    assembly = open_assembly(get_storage())
    assembly.put_part(original_key(session.upload), fresh(session).storage_token, 1, late, offset=0)
    with pytest.raises(Expired):
        finish_appended(fresh(session))
    assert expire_sessions() == 1
    assert (Upload.objects.get().state, stored(), unfinished()) == ("ABORTED", [], [])


def test_the_sweeper_gives_up_what_cannot_be_put_together(session, tmp_path) -> None:
    """A crash behind the last byte, and the storage has other parts: it is over, not tried again for ever."""
    assert append(fresh(session), 0, blocks(0, SIZE))
    other = tmp_path / "other"
    other.write_bytes(b"l" * PART_BYTES)
    open_assembly(get_storage()).put_part(
        original_key(session.upload), fresh(session).storage_token, 1, other, offset=0
    )
    assert continue_completing() == 0
    assert continue_completing() == 0
    assert expire_sessions() == 1
    assert (Upload.objects.get().state, stored(), unfinished()) == ("ABORTED", [], [])


def test_a_storage_that_is_away_loses_nothing_acknowledged(session, line: HttpProxy) -> None:
    append(fresh(session), 0, blocks(0, 2_000_000))
    line.refuse()
    with pytest.raises(StorageFault):
        append(fresh(session), 2_000_000, blocks(2_000_000, SIZE))
    line.accept()
    assert fresh(session).offset_bytes == 2_000_000
    append(fresh(session), 2_000_000, blocks(2_000_000, SIZE))
    finish_appended(fresh(session))
    need_whole()


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_nothing_is_left_of_one_that_ended(session, bob_himself: Caller, how: str) -> None:
    append(fresh(session), 0, blocks(0, PART_BYTES + 100))
    assert {part.place for part in UploadPart.objects.all()} == {PartPlace.PART, PartPlace.PIECE}
    if how == "cancelled":
        cancel_session(bob_himself, fresh(session))
    else:
        UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        assert expire_sessions() == 1
    assert (stored(), unfinished()) == ([], [])


def test_head_of_one_that_is_not_finished_yet(bob, line) -> None:
    url = create(bob, SIZE)
    UploadSession.objects.update(state="completing", offset_bytes=SIZE)
    assert call(bob, "HEAD", url)["Upload-Offset"] == str(SIZE)


def test_even_the_largest_file_has_few_enough_parts(settings) -> None:
    for size in (1, PART_BYTES, 10**9, 50 * 2**30, 10**13):
        assert part_bytes(size) >= PART_BYTES
        assert -(-size // part_bytes(size)) <= MOST_PARTS
    settings.ROWMILL_MAX_FILE_BYTES = 10**12
    assert -(-(10**12) // part_bytes(None)) <= MOST_PARTS
