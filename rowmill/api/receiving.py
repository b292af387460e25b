"""The whole-POST door: takes a file in as it streams, never whole in memory, and stops it at the limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from mmap import mmap
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import BoundedSemaphore
from typing import IO, Any, ClassVar

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils.datastructures import MultiValueDict
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request

from rowmill.api.base import OrgView
from rowmill.errors import InputError, OutOfSpace
from rowmill.uploads.places import get_storage, need_room
from rowmill.uploads.receive import max_upload_bytes
from rowmill.uploads.sources import Source

FIELD = "file"
# What a multipart body may weigh beside its file: boundaries, part headers, options.
FORM_BYTES = 64 * 1024
# So many chunks of up to so many bytes are in this process's memory at a time.
MEMORY_CHUNKS = 4
MEMORY_BYTES = 8 * 1024 * 1024 + FORM_BYTES
# A sender that is far over the limit is cut off; up to here the body is read to its end, so that the answer is seen.
DRAINED_BYTES = 64 * 1024 * 1024


class ReceivedFile(UploadedFile):  # type: ignore[type-arg]
    """A file that came in, lying in the scratch folder until the request is over."""

    def temporary_file_path(self) -> str:
        """Give where it lies."""
        return str(self.file.name)  # type: ignore[union-attr]


class OneFileHandler(FileUploadHandler):
    """Writes the part called `field` to the scratch folder, counting; other files are read and dropped."""

    chunk_size = 256 * 1024
    field = FIELD
    what = "file"

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self.limit = self.most_bytes()
        self.too_large = False
        self.cut_off = False
        self.files = 0
        self.body_bytes = 0
        self._out: IO[bytes] | None = None
        self._seen = 0

    def most_bytes(self) -> int:
        """Give the limit."""
        return max_upload_bytes()

    def handle_raw_input(
        self,
        input_data: IO[bytes],
        META: dict[str, str],
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> tuple[QueryDict, MultiValueDict[str, UploadedFile[bytes]]] | None:
        """Take nothing of what says itself that it is too large. Raises: OutOfSpace while the disk is full."""
        need_room()
        self.body_bytes = content_length
        if content_length <= self.limit + FORM_BYTES:
            return None
        self.too_large = True
        if content_length <= DRAINED_BYTES:
            while input_data.read(self.chunk_size):
                pass
        return QueryDict(), MultiValueDict()

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Open the file that the part is written to."""
        super().new_file(*args, **kwargs)
        self.files += 1
        self._seen = 0
        if self.field_name == self.field and self._out is None:
            self._out = self._open()

    def _open(self) -> IO[bytes]:
        """Open a file of the scratch folder, which is gone when it is closed."""
        folder: Path = settings.SCRATCH_DIR
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return NamedTemporaryFile(prefix="receive-", dir=folder)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write on. Raises: StopUpload past the limit."""
        self._seen += len(raw_data)
        if self._seen > self.limit:
            self.too_large = True
            self.close()
            raise StopUpload(connection_reset=False)
        if self.field_name == self.field and self._out is not None:
            self._write(raw_data)

    def _write(self, data: bytes) -> None:
        """Raises: OutOfSpace where the disk is full."""
        assert self._out is not None
        try:
            self._out.write(data)
        except OSError:
            self.close()
            raise OutOfSpace from None

    def file_complete(self, file_size: int) -> ReceivedFile | None:
        """Give the file; None for a part that is not wanted."""
        if self.field_name != self.field or self._out is None:
            return None
        self._out.flush()
        self._out.seek(0)
        return ReceivedFile(self._out, self.file_name, self.content_type, file_size, self.charset)

    def upload_interrupted(self) -> None:
        """Throw away what came: the body ended in the middle of the file."""
        self.cut_off = True
        self.close()

    def close(self) -> None:
        """Remove the file from the scratch folder. Again: yes."""
        if self._out is not None:
            self._out.close()
            self._out = None


class OneChunkHandler(OneFileHandler):
    """Takes the part called `chunk`, up to the limit of a chunk.

    A few chunks of usual size are kept in memory, where the storage is near: they are written once, to their place. All
    others go to the scratch folder first.
    """

    field = "chunk"
    what = "chunk"
    _rooms = BoundedSemaphore(MEMORY_CHUNKS)
    _free: ClassVar[list[mmap]] = []  # used again and again: memory that is new each time costs as much as the disk

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self._room: mmap | None = None
        self._view: memoryview | None = None

    @property
    def source(self) -> Source:
        """Give the chunk's bytes, once they are here and until `close`."""
        assert self._out is not None
        if self._room is None:
            return Path(self._out.name)
        self._view = self._view or memoryview(self._room)[: self._seen]
        return self._view

    def most_bytes(self) -> int:
        """Give the limit."""
        limit: int = settings.ROWMILL_MAX_CHUNK_BYTES
        return limit

    def _open(self) -> IO[bytes]:
        """Give room in memory, or a file."""
        if self.body_bytes > MEMORY_BYTES or not get_storage().near or not self._rooms.acquire(blocking=False):
            return super()._open()
        self._room = self._free.pop() if self._free else mmap(-1, MEMORY_BYTES)
        self._room.seek(0)
        return self._room  # type: ignore[return-value]

    def file_complete(self, file_size: int) -> ReceivedFile | None:
        """Give the file; whoever closes it does not close the room in memory."""
        file = super().file_complete(file_size)
        if file is not None and self._room is not None:
            file.file = BytesIO()
        return file

    def close(self) -> None:
        """Let go of the bytes. Again: yes."""
        if self._view is not None:
            self._view.release()
            self._view = None
        if self._room is not None:
            self._free.append(self._room)
            self._room = self._out = None
            self._rooms.release()
        super().close()


def need_one_file(handler: OneFileHandler, files: Mapping[str, Any]) -> UploadedFile[bytes]:
    """Give the file that came. Raises: InputError too_large, missing_file, one_file_only, cut_off."""
    field, what = handler.field, handler.what
    if handler.too_large:
        way_out = "Split it and send the parts." if what == "file" else "Cut the file into smaller chunks."
        raise InputError(
            f"The {what} is larger than {handler.limit:,} bytes, which is the most that this address takes. {way_out}",
            code="too_large",
            limit_bytes=handler.limit,
        )
    if handler.cut_off:
        raise InputError(f"The {what} did not arrive whole. Send it again.", code="cut_off", field=field)
    file = files.get(field)
    if not isinstance(file, UploadedFile):
        raise InputError(
            f"There is no {what}. Send it as the part `{field}` of a multipart form.", code="missing_file", field=field
        )
    if handler.files > 1:
        raise InputError(f"There is more than one file. Send one {what} a time.", code="one_file_only", field=field)
    return file


class ReceivingView(OrgView):
    """An address that takes one file, streamed to the scratch folder by its handler."""

    parser_classes: Sequence[type[BaseParser]] = (MultiPartParser,)
    handler_class: type[OneFileHandler] = OneFileHandler
    handler: OneFileHandler

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Put the streaming handler in place before anything, the CSRF check included, reads the body."""
        self.handler = self.handler_class(request)
        request.upload_handlers = [self.handler]
        return super().initialize_request(request, *args, **kwargs)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Serve, and remove what was received, whatever became of the request."""
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            self.handler.close()
