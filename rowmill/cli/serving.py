"""The web server, and `rowmill up`: web, runner and sweeper in one process."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from rowmill.cli.migrating import prepare_database
from rowmill.cli.starting import Stop, end, first_admin_note, set_up_django
from rowmill.errors import ConfigError
from rowmill.tabular.child import drop_spare, keep_spare

if TYPE_CHECKING:
    from rowmill.jobs.listener import Listener
    from rowmill.jobs.runner import InstanceLock, Runner
    from rowmill.monitor.heartbeat import Heartbeat

__all__ = ["Embedded", "WebServer", "prepare_database", "set_up_django", "up"]

WEB_THREADS = 16
BODY_SLACK_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024


def unusable_port(host: str, port: int) -> ConfigError:
    """Say that an address cannot be listened on, and what to do."""
    return ConfigError(
        f"Cannot listen on {host}:{port}. Most likely another program uses that port already: "
        "choose another one with --port; 0 takes a free one."
    )


class WebServer:
    """Pages and API on a port."""

    def __init__(self, host: str, port: int, threads: int | None = None) -> None:
        self._server = _make_server(host, port, threads)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Give the address that it listens on."""
        host, port = self._server.bind_addr[:2]
        return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104

    def listen(self) -> None:
        """Take the port. Raises: ConfigError where it cannot be had."""
        try:
            self._server.prepare()
        except OSError as error:
            raise unusable_port(*self._server.bind_addr[:2]) from error

    def start(self) -> None:
        """Serve from a thread of its own."""
        try:
            keep_spare()  # a file that comes in finds the process that reads it already started
        except BaseException:
            self.stop()  # else the threads behind the port keep a process alive that serves nobody
            raise
        self._thread = threading.Thread(target=self._server.serve, name="web", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = 20.0) -> bool:
        """Take no more requests, and let those under way end, at most so long. Gives whether all did.

        The server waits for its threads without end, and one of them may wait for a storage that is frozen.
        """
        stopping = threading.Thread(target=self._server.stop, name="web-stop", daemon=True)
        stopping.start()
        stopping.join(seconds)
        drop_spare()
        return not stopping.is_alive()


class Embedded:
    """Web, runner and sweeper in this process, on one data directory."""

    def __init__(self, host: str, port: int, *, concurrency: int | None = None) -> None:
        from django.conf import settings
        from django.db import connection

        from rowmill.jobs.listener import Listener
        from rowmill.jobs.runner import InstanceLock, Runner
        from rowmill.monitor.heartbeat import Heartbeat

        self._scratch: Path = settings.SCRATCH_DIR
        self.lock: InstanceLock = InstanceLock(settings.DATA_DIR)
        self.lock.take()
        prepare_database()
        # The lock says that no other process is on this folder, and SQLite lies there. Postgres may have others.
        self.runner: Runner = Runner(concurrency, alone=connection.vendor == "sqlite")
        self.heartbeat: Heartbeat = Heartbeat(
            "embedded", self.runner.describe, uuid=UUID(self.runner.owner), concurrency=self.runner.concurrency
        )
        self.listener: Listener | None = Listener(self.runner.lanes) if settings.ROWMILL_BROKER_URL else None
        self.web = WebServer(host, port)

    @property
    def url(self) -> str:
        """Give the address that it listens on."""
        return self.web.url

    def start(self) -> None:
        """Start the runner and serve from a thread of its own. Raises: ConfigError, before any thread has started."""
        from django.conf import settings

        from rowmill.orgs import need_key

        need_key()  # here too: once the server's threads run, a start that fails would not end the process
        tempfile.tempdir = str(self._scratch)  # whatever a crash leaves half-written there goes at the next start
        self.web.listen()  # the port first: a start that fails for it shall not have touched a batch
        if "ROWMILL_BASE_URL" not in os.environ:  # links in mails lead to where this really listens
            settings.ROWMILL_BASE_URL = self.url
        try:
            self.runner.start()
        except BaseException:
            self.web.stop()
            raise
        self.web.start()
        self.heartbeat.start()
        if self.listener is not None:
            self.listener.start()

    def stop(self, seconds: float = 20.0, quicker: threading.Event | None = None) -> bool:
        """Stop taking requests, let the batches under way end or go back, and let go of the data directory.

        Shape: whether all requests ended.
        """
        all_ended = self.web.stop(seconds)
        self.runner.stop(seconds, quicker=quicker)
        if self.listener is not None:
            self.listener.stop()
        self.heartbeat.stop()
        self.lock.release()
        return all_ended


def _make_server(host: str, port: int, threads: int | None = None) -> Any:
    """Make the WSGI server (docs/adr/0005-embedded-server.md)."""
    from cheroot.wsgi import Server
    from django.conf import settings

    from rowmill.cli.bodies import limit_bodies
    from rowmill.uploads.receive import max_upload_bytes
    from rowmill.wsgi import application

    server = Server((host, port), application, numthreads=threads or WEB_THREADS, max=64, server_name="rowmill")
    small = max(max_upload_bytes(), settings.ROWMILL_MAX_CHUNK_BYTES)
    limit_bodies(server, small + BODY_SLACK_BYTES, settings.ROWMILL_MAX_FILE_BYTES + BODY_SLACK_BYTES)
    server.max_request_header_size = MAX_HEADER_BYTES
    server.error_log = _log_trouble  # type: ignore[method-assign]
    server.shutdown_timeout = 5
    return server


def _log_trouble(msg: str = "", level: int = logging.ERROR, traceback: bool = False) -> None:
    """Log what broke below Django: type and place. The server's own words quote the exception, which may hold a cell."""
    import structlog

    structlog.get_logger("rowmill.server").log(level, "server stumbled", exc_info=sys.exc_info()[1])


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
    stop = Stop()
    stop.listen()
    embedded.start()
    print(f"Rowmill is up: {embedded.url}/bulk-upload")
    print(first_admin_note(embedded.url))
    print(f"Data: {settings.DATA_DIR} (back up this folder, and its keys/ apart). Stop with Ctrl-C.")
    sys.stdout.flush()
    stop.asked.wait()
    print("Stopping: batches under way end or go back.")
    if not embedded.stop(settings.ROWMILL_STOP_SECONDS, stop.quicker):
        end()
