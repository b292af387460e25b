"""The contract `Assembly`, held against every storage there is: parts in any order make the file they were cut from."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rowmill.contracts import Storage
from rowmill.errors import InputError, OutOfSpace, StorageFault
from rowmill.storage import Assembly, InBucket, InFile, Part, is_in_bucket, is_in_file, open_assembly, s3_parts
from rowmill.storage.assembling import LEAST_PART_BYTES

KEY = "org/7/uploads/0d1f7f0e-0000-4000-8000-000000000001/original"
FOLDER = KEY.rpartition("/")[0]
PART = LEAST_PART_BYTES


@pytest.fixture
def assembly(storage: Storage) -> Assembly:
    return open_assembly(storage)


@pytest.fixture
def in_file(assembly: Assembly) -> InFile:
    if not is_in_file(assembly):
        pytest.skip("a bucket has no file to write into")
    return assembly


@pytest.fixture
def in_bucket(assembly: Assembly) -> InBucket:
    if not is_in_bucket(assembly):
        pytest.skip("a near storage has no multipart uploads")
    return assembly


@pytest.fixture
def cut(tmp_path: Path):
    """Cut bytes into files: (number, offset, path)."""

    def into(data: bytes, part_bytes: int = PART) -> list[tuple[int, int, Path]]:
        found = []
        for number, start in enumerate(range(0, len(data), part_bytes), 1):
            path = tmp_path / f"part-{number}-{hashlib.sha256(data).hexdigest()[:8]}"
            path.write_bytes(data[start : start + part_bytes])
            found.append((number, start, path))
        return found

    return into


def read(storage: Storage, key: str = KEY) -> bytes:
    with storage.open(key) as file:
        return file.read()


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def send(assembly: Assembly, token: str, parts: list[tuple[int, int, Path]]) -> list[Part]:
    return [assembly.put_part(KEY, token, number, path, offset=offset) for number, offset, path in parts]


def late(request: pytest.FixtureRequest) -> type[Exception]:
    """Give what a part is refused with once all is over: moto answers 500 where S3 says NoSuchUpload."""
    return StorageFault if "moto" in request.node.name else FileNotFoundError


def test_parts_in_any_order_in_parallel_and_again_make_the_file(storage: Storage, assembly: Assembly, cut):
    data = noise(3 * PART + 17)
    token = assembly.begin(KEY)
    pieces = cut(data)
    order = [*pieces, pieces[1]]
    random.Random(2).shuffle(order)
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda piece: assembly.put_part(KEY, token, piece[0], piece[2], offset=piece[1]), order))
    assert storage.stat(KEY) is None, "nobody sees it before it is whole"
    parts = {part.number: part for part in told}
    assert sorted(part.size_bytes for part in parts.values()) == [17, PART, PART, PART]
    assembly.complete(KEY, token, list(parts.values()), len(data))
    assert read(storage) == data
    assert list(storage.keys()) == [KEY]
    assert all(path.exists() for _, _, path in pieces)


def test_the_newer_bytes_of_a_part_count(storage: Storage, assembly: Assembly, cut, request):
    if "rclone" in request.node.name:
        pytest.skip("rclone serve s3 takes the same bytes again, not others")
    token = assembly.begin(KEY)
    send(assembly, token, cut(b"first"))
    assembly.complete(KEY, token, send(assembly, token, cut(b"newer")), 5)
    assert read(storage) == b"newer"


def test_completing_again_is_no_harm(storage: Storage, assembly: Assembly, cut):
    token = assembly.begin(KEY)
    parts = send(assembly, token, cut(b"whole"))
    for _ in range(3):
        assembly.complete(KEY, token, parts, 5)
    assert read(storage) == b"whole"


def test_another_size_is_refused_and_nothing_is_there(storage: Storage, assembly: Assembly, cut):
    token = assembly.begin(KEY)
    parts = send(assembly, token, cut(b"whole"))
    with pytest.raises(InputError) as caught:
        assembly.complete(KEY, token, parts, 6)
    assert caught.value.code == "wrong_size"
    assert storage.stat(KEY) is None
    assembly.complete(KEY, token, parts, 5)
    with pytest.raises((InputError, StorageFault)):  # moto says that it completed once more
        assembly.complete(KEY, token, [Part(1, 4, "x")], 4)
    assert read(storage) == b"whole"


def test_what_is_given_up_is_gone_and_takes_nothing_more(storage: Storage, assembly: Assembly, cut, request):
    token = assembly.begin(KEY)
    parts = send(assembly, token, cut(b"whole"))
    for _ in range(2):
        assembly.abort(KEY, token)
    assert list(storage.keys()) == []
    with pytest.raises(late(request)):
        assembly.put_part(KEY, token, 1, cut(b"late")[0][2], offset=0)
    with pytest.raises(late(request)):
        assembly.complete(KEY, token, parts, 5)


def test_giving_up_what_is_complete_leaves_it(storage: Storage, assembly: Assembly, cut):
    token = assembly.begin(KEY)
    assembly.complete(KEY, token, send(assembly, token, cut(b"whole")), 5)
    assembly.abort(KEY, token)
    assert read(storage) == b"whole"


def test_a_part_that_comes_after_the_end_changes_nothing(storage: Storage, assembly: Assembly, cut, request):
    token = assembly.begin(KEY)
    assembly.complete(KEY, token, send(assembly, token, cut(b"whole")), 5)
    with pytest.raises(late(request)):
        assembly.put_part(KEY, token, 1, cut(b"late!")[0][2], offset=0)
    assert read(storage) == b"whole"


def test_the_finished_file_is_read_and_hashed(storage: Storage, assembly: Assembly, cut):
    data, told = noise(PART + 1), []
    token = assembly.begin(KEY)
    assembly.complete(KEY, token, send(assembly, token, cut(data)), len(data))
    digest = hashlib.sha256(data).hexdigest()
    assert assembly.digest(KEY, lambda: told.append(1)) == digest
    assert len(told) > 1
    with storage.hold(KEY, digest) as path:
        assert path.read_bytes() == data
    with pytest.raises(FileNotFoundError):
        assembly.digest(KEY + "x")


def test_what_was_hashed_on_its_way_is_not_brought_again(storage: Storage, in_bucket: InBucket, cut, monkeypatch):
    token = in_bucket.begin(KEY)
    in_bucket.complete(KEY, token, send(in_bucket, token, cut(b"whole")), 5)
    digest = in_bucket.digest(KEY)
    monkeypatch.setattr(storage, "_blocks", lambda key: pytest.fail("it is here already"))
    with storage.hold(KEY, digest) as path:
        assert path.read_bytes() == b"whole"


def test_removing_the_folder_gives_up_what_is_under_way(storage: Storage, in_bucket: InBucket, cut):
    token = in_bucket.begin(KEY)
    other = in_bucket.begin("org/7/uploads/0d1f7f0e-0000-4000-8000-000000000002/original")
    send(in_bucket, token, cut(b"some"))
    storage.delete_under(FOLDER)
    assert [found.token for found in in_bucket.unfinished()] == [other]


def test_removing_the_folder_removes_what_is_under_way(storage: Storage, in_file: InFile, cut):
    in_file.begin(KEY)
    in_file.write_at(KEY, 0, b"some")
    assert list(storage.keys()) == [f"{FOLDER}/incoming"]
    storage.delete_under(FOLDER)
    assert list(storage.keys()) == []
    with pytest.raises(FileNotFoundError):
        in_file.write_at(KEY, 4, b"more")


# ------------------------------------------------------------------------------------------------ in one file


def test_bytes_may_be_appended_and_cut_back(storage: Storage, in_file: InFile):
    token = in_file.begin(KEY)
    in_file.write_at(KEY, 0, b"one two thr")
    assert in_file.size_bytes(KEY) == 11
    in_file.truncate(KEY, 8)
    in_file.truncate(KEY, 100)
    assert in_file.size_bytes(KEY) == 8
    assert in_file.begin(KEY) == token, "beginning again goes on"
    in_file.write_at(KEY, 8, b"three")
    in_file.complete(KEY, token, [], 13)
    assert read(storage) == b"one two three"


def test_an_empty_file_can_be_made(storage: Storage, in_file: InFile):
    in_file.complete(KEY, in_file.begin(KEY), [], 0)
    assert read(storage) == b""


@pytest.mark.parametrize("step", ["put_part", "write_at", "size_bytes", "truncate", "complete"])
def test_what_was_never_begun_is_not_found(in_file: InFile, cut, step: str):
    doing = {
        "put_part": lambda: in_file.put_part(KEY, "", 1, cut(b"x")[0][2], offset=0),
        "write_at": lambda: in_file.write_at(KEY, 0, b"x"),
        "size_bytes": lambda: in_file.size_bytes(KEY),
        "truncate": lambda: in_file.truncate(KEY, 0),
        "complete": lambda: in_file.complete(KEY, "", [], 0),
    }
    with pytest.raises(FileNotFoundError):
        doing[step]()


def test_two_writers_of_one_range_never_mix(storage: Storage, in_file: InFile, tmp_path: Path):
    """Each writes a part of one letter, by both ways; whatever the order, one letter is there."""
    size = 1 << 20
    token = in_file.begin(KEY)
    start = threading.Barrier(4)

    def write(letter: str) -> None:
        path = tmp_path / letter
        path.write_bytes(letter.encode() * size)
        start.wait(60)
        for turn in range(6):
            if turn % 2:
                in_file.put_part(KEY, token, 1, path, offset=5)
            else:
                in_file.write_at(KEY, 5, letter.encode() * size)
            found = (storage.root / FOLDER / "incoming").read_bytes()
            assert len(found) == size + 5

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    in_file.complete(KEY, token, [], size + 5)
    assert len(set(read(storage)[5:])) == 1


def test_who_still_writes_when_it_is_completed_changes_nothing_after(storage: Storage, in_file: InFile, tmp_path: Path):
    size = 1 << 20
    token = in_file.begin(KEY)
    in_file.write_at(KEY, 0, b"-" * size)
    start = threading.Barrier(3)

    def write(letter: str) -> str:
        path = tmp_path / letter
        path.write_bytes(letter.encode() * size)
        start.wait(60)
        try:
            while True:
                in_file.put_part(KEY, token, 1, path, offset=0)
        except FileNotFoundError:
            return letter

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, letter) for letter in "ab"]
        start.wait(60)
        in_file.complete(KEY, token, [], size)
        found = read(storage)
        assert [writer.result(60) for writer in writers] == ["a", "b"]
    assert read(storage) == found
    assert len(set(found)) == 1
    assert list(storage.keys()) == [KEY]


def test_a_full_disk_is_said_and_loses_nothing(storage: Storage, in_file: InFile, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    token = in_file.begin(KEY)
    in_file.write_at(KEY, 0, b"kept")
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", full)
        with pytest.raises(OutOfSpace):
            in_file.write_at(KEY, 4, b"lost")
    with monkeypatch.context() as broken:
        broken.setattr(storage, "min_free_bytes", 1 << 62)
        with pytest.raises(OutOfSpace):
            in_file.write_at(KEY, 4, b"lost")
    in_file.complete(KEY, token, [], 4)
    assert read(storage) == b"kept"


def test_where_the_kernel_cannot_copy_it_is_copied_by_hand(storage: Storage, in_file: InFile, cut, monkeypatch):
    def cannot(*_: object) -> int:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "copy_file_range", cannot)
    data = noise(3_000_000)
    token = in_file.begin(KEY)
    in_file.complete(KEY, token, send(in_file, token, cut(data, 1_000_001)), len(data))
    assert read(storage) == data


# ------------------------------------------------------------------------------------------------ in a bucket


def put(url: str, body: bytes) -> str:
    request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.headers["ETag"])


def test_anybody_may_put_a_part_to_a_signed_address(storage: Storage, in_bucket: InBucket):
    data = noise(PART + 3)
    token = in_bucket.begin(KEY)
    put(in_bucket.presign_part(KEY, token, 2, 3), data[PART:])
    put(in_bucket.presign_part(KEY, token, 1, PART), data[:PART])
    parts = in_bucket.list_parts(KEY, token)
    assert [(part.number, part.size_bytes) for part in parts] == [(1, PART), (2, 3)]
    in_bucket.complete(KEY, token, parts, len(data))
    assert read(storage) == data


def test_a_signed_address_names_its_size_and_its_life(in_bucket: InBucket):
    url = in_bucket.presign_part(KEY, in_bucket.begin(KEY), 1, 3)
    assert "X-Amz-Expires=900&" in url
    assert "X-Amz-SignedHeaders=content-length%3Bhost" in url


def test_only_what_was_signed_is_taken(in_bucket: InBucket, request: pytest.FixtureRequest):
    if "rclone" not in request.node.name:
        pytest.skip("moto checks no signature")
    token = in_bucket.begin(KEY)
    url = in_bucket.presign_part(KEY, token, 1, 3)
    for wrong in (url, url.replace("partNumber=1", "partNumber=2"), url.replace("original", "other")):
        with pytest.raises(urllib.error.HTTPError) as caught:
            put(wrong, b"more" if wrong == url else b"abc")
        assert caught.value.code == 403
        caught.value.close()
    put(url, b"abc")


def test_parts_are_listed_over_pages(in_bucket: InBucket, cut, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(s3_parts, "PAGE_PARTS", 2)
    token = in_bucket.begin(KEY)
    path = cut(b"x")[0][2]
    for number in range(1, 6):
        in_bucket.put_part(KEY, token, number, path, offset=number - 1)
    assert [part.number for part in in_bucket.list_parts(KEY, token)] == [1, 2, 3, 4, 5]


def test_what_was_begun_is_listed_until_it_is_over(storage: Storage, in_bucket: InBucket, cut, request):
    tokens = {name: in_bucket.begin(f"org/1/{name}") for name in ("open", "dead", "done")}
    in_bucket.begin("org/10/other")
    part = in_bucket.put_part("org/1/done", tokens["done"], 1, cut(b"x")[0][2], offset=0)
    in_bucket.complete("org/1/done", tokens["done"], [part], 1)
    assert {(found.key, found.token) for found in in_bucket.unfinished("org/1")} == {
        ("org/1/open", tokens["open"]),
        ("org/1/dead", tokens["dead"]),
    }
    assert storage.clear_unfinished(0, spare={tokens["open"]}) == 2
    assert [found.key for found in in_bucket.unfinished()] == ["org/1/open"]


def test_a_part_that_is_too_small_is_refused(storage: Storage, in_bucket: InBucket, cut, request):
    if "rclone" in request.node.name:
        pytest.skip("rclone has no least size")
    token = in_bucket.begin(KEY)
    parts = send(in_bucket, token, cut(b"first and second", 8))
    with pytest.raises(InputError) as caught:
        in_bucket.complete(KEY, token, parts, 16)
    assert caught.value.code == "part_too_small"
    assert storage.stat(KEY) is None


@pytest.mark.parametrize("lie", [Part(2, 3, '"0123456789abcdef0123456789abcdef"'), Part(1, 3, '"nonsense"')])
def test_a_part_that_is_not_there_is_refused(storage: Storage, in_bucket: InBucket, cut, lie: Part):
    token = in_bucket.begin(KEY)
    send(in_bucket, token, cut(b"abc"))
    with pytest.raises(InputError) as caught:
        in_bucket.complete(KEY, token, [lie], 3)
    assert caught.value.code == "parts_differ"
    assert storage.stat(KEY) is None
