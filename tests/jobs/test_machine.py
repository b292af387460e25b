"""A state machine of everything that can happen to jobs, in any order, against a model (Hypothesis); both databases.

Workers are held at the points where a real one can die, sleep or be overtaken: claimed, and nothing written since.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from rowmill import registry
from rowmill.contracts import Outcome
from rowmill.doorbell import ring
from rowmill.errors import LostLease, StateError
from rowmill.jobs import checkpoint
from rowmill.jobs.checkpoint import settle_batch, write_checkpoint
from rowmill.jobs.claim import claim_batch, release_batch, renew_lease
from rowmill.jobs.run import rows_without_result, run_batch
from rowmill.jobs.settle import settle_job
from rowmill.jobs.steer import cancel_job, retry_job
from rowmill.jobs.submit import take_file
from rowmill.jobs.sweep import sweep, take_back_leases
from rowmill.models import Batch, Job
from rowmill.orgs import Caller, add_member, create_org, find_caller
from rowmill.registry import get_kind
from tests.jobs.accounting import broken_invariants
from tests.jobs.conftest import table
from tests.probe import Probe

registry.extend({"probe": "tests.probe.Probe"}, {}, {})
LONG_AGO = "2000-01-01T00:00:00+00:00"
FINAL = ("COMPLETED", "FAILED", "CANCELLED")
WORDS = st.sampled_from(("ok", "ok", "ok", "not_found", "rejected", "failed"))


@dataclass
class Told:
    """What the model knows of a job: the outcome of each row, whether a cancel was accepted, how often it was retried."""

    rows: int
    key: str
    job: Job
    outcomes: dict[int, str] = field(default_factory=dict)
    cancelled: bool = False
    retries: int = 0


@dataclass
class Held:
    """A worker's grip on a batch, and whether the model says that it is still good."""

    batch: Batch
    told: Told
    good: bool = True


