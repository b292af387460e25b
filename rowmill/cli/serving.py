"""Commands that run Rowmill: `up` (web, runner and sweeper in one process) and `migrate`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rowmill.errors import ConfigError
from rowmill.tabular.child import drop_spare, keep_spare

if TYPE_CHECKING:
    from rowmill.jobs.runner import InstanceLock, Runner

WEB_THREADS = 16
BODY_SLACK_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024


def set_up_django(data_dir: Path | None = None) -> None:
    """Load the settings, with the data directory given on the command line where there is one.

    Whatever is written from now on is for this process's user only.
    """
    os.umask(0o077)
    if data_dir is not None:
        os.environ["ROWMILL_DATA_DIR"] = str(data_dir)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rowmill.settings")
    import django

    django.setup()


def prepare_database() -> None:
    """Bring the tables up to date, one process at a time, and set WAL once. Raises: ConfigError for an unfit database."""
    from django.core.management import call_command
    from django.db import connection

    from rowmill.monitor.database import changing_tables, need_sound_database

    need_sound_database()
    with changing_tables():
        call_command("migrate", verbosity=0, interactive=False)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")
    connection.close()


def unusable_port(host: str, port: int) -> ConfigError:
    """Say that an address cannot be listened on, and what to do."""
    return ConfigError(
        f"Cannot listen on {host}:{port}. Most likely another program uses that port already: "
        "choose another one with --port; 0 takes a free one."
    )


class Embedded:
    """Web, runner and sweeper in this process, on one data directory."""

    def __init__(self, host: str, port: int, *, concurrency: int | None = None) -> None:
        from django.conf import settings

        from rowmill.jobs.runner import InstanceLock, Runner

        self._scratch: Path = settings.SCRATCH_DIR
        self.lock: InstanceLock = InstanceLock(settings.DATA_DIR)
        self.lock.take()
        prepare_database()
        self.runner: Runner = Runner(concurrency)
        self.server = _make_server(host, port)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Give the address that it listens on."""
        host, port = self.server.bind_addr[:2]
        return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104

    def start(self) -> None:
        """Start the runner and serve from a thread of its own. Raises: ConfigError, before any thread has started."""
        from django.conf import settings

        from rowmill.orgs import need_key

        need_key()  # here too: once the server's threads run, a start that fails would not end the process
        tempfile.tempdir = str(self._scratch)  # whatever a crash leaves half-written there goes at the next start
        self._listen()  # the port first: a start that fails for it shall not have touched a batch
        if "ROWMILL_BASE_URL" not in os.environ:  # links in mails lead to where this really listens
            settings.ROWMILL_BASE_URL = self.url
        try:
            self.runner.start()
        except BaseException:
            self.server.stop()
            raise
        keep_spare()  # a file that comes in finds the process that reads it already started
        self._thread = threading.Thread(target=self.server.serve, name="web", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        """Take the port. Raises: ConfigError where it cannot be had."""
        try:
            self.server.prepare()
        except OSError as error:
            raise unusable_port(*self.server.bind_addr[:2]) from error

    def stop(self) -> None:
        """Stop taking requests, let the batches under way end or go back, and let go of the data directory."""
        self.server.stop()
        self.runner.stop()
        drop_spare()
        self.lock.release()


def _make_server(host: str, port: int) -> Any:
    """Make the WSGI server (docs/adr/0005-embedded-server.md)."""
    from cheroot.wsgi import Server
    from django.conf import settings

    from rowmill.wsgi import application

    server = Server((host, port), application, numthreads=WEB_THREADS, max=64, server_name="rowmill")
    # What is not read of a body would be read into memory at its end, so there is a hard limit above the door's own,
    # which answers in words.
    server.max_request_body_size = settings.ROWMILL_MAX_UPLOAD_BYTES + BODY_SLACK_BYTES
    server.max_request_header_size = MAX_HEADER_BYTES
    server.error_log = _log_trouble  # type: ignore[method-assign]
    server.shutdown_timeout = 5
    return server


def _log_trouble(msg: str = "", level: int = logging.ERROR, traceback: bool = False) -> None:
    """Log what broke below Django: type and place. The server's own words quote the exception, which may hold a cell."""
    import structlog

    structlog.get_logger("rowmill.server").log(level, "server stumbled", exc_info=sys.exc_info()[1])


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


def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for database, files and keys; else ROWMILL_DATA_DIR, else ./rowmill-data."),
    ] = None,
) -> None:
    """Run everything in one process: pages, API, runner and sweeper, on SQLite and a local folder.

    The first start makes the database, the keys and the first admin (ROWMILL_ADMIN_EMAIL, ROWMILL_ADMIN_PASSWORD; without
    them a one-time sign-in link is printed). Stop with Ctrl-C: batches under way end or go back, nothing is lost.
    """
    set_up_django(data_dir)
    from django.conf import settings

    if host not in settings.ALLOWED_HOSTS and host not in ("0.0.0.0", "::"):  # noqa: S104
        settings.ALLOWED_HOSTS.append(host)
    embedded = Embedded(host, port)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    embedded.start()
    print(f"Rowmill is up: {embedded.url}/bulk-upload")
    print(first_admin_note(embedded.url))
    print(f"Data: {settings.DATA_DIR} (back up this folder, and its keys/ apart). Stop with Ctrl-C.")
    sys.stdout.flush()
    stopping.wait()
    print("Stopping: batches under way end or go back.")
    embedded.stop()


def migrate(
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded default.")] = None,
) -> None:
    """Make or bring up to date the database's tables, and stop."""
    set_up_django(data_dir)
    prepare_database()
    print("The database is up to date.")
