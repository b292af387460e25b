"""A real engine to hold the model against: SQLite, the embedded runner, and a payer that takes a fixed time."""

from __future__ import annotations

import time
from typing import Any

from fan_out import echo_payer
from steps import submit_claims, use_payer, wait_for
from virtual import Costs, Trial

ROWS = 5_000
CALIBRATION = Trial("calibration", 10_000, 1_000, 0, 0.05)


class Real:
    """An installation of its own in a temporary folder, for as long as the block lasts."""

    threads = 8

    def __enter__(self) -> Real:
        from rowmill.cli.serving import prepare_database

        prepare_database()
        from rowmill.claims.practices import save_practice
        from rowmill.models import Practice
        from rowmill.orgs import add_member, create_org, find_caller

        self.caller = find_caller(add_member(create_org("bench"), "bench@rowmill.test", "admin"))
        save_practice(self.caller, Practice(), name="Bench", tin="001234567")
        self.made = 0
        return self

    def __exit__(self, *_: object) -> None:
        from rowmill.claims.call_loop import close_calls

        close_calls()

    def batch_rows(self, in_flight: int) -> int:
        """Give the rows of a batch as the engine would cut them."""
        from rowmill.jobs.submit import rows_per_batch
        from rowmill.registry import get_kind

        return rows_per_batch(get_kind("claim_status"), {"in_flight": in_flight}, 1)

    # ------------------------------------------------------------------------------------ what the parts cost

    def costs(self) -> Costs:
        """Measure claim, reading, checkpoint and row on a job that nobody else works on, and a call's share of the core."""
        from rowmill.contracts import Outcome
        from rowmill.jobs.checkpoint import settle_batch, write_checkpoint
        from rowmill.jobs.claim import claim_batch
        from rowmill.jobs.run import read_todo, rows_without_result
        from rowmill.registry import get_kind

        job = self.submit(ROWS)
        kind = get_kind("claim_status")
        answer = {
            "status": "PAID",
            "patient_name": "Jordan Sample",
            "total_charged": "120.00",
            "normalized_status": "paid",
        }
        claims: list[float] = []
        reads: list[float] = []
        small: list[float] = []
        large: list[float] = []
        cpu = 0.0
        while True:
            begun = time.perf_counter()
            batch = claim_batch("bench", "bulk")
            if batch is None:
                break
            claims.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            rows = read_todo(batch, rows_without_result(batch))
            reads.append(time.perf_counter() - begun)
            numbers = [row.number for row in rows]
            for at in range(0, len(numbers), 50):
                for part, times in ((numbers[at : at + 5], small), (numbers[at + 5 : at + 50], large)):
                    begun, worked = time.perf_counter(), time.process_time()
                    write_checkpoint(batch, kind, [Outcome(n, "ok", answer=answer) for n in part])
                    times.append(time.perf_counter() - begun)
                    cpu += time.process_time() - worked
            begun = time.perf_counter()
            settle_batch(batch)
            claims[-1] += time.perf_counter() - begun
        assert claims, job
        row = max(0.0, (mid(large) - mid(small)) / 40)
        share = min(1.0, cpu / (sum(small) + sum(large)))
        checkpoint = max(0.0, mid(small) - 5 * row)
        cpu_of_call = self.call_cpu(row * share, checkpoint * share)
        return Costs(mid(claims), checkpoint, row, cpu_of_call, mid(reads), share, 1)

    def call_cpu(self, row: float, checkpoint: float) -> float:
        """Measure how much of the core one half of a call takes, in a run of the engine in which the core is what is short.

        It holds what the threads lose by waiting for each other. `row` and `checkpoint` are what the writing takes of
        the core; it is not counted twice.
        """
        self.run(CALIBRATION)
        each = self.run(CALIBRATION) / CALIBRATION.rows
        return max(0.0001, (each - row - checkpoint / 50) / 2)

    # ------------------------------------------------------------------------------------ whole runs

    def submit(self, rows: int) -> Any:
        """Take a claims file in and make its job, without a runner."""
        self.made += 1
        return submit_claims(self.caller, rows, f"R{self.made}R")

    def run(self, trial: Trial) -> float:
        """Work a job off by the embedded runner. Gives the seconds from its start to the end of the job."""
        from rowmill.jobs.runner import Runner
        from rowmill.models import Result

        with echo_payer(trial.latency) as payer:
            use_payer(self.caller, payer, trial.in_flight, trial.per_minute)
            job = self.submit(trial.rows)
            runner = Runner(self.threads)
            begun = time.perf_counter()
            runner.start()
            wait_for(job)
            seconds = time.perf_counter() - begun
            runner.stop()
            assert Result.objects.filter(job=job, outcome="ok").count() == trial.rows
            return seconds


def mid(times: list[float]) -> float:
    """Give the median."""
    return sorted(times)[len(times) // 2]
