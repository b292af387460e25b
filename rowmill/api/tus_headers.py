"""What a tus client says in headers (tus 1.0.0): numbers, metadata, checksums; and the body, block by block."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

from django.http import HttpRequest, UnreadablePostError

from rowmill.errors import InputError
from rowmill.uploads.appending import CHECKSUMS, Checksum

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,checksum,termination,expiration"
BODY_TYPE = "application/offset+octet-stream"
BLOCK_BYTES = 256 * 1024
# More digits than any file has bytes: what is longer is no number.
_NUMBER = re.compile(r"[0-9]{1,18}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_MAX_METADATA = 16 * 1024


def read_number(headers: Mapping[str, str], name: str) -> int | None:
    """Read a header that holds a count of bytes, None where it is not there. Raises: InputError bad_header."""
    text = headers.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text.strip()):
        raise InputError(f"The header {name} takes a count of bytes, such as 1048576.", code="bad_header", field=name)
    return int(text)


def need_number(headers: Mapping[str, str], name: str) -> int:
    """Read a header that must be there. Raises: InputError bad_header."""
    number = read_number(headers, name)
    if number is None:
        raise InputError(
            f"The header {name} is missing. Send it with each such request.", code="bad_header", field=name
        )
    return number


def read_length(headers: Mapping[str, str]) -> int | None:
    """Read how large the file will be, None where that is deferred. Raises: InputError bad_header."""
    length, deferred = read_number(headers, "Upload-Length"), headers.get("Upload-Defer-Length")
    if deferred is not None and (deferred.strip() != "1" or length is not None):
        raise InputError(
            "The header Upload-Defer-Length takes 1, and stands in the place of Upload-Length.",
            code="bad_header",
            field="Upload-Defer-Length",
        )
    if length is None and deferred is None:
        raise InputError(
            "The header Upload-Length is missing. Send the file's size in bytes, or Upload-Defer-Length: 1.",
            code="bad_header",
            field="Upload-Length",
        )
    return length


def read_metadata(text: str) -> dict[str, str]:
    """Read Upload-Metadata: `key base64,key base64`. Shape: text by key, "" for a bare key. Raises: InputError bad_metadata."""
    if len(text) > _MAX_METADATA:
        raise _bad_metadata(f"takes at most {_MAX_METADATA:,} characters")
    pairs: dict[str, str] = {}
    for entry in text.split(",") if text else ():
        key, _, value = entry.strip().partition(" ")
        if not key or not key.isascii() or key in pairs:
            raise _bad_metadata("takes pairs of a key and a value in base64, with commas between, each key once")
        pairs[key] = _decode(value.strip())
    if (sha256 := pairs.get("sha256")) and not _SHA256.fullmatch(sha256):
        raise _bad_metadata("takes sha256 as 64 hexadecimal digits")
    return pairs


def _decode(value: str) -> str:
    """Read one value. Raises: InputError bad_metadata."""
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        raise _bad_metadata("takes values as base64 of UTF-8") from None


def _bad_metadata(words: str) -> InputError:
    """Say what Upload-Metadata takes."""
    return InputError(f"The header Upload-Metadata {words}.", code="bad_metadata", field="Upload-Metadata")


def read_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """Read Upload-Checksum: `algorithm base64`. Raises: InputError bad_header."""
    text = headers.get("Upload-Checksum")
    if text is None:
        return None
    algorithm, _, value = text.strip().partition(" ")
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if algorithm not in CHECKSUMS or len(digest) != CHECKSUMS[algorithm]().digest_size:
        known = ", ".join(CHECKSUMS)
        raise InputError(
            f"The header Upload-Checksum takes one of {known}, a space, and the digest in base64.",
            code="bad_header",
            field="Upload-Checksum",
        )
    return Checksum(algorithm, digest)


class Body:
    """A request's body as it comes, in blocks; it is never whole in memory.

    `length` is None where the sender does not tell it (chunked). A line that breaks ends the blocks: what came is
    what there is, and `cut` tells.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
        self.length = None if self._chunked else int(request.META.get("CONTENT_LENGTH") or 0)
        self.seen = 0
        self.cut = False

    def __iter__(self) -> Iterator[bytes]:
        """Give the blocks."""
        source = self._request.META["wsgi.input"] if self._chunked else self._request
        try:
            while block := source.read(BLOCK_BYTES):
                self.seen += len(block)
                yield block
        except (UnreadablePostError, OSError, ValueError):
            self.cut = True
        if self.length is not None and self.seen < self.length:
            self.cut = True
