"""The door "bucket": parts go straight to S3 by signed addresses; the server believes the bucket, and nobody else."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db.models.functions import Now

from rowmill import faults
from rowmill.errors import Expired, InputError, RowmillError, StateError, StorageFault
from rowmill.jobs.arrive import inspect_due
from rowmill.models import FindingRecord, Job, SessionState, Upload, UploadSession, UploadState
from rowmill.orgs import find_caller
from rowmill.storage import open_assembly
from rowmill.storage.assembling import LEAST_PART_BYTES, MOST_PARTS
from rowmill.uploads import bucket
from rowmill.uploads.bucket import has_direct_uploads, here_parts, open_bucket_session, sign_parts, wanted_parts
from rowmill.uploads.completing import complete_session, continue_completing
from rowmill.uploads.places import get_storage, original_key
from rowmill.uploads.sessions import cancel_session
from tests.jobs.conftest import _fresh_probe  # noqa: F401
from tests.servers.proxy import HttpProxy
from tests.storage.conftest import s3_servers  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
BUCKET = "the-door"
PART = LEAST_PART_BYTES
GIB = 1 << 30


class Killed(BaseException):
    """Stands for `kill -9`: what it leaves in the database and the bucket is looked at."""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "PART_BYTES", PART)


@pytest.fixture(scope="module")
def lines(s3_servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], SimpleNamespace]]:  # noqa: F811
    """Put a proxy before a server, once: a client that goes by it is slow to make."""
    with ExitStack() as stack:

        @cache
        def get(program: str) -> SimpleNamespace:
            server = s3_servers(program)
            server.url(BUCKET)
            raw = stack.enter_context(closing(server.client()))
            line = stack.enter_context(HttpProxy(server.port))
            place = f"endpoint=http://127.0.0.1:{line.port}&region=us-east-1&path_style=yes"
            folder = tmp_path_factory.mktemp("door")
            return SimpleNamespace(server=server, line=line, raw=raw, url=f"s3://{BUCKET}/p?{place}", folder=folder)

        yield get


@pytest.fixture
def door(settings, lines, request) -> Iterator[SimpleNamespace]:
    """A bucket behind a proxy that is allowed to be sent to. `raw` looks behind everybody's back."""
    found = lines(getattr(request, "param", "moto"))
    settings.SCRATCH_DIR, settings.STORAGE_DIR = found.folder / "scratch", found.folder / "storage"
    settings.ROWMILL_MIN_FREE_BYTES, settings.ROWMILL_DIRECT_UPLOADS = 0, True
    settings.ROWMILL_STORAGE_URL = found.url
    found.line.clear()
    with found.server.credentials():
        yield found
        found.line.clear()
        get_storage().delete_under("org")


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


@pytest.fixture
def begin(alice, door) -> Callable[..., UploadSession]:
    def go(size: int, *, name: str = "table.csv", **more) -> UploadSession:
        return open_bucket_session(alice, "probe", name, size_bytes=size, intent=more.pop("intent", {}), **more)

    return go


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def die() -> None:
        raise Killed

    def arm(name: str) -> None:
        monkeypatch.setattr(faults, "_strike", die)
        monkeypatch.setattr(faults, "_AT", 1)
        monkeypatch.setattr(faults, "_PASSED", 0)
        monkeypatch.setattr(faults, "_NAME", name)

    return arm


