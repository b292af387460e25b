"""Commands that are one process of several: `web`, `worker`, `beat`; and `health`, which asks whether they live."""

from __future__ import annotations

import os
import socket
import tempfile
from typing import Annotated
from uuid import UUID, uuid4

import typer

from rowmill.cli.safety import need_database, need_settings, need_storage, once_answered
from rowmill.cli.serving import WebServer
from rowmill.cli.starting import Stop, end, first_admin_note, set_up_django
from rowmill.errors import ConfigError

ROLES = ("web", "worker", "beat", "embedded")


def begin(role: str) -> Stop:
    """Refuse what is unsafe, load the settings, and listen for signals. Raises: ConfigError."""
    need_settings(role)
    set_up_django()
    need_database()
    if role != "beat":
        from django.conf import settings

        from rowmill.orgs import need_key

        need_storage()
        once_answered(need_key)
        settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
        tempfile.tempdir = str(settings.SCRATCH_DIR)
    stop = Stop()
    stop.listen()
    return stop


def web(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    threads: Annotated[int, typer.Option(min=1, help="Requests answered at a time.")] = 16,
) -> None:
    """Run pages and API only, on Postgres: workers do the work. A reverse proxy in front of it speaks TLS.

    Stop with SIGTERM: requests under way are answered.
    """
    stop = begin("web")
    from django.conf import settings

    from rowmill.jobs.sweep import recover_among_others
    from rowmill.monitor.database import changing_tables
    from rowmill.monitor.heartbeat import Heartbeat
    from rowmill.uploads.tidy import keep_tidy

    for name in ("localhost", "127.0.0.1"):  # a health check on this machine
        if name not in settings.ALLOWED_HOSTS:
            settings.ALLOWED_HOSTS.append(name)
    recover_among_others()
    server = WebServer(host, port, threads)
    server.listen()
    heartbeat = Heartbeat("web", lambda: f"serving on {server.url}", concurrency=threads)
    server.start()
    heartbeat.start()
    keep_tidy(stop.asked)
    print(f"Rowmill web is up: {server.url}")

    def tell_admin() -> None:
        with changing_tables():  # of two that start at once, one makes the first admin
            print(first_admin_note(settings.ROWMILL_BASE_URL), flush=True)

    once_answered(tell_admin)
    stop.asked.wait()
    server.stop(settings.ROWMILL_STOP_SECONDS)
    heartbeat.stop()
    end()


def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Batches worked on at a time; else ROWMILL_CONCURRENCY.")
    ] = None,
    lanes: Annotated[str, typer.Option(help="Lanes to serve, in this order, commas between.")] = "interactive,bulk",
    check: Annotated[
        bool, typer.Option("--check", help="Start nothing; ask whether a worker of this machine lives.")
    ] = False,
) -> None:
    """Run batches, on Postgres, beside as many other workers as you like.

    Stop with SIGTERM: batches under way end or go back within ROWMILL_STOP_SECONDS, and no attempt is counted; a second
    SIGTERM gives them back at once.
    """
    if check:
        health("worker")
    chosen = read_lanes(lanes)
    if concurrency:
        os.environ["ROWMILL_CONCURRENCY"] = str(concurrency)  # the pool of connections is made to fit
    stop = begin("worker")
    from django.conf import settings

    from rowmill.jobs.listener import Listener
    from rowmill.jobs.runner import Runner
    from rowmill.monitor.heartbeat import Heartbeat

    uuid: UUID = uuid4()
    runner = Runner(concurrency, chosen, alone=False, uuid=uuid)
    heartbeat = Heartbeat("worker", runner.describe, uuid=uuid, lanes=chosen, concurrency=runner.concurrency)
    listener = Listener(chosen) if settings.ROWMILL_BROKER_URL else None
    once_answered(runner.start)  # its first step asks for the key
    heartbeat.start()
    if listener is not None:
        listener.start()
    print(f"Rowmill worker {uuid} is up: {runner.concurrency} at a time in {', '.join(chosen)}", flush=True)
    stop.asked.wait()
    print("Stopping: batches under way end or go back.", flush=True)
    if listener is not None:
        listener.stop()
    runner.stop(settings.ROWMILL_STOP_SECONDS, quicker=stop.quicker)
    heartbeat.stop()
    end()


def read_lanes(text: str) -> tuple[str, ...]:
    """Read `--lanes`. Raises: ConfigError for a lane that is none."""
    from rowmill.doorbell import LANES

    chosen = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not chosen or set(chosen) - set(LANES):
        raise ConfigError(f"--lanes takes {', '.join(LANES)}, or some of them with commas between.")
    return chosen


def beat() -> None:
    """Ring each lane every ROWMILL_BEAT_SECONDS, and nothing else. It may be dead, late, or there twice."""
    stop = begin("beat")
    from django.conf import settings

    from rowmill.doorbell import LANES, describe_broker, ring
    from rowmill.monitor.heartbeat import Heartbeat

    heartbeat = Heartbeat("beat", lambda: f"ringing; broker: {describe_broker()}", lanes=LANES)
    heartbeat.start()
    print(f"Rowmill beat is up: {', '.join(LANES)} every {settings.ROWMILL_BEAT_SECONDS} s", flush=True)
    while not stop.asked.is_set():
        for lane in LANES:
            ring(lane)
        stop.asked.wait(settings.ROWMILL_BEAT_SECONDS)
    heartbeat.stop()
    end()


def health(
    role: Annotated[str, typer.Option(help=f"Whose sign of life: {', '.join(ROLES)}.")] = "worker",
    anywhere: Annotated[bool, typer.Option("--anywhere", help="On any machine, not just this one.")] = False,
) -> None:
    """Ask the database whether a process gave a sign of life lately: exit 0 yes, 1 no. For containers and systemd."""
    if role not in ROLES:
        raise ConfigError(f"--role takes {', '.join(ROLES)}.")
    set_up_django()
    from django.db import DatabaseError

    from rowmill.monitor.heartbeat import FRESH_SECONDS, count_alive

    try:
        alive = count_alive((role,), host="" if anywhere else socket.gethostname()[:255])
    except DatabaseError as error:
        print(f"The database does not answer ({type(error).__name__}).")
        raise typer.Exit(1) from None
    where = "" if anywhere else " on this machine"
    print(f"{alive} {role} process(es){where} gave a sign of life within {FRESH_SECONDS:.0f} seconds.")
    raise typer.Exit(0 if alive else 1)
