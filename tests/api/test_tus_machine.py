"""Appending in any order of offsets, cuts, deaths, checksums and latecomers, against a model of bytes (Hypothesis)."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from rowmill.errors import InputError, LostLease, StateError
from rowmill.models import Upload, UploadSession
from rowmill.orgs import Caller, find_caller
from rowmill.storage.local_append import FileAppender
from rowmill.uploads import appending
from rowmill.uploads.appending import Checksum, ChecksumMismatch, append, finish_appended, open_appending
from rowmill.uploads.places import get_storage, original_key
from rowmill.uploads.sessions import cancel_session

pytestmark = pytest.mark.django_db(transaction=True)
SIZE = 400
BLOCKS = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5)
ALGORITHMS = st.sampled_from(("sha1", "sha256", "md5"))
_caller: list[Caller] = []


class Killed(BaseException):
    """What kill -9 looks like to the function that is on its way: it never goes on."""


def dying(blocks: list[bytes]) -> Iterator[bytes]:
    yield from blocks
    raise Killed


class Appending(RuleBasedStateMachine):
    """`here` is what the model says is acknowledged."""

    @initialize()
    def begin(self) -> None:
        self.session = open_appending(_caller[0], "claim_status", "claims.csv", SIZE)
        self.here = b""

    def fresh(self) -> UploadSession:
        """A request's own look at the session."""
        return UploadSession.objects.select_related("upload", "org").get(pk=self.session.pk)

    def open(self) -> bool:
        return len(self.here) < SIZE

    def fit(self, blocks: list[bytes]) -> list[bytes]:
        """Cut blocks to what is left."""
        room, kept = SIZE - len(self.here), []
        for block in blocks:
            if room > 0:
                kept.append(block[:room])
                room -= len(kept[-1])
        return kept

    @precondition(open)
    @rule(blocks=BLOCKS, algorithm=st.none() | ALGORITHMS)
    def go_on(self, blocks: list[bytes], algorithm: str | None) -> None:
        """A good request; one that is cut is the same with fewer blocks."""
        blocks = self.fit(blocks)
        whole = b"".join(blocks)
        checksum = Checksum(algorithm, hashlib.new(algorithm, whole).digest()) if algorithm else None
        ended = append(self.fresh(), len(self.here), iter(blocks), checksum)
        self.here += whole
        assert ended == (len(self.here) == SIZE)

    @rule(blocks=BLOCKS, offset=st.integers(0, SIZE))
    def come_at_another_offset(self, blocks: list[bytes], offset: int) -> None:
        if offset != len(self.here):
            with pytest.raises(StateError):
                append(self.fresh(), offset, iter(blocks))

    @precondition(open)
    @rule(blocks=BLOCKS, algorithm=ALGORITHMS)
    def arrive_damaged(self, blocks: list[bytes], algorithm: str) -> None:
        wrong = Checksum(algorithm, hashlib.new(algorithm, b"something else").digest())
        with pytest.raises(ChecksumMismatch):
            append(self.fresh(), len(self.here), iter(self.fit(blocks)), wrong)

    @precondition(open)
    @rule(more=st.integers(1, 50))
    def send_more_than_was_announced(self, more: int) -> None:
        room = SIZE - len(self.here)
        with pytest.raises(InputError):
            append(self.fresh(), len(self.here), iter([b"x" * (room + more)]))

    @precondition(open)
    @rule(blocks=BLOCKS, checked=st.booleans())
    def die_in_the_middle(self, blocks: list[bytes], checked: bool) -> None:
        """What was synced on the way stays, and nothing else; with a checksum nothing at all."""
        blocks = self.fit(blocks)
        if len(self.here) + sum(map(len, blocks)) == SIZE:
            blocks = blocks[:-1]
        with pytest.raises(Killed):
            append(self.fresh(), len(self.here), dying(blocks), Checksum("sha1", b"") if checked else None)
        self.keep_what_was_synced(b"".join(blocks), checked)

    def keep_what_was_synced(self, sent: bytes, checked: bool = False) -> None:
        kept = self.fresh().offset_bytes - len(self.here)
        assert 0 <= kept <= len(sent)
        assert not (checked and kept)
        assert len(sent) - kept < appending.CHECKPOINT_BYTES + 40 or checked
        self.here += sent[:kept]

    @precondition(lambda self: len(self.here) < SIZE - 100)
    @rule(before=BLOCKS, newer=st.binary(min_size=1, max_size=50), late=BLOCKS)
    def be_overtaken(self, before: list[bytes], newer: bytes, late: list[bytes]) -> None:
        """The sender comes again while the thread of the dead line still waits; then the old line's bytes arrive."""

        def old_line() -> Iterator[bytes]:
            yield before[0][:20]
            self.keep_what_was_synced(before[0][:20])
            append(self.fresh(), len(self.here), iter([newer]))
            self.here += newer
            yield from late

        with pytest.raises(LostLease):
            append(self.fresh(), len(self.here), old_line())

    @precondition(lambda self: len(self.here) < SIZE - 100)
    @rule(newer=st.binary(min_size=1, max_size=50))
    def be_overtaken_before_the_first_byte(self, newer: bytes) -> None:
        """Two that took the fence open the file in the wrong order."""
        held = self.fresh()
        append(self.fresh(), len(self.here), iter([newer]))
        path = get_storage().local_path(f"{original_key(held.upload).removesuffix('original')}incoming")
        with pytest.raises(LostLease):
            FileAppender(path, held.claims, len(self.here))
        self.here += newer

    @invariant()
    def what_is_acknowledged_is_there(self) -> None:
        if not hasattr(self, "session"):
            return
        session = self.fresh()
        assert session.offset_bytes == len(self.here)
        assert session.state == ("open" if self.open() else "completing")
        with get_storage().open(original_key(session.upload).removesuffix("original") + "incoming") as file:
            assert file.read(len(self.here)) == self.here

    def teardown(self) -> None:
        """Whatever happened, the file can be finished, and it is the acknowledged bytes."""
        if not hasattr(self, "session"):
            return
        if self.open():
            rest = b"r" * (SIZE - len(self.here))
            append(self.fresh(), len(self.here), iter([rest]))
            self.here += rest
        finish_appended(self.fresh())
        upload = Upload.objects.get(pk=self.session.upload_id)
        with get_storage().open(original_key(upload)) as file:
            assert file.read() == self.here
        assert (upload.state, upload.sha256) == ("CHECKING", hashlib.sha256(self.here).hexdigest())