def table(least_bytes: int, seed: str = "") -> bytes:
    """Make a table of few rows that is a little larger than so many bytes."""
    note = b"x" * 50_000
    rows = [b"%s%05d,%s\n" % (seed.encode(), number, note) for number in range(least_bytes // 50_000 + 1)]
    return b"id,note\n" + b"".join(rows)


def put(url: str, body: bytes) -> int:
    """Send a part as a browser does. Gives the status, 0 where the line broke."""
    kind = {"Content-Type": "application/octet-stream"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, kind, method="PUT"), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def cut(session: UploadSession, data: bytes) -> dict[int, bytes]:
    size = session.chunk_bytes
    return {number: data[(number - 1) * size : number * size] for number in wanted_parts(session)}


def send(session: UploadSession, data: bytes, numbers: list[int] | None = None) -> None:
    """Send parts by their addresses, each until it is taken."""
    pieces = cut(session, data)
    for signed in sign_parts(session, numbers or list(pieces)):
        assert len(pieces[signed.number]) == signed.size_bytes
        assert 200 in (put(signed.url, pieces[signed.number]) for _ in range(5))


def put_behind(door: SimpleNamespace, session: UploadSession, number: int, body: bytes) -> None:
    """Put a part that nobody signed for."""
    name = f"p/{original_key(session.upload)}"
    door.raw.upload_part(Bucket=BUCKET, Key=name, UploadId=session.storage_token, PartNumber=number, Body=body)


def stored() -> list[str]:
    return [key.rsplit("/", 1)[1] for key in get_storage().keys("org")]


def is_whole(upload: Upload, data: bytes) -> bool:
    with get_storage().open(original_key(upload)) as file:
        return hashlib.sha256(file.read()).digest() == hashlib.sha256(data).digest()


def unfinished() -> list[str]:
    return [found.token for found in open_assembly(get_storage()).unfinished()]  # type: ignore[attr-defined]


def fresh(session: UploadSession) -> UploadSession:
    return UploadSession.objects.select_related("upload", "org").get(pk=session.pk)


def states(session: UploadSession) -> tuple[str, str]:
    session = fresh(session)
    return session.state, session.upload.state


def lapse(session: UploadSession) -> None:
    """Let the lease of whoever completed it run out."""
    UploadSession.objects.filter(pk=session.pk).update(lease_until=Now() - timedelta(seconds=1))


def code_of(caught: pytest.ExceptionInfo[RowmillError]) -> str:
    return caught.value.code


# ------------------------------------------------------------------------------------------------ the flow


@pytest.mark.parametrize("door", ["moto", "rclone"], indirect=True)
def test_a_file_goes_past_the_server_and_becomes_a_job(door, begin):
    data = table(PART + 100_000)
    session = begin(len(data), sha256=hashlib.sha256(data).hexdigest())
    assert (session.chunk_bytes, session.chunk_count, session.storage_token != "") == (PART, 2, True)
    send(session, data)
    assert here_parts(session) == [0, 1]
    upload = complete_session(session)
    assert (upload.state, upload.size_bytes, upload.sha256) == (UploadState.CHECKING, len(data), "")
    assert (states(session)[0], unfinished()) == (SessionState.CLOSED, [])
    assert inspect_due()
    upload.refresh_from_db()
    assert (upload.state, upload.sha256) == (UploadState.READY, hashlib.sha256(data).hexdigest())
    assert Job.objects.get().upload == upload
    assert is_whole(upload, data)
    assert sorted(stored()) == ["original", "table.parquet"]


def test_completing_again_gives_the_same_upload(door, begin):
    data = table(10)
    session = begin(len(data))
    send(session, data)
    assert complete_session(session).pk == complete_session(fresh(session)).pk == session.upload_id
    with pytest.raises(StateError):
        sign_parts(fresh(session), [1])


def test_what_was_begun_is_gone_on_with(door, begin):
    data = table(PART + 100_000)
    session = begin(len(data), fingerprint="f")
    send(session, data, [2])
    again = begin(len(data), fingerprint="f")
    assert (again.pk, again.storage_token, here_parts(again)) == (session.pk, session.storage_token, [1])
    send(again, data, [1])
    assert complete_session(again).state == UploadState.CHECKING


def test_the_bytes_are_those_that_the_bucket_has_now(door, begin):
    data = table(PART + 100_000)
    session = begin(len(data))
    send(session, data[:PART].lower() + b"y" * (len(data) - PART))
    send(session, data)
    assert is_whole(complete_session(session), data)


def test_a_file_that_is_not_the_one_announced_is_refused_and_removed(door, begin):
    data = table(10)
    session = begin(len(data), sha256="0" * 64)
    send(session, data)
    upload = complete_session(session)
    assert inspect_due()
    upload.refresh_from_db()
    assert (upload.state, upload.purged_at is not None, stored()) == (UploadState.REJECTED, True, [])
    assert [found.code for found in FindingRecord.objects.filter(upload=upload)] == ["hash_mismatch"]
    assert Job.objects.count() == 0


def test_the_worker_fetches_the_file_once(door, begin):
    data = table(10)
    session = begin(len(data))
    send(session, data)
    complete_session(session)
    door.line.clear()
    assert inspect_due()
    assert len([path for method, path, _ in door.line.seen if method == "GET" and path.endswith("original")]) == 1


# ------------------------------------------------------------------------------------------------ what is refused


def test_without_a_bucket_the_chunk_door_is_named(alice, settings, tmp_path: Path):
    settings.STORAGE_DIR, settings.ROWMILL_STORAGE_URL, settings.ROWMILL_DIRECT_UPLOADS = tmp_path, "", True
    assert not has_direct_uploads()
    with pytest.raises(InputError, match="in chunks") as caught:
        open_bucket_session(alice, "probe", "a.csv", size_bytes=10)
    assert (code_of(caught), Upload.objects.count()) == ("no_direct_upload", 0)


def test_without_the_setting_nothing_goes_past_the_server(door, begin, settings):
    session = begin(10)
    settings.ROWMILL_DIRECT_UPLOADS = False
    for step in (lambda: begin(11), lambda: sign_parts(session, [1])):
        with pytest.raises(InputError) as caught:
            step()
        assert code_of(caught) == "no_direct_upload"


@pytest.mark.parametrize("size", [1, PART, PART + 1, 9_000 * PART, 9_000 * PART + 1, 50 * GIB, 40_000 * GIB])
def test_the_parts_of_a_file_of_any_size_are_taken_by_s3(size: int):
    length = bucket.part_bytes(size)
    wanted = wanted_parts(UploadSession(size_bytes=size, chunk_bytes=length, chunk_count=-(-size // length)))
    assert sum(wanted.values()) == size
    assert list(wanted) == list(range(1, len(wanted) + 1))
    assert len(wanted) <= 9_000
    assert all(LEAST_PART_BYTES <= wanted[number] <= 5 * GIB for number in list(wanted)[:-1])
    assert 0 < wanted[len(wanted)] <= length


@pytest.mark.parametrize("numbers", [[], [0], [3], [1, 2, 10_001], [1] * 1_001])
def test_no_address_is_signed_for_a_part_that_the_file_has_not(begin, numbers: list[int]):
    with pytest.raises(InputError) as caught:
        sign_parts(begin(PART + 1), numbers)
    assert code_of(caught) == "bad_index"


def test_no_address_is_signed_for_what_is_over(begin, alice):
    late, over = begin(10), begin(11)
    UploadSession.objects.filter(pk=late.pk).update(expires_at=Now() - timedelta(seconds=1))
    with pytest.raises(Expired):
        sign_parts(fresh(late), [1])
    cancel_session(alice, over)
    with pytest.raises(StateError):
        sign_parts(fresh(over), [1])


def test_a_missing_part_is_told_and_may_still_come(begin):
    data = table(2 * PART + 100_000)
    session = begin(len(data))
    send(session, data, [2])
    with pytest.raises(StateError) as caught:
        complete_session(session)
    assert code_of(caught) == "chunk_missing"
    assert (caught.value.details["missing"], caught.value.details["missing_count"]) == ([0, 2], 2)
    assert (states(session), stored()) == ((SessionState.OPEN, UploadState.RECEIVING), [])
    send(session, data, [1, 3])
    assert complete_session(session).state == UploadState.CHECKING


@pytest.mark.parametrize(
    ("number", "body", "code"),
    [(3, b"more", "parts_differ"), (MOST_PARTS, b"more", "parts_differ"), (2, b"short", "chunk_size")],
)
def test_parts_that_were_not_signed_for_are_refused(door, begin, number: int, body: bytes, code: str):
    data = table(PART + 100_000)
    session = begin(len(data))
    send(session, data)
    put_behind(door, session, number, body)
    with pytest.raises(InputError) as caught:
        complete_session(session)
    assert (code_of(caught), states(session)) == (code, (SessionState.OPEN, UploadState.RECEIVING))
    assert stored() == []
    assert 1 not in here_parts(session) if code == "chunk_size" else here_parts(session) == [0, 1]


def test_s3_takes_no_part_beyond_its_last(door, begin):
    session = begin(10)
    with pytest.raises(door.raw.exceptions.ClientError):
        put_behind(door, session, MOST_PARTS + 1, b"x")


def test_parts_that_s3_finds_too_small_open_the_session_again(begin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bucket, "PART_BYTES", 1_000)
    data = table(10)[:2_500]
    session = begin(len(data))
    send(session, data)
    with pytest.raises(InputError) as caught:
        complete_session(session)
    assert (code_of(caught), states(session)) == ("part_too_small", (SessionState.OPEN, UploadState.RECEIVING))
    assert stored() == []


# ------------------------------------------------------------------------------------------------ a bad line


@pytest.mark.parametrize("fault", ["503", "reset_request", "reset", "truncate", "500_after"])
def test_parts_survive_a_bad_line(door, begin, fault: str):
    data = table(PART + 100_000)
    session = begin(len(data))
    door.line.plan(fault, times=2, method="PUT", path="partNumber")
    send(session, data)
    assert [given for *_, given in door.line.seen].count(fault) == 2
    assert is_whole(complete_session(session), data)


@pytest.mark.parametrize("fault", ["503", "500_after", "reset", "truncate", "reset_request"])
def test_completing_survives_a_bad_line(door, begin, fault: str):
    data = table(10)
    session = begin(len(data))
    send(session, data)
    door.line.plan(fault, times=1, method="POST", path="uploadId")
    assert complete_session(session).state == UploadState.CHECKING
    assert [given for *_, given in door.line.seen].count(fault) == 1
    assert (stored(), unfinished()) == (["original"], [])


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
def test_a_bucket_that_is_away_leaves_it_to_the_sweeper(door, begin, method: str):
    data = table(10)
    session = begin(len(data))
    send(session, data)
    door.line.plan("503", times=99, method=method)
    with pytest.raises(StorageFault):
        complete_session(session)
    assert states(session)[1] == UploadState.RECEIVING
    door.line.clear()
    if method == "GET":  # not even the parts could be listed
        assert states(session)[0] == SessionState.OPEN
        complete_session(session)
    else:
        assert continue_completing() == 1
    assert states(session) == (SessionState.CLOSED, UploadState.CHECKING)
    assert (stored(), unfinished()) == (["original"], [])


@pytest.mark.parametrize("fault", ["503", "reset", "truncate"])
def test_the_worker_reads_on_where_the_line_broke(door, begin, fault: str):
    data = table(PART + 100_000)
    session = begin(len(data), sha256=hashlib.sha256(data).hexdigest())
    send(session, data)
    complete_session(session)
    door.line.plan(fault, times=1, method="GET", path="original")
    assert inspect_due()
    assert fresh(session).upload.state == UploadState.READY
