"""Bytes at rest in a local folder: written aside, synced, then renamed into place."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import uuid4

from rowmill.contracts import Stored
from rowmill.errors import OutOfSpace
from rowmill.storage.local_parts import LocalAssembly
from rowmill.storage.placing import as_out_of_space, move_into_place

_BLOCK_BYTES = 1024 * 1024


class LocalStorage:
    """Storage in a folder of this machine. Objects being written lie in `.incoming` beside the others."""

    near = True

    def __init__(self, root: Path, min_free_bytes: int = 0) -> None:
        self.root = root
        self.min_free_bytes = min_free_bytes
        self._incoming = root / ".incoming"

    def write(self, key: str, source: BinaryIO | Iterable[bytes]) -> int:
        """Store the whole source under key, atomically. Raises: OutOfSpace, FileExistsError."""
        target = self._path(key)
        if target.exists():
            raise FileExistsError(key)
        self._incoming.mkdir(parents=True, exist_ok=True)
        aside = self._incoming / uuid4().hex
        try:
            written = self._write_aside(aside, source)
            move_into_place(aside, target)
        except OSError as error:
            raise as_out_of_space(error) from error
        finally:
            aside.unlink(missing_ok=True)
        return written

    def _write_aside(self, aside: Path, source: BinaryIO | Iterable[bytes]) -> int:
        """Write and sync; watches the free space on the way."""
        blocks = iter(lambda: source.read(_BLOCK_BYTES), b"") if hasattr(source, "read") else source
        written, checked = 0, 0
        with aside.open("xb") as file:
            for block in blocks:
                if written >= checked:
                    self._need_room()
                    checked = written + 16 * _BLOCK_BYTES
                written += file.write(block)
            file.flush()
            os.fsync(file.fileno())
        return written

    def put_file(self, key: str, path: Path) -> int:
        """Move a finished local file in under key. Again: replaces."""
        target = self._path(key)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        size = path.stat().st_size
        try:
            move_into_place(path, target)
        except OSError as error:
            raise as_out_of_space(error) from error
        return size

    def open(self, key: str) -> BinaryIO:
        """Open for reading. Raises: FileNotFoundError."""
        return self._path(key).open("rb")

    def local_path(self, key: str) -> Path:
        """Give the object's own path, for reading only. Raises: FileNotFoundError."""
        path = self._path(key)
        if not path.is_file():
            raise FileNotFoundError(key)
        return path

    def hold(self, key: str, sha256: str = "") -> AbstractContextManager[Path]:
        """Give the object's own path: nothing is copied, so nothing is checked on a way. Raises: FileNotFoundError."""
        return nullcontext(self.local_path(key))

    def stat(self, key: str) -> Stored | None:
        """Tell size and time, None where there is no such key."""
        try:
            found = self._path(key).stat()
        except FileNotFoundError:
            return None
        return Stored(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def size(self, key: str) -> int | None:
        """Give the size in bytes, None where there is no such key."""
        found = self.stat(key)
        return found.size_bytes if found else None

    def delete(self, key: str) -> None:
        """Remove; no error where there is none."""
        self._path(key).unlink(missing_ok=True)

    def delete_under(self, prefix: str) -> int:
        """Remove everything under a prefix; gives how many objects went."""
        gone = 0
        for key in list(self.keys(prefix)):
            self.delete(key)
            gone += 1
        folder = self._path(prefix)
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
        return gone

    def keys(self, prefix: str = "") -> Iterator[str]:
        """List the keys under a prefix, sorted."""
        start = self._path(prefix) if prefix else self.root
        if start.is_file():
            yield prefix
            return
        found = (path.relative_to(self.root).as_posix() for path in start.rglob("*") if path.is_file())
        yield from sorted(key for key in found if not key.startswith(".incoming/"))

    def listing(self, prefix: str = "") -> Iterator[Stored]:
        """List the same with size and time; what goes meanwhile is left out."""
        return (found for key in self.keys(prefix) if (found := self.stat(key)) is not None)

    def assembly(self) -> LocalAssembly:
        """Give how files are put together here."""
        return LocalAssembly(self._path, self._need_room)

    def clear_unfinished(self, older_than_seconds: float, spare: Collection[str] = ()) -> int:
        """Remove what writers that died left half written; gives how many files went. Nothing here has a token."""
        return self.clear_incoming(older_than_seconds, time.time())

    def copies(self) -> Sequence[str]:
        """There are none: the object itself is used."""
        return ()

    def drop_copy(self, key: str) -> None:
        """There is none."""

    def free_bytes(self) -> int | None:
        """Give the bytes left on the folder's disk."""
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free

    def clear_incoming(self, older_than_seconds: float = 0, now: float = 0) -> int:
        """Remove what a crash left half written. Gives how many files went."""
        gone = 0
        for path in self._incoming.glob("*"):
            if older_than_seconds <= 0 or now - path.stat().st_mtime >= older_than_seconds:
                path.unlink(missing_ok=True)
                gone += 1
        return gone

    def _need_room(self) -> None:
        """Raises: OutOfSpace below the threshold."""
        free = self.free_bytes()
        if free is not None and free < self.min_free_bytes:
            raise OutOfSpace

    def _path(self, key: str) -> Path:
        """Turn a key into a path below the root. Raises: ValueError for a key that would leave it."""
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or key != "/".join(parts) or {"..", "."} & set(parts):
            raise ValueError(f"not a storage key: {key!r}")
        return self.root.joinpath(*parts)
