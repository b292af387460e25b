"""The base of kinds whose row is one call to an outside API: write `call`, get pace, back-off and breaker."""

from __future__ import annotations

import asyncio
import logging
import queue
import random
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar
from uuid import UUID

from rowmill.claims.attempts import Rand, Sleep, Spent, ask_until_settled
from rowmill.claims.call_loop import start_call
from rowmill.claims.pace import Held, Pace
from rowmill.contracts import BatchInfo, Kind, Outcome, PayerLimits, Problem, Row
from rowmill.doorbell import INTERACTIVE
from rowmill.errors import NotFound, Snooze
from rowmill.kinds.asked import Asked
from rowmill.registry import get_check

POLL_SECONDS = 0.2
MAX_REMEMBERED_ROWS = 100_000

log = logging.getLogger("rowmill.kinds")

Place = Pace | Outcome | Snooze


@dataclass(slots=True, eq=False)
class _Asked:
    """Rows that ask the same: the first is called for, the others get its answer."""

    row: Row
    pace: Pace
    key: Hashable | None = None
    same: list[Row] = field(default_factory=list)


class RowKind(Kind):
    """A kind of which each row is one call.

    A subclass writes `call`; it may say through which account's pace each row goes (`place_rows`) and which rows ask
    the same (`same_as`). `process` runs in a runner's thread, many at once; the calls of all of them run on the one
    call loop. `sleep` and `rand` are there for tests.
    """

    batch_rows = 500
    checkpoint_rows = 50
    limits: ClassVar[PayerLimits] = PayerLimits()

    def __init__(self, *, sleep: Sleep = asyncio.sleep, rand: Rand = random.random) -> None:
        self.sleep = sleep
        self.rand = rand
        self._pace = Pace(self.limits, self.label or "The service")
        self._spent: dict[tuple[UUID, int], Spent] = {}
        self.asked = Asked()

    async def call(self, row: Row, batch: BatchInfo) -> Outcome:
        """Make one attempt at a row; on the call loop, so no database here. Raises: PayerError."""
        raise NotImplementedError

    def place_rows(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[tuple[Row, Place]]:
        """Say for each row through whose pace it goes, or what became of it already, or that it must wait.

        Runs in the batch's thread before any call, so queries are fine here.
        """
        for row in rows:
            yield row, self._pace

    def same_as(self, row: Row, batch: BatchInfo) -> Hashable | None:
        """Give a key that is equal for rows which ask the same; None for a row that is always asked for itself."""
        return None

    def tell_refused(self, batch: BatchInfo, pace: Pace, code: str) -> None:
        """Tell whom it concerns that an account is refused; in the batch's thread, after its calls have ended."""

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Call for every row that can be called for, and yield outcomes as they come.

        Raises: Snooze when rows are left because an account lets nothing through, after the calls in flight have ended.
        Again: yes.
        """
        run = _Run(self, batch)
        early = run.sort_rows(rows)
        work = start_call(run.work()) if run.asked else None
        try:
            yield from early
            if work is not None:
                yield from run.outcomes()
        finally:
            if work is not None:
                work.cancel()
        if not batch.stopping():
            run.snooze_if_held()

    # ---------------------------------------------------------------------------------------- on the call loop

    async def settle(self, row: Row, pace: Pace, batch: BatchInfo) -> Outcome:
        """Call until the row is settled. Raises: Held."""
        key = (batch.job.id, row.number)
        spent = self._spent.pop(key, None) or Spent()
        try:
            return await ask_until_settled(
                lambda: self._checked_call(row, batch),
                pace,
                row.number,
                spent=spent,
                first=batch.lane == INTERACTIVE,
                sleep=self.sleep,
                rand=self.rand,
            )
        except Held:
            if spent.attempts and len(self._spent) < MAX_REMEMBERED_ROWS:
                self._spent[key] = spent
            raise
        except Exception as error:
            # The type only: the text of somebody else's exception may hold a cell.
            log.error(
                "call_broke kind=%s job=%s row=%d error=%s", self.slug, batch.job.id, row.number, type(error).__name__
            )
            return Outcome(row.number, "failed", "INTERNAL_ERROR", "Rowmill broke on this row; the log tells where.")

    async def _checked_call(self, row: Row, batch: BatchInfo) -> Outcome:
        """Take only an Outcome of this very row for one."""
        outcome: object = await self.call(row, batch)
        if not isinstance(outcome, Outcome) or outcome.row_number != row.number:
            raise TypeError("call gave no Outcome of its row")
        return outcome

    def tries_spent(self, row: Row, batch: BatchInfo) -> int:
        """Give how many attempts a row has behind it from before a snooze."""
        spent = self._spent.get((batch.job.id, row.number))
        return spent.attempts if spent else 0


class _Run:
    """One run of a batch: a queue from the call loop to the batch's thread, and what is held up."""

    def __init__(self, kind: RowKind, batch: BatchInfo) -> None:
        self._kind = kind
        self._batch = batch
        self.asked: list[_Asked] = []
        self._done: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self._snoozes: list[Snooze] = []
        self._refused: dict[Pace, str] = {}

    def sort_rows(self, rows: Iterable[Row]) -> list[Outcome]:
        """Sort rows into those to call for and those that are settled without; gives the outcomes of the latter."""
        early: list[Outcome] = []
        sound: list[Row] = []
        for row in rows:
            if row.problems:
                early.append(reject_row(row, self._kind))
            else:
                sound.append(row)
        groups: dict[tuple[Pace, Hashable], _Asked] = {}
        for row, place in self._kind.place_rows(self._batch, sound):
            if isinstance(place, Outcome):
                early.append(replace(place, row_number=row.number))
            elif isinstance(place, Snooze):
                self._snoozes.append(place)
            else:
                self._add(row, place, groups)
        # Rows that keep failing go last, so that they are not the ones a half-open breaker judges the payer by.
        self.asked.sort(key=lambda asked: self._kind.tries_spent(asked.row, self._batch))
        return early

    def _add(self, row: Row, pace: Pace, groups: dict[tuple[Pace, Hashable], _Asked]) -> None:
        """Put a row with those that ask the same, or on its own."""
        key = self._kind.same_as(row, self._batch)
        if key is not None and (pace, key) in groups:
            groups[pace, key].same.append(row)
            return
        asked = _Asked(row, pace, None if key is None else (id(pace), key))
        self.asked.append(asked)
        if key is not None:
            groups[pace, key] = asked

    async def work(self) -> None:
        """Call for all rows; how many at once is up to their paces."""
        try:
            async with asyncio.TaskGroup() as group:
                for asked in self.asked:
                    group.create_task(self._settle(asked))
        finally:
            self._done.put(None)

    async def _settle(self, asked: _Asked) -> None:
        """Settle one row and those that ask the same."""
        try:
            outcome, _ = await self._kind.asked.share(self._batch.job.id, asked.key, lambda: self._ask(asked))
        except Held as held:
            self._snoozes.append(Snooze(held.seconds, held.reason))
            if held.refused:
                self._refused[asked.pace] = held.refused
            return
        first = outcome.row_number
        for row in (asked.row, *asked.same):
            self._done.put(outcome if row.number == first else _same_answer(outcome, row))

    async def _ask(self, asked: _Asked) -> Outcome:
        """Ask for one row itself."""
        return await self._kind.settle(asked.row, asked.pace, self._batch)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield outcomes until all calls have ended or the batch is being stopped."""
        while not self._batch.stopping():
            try:
                outcome = self._done.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if outcome is None:
                return
            yield outcome

    def snooze_if_held(self) -> None:
        """Raise the shortest of the snoozes that rows are waiting for, if any are."""
        for pace, code in self._refused.items():
            self._kind.tell_refused(self._batch, pace, code)
        if self._snoozes:
            raise min(self._snoozes, key=lambda snooze: snooze.seconds)


def _same_answer(outcome: Outcome, row: Row) -> Outcome:
    """Give another row's answer to a row that asked the same, and say so."""
    answer = {**outcome.answer, "duplicate_of": outcome.row_number}
    return replace(outcome, row_number=row.number, answer=answer, attempts=0)


def reject_row(row: Row, kind: Kind) -> Outcome:
    """Give the outcome of a row that breaks checks: which check, on which column, never the value."""
    titles = list(dict.fromkeys(_problem_text(problem, kind) for problem in row.problems))
    return Outcome(row.number, "rejected", "INVALID_INPUT", "; ".join(titles))


def _problem_text(problem: Problem, kind: Kind) -> str:
    """Say in words what a row breaks."""
    try:
        title = get_check(problem.check).title
    except NotFound:
        title = problem.check
    return f"{problem.column}: {title}" if problem.column else title
