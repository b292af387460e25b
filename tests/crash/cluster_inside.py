"""What a cluster's crash test does inside the cluster, in a process of its own with the cluster's environment.

python -m tests.crash.cluster_inside DATA_DIR provide BASE_URL TOKEN_URL IN_FLIGHT
python -m tests.crash.cluster_inside DATA_DIR feed KEY SEED ROWS      prints the job's id
python -m tests.crash.cluster_inside DATA_DIR tidy                    as the sweeper does once a day has gone by
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from tests.crash.inside import EMAIL, PASSWORD, provide

IDLE_EMAIL = "idle@rowmill.test"


def provide_two(data_dir: Path, base_url: str, token_url: str, in_flight: str) -> None:
    """Provide what a job needs, twice: for the org at work, and for one that will be idle."""
    provide(data_dir, base_url, token_url, in_flight)
    from rowmill.claims.accounts import seal_credentials
    from rowmill.claims.sample import impossible_npi, impossible_tin
    from rowmill.models import PayerAccount, Practice
    from rowmill.orgs import add_member, create_org

    org = create_org("Idle clinic")
    add_member(org, IDLE_EMAIL, "admin", PASSWORD)
    practice = Practice.objects.create(org=org, name="Idle practice", tin=impossible_tin(), npi=impossible_npi())
    account = PayerAccount(org=org, payer="UHC", practice=practice, base_url=base_url, token_url=token_url, in_flight=5)
    seal_credentials(account, "sim-client", "sim-secret")
    account.save()


def feed(data_dir: Path, key: str, seed: str, rows: str) -> None:
    """Send a file to the tally, as a door would."""
    from rowmill.cli.starting import set_up_django

    set_up_django(data_dir)
    from rowmill.errors import DuplicateFile, StateError
    from rowmill.jobs.submit import take_file
    from rowmill.models import User
    from rowmill.orgs import find_caller
    from tests.crash.plugins import tally_file

    caller = find_caller(User.objects.get(email=EMAIL))
    data = tally_file(int(seed), int(rows))
    try:
        taken = take_file(caller, "tally", "tally.csv", [data], intent={}, idempotency_key=key or None)
    except DuplicateFile as twin:
        print(twin.details["job_id"], flush=True)
        return
    except StateError as error:
        sys.exit(75 if error.code == "in_progress" else f"{error.code}: {error}")
    print(taken.job.public_id, flush=True)


def tidy(data_dir: Path) -> None:
    """Remove what is due on this machine and in the storage, however young it is."""
    from rowmill.cli.starting import set_up_django

    set_up_django(data_dir)
    from rowmill.jobs import sweep
    from rowmill.uploads import tidy

    tidy.ORPHAN_AGE = timedelta(0)
    sweep.recover_among_others()
    tidy.clear_machine()
    tidy.clear_orphans()


def run_inside(
    environment: dict[str, str], data_dir: Path, verb: str, *arguments: str, seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a verb in a process of its own. Raises: subprocess.TimeoutExpired."""
    command = [sys.executable, "-m", "tests.crash.cluster_inside", str(data_dir), verb, *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=seconds
    )


if __name__ == "__main__":
    {"provide": provide_two, "feed": feed, "tidy": tidy}[sys.argv[2]](Path(sys.argv[1]), *sys.argv[3:])
