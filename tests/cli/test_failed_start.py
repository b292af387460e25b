"""A web server that cannot start ends: nothing of it keeps the process alive, so that whoever watches can start it again."""

from __future__ import annotations

import threading

import pytest

from rowmill.cli import serving
from tests.crash.server import wait_for


def lasting_threads() -> set[threading.Thread]:
    """Give the threads that a process waits for at its end."""
    return {thread for thread in threading.enumerate() if not thread.daemon and thread.is_alive()}


def test_a_start_that_fails_behind_the_port_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError

    monkeypatch.setattr(serving, "keep_spare", refuse)
    before = lasting_threads()
    server = serving.WebServer("127.0.0.1", 0, 2)
    server.listen()
    assert lasting_threads() - before
    with pytest.raises(PermissionError):
        server.start()
    wait_for(lambda: not lasting_threads() - before, 60, "a thread keeps the process")
