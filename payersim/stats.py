"""What the simulator has seen and said: the figures that tests assert on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Stats:
    """Counts since the start or the last reset.

    `answers` counts replies by kind; `finals` counts, by claim number, how often the book's own answer was given.
    `cap_exceeded` counts calls refused because too many were in flight.
    """

    requests: int = 0
    inquiries: int = 0
    tokens_issued: int = 0
    tokens_refused: int = 0
    tokens_revoked: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    cap_exceeded: int = 0
    sent_429: int = 0
    abandoned: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    calls_by_claim: Counter[str] = field(default_factory=Counter)
    finals: Counter[str] = field(default_factory=Counter)

    def told(self, claims: bool) -> dict[str, Any]:
        """Give the figures as JSON types; the long maps by claim number only when asked for."""
        plain = {k: v for k, v in vars(self).items() if isinstance(v, int)}
        told: dict[str, Any] = {
            **plain,
            "answers": dict(self.answers),
            "statuses": {str(k): v for k, v in self.statuses.items()},
            "claims_seen": len(self.calls_by_claim),
            "most_calls_for_a_claim": max(self.calls_by_claim.values(), default=0),
            "claims_answered": len(self.finals),
            "duplicates": sum(n - 1 for n in self.finals.values()),
        }
        if claims:
            told["calls_by_claim"] = dict(self.calls_by_claim)
            told["duplicates_by_claim"] = {claim: n - 1 for claim, n in self.finals.items() if n > 1}
        return told
