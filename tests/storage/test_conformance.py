"""The contract `Storage`, held against every storage there is: what passes here may be configured."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rowmill.contracts import Storage
from rowmill.errors import ObjectChanged

KEY = "org/7/uploads/0d1f7f0e-0000-4000-8000-000000000001/original"
FOLDER = KEY.rpartition("/")[0]


def made(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "made"
    path.write_bytes(data)
    return path


def read(storage: Storage, key: str) -> bytes:
    with storage.open(key) as file:
        return file.read()


def test_it_has_every_method(storage: Storage):
    assert isinstance(storage, Storage)


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000], ids=["empty", "one byte", "1.3 MB"])
def test_what_is_written_is_read_again(storage: Storage, data: bytes):
    assert storage.write(KEY, io.BytesIO(data)) == len(data)
    assert read(storage, KEY) == data
    with storage.hold(KEY, hashlib.sha256(data).hexdigest()) as path:
        assert path.read_bytes() == data


def test_a_source_may_come_in_blocks(storage: Storage):
    assert storage.write(KEY, iter([b"one ", b"", b"two"])) == 7
    assert read(storage, KEY) == b"one two"


def test_a_key_once_written_is_not_written_again(storage: Storage):
    storage.write(KEY, [b"first"])
    with pytest.raises(FileExistsError):
        storage.write(KEY, [b"second"])
    assert read(storage, KEY) == b"first"


def test_a_source_that_breaks_leaves_nothing(storage: Storage):
    def breaks():
        yield b"half"
        raise RuntimeError("the sender is gone")

    with pytest.raises(RuntimeError):
        storage.write(KEY, breaks())
    assert storage.stat(KEY) is None
    assert list(storage.keys()) == []


def test_put_file_moves_and_replaces(storage: Storage, tmp_path: Path):
    for data in (b"first", b"the second"):
        path = made(tmp_path, data)
        assert storage.put_file(KEY, path) == len(data)
        assert not path.exists()
    assert read(storage, KEY) == b"the second"


def test_stat_tells_size_and_time(storage: Storage):
    storage.write(KEY, [b"12345"])
    found = storage.stat(KEY)
    assert found is not None
    assert (found.key, found.size_bytes) == (KEY, 5)
    assert abs(datetime.now(UTC) - found.modified_at) < timedelta(minutes=5)
    if not storage.near:
        assert found.sha256 in ("", hashlib.sha256(b"12345").hexdigest()), "rclone does not keep it"
    assert storage.stat(KEY + "x") is None


def test_what_is_not_there_is_not_found(storage: Storage):
    with pytest.raises(FileNotFoundError):
        storage.open(KEY)
    with pytest.raises(FileNotFoundError), storage.hold(KEY):
        pass
    assert storage.copies() == storage.copies()[:0]


def test_keys_are_listed_sorted_and_by_folder_only(storage: Storage):
    keys = ["org/1/a", "org/1/b/c", "org/1/b-/d", "org/10/a", "org/2/a"]
    for key in reversed(keys):
        storage.write(key, [b"x"])
    assert list(storage.keys()) == sorted(keys)
    assert list(storage.keys("org/1")) == sorted(keys[:3])
    assert list(storage.keys("org/1/b")) == ["org/1/b/c"]
    assert list(storage.keys("org/1/a")) == ["org/1/a"]
    assert list(storage.keys("org/3")) == []
    assert {found.key: found.size_bytes for found in storage.listing("org/1")} == dict.fromkeys(keys[:3], 1)


def test_delete_is_for_good_and_may_come_again(storage: Storage):
    for name in ("original", "table.parquet"):
        storage.write(f"{FOLDER}/{name}", [b"x"])
    storage.write("org/7/uploads/other", [b"x"])
    with storage.hold(KEY):
        pass
    assert storage.delete_under(FOLDER) == 2
    assert storage.delete_under(FOLDER) == 0
    assert not list(storage.copies())
    storage.delete("org/7/uploads/other")
    storage.delete("org/7/uploads/other")
    assert list(storage.keys()) == []
    with pytest.raises(FileNotFoundError):
        storage.open(KEY)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a/./b", "a//b", "a/"])
def test_what_is_no_key_is_refused(storage: Storage, key: str):
    with pytest.raises(ValueError):
        storage.write(key, [b"x"])
    assert list(storage.keys()) == []


def test_an_object_that_was_changed_is_refused(storage: Storage):
    if storage.near:
        pytest.skip("a near storage hands out the object itself: nothing is fetched, nothing checked on the way")
    storage.write(KEY, [b"what was checked"])
    wanted = hashlib.sha256(b"what was checked").hexdigest()
    storage.delete(KEY)
    storage.write(KEY, [b"something else"])
    with pytest.raises(ObjectChanged), storage.hold(KEY, wanted):
        pass
    assert not list(storage.copies())


def test_room_is_told(storage: Storage):
    assert (storage.free_bytes() or 0) > 0


def test_what_a_writer_that_died_left_is_cleared_and_the_rest_stays(storage: Storage, request: pytest.FixtureRequest):
    storage.write(KEY, [b"whole"])
    if storage.near:
        half = storage.root / ".incoming" / "half"
        half.write_bytes(b"ha")
    elif "rclone" in request.node.name:
        pytest.skip("rclone serve s3 does not list unfinished uploads")
    else:
        where = {"Bucket": storage.place.bucket, "Key": "some/prefix/org/1/half"}
        storage.client.create_multipart_upload(**where)
        storage.client.create_multipart_upload(Bucket=storage.place.bucket, Key="of/somebody/else")
    if "moto" not in request.node.name:  # moto says of every unfinished upload that it began in 2010
        assert storage.clear_unfinished(3600) == 0
    assert storage.clear_unfinished(0) == 1
    assert storage.clear_unfinished(0) == 0
    assert list(storage.keys()) == [KEY]
