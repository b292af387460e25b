"""Steps that every benchmark of whole jobs takes: one payer account, a claims file, and the wait for a job's end."""

from __future__ import annotations

import time
from typing import Any


def use_payer(caller: Any, payer: Any, in_flight: int, per_minute: int = 0) -> None:
    """Have one payer account, in the place of any other. Units: calls in flight, calls a minute (0: no limit)."""
    from rowmill.claims.credentials import save_account
    from rowmill.models import PayerAccount

    PayerAccount.objects.all().delete()
    values = {"payer": "UHC", "base_url": payer.base_url, "token_url": payer.token_url, "client_id": "bench"}
    values |= {"client_secret": "bench", "in_flight": in_flight, "calls_per_minute": per_minute}
    save_account(caller, PayerAccount(), values)


def submit_claims(caller: Any, rows: int, name: str, kind: str = "claim_status") -> Any:
    """Take a claims file in and make its job; `name` keeps its claim numbers apart from other files'."""
    from rowmill.claims.intake import take_claims_file

    head = "claim_number,first_name,last_name,date_of_birth,subscriber_id\n"
    lines = (f"SIMP{name}D{n},Jordan,Sample,1980-01-15,SIM000123456\n" for n in range(rows))
    return take_claims_file(caller, f"{name}.csv", [(head + "".join(lines)).encode()], {}, kind=kind).job


def wait_for(job: Any) -> None:
    """Wait until a job has ended, and ended well. Raises: AssertionError."""
    from rowmill.models import Job

    while (state := Job.objects.values_list("state", flat=True).get(pk=job.pk)) in ("PENDING", "PROCESSING"):
        time.sleep(0.02)
    assert state == "COMPLETED", state
