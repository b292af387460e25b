"""Beside the chunk door: follows a file that is put together here and hashes it as far as it is whole from its start.

So that completing a large file need not read all of it again. It forgets at will: what it does not know is read.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from rowmill.storage.assembling import InFile

MOST_FOLLOWED = 256
_BLOCK_BYTES = 1024 * 1024


class _Followed:
    """One file: the hash of its first bytes, and which chunks are here behind them."""

    def __init__(self, key: str, chunk_bytes: int, size_bytes: int) -> None:
        self.key = key
        self.chunk_bytes = chunk_bytes
        self.size_bytes = size_bytes
        self.lock = threading.Lock()
        self.digest: Any = hashlib.sha256()
        self.hashed_bytes = 0
        self.here: set[int] = set()

    def follow(self, handle: int, until: int, told: Callable[[], None] | None = None) -> None:
        """Hash on up to an offset; call it with the lock held."""
        while self.hashed_bytes < until:
            block = os.pread(handle, min(_BLOCK_BYTES, until - self.hashed_bytes), self.hashed_bytes)
            if not block:
                raise FileNotFoundError(self.key)
            self.digest.update(block)
            self.hashed_bytes += len(block)
            if told is not None:
                told()

    def whole_until(self) -> int:
        """Give up to where no chunk is missing."""
        index = self.hashed_bytes // self.chunk_bytes
        while index in self.here:
            self.here.discard(index)
            index += 1
        return max(self.hashed_bytes, min(index * self.chunk_bytes, self.size_bytes))


class Follower:
    """Follows the files of this process in one thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _Followed] = OrderedDict()
        self._due: queue.SimpleQueue[tuple[InFile, _Followed]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def follows(self, key: str) -> bool:
        """Tell whether a file is known here."""
        return key in self._files

    def note_chunks(self, assembly: InFile, key: str, here: Iterable[int], chunk_bytes: int, size_bytes: int) -> None:
        """Note that chunks are durable. Again: yes."""
        with self._lock:
            file = self._files.get(key)
            if file is None:
                file = self._files[key] = _Followed(key, chunk_bytes, size_bytes)
            self._files.move_to_end(key)
            while len(self._files) > MOST_FOLLOWED:
                self._files.popitem(last=False)
            file.here.update(here)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._go_on, name="hashing", daemon=True)
                self._thread.start()
        self._due.put((assembly, file))

    def finish(self, handle: int, key: str, chunk_bytes: int, size_bytes: int, told: Callable[[], None]) -> str:
        """Give the SHA-256 of the whole file, reading what was not followed. `told` is called on the way.

        Raises: FileNotFoundError where the file is shorter than it should be.
        """
        with self._lock:
            file = self._files.pop(key, None) or _Followed(key, chunk_bytes, size_bytes)
        with file.lock:
            file.follow(handle, size_bytes, told)
            digest: str = file.digest.hexdigest()
        return digest

    def forget(self, key: str) -> None:
        """Let go of a file that is over. Again: yes."""
        with self._lock:
            self._files.pop(key, None)

    def _go_on(self) -> None:
        """Hash what is due, for ever."""
        while True:
            assembly, file = self._due.get()
            with suppress(OSError), file.lock, assembly.reading(file.key) as handle:
                file.follow(handle, file.whole_until())


follower = Follower()
