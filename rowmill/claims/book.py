"""One row of a made-up claims file: what the payer simulator is to answer, and what Rowmill must make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rowmill.contracts import OutcomeWord


@dataclass(slots=True)
class Expected:
    """What a row must end as. Blank where there is nothing: amounts as the results show them, dates YYYY-MM-DD."""

    outcome: OutcomeWord = "ok"
    code: str = ""
    status: str = ""
    patient_name: str = ""
    total_charged: str = ""
    total_paid: str = ""
    processed_date: str = ""


@dataclass(slots=True)
class BookLine:
    """A line of the claim book. The simulator reads `claim_number` and `answer`, tests read `row` and `expect`."""

    row: int
    claim_number: str
    scenario: str
    expect: Expected = field(default_factory=Expected)
    answer: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give the line as plain JSON types."""
        expect = {name: getattr(self.expect, name) for name in Expected.__slots__}
        return {
            "row": self.row,
            "claim_number": self.claim_number,
            "scenario": self.scenario,
            "expect": expect,
            "answer": self.answer,
        }
