"""The contracts: the pages a plugin's author reads. Kind, Payer, Check, Storage; Row, Outcome, Column, Finding.

Nothing here imports Django. A plugin is one file plus one line in `registry`; settings may add more.
"""

from __future__ import annotations

from rowmill.contracts.kinds import (
    OUTCOMES,
    BatchInfo,
    JobInfo,
    Kind,
    MergeCounts,
    Outcome,
    OutcomeWord,
    Problem,
    Row,
    TableSource,
    describe_failure,
)
from rowmill.contracts.payers import (
    CLAIM_DETAILS,
    CLAIM_STATUS,
    PAYMENT,
    Answer,
    Claim,
    Inquiry,
    Payer,
    PayerLimits,
    PayerProfile,
    SearchingPayer,
)
from rowmill.contracts.storage import (
    Storage,
    Stored,
)
from rowmill.contracts.tables import (
    NO_RULES,
    Check,
    Column,
    Rules,
    Severity,
)
from rowmill.contracts.verdict import (
    Balance,
    Cause,
    Dialect,
    Finding,
    Inspection,
)

__all__ = [
    "CLAIM_DETAILS",
    "CLAIM_STATUS",
    "NO_RULES",
    "OUTCOMES",
    "PAYMENT",
    "Answer",
    "Balance",
    "BatchInfo",
    "Cause",
    "Check",
    "Claim",
    "Column",
    "Dialect",
    "Finding",
    "Inquiry",
    "Inspection",
    "JobInfo",
    "Kind",
    "MergeCounts",
    "Outcome",
    "OutcomeWord",
    "Payer",
    "PayerLimits",
    "PayerProfile",
    "Problem",
    "Row",
    "Rules",
    "SearchingPayer",
    "Severity",
    "Storage",
    "Stored",
    "TableSource",
    "describe_failure",
]
