"""One worker process on a data directory: claims and runs until every job has ended. It can be frozen, thawed and crippled.

    python -m tests.crash.drain DATA_DIR SECONDS_PER_ROW [no_fence]

Prints "asked" when its kind is given its first row, then a word for each batch.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def main(data_dir: Path, seconds: float, control: str = "") -> None:
    """Work until there is nothing left."""
    os.environ |= {
        "ROWMILL_LEASE_SECONDS": "1",
        "ROWMILL_LOG_LEVEL": "CRITICAL",
        "ROWMILL_MIN_FREE_BYTES": "0",
    }
    from rowmill.cli.serving import set_up_django

    set_up_django(data_dir)
    from rowmill import registry
    from rowmill.jobs import checkpoint
    from rowmill.jobs.claim import claim_batch
    from rowmill.jobs.run import run_batch
    from rowmill.jobs.sweep import sweep
    from rowmill.models import FINAL_STATES, Job
    from tests.probe import Probe, slowly

    registry.extend({"probe": "tests.probe.Probe"}, {}, {})
    if control == "no_fence":
        checkpoint.hold_batch = lambda batch: None  # type: ignore[assignment]
    slow = slowly(seconds)

    def plan(batch: object, row: object) -> object:
        print("asked", flush=True)
        return slow(batch, row)  # type: ignore[arg-type]

    Probe.plan = staticmethod(plan)  # type: ignore[assignment]
    while Job.objects.exclude(state__in=FINAL_STATES).exists():
        batch = claim_batch(f"drain-{os.getpid()}")
        if batch is not None:
            print(run_batch(batch), flush=True)
        else:
            time.sleep(0.05)
        sweep()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:])
