"""The addresses of Rowmill and two bare views beside them that take the same chunks: what receiving and hashing cost at least.

`/bare/hash/` parses the form and hashes the chunk; `/bare/keep/` writes it to a file of its own and syncs it, too. The file
stays until the run is over, as a stored upload does: one that is removed at once gives its memory to the next, and costs far
less. Both are mounted by bench/upload.py only, in the server that is measured.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from rowmill.urls import urlpatterns as ours


class Hashing(FileUploadHandler):
    """Hashes what comes, and nothing else."""

    chunk_size = 256 * 1024

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin."""
        super().new_file(*args, **kwargs)
        self.digest = hashlib.sha256()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Go on."""
        self.digest.update(raw_data)

    def file_complete(self, file_size: int) -> Any:
        """Give a file without content; only its hash is of use."""
        return InMemoryUploadedFile(None, "chunk", "chunk", None, file_size, None)  # type: ignore[arg-type]


class Keeping(Hashing):
    """Hashes, writes and syncs."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Open the file."""
        super().new_file(*args, **kwargs)
        folder = settings.SCRATCH_DIR.parent / "bare"
        folder.mkdir(exist_ok=True)
        self.out = tempfile.NamedTemporaryFile(dir=folder, delete=False)  # noqa: SIM115

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write on."""
        super().receive_data_chunk(raw_data, start)
        self.out.write(raw_data)

    def file_complete(self, file_size: int) -> Any:
        """Make it durable."""
        self.out.flush()
        os.fsync(self.out.fileno())
        self.out.close()
        return super().file_complete(file_size)


def _bare(handler: type[Hashing]) -> Any:
    """Make a view that takes one chunk."""

    @csrf_exempt
    def view(request: HttpRequest) -> HttpResponse:
        taking = handler(request)
        request.upload_handlers = [taking]
        assert "chunk" in request.FILES
        return HttpResponse(taking.digest.hexdigest())

    return view


urlpatterns = [path("bare/hash/", _bare(Hashing)), path("bare/keep/", _bare(Keeping)), *ours]
