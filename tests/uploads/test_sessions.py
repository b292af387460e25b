"""Sessions of the resumable doors: found again, limited, ended; what they leave."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from rowmill.errors import Expired, InputError, NotAllowed, NotFound, QuotaExceeded, StateError
from rowmill.models import AuditEvent, Upload, UploadSession
from rowmill.orgs import find_caller
from rowmill.uploads.sessions import cancel_session, expire_sessions, fetch_session, need_open, open_session, touch

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _folders(settings, tmp_path):
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"


def begin(user, **more) -> UploadSession:
    words = {"door": "chunks", "size_bytes": 1000, "chunk_count": 3, **more}
    return open_session(find_caller(user), "claim_status", "claims.csv", **words)


def age(session: UploadSession) -> None:
    UploadSession.objects.filter(pk=session.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    session.refresh_from_db()


def test_the_same_words_find_the_open_session_again(people):
    first = begin(people.alice, fingerprint="f1")
    assert begin(people.alice, fingerprint="f1").pk == first.pk
    others = [
        begin(people.alice, fingerprint="f2"),
        begin(people.alice, fingerprint="f1", size_bytes=1001),
        begin(people.alice, fingerprint="f1", chunk_count=4),
        begin(people.alice, fingerprint="f3", sha256="a" * 64),
        begin(people.alice, fingerprint="f3", sha256="b" * 64),
        begin(people.bob, fingerprint="f1"),
        begin(people.alice, fingerprint="f1", door="bucket"),
    ]
    assert len({first.pk, *(session.pk for session in others)}) == 8
    assert first.upload.state == "RECEIVING"


def test_a_hash_that_is_learnt_on_the_way_is_kept(people):
    first = begin(people.alice, fingerprint="f1")
    assert begin(people.alice, fingerprint="f1", sha256="A" * 64).pk == first.pk
    again = begin(people.alice, fingerprint="f1")
    assert (again.pk, again.sha256) == (first.pk, "a" * 64)
    assert begin(people.alice, fingerprint="f1", sha256="b" * 64).pk != first.pk


def test_one_that_is_being_completed_is_found_again(people):
    first = begin(people.alice, fingerprint="f1")
    UploadSession.objects.update(state="completing")
    assert begin(people.alice, fingerprint="f1").pk == first.pk


@pytest.mark.parametrize("over", ["cancelled", "expired"])
def test_what_is_over_is_not_found_again(people, over):
    first = begin(people.alice, fingerprint="f1")
    if over == "cancelled":
        cancel_session(find_caller(people.alice), first)
    else:
        age(first)
    assert begin(people.alice, fingerprint="f1").pk != first.pk


def test_another_org_finds_nothing_and_an_auditor_begins_nothing(people):
    session = begin(people.alice)
    upload_id = session.upload.public_id
    assert fetch_session(find_caller(people.bob), upload_id).pk == session.pk
    for wrong in (upload_id, "nonsense", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(NotFound):
            fetch_session(find_caller(people.charlie), wrong)
    with pytest.raises(NotAllowed):
        begin(people.ada)
    with pytest.raises(NotAllowed):
        cancel_session(find_caller(people.ada), session)


def test_sizes_that_cannot_be(people, settings):
    settings.ROWMILL_MAX_FILE_BYTES = 999
    for size, code in ((0, "empty_file"), (-5, "empty_file"), (1000, "too_large")):
        with pytest.raises(InputError) as refused:
            begin(people.alice, size_bytes=size)
        assert refused.value.code == code
    assert not Upload.objects.exists()
    assert begin(people.alice, size_bytes=None, door="tus").size_bytes is None


def test_quotas_hold_for_the_org_and_for_no_other(people, settings):
    settings.ROWMILL_ORG_SESSIONS = 2
    first = begin(people.alice)
    begin(people.bob)
    with pytest.raises(QuotaExceeded, match="2 uploads under way"):
        begin(people.alice, size_bytes=5)
    assert begin(people.alice).pk == first.pk  # one that is under way goes on
    begin(people.charlie)
    settings.ROWMILL_ORG_SESSIONS = 0
    settings.ROWMILL_ORG_BYTES = 3000
    with pytest.raises(QuotaExceeded, match="2,000 of 3,000 bytes"):
        begin(people.alice, size_bytes=1001)
    begin(people.alice, size_bytes=999)
    settings.ROWMILL_ORG_BYTES, settings.ROWMILL_ORG_FILES = 0, 3
    with pytest.raises(QuotaExceeded, match="3 files"):
        begin(people.alice, size_bytes=7)
    cancel_session(find_caller(people.alice), first)
    begin(people.alice, size_bytes=7)


def test_a_session_tells_why_it_takes_no_more(people):
    expired, cancelled, done = (begin(people.alice, fingerprint=word) for word in "abc")
    need_open(expired)
    age(expired)
    cancel_session(find_caller(people.alice), cancelled)
    Upload.objects.filter(pk=done.upload_id).update(state="CHECKING")
    UploadSession.objects.filter(pk=done.pk).update(state="closed")
    for session, error in ((expired, Expired), (cancelled, StateError), (done, StateError)):
        fresh = fetch_session(find_caller(people.alice), session.upload.public_id)
        with pytest.raises(error):
            need_open(fresh)
    with pytest.raises(StateError):
        cancel_session(find_caller(people.alice), done)
    assert expire_sessions() == 1
    with pytest.raises(Expired):
        need_open(fetch_session(find_caller(people.alice), expired.upload.public_id))


def test_expired_ones_end_with_an_event_each_and_only_they(people):
    gone, kept = [begin(people.alice, fingerprint=str(n)) for n in range(3)], begin(people.alice, fingerprint="kept")
    for session in gone:
        age(session)
    assert (expire_sessions(limit=2), expire_sessions(), expire_sessions()) == (2, 1, 0)
    states = dict(Upload.objects.values_list("pk", "state"))
    assert [states[s.upload_id] for s in gone] == ["ABORTED"] * 3
    assert states[kept.upload_id] == "RECEIVING"
    assert AuditEvent.objects.filter(verb="upload.expire").count() == 3


def test_cancelling_again_changes_nothing(people):
    session = begin(people.alice)
    for _ in range(2):
        assert cancel_session(find_caller(people.bob), session).state == "ABORTED"
    assert AuditEvent.objects.filter(verb="upload.cancel").count() == 1


def test_a_sign_of_life_gives_the_whole_life_again(people):
    session = begin(people.alice)
    before = session.expires_at
    touch(session)
    assert session.expires_at == before  # too young for a write
    UploadSession.objects.filter(pk=session.pk).update(expires_at=timezone.now() + timedelta(minutes=1))
    session.refresh_from_db()
    touch(session)
    session.refresh_from_db()
    assert session.expires_at > before - timedelta(minutes=1)