class Engine(RuleBasedStateMachine):
    """Rules are what clients, workers, the sweeper and time do; the model says what must come of it."""

    grips: Bundle[Held] = Bundle("grips")

    def __init__(self) -> None:
        super().__init__()
        Probe.reset()
        self.numbers = itertools.count(1)
        self.jobs: list[Told] = []
        self.held: list[Held] = []

    @initialize(target=grips)
    def begin(self) -> Any:
        """Every run begins with a job of three batches, of which one is at work."""
        number = next(_RUNS)
        self.caller: Caller = find_caller(
            add_member(create_org(f"org {number}"), f"m{number}@acme.test", "admin", None)
        )
        Batch.objects.filter(state="waiting").update(available_at="2999-01-01T00:00:00+00:00")  # of runs before
        self.upload(23)
        return self.claim()

    # ---------------------------------------------------------------------------------------- clients

    @precondition(lambda self: len(self.jobs) < 3)
    @rule(rows=st.sampled_from((1, 9, 10, 23)))
    def upload_one(self, rows: int) -> None:
        self.upload(rows)

    def upload(self, rows: int) -> None:
        """Send a file."""
        key = f"key-{next(self.numbers)}"
        job = self._send(rows, key)
        self.jobs.append(Told(rows, key, job))

    def _send(self, rows: int, key: str) -> Job:
        taken = take_file(self.caller, "probe", "p.csv", table(rows, key + " "), intent={}, idempotency_key=key)
        return Job.objects.select_related("upload", "org").get(pk=taken.job.pk)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def upload_again(self, data: Any) -> None:
        told = data.draw(st.sampled_from(self.jobs))
        assert self._send(told.rows, told.key).pk == told.job.pk, "the same key made another job"

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        told = data.draw(st.sampled_from(self.jobs))
        before = self._state(told)
        try:
            cancel_job(self.caller, told.job)
        except StateError:
            assert before in ("COMPLETED", "FAILED"), f"a job that is {before} could not be cancelled"
            return
        assert before not in ("COMPLETED", "FAILED")
        told.cancelled = True

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        told = data.draw(st.sampled_from(self.jobs))
        before = self._state(told)
        left = told.rows - sum(word != "failed" for word in told.outcomes.values())
        try:
            rows = retry_job(self.caller, told.job)
        except StateError:
            assert before not in FINAL or left == 0, f"{left} rows of a {before} job could not be retried"
            return
        assert rows == left, "a retry took up other rows than those that failed or were not done"
        told.outcomes = {row: word for row, word in told.outcomes.items() if word != "failed"}
        told.cancelled, told.retries = False, told.retries + 1

    # ---------------------------------------------------------------------------------------- workers

    @rule(target=grips)
    def claim_one(self) -> Any:
        return self.claim()

    def claim(self) -> Any:
        """Take a batch, if there is one."""
        batch = claim_batch("machine")
        if batch is None:
            return multiple()
        told = next(one for one in self.jobs if one.job.pk == batch.job_id)
        assert not told.cancelled, "a batch of a cancelled job was claimed"
        assert not any(h.good and h.batch.pk == batch.pk for h in self.held), "a batch was claimed while it was held"
        held = Held(batch, told)
        self.held.append(held)
        return held

    @rule(held=grips, words=st.lists(WORDS, min_size=1, max_size=4))
    def commit(self, held: Held, words: list[str]) -> None:
        """Write some rows: all of them or, under a stale grip or after a cancel, none."""
        todo = sorted(rows_without_result(held.batch)) if held.good else [held.batch.first_row]
        outcomes = [Outcome(row, word, "X" if word != "ok" else "") for row, word in zip(todo, words, strict=False)]  # type: ignore[arg-type]
        try:
            said = write_checkpoint(held.batch, get_kind("probe"), outcomes)
        except LostLease:
            assert not held.good, "a grip that was good was refused"
            return
        assert held.good, "a stale grip was let in"
        assert said == ("cancelled" if held.told.cancelled else "saved")
        if said == "saved":
            held.told.outcomes |= {one.row_number: one.outcome for one in outcomes}
        else:
            held.good = False

    @rule(held=grips)
    def finish(self, held: Held) -> None:
        """Do the rest of a batch and close it."""
        try:
            todo = sorted(rows_without_result(held.batch))
            said = write_checkpoint(held.batch, get_kind("probe"), [Outcome(row, "ok") for row in todo])
            if said == "saved":
                held.told.outcomes |= dict.fromkeys(todo, "ok")
                said = settle_batch(held.batch)
        except LostLease:
            assert not held.good
            return
        assert held.good, "a stale grip was let in"
        assert (said == "cancelled") == held.told.cancelled
        held.good = False
        settle_job(held.batch.job_id)

    @rule(held=grips)
    def give_back(self, held: Held) -> None:
        try:
            release_batch(held.batch)
        except LostLease:
            assert not held.good
            return
        assert held.good
        held.good = False

    @rule(held=grips)
    def renew(self, held: Held) -> None:
        assert renew_lease(held.batch) == (held.good and not held.told.cancelled)

    @rule()
    def work(self) -> None:
        """A sound worker does one batch."""
        batch = claim_batch("sound")
        if batch is None:
            return
        told = next(one for one in self.jobs if one.job.pk == batch.job_id)
        todo = rows_without_result(batch)
        assert run_batch(batch) == "done"
        told.outcomes |= dict.fromkeys(todo, "ok")

    # ---------------------------------------------------------------------------------------- time, the bell

    @rule(held=grips)
    def expire(self, held: Held) -> None:
        """The worker sleeps past its lease, and the sweeper comes by."""
        Batch.objects.filter(pk=held.batch.pk, state="running", claims=held.batch.claims).update(lease_until=LONG_AGO)
        assert take_back_leases() == held.good
        held.good = False

    @rule()
    def ring_and_sweep_twice(self) -> None:
        for _ in range(2):
            ring("bulk")
            sweep()

    # ---------------------------------------------------------------------------------------- what must be

    def _state(self, told: Told) -> str:
        told.job.refresh_from_db()
        return told.job.state

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        for told in self.jobs:
            assert broken_invariants(told.job) == []
            stored = dict(told.job.results.values_list("row_number", "outcome"))
            assert stored == told.outcomes
            assert told.job.retries == told.retries
            if told.cancelled:
                assert told.job.state in ("CANCELLING", "CANCELLED")
            else:
                assert told.job.state not in ("CANCELLING", "CANCELLED")
            if told.job.state == "COMPLETED":
                assert len(stored) == told.rows

    def teardown(self) -> None:
        """Whatever happened: nothing stays in limbo."""
        Batch.objects.filter(state="running").update(lease_until=LONG_AGO)
        for _ in range(30):
            sweep()
            while (batch := claim_batch("end")) is not None:
                todo = rows_without_result(batch)
                assert run_batch(batch) == "done"
                told = next(one for one in self.jobs if one.job.pk == batch.job_id)
                told.outcomes |= dict.fromkeys(todo, "ok")
            if all(self._state(told) in FINAL for told in self.jobs):
                break
        for told in self.jobs:
            assert self._state(told) == ("CANCELLED" if told.cancelled else "COMPLETED")
        self.rows_are_as_the_model_says()


_RUNS = itertools.count(1)


def explore(examples: int, steps: int, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
    """Run the machine so often."""
    run_machine(
        Engine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.django_db
def test_any_order_of_events_leaves_what_the_model_says() -> None:
    explore(6, 25)


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("guard", ["hold_batch", "job_state_held", "count_outcomes"])
def test_negative_control_without_a_guard_the_model_is_broken(guard: str, monkeypatch) -> None:
    without = {"hold_batch": None, "job_state_held": "PROCESSING", "count_outcomes": {}}[guard]
    monkeypatch.setattr(checkpoint, guard, lambda batch: without)
    with pytest.raises(AssertionError):
        explore(40, 30, (Phase.generate,))


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.timeout(900)
def test_many_orders_of_events() -> None:
    explore(60, 50)
