"""The contracts: the page a plugin's author reads. Kind, Payer, Check, Storage; Row, Outcome, Column, Finding.

Nothing here imports Django. A plugin is one file plus one line in `registry`; settings may add more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

OutcomeWord = Literal["ok", "not_found", "rejected", "failed"]
Severity = Literal["error", "warning"]
OUTCOMES: tuple[OutcomeWord, ...] = ("ok", "not_found", "rejected", "failed")

# ------------------------------------------------------------------------------------------------ tables


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a kind knows.

    `required`: the header must have it. `filled`: a cell may not be blank (its row is rejected).
    `checks` are slugs of `registry.CHECKS`, each run on this column's non-blank cells.
    `aliases` are other header spellings; case, spaces, dashes and underscores never matter.
    """

    name: str
    label: str = ""
    type: Literal["text", "date", "amount", "integer"] = "text"
    required: bool = False
    filled: bool = False
    aliases: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    help: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A rule over rows: `bad_when` is one DuckDB SQL condition, true for a bad row.

    `{column}` in it is replaced by the quoted name of the column the check is put on, every column is VARCHAR; `{*}`
    by what reads all rows. `help` says in plain words what the person should do. Severity "error" rejects the row.
    `keywords` is the same rule in the words of a Table Schema, where it has some."""

    slug: str
    title: str
    help: str
    bad_when: str
    severity: Severity = "error"
    keywords: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a check, or a defect of the file. Never holds a cell's value.

    Units: `line` physical, 1-based, the header is line 1; `row` data row, 1-based; `column` 1-based; `byte` 0-based.
    `count` is how many places share this code and column; the place told is the first of them.
    """

    code: str
    severity: Severity
    message: str
    line: int | None = None
    row: int | None = None
    column: int | None = None
    column_name: str | None = None
    byte: int | None = None
    mend: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Cause:
    """One root cause behind many findings, in one sentence without a cell's value.

    `count` places come from it. `mend` names what would clear `clears` of them without guessing (tabular.mends.MENDS);
    "" where a person has to mend the file. The place is the first one, in the units of a finding.
    """

    code: str
    severity: Severity
    message: str
    count: int
    mend: str = ""
    clears: int = 0
    line: int | None = None
    row: int | None = None
    column: int | None = None
    column_name: str | None = None
    byte: int | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the file is written: detected on a sample, then pinned.

    `newline` is "\\n", "\\r\\n", "\\r" or "mixed". `quote` is "" where no quoting is in use.
    """

    encoding: str
    bom: bool
    delimiter: str
    quote: str
    newline: str


@dataclass(frozen=True, slots=True)
class Balance:
    """The account of a file's lines: `lines` = header + rows + blank + continuation + preamble_footer + broken.

    Units: physical lines; `rows` counts the first line of each data row, `continuation` its further lines.
    """

    lines: int = 0
    header: int = 0
    rows: int = 0
    blank: int = 0
    continuation: int = 0
    preamble_footer: int = 0
    broken: int = 0

    @property
    def balances(self) -> bool:
        """Tell whether the parts add up to the whole."""
        return self.lines == (
            self.header + self.rows + self.blank + self.continuation + self.preamble_footer + self.broken
        )


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the fast path says of a file.

    `header` are the header cells as written; `mapping` is kind column -> 1-based position in the file.
    `rejected_rows` counts rows with at least one bad cell of severity error. `sheet` is the name of a workbook's sheet
    that was read; its `dialect` is None, and a line is a row of that sheet. `causes` sum the findings up. `damage` is
    the map of the file in equal stretches of bytes, one letter each: "." sound, "w" a warning, "e" an error, "E" mostly errors.
    """

    verdict: Literal["sound", "unsound"]
    dialect: Dialect | None
    balance: Balance
    header: tuple[str, ...] = ()
    mapping: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    row_count: int = 0
    rejected_rows: int = 0
    size_bytes: int = 0
    sha256: str = ""
    seconds: float = 0.0
    sheet: str = ""
    causes: tuple[Cause, ...] = ()
    damage: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the inspection as plain JSON types."""
        data = asdict(self)
        data["balance"]["balances"] = self.balance.balances
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Inspection:
        """Read back what `to_json` gave."""
        values = dict(data)
        balance = {k: v for k, v in values["balance"].items() if k != "balances"}
        values["balance"] = Balance(**balance)
        values["dialect"] = Dialect(**values["dialect"]) if values["dialect"] else None
        values["findings"] = tuple(Finding(**f) for f in values["findings"])
        values["causes"] = tuple(Cause(**c) for c in values.get("causes", ()))
        values["header"] = tuple(values["header"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Problem:
    """A check that a row breaks: the check's slug and the kind column it is on ("" for a rule over the row)."""

    check: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One data row, every cell as it was written.

    `cells` holds every column of the kind by name ("" where the file has none), `extra` the others by header.
    """

    number: int
    line: int
    cells: Mapping[str, str]
    extra: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


# ------------------------------------------------------------------------------------------------ work


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row.

    `code` is stable and in capitals (NOT_FOUND, MEMBER_MISMATCH ...), "" for ok. `message` never holds a cell's value.
    `answer` is what the payer said, as JSON types; it is stored sealed.
    """

    row_number: int
    outcome: OutcomeWord
    code: str = ""
    message: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class JobInfo:
    """What a kind sees of a job. `options` are the job's own (dates, payer, practice ...), never a cell."""

    id: UUID
    org_id: int
    kind: str
    options: Mapping[str, Any]
    row_count: int


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """What a kind sees of a batch: its job and the rows first..last, both inclusive.

    `stopping()` turns true when the job is being cancelled or the lease is lost: give up calls in flight and return.
    `lane`: work of the lane "interactive" goes before that of "bulk".
    """

    id: int
    job: JobInfo
    first_row: int
    last_row: int
    stopping: Callable[[], bool] = lambda: False
    lane: str = "bulk"


