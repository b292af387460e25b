"""What a crash test does inside a data directory, in a process of its own: provide what a job needs, check the audit chains.

python -m tests.crash.inside provide DATA_DIR BASE_URL TOKEN_URL IN_FLIGHT
python -m tests.crash.inside audit DATA_DIR
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EMAIL, PASSWORD = "crash@rowmill.test", "kill-minus-nine"


def provide(data_dir: Path, base_url: str, token_url: str, in_flight: str) -> None:
    """Make the first admin, a practice and the simulator's account."""
    from rowmill.cli.serving import prepare_database, set_up_django

    set_up_django(data_dir)
    prepare_database()
    from rowmill.claims.accounts import seal_credentials
    from rowmill.claims.sample import impossible_npi, impossible_tin
    from rowmill.models import Membership, PayerAccount, Practice
    from rowmill.orgs import make_first_admin

    admin = make_first_admin(EMAIL, PASSWORD, "Crash clinic")
    org = Membership.objects.select_related("org").get(user=admin).org
    practice = Practice.objects.create(org=org, name="Crash practice", tin=impossible_tin(), npi=impossible_npi())
    account = PayerAccount(
        org=org, payer="UHC", practice=practice, base_url=base_url, token_url=token_url, in_flight=int(in_flight)
    )
    seal_credentials(account, "sim-client", "sim-secret")
    account.save()


def audit(data_dir: Path) -> None:
    """Name the orgs whose audit chain is broken. Exit: 1 where there is one."""
    from rowmill.cli.serving import set_up_django

    set_up_django(data_dir)
    from rowmill.audit import find_break
    from rowmill.models import Org

    broken = {org.pk: place for org in Org.objects.all() if (place := find_break(org)) is not None}
    if broken:
        sys.exit(f"audit chains broken: {broken}")


def run_inside(verb: str, data_dir: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run a verb in a process of its own. Gives what it complains of, "" for nothing."""
    command = [sys.executable, "-m", "tests.crash.inside", verb, str(data_dir), *arguments]
    told = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=told)
    return "" if done.returncode == 0 else done.stderr.strip()[-2000:] or f"exit {done.returncode}"


if __name__ == "__main__":
    {"provide": provide, "audit": audit}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
