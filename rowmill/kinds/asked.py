"""What a job has asked already: rows that ask the same share one answer, whichever batch they are in."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from uuid import UUID

from rowmill.contracts import Outcome

MAX_JOBS = 8
MAX_KEYS = 100_000

Answers = dict[bytes, "asyncio.Future[Outcome]"]


class Asked:
    """Answers by job and by what was asked. Lives on the call loop only, so it needs no lock; keeps no cell, only digests.

    A restart forgets it: a claim may then be asked once more, which is harmless.
    """

    def __init__(self) -> None:
        self._jobs: OrderedDict[UUID, Answers] = OrderedDict()

    async def share(
        self, job: UUID, key: Hashable | None, ask: Callable[[], Awaitable[Outcome]]
    ) -> tuple[Outcome, bool]:
        """Ask, or take the answer that another row of the job got for the same. Shape: (outcome, whether it was shared).

        Only settled answers are shared: a failure of the world is tried for each row itself.
        Raises: whatever `ask` raises.
        """
        if key is None:
            return await ask(), False
        answers = self._answers(job)
        digest = hashlib.sha256(repr(key).encode()).digest()
        before = answers.get(digest)
        if before is not None:
            await asyncio.wait([before])
            if not before.cancelled() and before.exception() is None and before.result().outcome != "failed":
                return before.result(), True
        return await self._ask(answers, digest, ask), False

    async def _ask(self, answers: Answers, digest: bytes, ask: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Ask for oneself, and let those that come meanwhile wait for it."""
        mine: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if len(answers) < MAX_KEYS:
            answers[digest] = mine
        try:
            outcome = await ask()
        except BaseException:
            mine.cancel()
            if answers.get(digest) is mine:
                del answers[digest]
            raise
        mine.set_result(outcome)
        return outcome

    def _answers(self, job: UUID) -> Answers:
        """Give one job's answers; of the jobs asked longest ago none are kept."""
        answers = self._jobs.setdefault(job, {})
        self._jobs.move_to_end(job)
        while len(self._jobs) > MAX_JOBS:
            self._jobs.popitem(last=False)
        return answers
