"""Bytes at rest in an S3-compatible bucket, reached by boto3; read through this machine's scratch."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO, cast

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from rowmill.contracts import Stored
from rowmill.errors import ConfigError, StorageFault
from rowmill.storage.s3_faults import told_in_words
from rowmill.storage.s3_parts import BucketAssembly, md5_of
from rowmill.storage.scratch import Scratch
from rowmill.storage.url import Place

_BLOCK_BYTES = 1024 * 1024
_PART_BYTES = 16 * 1024 * 1024
_MOST_PARTS = 9000
_RESUMES = 5
_HASH = "rowmill-sha256"
for _name in ("boto3", "botocore", "urllib3"):  # at DEBUG they write signatures, and whole bodies, into the log
    logging.getLogger(_name).setLevel(logging.WARNING)


class S3Storage:
    """Storage in a bucket. `patient` is false for a check that must answer within seconds."""

    near = False

    def __init__(self, place: Place, scratch: Scratch, *, patient: bool = True, part_bytes: int = _PART_BYTES) -> None:
        self.place = place
        self.scratch = scratch
        scratch.clear_coming(older_than_seconds=60)
        self.part_bytes = part_bytes
        self._config = _make_config(place, patient=patient)
        self._lock = threading.Lock()
        self._client: Any = None
        self._client_pid = 0

    # -------------------------------------------------------------------------------------------- write

    def write(self, key: str, source: BinaryIO | Iterable[bytes]) -> int:
        """Spool the source in scratch, then store it. Raises: OutOfSpace, FileExistsError."""
        if self.stat(key) is not None:
            raise FileExistsError(key)
        self.scratch.free_bytes()
        blocks = iter(lambda: source.read(_BLOCK_BYTES), b"") if hasattr(source, "read") else source
        with NamedTemporaryFile(dir=self.scratch.root.parent, prefix="spool-") as spool:
            for block in blocks:
                spool.write(block)
            spool.flush()
            return self._put(key, Path(spool.name))

    def put_file(self, key: str, path: Path) -> int:
        """Store a finished local file, then remove it here. Again: replaces."""
        size = self._put(key, path)
        path.unlink(missing_ok=True)
        return size

    def _put(self, key: str, path: Path) -> int:
        """Send a file, whole or in parts, and see that all of it is there."""
        name, size = self.name_of(key), path.stat().st_size
        with path.open("rb") as file:
            about = {_HASH: hashlib.file_digest(file, "sha256").hexdigest()}
        with told_in_words(key), path.open("rb") as file:
            if size <= self.part_bytes:
                body = file.read()
                self.client.put_object(
                    Bucket=self.place.bucket, Key=name, Body=body, ContentMD5=md5_of(body), Metadata=about
                )
            else:
                self._put_parts(name, file, size, about)
        found = self.stat(key)
        if found is None or found.size_bytes != size:
            raise StorageFault("The storage took a file and does not have it whole.")
        return size

    def _put_parts(self, name: str, file: BinaryIO, size: int, about: dict[str, str]) -> None:
        """Send in parts, each with its own checksum; what fails is taken back."""
        where = {"Bucket": self.place.bucket, "Key": name}
        where["UploadId"] = self.client.create_multipart_upload(**where, Metadata=about)["UploadId"]
        part_bytes = max(self.part_bytes, -(-size // _MOST_PARTS))
        parts = []
        try:
            for number, body in enumerate(iter(lambda: file.read(part_bytes), b""), 1):
                told = self.client.upload_part(**where, PartNumber=number, Body=body, ContentMD5=md5_of(body))
                parts.append({"PartNumber": number, "ETag": told["ETag"]})
            self.client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
        except BaseException:
            self.assembly().give_up(self.key_of(name), where["UploadId"])
            raise

    # -------------------------------------------------------------------------------------------- read

    def open(self, key: str) -> BinaryIO:
        """Open for reading as it comes. Raises: FileNotFoundError."""
        with told_in_words(key):
            answer = self.client.get_object(Bucket=self.place.bucket, Key=self.name_of(key))
        return cast(BinaryIO, io.BufferedReader(_Body(answer["Body"]), _BLOCK_BYTES))

    def hold(self, key: str, sha256: str = "") -> AbstractContextManager[Path]:
        """Give the copy in scratch. Raises: FileNotFoundError, OutOfSpace, ObjectChanged."""
        return self.scratch.hold(key, sha256, lambda: self._need(key).size_bytes, lambda: self._blocks(key))

    def learn(self, key: str, told: Callable[[], None]) -> str:
        """Fetch an object whose SHA-256 nobody knows, and give it; the copy in scratch is the one `hold` asks for then."""

        def fetch() -> Iterator[bytes]:
            for block in self._blocks(key):
                told()
                yield block

        return self.scratch.learn(key, self._need(key).size_bytes, fetch)

    def _blocks(self, key: str) -> Iterator[bytes]:
        """Read an object to its end; where the line breaks, go on from there, in the same object only."""
        name, seen, etag, size = self.name_of(key), 0, "", -1
        for attempt in range(_RESUMES + 1):
            more = {"Range": f"bytes={seen}-", "IfMatch": etag} if seen else {}
            with told_in_words(key):
                answer = self.client.get_object(Bucket=self.place.bucket, Key=name, **more)
                etag, size = answer["ETag"], size if seen else answer["ContentLength"]
            try:
                with closing(answer["Body"]) as body:
                    for block in body.iter_chunks(_BLOCK_BYTES):
                        seen += len(block)
                        yield block
            except (HTTPError, BotoCoreError, ConnectionError):
                if attempt == _RESUMES:
                    break
            if seen == size:
                return
        raise StorageFault("The storage breaks off in the middle of a file.")

    def stat(self, key: str) -> Stored | None:
        """Ask for an object's size, time and hash."""
        try:
            with told_in_words(key):
                told = self.client.head_object(Bucket=self.place.bucket, Key=self.name_of(key))
                return Stored(key, told["ContentLength"], told["LastModified"], told.get("Metadata", {}).get(_HASH, ""))
        except FileNotFoundError:
            return None

    def size(self, key: str) -> int | None:
        """Give the size in bytes, None where there is no such key."""
        found = self.stat(key)
        return found.size_bytes if found else None

    def _need(self, key: str) -> Stored:
        """Raises: FileNotFoundError."""
        found = self.stat(key)
        if found is None:
            raise FileNotFoundError(key)
        return found

    def listing(self, prefix: str = "") -> Iterator[Stored]:
        """List the object or the folder `prefix`."""
        start = self.name_of(prefix) if prefix else self.place.prefix
        folder = f"{start}/" if start else ""
        more: dict[str, str] = {}
        while True:
            with told_in_words():
                page = self.client.list_objects_v2(Bucket=self.place.bucket, Prefix=start, **more)
            for found in page.get("Contents", ()):
                if found["Key"] == start or found["Key"].startswith(folder):
                    yield Stored(self.key_of(found["Key"]), found["Size"], found["LastModified"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def keys(self, prefix: str = "") -> Iterator[str]:
        """List the keys of the object or the folder `prefix`."""
        return (found.key for found in self.listing(prefix))

    # -------------------------------------------------------------------------------------------- remove

    def delete(self, key: str) -> None:
        """Remove the object and this machine's copy; no error where there is none."""
        self.scratch.drop(key)
        with told_in_words(key):
            self.client.delete_object(Bucket=self.place.bucket, Key=self.name_of(key))

    def delete_under(self, prefix: str) -> int:
        """Remove a folder's objects and copies, and what is under way there; gives how many objects went."""
        gone = 0
        assembly = self.assembly()
        for found in assembly.unfinished(prefix):  # first: nothing can become an object then
            assembly.abort(found.key, found.token)
        for key in list(self.keys(prefix)):
            self.delete(key)
            gone += 1
        self.scratch.drop_under(prefix)
        return gone

    def clear_unfinished(self, older_than_seconds: float, spare: Collection[str] = ()) -> int:
        """Give up the multipart uploads of writers that died, but those with a token in `spare`; gives how many."""
        oldest = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        assembly = self.assembly()
        dead = [found for found in assembly.unfinished() if found.begun_at < oldest and found.token not in spare]
        return sum(assembly.give_up(found.key, found.token) for found in dead)

    def assembly(self) -> BucketAssembly:
        """Give how files are put together here."""
        return BucketAssembly(self)

    def copies(self) -> Sequence[str]:
        """List the keys that scratch has a copy of."""
        return self.scratch.keys()

    def drop_copy(self, key: str) -> None:
        """Remove this machine's copy, unless it is in use."""
        self.scratch.drop(key)

    def free_bytes(self) -> int | None:
        """Give the bytes left on this machine's scratch disk: the bucket does not tell."""
        return self.scratch.free_bytes()

    # -------------------------------------------------------------------------------------------- client and names

    @property
    def client(self) -> Any:
        """Give this process's client: threads share it, a forked child makes its own."""
        with self._lock:
            if self._client is None or self._client_pid != os.getpid():
                self._client, self._client_pid = _make_client(self.place, self._config), os.getpid()
            return self._client

    def name_of(self, key: str) -> str:
        """Give the object's name in the bucket. Raises: ValueError for what is no key."""
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or key != "/".join(parts) or {"..", "."} & set(parts):
            raise ValueError(f"not a storage key: {key!r}")
        return f"{self.place.prefix}/{key}" if self.place.prefix else key

    def key_of(self, name: str) -> str:
        """Give the key of a name in the bucket."""
        return name[len(self.place.prefix) + 1 :] if self.place.prefix else name


class _Body(io.RawIOBase):
    """An object's bytes as a file; a line that breaks is a fault in words, never a short file."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, into: Any) -> int:
        """Read on. Raises: StorageFault."""
        with told_in_words():
            block = self._body.read(len(into))
        into[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Let go of the connection."""
        self._body.close()
        super().close()


def _make_config(place: Place, *, patient: bool) -> Config:
    """Set time-outs, tries and checksums.

    Source: boto3 from 1.36 on sends CRC headers that many compatible servers refuse (aws-cli #9214).
    """
    checksums = "when_required" if place.endpoint or os.environ.get("AWS_ENDPOINT_URL") else "when_supported"
    return Config(
        signature_version="s3v4",
        connect_timeout=5 if patient else 2,
        read_timeout=20 if patient else 5,
        retries={"mode": "standard", "total_max_attempts": 3 if patient else 1},
        s3=_make_addressing(place),
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
        max_pool_connections=32,
        tcp_keepalive=True,
    )


def _make_addressing(place: Place) -> dict[str, str] | None:
    """Choose how addresses name the bucket.

    "virtual" signs for Amazon's host of the bucket's own region; the client's own choice signs for the one host of all
    regions, from which a young bucket redirects, and no browser follows that with a PUT.
    """
    if place.path_style:
        return {"addressing_style": "path"}
    return None if place.endpoint or "." in place.bucket else {"addressing_style": "virtual"}


def _make_client(place: Place, config: Config) -> Any:
    """Make a client. Raises: ConfigError that says what to set."""
    session = boto3.session.Session()
    given = [name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if os.environ.get(name)]
    if len(given) == 1:
        raise ConfigError(f"{given[0]} is set alone. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY both, or neither.")
    region = place.region or session.region_name or ("us-east-1" if place.endpoint else "")
    if not region:
        raise ConfigError("ROWMILL_STORAGE_URL names a bucket without a region. Add region=..., or set AWS_REGION.")
    if place.endpoint and session.get_credentials() is None:
        raise ConfigError(
            "There are no credentials for ROWMILL_STORAGE_URL. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    return session.client("s3", region_name=region, endpoint_url=place.endpoint or None, config=config)
