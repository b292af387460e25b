"""What a cluster's test does in a process of its own: `python -m tests.cluster.inside provide` or `submit KIND ROWS`."""

from __future__ import annotations

import sys

EMAIL, PASSWORD = "cluster@rowmill.test", "many-machines-one-row"


def provide(base_url: str = "http://127.0.0.1:9", token_url: str = "http://127.0.0.1:9/token") -> None:
    """Make the first admin, a practice and a payer account."""
    from rowmill.claims.accounts import seal_credentials
    from rowmill.claims.sample import impossible_npi, impossible_tin
    from rowmill.models import Membership, PayerAccount, Practice
    from rowmill.orgs import make_first_admin

    admin = make_first_admin(EMAIL, PASSWORD, "Cluster clinic")
    org = Membership.objects.select_related("org").get(user=admin).org
    practice = Practice.objects.create(org=org, name="Cluster practice", tin=impossible_tin(), npi=impossible_npi())
    account = PayerAccount(
        org=org, payer="UHC", practice=practice, base_url=base_url, token_url=token_url, in_flight=20
    )
    seal_credentials(account, "sim-client", "sim-secret")
    account.save()


def submit(kind: str, rows: str) -> None:
    """Make a job of so many rows, and print its id and that of its ring."""
    from rowmill.jobs.submit import take_file
    from rowmill.models import User
    from rowmill.orgs import find_caller

    caller = find_caller(User.objects.get(email=EMAIL))
    data = b"id\n" + b"".join(b"%06d\n" % number for number in range(1, int(rows) + 1))
    job = take_file(caller, kind, "rows.csv", [data], intent={}, confirm_duplicate=True).job
    print(job.public_id)


if __name__ == "__main__":
    from rowmill.cli.starting import set_up_django

    set_up_django()
    {"provide": provide, "submit": submit}[sys.argv[1]](*sys.argv[2:])
    from rowmill.doorbell import flush_rings

    flush_rings(60)