class Kind:
    """What a row means, and what is done with it. A new kind is one file in kinds/ and one line in registry.KINDS."""

    slug: ClassVar[str] = ""
    label: ClassVar[str] = ""
    columns: ClassVar[tuple[Column, ...]] = ()
    checks: ClassVar[tuple[str, ...]] = ()
    batch_rows: ClassVar[int] = 1000
    checkpoint_rows: ClassVar[int] = 500
    lease_seconds: ClassVar[int] = 60
    max_attempts: ClassVar[int] = 5
    result_header: ClassVar[tuple[str, ...]] = ("row", "success", "error")
    makes_jobs: ClassVar[bool] = True  # else a line of work takes its files in, and no job runs over them

    def judge(self, upload: Any, usual: Callable[[Any], Any]) -> Any:
        """Judge an upload that the caller holds; a kind may have a way of its own. Raises: what the usual way raises."""
        return usual(upload)

    def follow(self, upload: Any, state: str) -> None:
        """Take note that an upload is all here ("CHECKING") or never will be ("ABORTED"), in the transaction that says so."""

    def open(self, job: JobInfo) -> None:
        """Prepare the job before its first batch. May run twice."""

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Work through the rows and yield one Outcome for each, in any order.

        Raises: Snooze for "not yet" (costs no attempt); anything else costs the batch an attempt.
        Again: yes; it gets the rows that have no settled result.
        """
        raise NotImplementedError

    def close(self, job: JobInfo) -> None:
        """Tidy up after the last batch. May run twice."""

    def result_cells(self, row: Row, result: Outcome | None, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Give one line of the results, matching `result_header`; `result` is None for a row not processed.

        `options` of the export: "iso_dates" (bool).
        """
        success = "True" if result is not None and result.outcome == "ok" else "False"
        error = "" if result is not None and result.outcome == "ok" else describe_failure(result)
        return (str(row.number), success, error)


def describe_failure(result: Outcome | None) -> str:
    """Give `CODE: sentence` for a row that is not ok."""
    if result is None:
        return "NOT_PROCESSED: This row was not processed."
    return f"{result.code}: {result.message}" if result.message else result.code


# ------------------------------------------------------------------------------------------------ payers

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


# ------------------------------------------------------------------------------------------------ bytes at rest


@dataclass(frozen=True, slots=True)
class Stored:
    """An object at rest. `sha256` is "" where the storage does not keep it; `modified_at` has a zone."""

    key: str
    size_bytes: int
    modified_at: datetime
    sha256: str = ""


@runtime_checkable
class Storage(Protocol):
    """Bytes at rest under a key such as `org/7/uploads/<uuid>/original`, made by the server, never a sender's name.

    Every write is seen whole or not at all. A key's bytes never change, but that `put_file` may replace them.
    `near`: objects are files of this machine, so that `hold` copies nothing.
    Raises: StorageFault from every method while the storage does not answer; ValueError for what is no key.
    """

    near: bool

    def write(self, key: str, source: BinaryIO | Iterable[bytes]) -> int:
        """Store the whole source, atomically. Gives the bytes written. Raises: OutOfSpace, FileExistsError."""

    def put_file(self, key: str, path: Path) -> int:
        """Move a finished local file in under key; gives its bytes. Again: replaces. Raises: OutOfSpace."""

    def open(self, key: str) -> BinaryIO:
        """Open for reading. Raises: FileNotFoundError."""

    def hold(self, key: str, sha256: str = "") -> AbstractContextManager[Path]:
        """Give a local path to the object's bytes, for reading only and while the `with` lasts.

        Raises: FileNotFoundError, OutOfSpace, ObjectChanged where what is fetched has another SHA-256.
        Cost: fetched once for the machine, then kept in its scratch.
        """

    def stat(self, key: str) -> Stored | None:
        """Tell size, time and hash, None where there is no such key."""

    def delete(self, key: str) -> None:
        """Remove; no error where there is none."""

    def delete_under(self, prefix: str) -> int:
        """Remove everything in the folder `prefix`, here and in scratch; gives how many objects went."""

    def listing(self, prefix: str = "") -> Iterator[Stored]:
        """List the object or the folder `prefix` with size and time, sorted by key. Cost: a call for each 1,000."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """List the keys of the same."""

    def clear_unfinished(self, older_than_seconds: float, spare: Collection[str] = ()) -> int:
        """Remove what writers that died left unfinished, but the multipart uploads `spare`; gives how many."""

    def copies(self) -> Sequence[str]:
        """List the keys of which this machine has a copy in its scratch."""

    def drop_copy(self, key: str) -> None:
        """Remove this machine's copy, unless it is in use."""

    def free_bytes(self) -> int | None:
        """Give the bytes left where files are received or copied to, None where it cannot be known."""
