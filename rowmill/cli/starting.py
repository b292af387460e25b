"""What every command that runs Rowmill does first: load the settings, stop in good order, make the first admin."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

_M_ARENA_MAX, _ARENAS = -8, 2  # malloc.h


def set_up_django(data_dir: Path | None = None) -> None:
    """Load the settings, with the data directory given on the command line where there is one.

    Whatever is written from now on is for this process's user only.
    """
    os.umask(0o077)
    _keep_few_heaps()
    if data_dir is not None:
        os.environ["ROWMILL_DATA_DIR"] = str(data_dir)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rowmill.settings")
    import django

    django.setup()


def _keep_few_heaps() -> None:
    """Let all threads share two heaps, where the C library is glibc: with one for each thread what is freed lies about in each.

    Source: mallopt(3).
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def first_admin_note(url: str) -> str:
    """Make the first admin where there is none, and say how to sign in."""
    from django.conf import settings

    from rowmill.orgs import find_unclaimed_admin, make_first_admin, make_sign_in_link

    email, password = settings.ROWMILL_ADMIN_EMAIL, settings.ROWMILL_ADMIN_PASSWORD
    made = make_first_admin(email, password, settings.ROWMILL_ORG_NAME)
    if made is not None and password:
        return f"Sign in as {made.email} with the password from ROWMILL_ADMIN_PASSWORD."
    unclaimed = made or find_unclaimed_admin()
    if unclaimed is None:
        return "Sign in with your e-mail address."
    return f"First sign-in, good once and for one hour (as {unclaimed.email}):\n  {url}{make_sign_in_link(unclaimed)}"


class Stop:
    """What a signal asks for: `asked` with the first SIGTERM or SIGINT, `quicker` with the second."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.quicker = threading.Event()

    def listen(self) -> None:
        """Take over SIGTERM and SIGINT. They only set an event: whatever is under way, a COMMIT too, goes on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def _hear(self, *_: object) -> None:
        """Note a signal."""
        if self.asked.is_set():
            self.quicker.set()
        self.asked.set()


def end() -> None:
    """End the process now: threads that did not end in time hold nothing any more, and need not be waited for."""
    from rowmill.doorbell import flush_rings

    flush_rings()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
