"""Real processes that ask one payer through one account: `main` is what each of them does.

with sharing(url, folder, payer, calls_per_minute=600) as made:    # migrated, with org, practice and account
    workers = [made.start() for _ in range(4)]
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from payersim.testing import Payer

ROOT = Path(__file__).resolve().parents[2]
TIN = "001234567"
CONNECT_SECONDS, READ_SECONDS = 1.0, 6.0  # a call given up too early is still in flight at the payer
BATCH_ROWS = 200


@dataclass
class Sharing:
    """A database with one payer account, and the processes that ask through it."""

    environment: dict[str, str]
    account_id: int
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, threads: int = 2) -> subprocess.Popen[bytes]:
        """Start one more process, that asks without end in so many batches at a time."""
        worker = _python(self.environment, "work", str(self.account_id), str(threads))
        self.workers.append(worker)
        return worker

    def wait_for_all(self) -> None:
        """Wait until each has had an answer."""
        for worker in self.workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"at it\n"

    def edit(self, in_flight: int, calls_per_minute: int) -> None:
        """Change the account's limits, as a person does in another process."""
        _run(self.environment, "edit", str(self.account_id), str(in_flight), str(calls_per_minute))


def _python(environment: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    """Start this module in a process of its own."""
    command = [sys.executable, "-m", "tests.claims.sharing", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _run(environment: dict[str, str], *arguments: str) -> str:
    """Run this module to its end. Gives what it printed."""
    process = _python(environment, *arguments)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return told.decode().strip()


@contextlib.contextmanager
def sharing(url: str, folder: Path, payer: Payer, in_flight: int = 40, calls_per_minute: int = 0) -> Iterator[Sharing]:
    """Prepare an empty database at this URL; end the processes at the end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ROWMILL_")}
    environment = {**clean, "DATABASE_URL": url, "ROWMILL_DATA_DIR": str(folder / "data"), "ROWMILL_LOG_LEVEL": "ERROR"}
    account = _run(environment, "prepare", payer.base_url, payer.token_url, str(in_flight), str(calls_per_minute))
    made = Sharing(environment, int(account.splitlines()[-1]))
    try:
        yield made
    finally:
        for worker in made.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            worker.wait(60)
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    pipe.close()


def rate(payer: Payer, seconds: float) -> float:
    """Measure the calls a second at the payer's end."""
    began = time.monotonic()  # so that the time between the two looks is never taken for shorter than it was
    before = payer.stats()["inquiries"]
    time.sleep(seconds)
    return (payer.stats()["inquiries"] - before) / (time.monotonic() - began)


# ------------------------------------------------------------------------------------------------ in the processes


def prepare(base_url: str, token_url: str, in_flight: str, calls_per_minute: str) -> None:
    """Make the tables, an org, a practice and a payer account; prints the account's id."""
    from django.core.management import call_command

    from payersim.settings import CLIENT_ID, CLIENT_SECRET
    from rowmill.claims.accounts import seal_credentials
    from rowmill.models import PayerAccount, Practice
    from rowmill.orgs import create_org

    call_command("migrate", verbosity=0)
    org = create_org("acme")
    Practice.objects.create(org=org, name="made", tin=TIN)
    account = PayerAccount(
        org=org, payer="UHC", base_url=base_url, token_url=token_url, in_flight=int(in_flight),
        calls_per_minute=int(calls_per_minute),
    )  # fmt: skip
    seal_credentials(account, CLIENT_ID, CLIENT_SECRET)
    account.save()
    print(account.pk)


def edit(account_id: str, in_flight: str, calls_per_minute: str) -> None:
    """Change the account's limits."""
    from rowmill.models import PayerAccount

    PayerAccount.objects.filter(pk=account_id).update(in_flight=int(in_flight), calls_per_minute=int(calls_per_minute))


def work(account_id: str, threads: str) -> None:
    """Ask without end; end gracefully when stdin closes."""
    from django.db import connections

    from rowmill.claims.accounts import make_profile
    from rowmill.claims.call_loop import close_calls
    from rowmill.errors import Snooze
    from rowmill.models import PayerAccount
    from tests.claims.made import ClaimStatusOn, batch, row

    profile = make_profile(PayerAccount.objects.get(pk=account_id), TIN)
    connections.close_all()
    limits = replace(profile.limits, connect_timeout_seconds=CONNECT_SECONDS, read_timeout_seconds=READ_SECONDS)
    kind = ClaimStatusOn(replace(profile, limits=limits, shared=True))
    stopping, answered = threading.Event(), threading.Event()

    def ask(thread: int) -> None:
        number = 0
        while not stopping.is_set():
            rows = [row(n + 1, f"SIMPD{os.getpid()}{thread}{number}{n:05d}") for n in range(BATCH_ROWS)]
            number += 1
            try:
                for _ in kind.process(batch(BATCH_ROWS, stopping=stopping.is_set), rows):
                    if not answered.is_set():
                        answered.set()
                        print("at it", flush=True)
            except Snooze as snooze:
                stopping.wait(min(snooze.seconds, 1.0))

    running = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(int(threads))]
    for thread in running:
        thread.start()
    sys.stdin.buffer.read()
    stopping.set()
    for thread in running:
        thread.join(10)
    close_calls()


if __name__ == "__main__":
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "rowmill.settings"
    django.setup()
    verbs = {"prepare": prepare, "edit": edit, "work": work}
    verbs[sys.argv[1]](*sys.argv[2:])
