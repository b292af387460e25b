"""The contract of a payer: what it is asked, what it answers, and the connector that talks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import ClassVar, Protocol, runtime_checkable

CLAIM_STATUS = "CLAIM_STATUS"
CLAIM_DETAILS = "CLAIM_DETAILS"
PAYMENT = "PAYMENT"


@dataclass(frozen=True, slots=True)
class PayerLimits:
    """How hard a payer may be asked. Units: calls per minute (0 = no limit), calls in flight, seconds."""

    calls_per_minute: int = 0
    in_flight: int = 10
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 60.0
    max_attempts: int = 5
    backoff_base_seconds: float = 1.0
    backoff_cap_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class PayerProfile:
    """An org's access to a payer, opened for use: it holds secrets, so it is never logged and has no repr of them.

    `shared`: other processes ask through it too, so its limits hold for all of them together.
    """

    account_id: int
    base_url: str
    token_url: str
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    tin: str = field(repr=False)
    payer_id: str = "87726"
    limits: PayerLimits = PayerLimits()
    environment: str = ""
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked of a payer for one row. Blank where not known."""

    transaction: str
    claim_number: str = field(repr=False)
    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)
    date_of_birth: date | None = field(default=None, repr=False)
    subscriber_id: str = field(default="", repr=False)
    first_service_on: date | None = None
    last_service_on: date | None = None
    tin: str = ""
    payer_id: str = ""
    patient_account_number: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim as a payer tells it. Amounts are None where the payer gave none or what it gave is no number.

    `status` is normalised (PAID, DENIED, PENDING ...: facts/payers.md §3), `status_text` the payer's own words.
    Shape: `parts` are the status codes of a split claim, each {"suffix","category_code","status_code"}.
    """

    claim_number: str = field(repr=False)
    status: str
    status_text: str
    category_code: str = ""
    status_code: str = ""
    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)
    date_of_birth: date | None = field(default=None, repr=False)
    subscriber_id: str = field(default="", repr=False)
    total_charged: Decimal | None = None
    total_allowed: Decimal | None = None
    total_paid: Decimal | None = None
    patient_responsibility: Decimal | None = None
    processed_on: date | None = None
    first_service_on: date | None = None
    last_service_on: date | None = None
    check_number: str = field(default="", repr=False)
    parts: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a payer says to an inquiry: the claims that match, none meaning that it knows of no such claim."""

    claims: tuple[Claim, ...] = ()
    searched_from: date | None = None
    searched_to: date | None = None
    trace_id: str = ""


@runtime_checkable
class Payer(Protocol):
    """A connector: the code that talks to one payer. A new one is one file in payers/ and one line in registry.PAYERS.

    `lookup` raises PayerError(code, blame, retry_after_seconds=None) and nothing else. One object serves one account
    and is used from one event loop only; `aclose` is called at the end.
    """

    slug: ClassVar[str]
    label: ClassVar[str]
    transactions: ClassVar[frozenset[str]]

    def __init__(self, profile: PayerProfile) -> None: ...

    async def lookup(self, inquiry: Inquiry) -> Answer:
        """Ask the payer about one claim."""

    async def test_connection(self) -> None:
        """Get a token and make the cheapest call there is. Raises: PayerError."""

    async def aclose(self) -> None:
        """Close connections."""


@runtime_checkable
class SearchingPayer(Protocol):
    """A payer of which one search answers many inquiries."""

    def lookup_many(self, inquiries: Sequence[Inquiry]) -> AsyncIterator[tuple[int, Answer]]:
        """Yield (index of the inquiry, answer)."""
