"""A state machine over the chunk door (Hypothesis): any order, repeats, other bytes, kills, restarts, cancel, expire, complete.

The model is a dictionary: what was acknowledged. Whatever happens, that is what is there, and nothing else is told.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from rowmill import registry
from rowmill.errors import Expired, InputError, StateError
from rowmill.jobs.sweep import recover_after_start, sweep
from rowmill.models import Upload, UploadSession
from rowmill.orgs import Caller, add_member, create_org, find_caller
from rowmill.storage.local_parts import LocalAssembly
from rowmill.uploads import chunks, completing, receive, sessions
from rowmill.uploads.chunks import here_chunks, put_chunk
from rowmill.uploads.completing import complete_session
from rowmill.uploads.hashing import follower
from rowmill.uploads.places import folder_key, get_storage, original_key
from rowmill.uploads.sessions import cancel_session, open_session

registry.extend({"probe": "tests.probe.Probe"}, {}, {})
WORDS = b"id,note\n0001,first\n0002,second\n0003,third\n0004,fourth\n"
INDEXES = st.integers(0, 9)


class Killed(BaseException):
    """The process ends here."""


class Door(RuleBasedStateMachine):
    """One file, one person, and everything that may happen to them."""

    caller: Caller

    @initialize(length=st.integers(6, len(WORDS) + 1), declared=st.booleans())
    def begin(self, length: int, declared: bool) -> None:
        self.length = min(length, len(WORDS))
        self.count = -(-len(WORDS) // self.length)
        self.kept: dict[int, bytes] = {}
        self.over = ""
        UploadSession.objects.all().delete()
        Upload.objects.all().delete()
        sha256 = hashlib.sha256(WORDS).hexdigest() if declared else ""
        self.session_id = self._open(sha256).pk
        self.sha256 = sha256

    def _open(self, sha256: str) -> UploadSession:
        return open_session(
            self.caller,
            "probe",
            "small.csv",
            door="chunks",
            size_bytes=len(WORDS),
            chunk_count=self.count,
            sha256=sha256,
        )

    @property
    def session(self) -> UploadSession:
        return UploadSession.objects.select_related("upload", "org").get(pk=self.session_id)

    def _right(self, index: int) -> bytes:
        return WORDS[index * self.length : (index + 1) * self.length]

    def _put(self, index: int, data: bytes, **more: str) -> None:
        path = Path(django_settings.SCRATCH_DIR) / "spool"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        put_chunk(self.session, index, path, **more)

    def _refused(self, index: int, data: bytes, **more: str) -> str:
        with pytest.raises((StateError, Expired, InputError)) as refused:
            self._put(index, data, **more)
        return refused.value.code

    @rule(index=INDEXES)
    def send(self, index: int) -> None:
        if self.over:
            assert self._refused(index % self.count, self._right(index % self.count)) in ("wrong_state", "expired")
            return
        if index >= self.count:
            assert self._refused(index, b"x" * self.length) == "bad_index"
            return
        data = self._right(index)
        if self.kept.get(index, data) != data:
            assert self._refused(index, data) == "chunk_differs"
            return
        self._put(index, data)
        self.kept[index] = data

    @precondition(lambda self: not self.over)
    @rule(index=INDEXES, letter=st.sampled_from([b"y", b"z"]))
    def send_other_bytes(self, index: int, letter: bytes) -> None:
        index %= self.count
        data = letter * len(self._right(index))
        if self.kept.get(index, data) != data:
            assert self._refused(index, data) == "chunk_differs"
        elif not self.sha256:  # else nothing but the right bytes may become the file
            self._put(index, data)
            self.kept[index] = data

    @precondition(lambda self: not self.over)
    @rule(index=INDEXES)
    def send_damaged(self, index: int) -> None:
        index %= self.count
        assert self._refused(index, self._right(index), sha256_declared="0" * 64) == "checksum_mismatch"
        if self.session.chunk_bytes:  # else it may be the first chunk of another cut
            assert self._refused(index, self._right(index) + b"more") == "chunk_size"

    @precondition(lambda self: not self.over)
    @rule(index=INDEXES, point=st.sampled_from(["chunk_placed", "chunk_recorded"]), letter=st.sampled_from([b"", b"k"]))
    def die_while_sending(self, index: int, point: str, letter: bytes) -> None:
        index %= self.count
        right = self._right(index)
        data = right if self.sha256 else letter * len(right) or right
        if index in self.kept:
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunks, "fault_point", lambda name: _strike(name, point))
            with pytest.raises(Killed):
                self._put(index, data)
        if point == "chunk_recorded":  # it is there, though nobody was told
            self.kept[index] = data
        self.restart()

    @rule()
    def restart(self) -> None:
        follower.forget(original_key(self.session.upload))
        recover_after_start()

    @rule()
    def begin_again(self) -> None:
        session = self._open(self.sha256)
        assert (session.pk == self.session_id) == (not self.over)
        if session.pk != self.session_id:
            cancel_session(self.caller, session)

    @rule(point=st.sampled_from(["", "", "session_completing", "session_assembled", "finished", "session_closed"]))
    def complete(self, point: str) -> None:
        if self.over in ("cancelled", "expired"):
            with pytest.raises((StateError, Expired)):
                complete_session(self.session)
            return
        missing = [index for index in range(self.count) if index not in self.kept]
        if missing:
            with pytest.raises(StateError) as refused:
                complete_session(self.session)
            assert (refused.value.code, refused.value.details["missing"]) == ("chunk_missing", missing)
            return
        if point and not self.over:
            with pytest.MonkeyPatch.context() as patch:
                for module in (completing, receive, sessions):
                    patch.setattr(module, "fault_point", lambda name: _strike(name, point))
                with pytest.raises(Killed):
                    complete_session(self.session)
            UploadSession.objects.update(lease_until=None)  # its time runs out
        upload = complete_session(self.session)
        self.over = "completed"
        whole = b"".join(self.kept[index] for index in range(self.count))
        assert (upload.size_bytes, upload.sha256) == (len(WORDS), hashlib.sha256(whole).hexdigest())

    @rule()
    def cancel(self) -> None:
        if self.over == "completed":
            with pytest.raises(StateError):
                cancel_session(self.caller, self.session)
            return
        cancel_session(self.caller, self.session)
        self.over = self.over or "cancelled"
        self.kept.clear()

    @precondition(lambda self: not self.over)
    @rule()
    def expire(self) -> None:
        UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        sweep()
        self.over = "expired"
        self.kept.clear()

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        session = self.session
        if self.over != "completed":
            assert here_chunks(session) == sorted(self.kept)
        assert (session.state == "closed") == bool(self.over)
        folder = Path(django_settings.STORAGE_DIR) / folder_key(session.upload)
        if self.over == "completed":
            with get_storage().open(original_key(session.upload)) as file:
                assert file.read() == b"".join(self.kept[index] for index in range(self.count))
            assert [path.name for path in folder.iterdir()] == ["original"]
        elif self.over:
            assert not folder.exists()
        else:
            stored = (folder / "incoming").read_bytes() if self.kept else b""
            for index, data in self.kept.items():
                assert stored[index * self.length : index * self.length + len(data)] == data


def _strike(name: str, point: str) -> None:
    if name == point:
        raise Killed


def explore(examples: int, steps: int) -> None:
    """Run the machine so often, in a folder of its own."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(django_settings, "STORAGE_DIR", Path(folder) / "storage")
        patch.setattr(django_settings, "SCRATCH_DIR", Path(folder) / "scratch")
        patch.setattr("rowmill.jobs.sweep.claim_upload", lambda upload_id: None)  # the verdict is no matter here
        Door.caller = find_caller(add_member(create_org("machine"), "machine@acme.test", "admin", None))
        run_machine(
            Door,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=True,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.mark.django_db
def test_any_order_of_events_keeps_what_was_acknowledged() -> None:
    explore(8, 20)


@pytest.mark.slow
@pytest.mark.django_db
def test_many_orders_of_events() -> None:
    explore(20, 40)


@pytest.mark.slow
@pytest.mark.django_db
def test_negative_control_without_the_comparison_the_model_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalAssembly, "has_same", lambda *told: True)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        explore(40, 30)
