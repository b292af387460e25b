"""Scratch: this machine's bounded store of copies, fetched once, checked on the way, never seen half."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote
from uuid import uuid4

from rowmill.errors import ObjectChanged, OutOfSpace

_COMING = ".coming"
_HASH_CHARS = 16

Fetch = Callable[[], Iterable[bytes]]


class Scratch:
    """Copies in a folder, shared by all threads and all processes of the machine.

    A copy in use is locked (flock, shared); only one that nobody holds may go, the least recently used first.
    Units: `most_bytes` is kept to as long as what is in use allows it.
    """

    def __init__(self, root: Path, most_bytes: int, min_free_bytes: int = 0) -> None:
        self.root = root
        self.most_bytes = most_bytes
        self.min_free_bytes = min_free_bytes
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[None]] = {}

    @contextmanager
    def hold(self, key: str, sha256: str, size_bytes: Callable[[], int], fetch: Fetch) -> Iterator[Path]:
        """Give the copy's path while the `with` lasts, fetched first where it is not here.

        Raises: ObjectChanged where what comes has another SHA-256 ("" takes any), OutOfSpace, and what `fetch` raises.
        Again: several at once share one fetch, and its failure.
        """
        path = self.root / _name(key, sha256)
        while (handle := _take(path)) is None:
            self._bring(key, sha256, size_bytes, fetch)
        try:
            os.utime(handle)
            yield path
        finally:
            os.close(handle)

    def _bring(self, key: str, sha256: str, size_bytes: Callable[[], int], fetch: Fetch) -> None:
        """Fetch, or wait for the thread that does."""
        path = self.root / _name(key, sha256)
        with self._lock:
            under_way = self._under_way.get(path.name)
            mine: Future[None] = Future()
            if under_way is None:
                self._under_way[path.name] = mine
        if under_way is not None:
            return under_way.result()
        try:
            if not path.exists():  # another thread's fetch may just have ended
                self._fetch(key, sha256, size_bytes(), fetch)
        except BaseException as error:
            self._ended(path.name).set_exception(error)
            raise
        self._ended(path.name).set_result(None)
        return None

    def _ended(self, name: str) -> Future[None]:
        """Take a fetch off the list, before those who wait hear of it."""
        with self._lock:
            return self._under_way.pop(name)

    def learn(self, key: str, size_bytes: int, fetch: Fetch) -> str:
        """Fetch a copy, keep it under what its bytes hash to, and give that SHA-256. Raises: OutOfSpace, what `fetch` does."""
        return self._fetch(key, "", size_bytes, fetch, learn=True)

    def _fetch(self, key: str, sha256: str, size_bytes: int, fetch: Fetch, *, learn: bool = False) -> str:
        """Write aside, sync, check, then rename: what a crash cuts is never taken for whole."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make_room(size_bytes)
        coming = self.root / _COMING
        coming.mkdir(exist_ok=True, mode=0o700)
        aside = coming / uuid4().hex
        try:
            with open(aside, "xb", opener=_private) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                digest = hashlib.sha256()
                for block in fetch():
                    digest.update(block)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
                if sha256 and digest.hexdigest() != sha256:
                    raise ObjectChanged
                aside.replace(self.root / _name(key, digest.hexdigest() if learn else sha256))
        except OSError as error:
            if error.errno in {28, 122}:
                raise OutOfSpace from error
            raise
        finally:
            aside.unlink(missing_ok=True)
        return digest.hexdigest()

    def _make_room(self, size_bytes: int) -> None:
        """Let the least recently used go until one more fits. Raises: OutOfSpace where the disk itself is too full."""
        copies = sorted(self._copies(), key=lambda found: found[1].st_mtime_ns)
        total = sum(stat.st_size for _, stat in copies)
        for path, stat in copies:
            if total + size_bytes <= self.most_bytes and self._fits(size_bytes):
                break
            if _drop(path):
                total -= stat.st_size
        if not self._fits(size_bytes):
            raise OutOfSpace

    def _fits(self, size_bytes: int) -> bool:
        """Tell whether the disk has room beside its threshold."""
        return shutil.disk_usage(self.root).free - size_bytes >= self.min_free_bytes

    def _copies(self) -> list[tuple[Path, os.stat_result]]:
        """List the copies that are whole."""
        found = []
        with suppress(FileNotFoundError):
            for entry in os.scandir(self.root):
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        found.append((Path(entry.path), entry.stat()))
        return found

    def keys(self) -> list[str]:
        """List the keys of which there is a copy, each once."""
        return sorted({unquote(path.name.rpartition("@")[0]) for path, _ in self._copies()})

    def drop(self, key: str) -> int:
        """Remove every copy of a key that nobody holds. Gives how many went."""
        start = quote(key, safe="") + "@"
        return sum(_drop(path) for path, _ in self._copies() if path.name.startswith(start))

    def drop_under(self, prefix: str) -> int:
        """Remove the copies of a folder's objects."""
        return sum(self.drop(key) for key in self.keys() if key == prefix or key.startswith(prefix + "/"))

    def clear_coming(self, older_than_seconds: float = 0) -> int:
        """Remove what a crash left half fetched; what is being fetched now is locked, and stays."""
        gone = 0
        for path in (self.root / _COMING).glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime >= older_than_seconds:
                    gone += _drop(path)
        return gone

    def free_bytes(self) -> int:
        """Give the bytes left on this disk."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return shutil.disk_usage(self.root).free


def _name(key: str, sha256: str) -> str:
    """Give a copy's file name: the key, and what its bytes hash to."""
    return f"{quote(key, safe='')}@{sha256[:_HASH_CHARS]}"


def _private(path: str, flags: int) -> int:
    """Open for this user alone."""
    return os.open(path, flags, 0o600)


def _take(path: Path) -> int | None:
    """Open a copy and lock it against removal. Gives None where there is none (any more)."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    fcntl.flock(handle, fcntl.LOCK_SH)
    if os.fstat(handle).st_nlink == 0:  # removed between the two steps
        os.close(handle)
        return None
    return handle


def _drop(path: Path) -> bool:
    """Remove a file unless somebody holds it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
