"""What a test does on a machine of the cluster, in a process there: provide what a job needs, check the trail, sweep orphans.

python -m tests.machines.inside provide BASE_URL TOKEN_URL IN_FLIGHT
python -m tests.machines.inside audit
python -m tests.machines.inside submit KIND FILE
python -m tests.machines.inside orphans AGE_SECONDS
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from rowmill.cli.starting import set_up_django

EMAIL, PASSWORD = "machines@rowmill.test", "several-machines"


def provide(base_url: str, token_url: str, in_flight: str) -> None:
    """Make a practice and the simulator's account in the org of the first admin, whom `rowmill migrate` made."""
    from rowmill.claims.accounts import seal_credentials
    from rowmill.claims.sample import impossible_npi, impossible_tin
    from rowmill.models import Membership, PayerAccount, Practice

    org = Membership.objects.select_related("org").get(user__email=EMAIL).org
    practice = Practice.objects.create(org=org, name="Two machines", tin=impossible_tin(), npi=impossible_npi())
    account = PayerAccount(
        org=org, payer="UHC", practice=practice, base_url=base_url, token_url=token_url, in_flight=int(in_flight)
    )
    seal_credentials(account, "sim-client", "sim-secret")
    account.save()


def audit() -> None:
    """Raises: AssertionError where a trail is broken."""
    from rowmill.audit import find_break
    from rowmill.models import Org

    assert Org.objects.exists()
    broken = {org.pk: place for org in Org.objects.all() if (place := find_break(org)) is not None}
    assert not broken, f"audit chains broken: {broken}"


def submit(kind: str, file: str) -> None:
    """Send a file of a kind that has no door of its own. Prints the job's id."""
    from rowmill.jobs.submit import take_file
    from rowmill.models import User
    from rowmill.orgs import find_caller

    caller = find_caller(User.objects.get(email=EMAIL))
    print(take_file(caller, kind, Path(file).name, [Path(file).read_bytes()], intent={}).job.public_id)


def orphans(age_seconds: str) -> None:
    """Sweep the bucket as a worker does now and then. Prints how many objects went."""
    from rowmill.uploads import tidy

    tidy.ORPHAN_AGE = timedelta(seconds=float(age_seconds))
    print(tidy.clear_orphans())


if __name__ == "__main__":
    set_up_django()
    VERBS = {"provide": provide, "audit": audit, "submit": submit, "orphans": orphans}
    VERBS[sys.argv[1]](*sys.argv[2:])