@pytest.fixture
def small(people, settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    settings.ROWMILL_MIN_FREE_BYTES = 0
    monkeypatch.setattr(appending, "CHECKPOINT_BYTES", 64)
    _caller.append(find_caller(people.bob))
    yield _caller[0]
    _caller.clear()


@pytest.mark.slow
def test_appending_against_the_model(small) -> None:
    run_machine(
        Appending,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


# ------------------------------------------------------------------------------------------------ one by one


@pytest.fixture
def session(small: Caller) -> UploadSession:
    return open_appending(small, "claim_status", "claims.csv", SIZE)


def fresh(session: UploadSession) -> UploadSession:
    return UploadSession.objects.select_related("upload", "org").get(pk=session.pk)


def incoming(session: UploadSession) -> Path:
    return get_storage().local_path(original_key(session.upload).removesuffix("original") + "incoming")


def test_the_newest_wins_in_every_interleaving(session) -> None:
    """Old and new take turns in each order that there is: whatever the old one still sends, the new one's bytes stay."""
    for order in itertools.product((0, 1), repeat=4):
        number = fresh(session).claims
        path = incoming(session)
        old, new = FileAppender(path, number + 1, 0), FileAppender(path, number + 2, 0)
        UploadSession.objects.update(claims=number + 2)
        for turn in order:
            if turn:
                new.write(b"new ")
            else:
                with pytest.raises(LostLease):
                    old.write(b"old-old-")
        new.sync()
        assert path.read_bytes() == b"new " * sum(order)
        old.close()
        new.close()


def test_a_latecomer_cannot_touch_a_finished_file(session) -> None:
    """It holds the file from before it was renamed, and comes to itself when the fence is gone."""
    append(fresh(session), 0, iter([b"x" * 100]))
    late = FileAppender(incoming(session), fresh(session).claims, 100)
    append(fresh(session), 100, iter([b"y" * 300]))
    finish_appended(fresh(session))
    with pytest.raises(LostLease):
        late.write(b"late")
    late.close()
    with get_storage().open(original_key(session.upload)) as file:
        assert file.read() == b"x" * 100 + b"y" * 300


def test_one_who_opens_a_file_that_is_finished_meanwhile_does_not_cut_it(session, monkeypatch) -> None:
    """Between opening the file and its fence lies the whole end of the upload, in the worst case."""
    path, real = incoming(session), FileAppender._take

    def take_late(self: FileAppender) -> None:
        monkeypatch.setattr(FileAppender, "_take", real)
        append(fresh(session), 0, iter([b"z" * SIZE]))
        finish_appended(fresh(session))
        self._fence_again(path)
        real(self)

    def fence_again(self: FileAppender, path: Path) -> None:
        import os

        os.close(self._fence)
        self._fence = os.open(path.with_name("incoming.fence"), os.O_RDWR | os.O_CREAT, 0o600)

    monkeypatch.setattr(FileAppender, "_take", take_late)
    monkeypatch.setattr(FileAppender, "_fence_again", fence_again, raising=False)
    with pytest.raises(FileNotFoundError):
        FileAppender(path, 99, 0)
    with get_storage().open(original_key(session.upload)) as file:
        assert file.read() == b"z" * SIZE


def test_one_who_is_cancelled_writes_nothing_more(session, small: Caller) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"x" * 10
        cancel_session(small, fresh(session))
        yield b"y" * 10

    with pytest.raises(LostLease):
        append(fresh(session), 0, blocks())
    assert list(get_storage().keys("org")) == []
    with pytest.raises(StateError):
        append(fresh(session), 0, iter([b"z"]))


def test_an_end_that_nobody_finished_is_finished_by_the_sweeper(session, small: Caller) -> None:
    from rowmill.jobs.sweep import sweep

    assert append(fresh(session), 0, iter([b"z" * SIZE]))
    sweep(large_too=False)
    upload = Upload.objects.get()
    assert (upload.state, fresh(session).state) == ("CHECKING", "closed")
    assert [key.rsplit("/", 1)[1] for key in get_storage().keys("org")] == ["original"]
