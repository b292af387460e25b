"""Puts a file together in a bucket: a multipart upload, whose parts this process sends or an address is signed for."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from rowmill.errors import InputError, StorageFault
from rowmill.storage.assembling import LEAST_PART_BYTES, SIGNED_SECONDS, Part, Told, Unfinished, need_size, nothing_told
from rowmill.storage.s3_faults import told_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rowmill.storage.s3 import S3Storage

PAGE_PARTS = 1000
_NONE_LISTED = {"NoSuchUpload", "NotImplemented", "MethodNotAllowed"}
_REFUSED = {
    "EntityTooSmall": (
        "part_too_small",
        "A part is smaller than 5 MiB, the least that the storage takes of all but the last.",
    ),
    "InvalidPart": ("parts_differ", "The storage does not have the parts as they were listed."),
    "InvalidPartOrder": ("parts_differ", "The storage does not take the parts in this order."),
}


class BucketAssembly:
    """Assembles by a multipart upload. What it holds is the storage's; make one wherever it is needed."""

    least_part_bytes = LEAST_PART_BYTES

    def __init__(self, storage: S3Storage) -> None:
        self._storage = storage

    def begin(self, key: str) -> str:
        """Begin a multipart upload; gives its UploadId. Again: begins another."""
        with told_in_words(key):
            told = self._client.create_multipart_upload(**self._where(key))
            return str(told["UploadId"])

    def put_part(self, key: str, token: str, number: int, path: Path, *, offset: int) -> Part:
        """Send a local file as one part. Raises: FileNotFoundError, OutOfSpace. Again: yes, the newer counts."""
        with path.open("rb") as body:
            checksum, size = _measure(body)
            with told_in_words(key):
                told = self._client.upload_part(
                    **self._where(key, token), PartNumber=number, Body=body, ContentLength=size, ContentMD5=checksum
                )
                return Part(number, size, told["ETag"])

    def list_parts(self, key: str, token: str) -> list[Part]:
        """Ask which parts there are, by number. Raises: FileNotFoundError. Cost: a call for each 1,000."""
        parts: list[Part] = []
        more: dict[str, Any] = {"MaxParts": PAGE_PARTS}
        while True:
            with told_in_words(key):
                page = self._client.list_parts(**self._where(key, token), **more)
                parts += [Part(part["PartNumber"], part["Size"], part["ETag"]) for part in page.get("Parts", ())]
            if not page.get("IsTruncated"):
                return sorted(parts, key=lambda part: part.number)
            more["PartNumberMarker"] = _next_marker(page, more)

    def presign_part(self, key: str, token: str, number: int, size_bytes: int) -> str:
        """Sign an address for one part of exactly this size. Cost: no call."""
        params = {**self._where(key, token), "PartNumber": number, "ContentLength": size_bytes}
        with told_in_words(key):
            return str(self._client.generate_presigned_url("upload_part", Params=params, ExpiresIn=SIGNED_SECONDS))

    def complete(self, key: str, token: str, parts: Sequence[Part], size_bytes: int) -> None:
        """Make the object of its parts and look at it.

        Raises: InputError wrong_size, part_too_small, parts_differ; FileNotFoundError.
        """
        need_size(sum(part.size_bytes for part in parts), size_bytes)
        chosen = [
            {"PartNumber": part.number, "ETag": part.etag} for part in sorted(parts, key=lambda part: part.number)
        ]
        try:
            with told_in_words(key), _told_of_parts():
                self._client.complete_multipart_upload(**self._where(key, token), MultipartUpload={"Parts": chosen})
        except (FileNotFoundError, StorageFault):
            # Perhaps it is complete already, or this call completed it and its answer was lost.
            if (found := self._storage.stat(key)) is None:
                raise
            need_size(found.size_bytes, size_bytes)
        if (found := self._storage.stat(key)) is None or found.size_bytes != size_bytes:
            raise StorageFault("The storage took a file and does not have it whole.")

    def abort(self, key: str, token: str) -> None:
        """Give the multipart upload up. Raises: StorageFault. Again: yes."""
        try:
            with told_in_words(key):
                self._client.abort_multipart_upload(**self._where(key, token))
        except FileNotFoundError:
            pass

    def digest(self, key: str, told: Told = nothing_told) -> str:
        """Bring the object into scratch and give its SHA-256. Raises: FileNotFoundError, OutOfSpace."""
        return self._storage.learn(key, told)

    def give_up(self, key: str, token: str) -> bool:
        """Abort, and tell whether that was done; the sweep gets what this cannot."""
        try:
            with told_in_words(key):
                self._client.abort_multipart_upload(**self._where(key, token))
        except (StorageFault, OSError):
            return False
        return True

    def unfinished(self, prefix: str = "") -> list[Unfinished]:
        """List the multipart uploads under the folder `prefix`. Cost: a call for each 1,000."""
        start = self._storage.name_of(prefix) if prefix else self._storage.place.prefix
        more: dict[str, Any] = {"Prefix": f"{start}/"} if start else {}
        found: list[Unfinished] = []
        while True:
            with told_in_words():
                page = self._list_page(more)
            found += [
                Unfinished(self._storage.key_of(upload["Key"]), upload["UploadId"], upload["Initiated"])
                for upload in page.get("Uploads", ())
            ]
            if not page.get("IsTruncated"):
                return found
            more |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _list_page(self, more: dict[str, Any]) -> dict[str, Any]:
        """List a page of them; none where a store answers so for none at all (rclone), or does not know the question."""
        try:
            page: dict[str, Any] = self._client.list_multipart_uploads(Bucket=self._storage.place.bucket, **more)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _NONE_LISTED:
                return {}
            raise
        return page

    @property
    def _client(self) -> Any:
        """Give this process's client."""
        return self._storage.client

    def _where(self, key: str, token: str = "") -> dict[str, str]:
        """Give what names a multipart upload."""
        where = {"Bucket": self._storage.place.bucket, "Key": self._storage.name_of(key)}
        return where | {"UploadId": token} if token else where


@contextmanager
def _told_of_parts() -> Iterator[None]:
    """Raises: InputError for what is wrong with the parts; what else is wrong is passed on."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code not in _REFUSED:
            raise
        raise InputError(f"{_REFUSED[code][1]} Send the file again.", code=_REFUSED[code][0]) from None


def _next_marker(page: dict[str, Any], before: dict[str, Any]) -> int:
    """Give where the next page begins. Raises: StorageFault for a server that would have it begin anew for ever."""
    marker = int(page.get("NextPartNumberMarker", 0))
    if marker <= before.get("PartNumberMarker", 0):
        raise StorageFault("The storage does not list the parts of a file to their end.")
    return marker


def _measure(body: BinaryIO) -> tuple[str, int]:
    """Give a file's checksum for the wire and its size; stands at its beginning again."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    for block in iter(lambda: body.read(1024 * 1024), b""):
        digest.update(block)
        size += len(block)
    body.seek(0)
    return base64.b64encode(digest.digest()).decode(), size


def md5_of(body: bytes) -> str:
    """Give the checksum that every S3-compatible server knows; it guards against a broken line, not against people."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
