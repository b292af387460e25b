"""The kind `claim_status`: each row is one claim, and a payer is asked what became of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from importlib import import_module
from typing import Any

from rowmill.claims.inquiry import FIELDS, read_inquiry
from rowmill.claims.pace import Pace
from rowmill.claims.workflow import ACCOUNTS, WorkflowEngine
from rowmill.contracts import CLAIM_STATUS, BatchInfo, Column, Outcome, PayerProfile, Row, describe_failure
from rowmill.errors import InputError, NotFound, Snooze
from rowmill.kinds.row_kind import Place, RowKind

DEFAULT_PAYER = "UHC"

# An account's pace, and the engine that asks through it: by org, payer, practice, TIN and payer id.
_Access = tuple[int, str, int | None, str, str]


@dataclass(frozen=True, slots=True)
class _Opened:
    """An account in use."""

    engine: WorkflowEngine
    pace: Pace


class ClaimStatus(RowKind):
    """Ask a payer for the status of claims.

    Options of the job: "payer" (slug, UHC by default), "practice_id", "transaction_code", "start_date" and "end_date"
    (ISO, days of service, for rows that name none). A row's own `tin` or `payer_id` picks another practice or account.
    """

    slug = "claim_status"
    label = "Claim status"
    columns = (
        Column(
            "claim_number",
            "Claim number",
            required=True,
            filled=True,
            aliases=("claim", "claim #", "claim no", "claim num", "claim id", "claim nbr", "icn", "payer claim number"),
            checks=("claim-number", "lost-digits"),
            help="The payer's number of the claim, as text: leading zeros count.",
            example="SIMPD000001",
        ),
        Column(
            "first_name",
            "First name",
            required=True,
            filled=True,
            aliases=("patient first name", "patient first", "member first name", "first", "fname", "given name"),
            help="The patient's first name.",
            example="Jordan",
        ),
        Column(
            "last_name",
            "Last name",
            required=True,
            filled=True,
            aliases=(
                "patient last name",
                "patient last",
                "member last name",
                "last",
                "lname",
                "surname",
                "family name",
            ),
            help="The patient's last name; with the date of birth it shows that the claim is the patient's.",
            example="Sample",
        ),
        Column(
            "date_of_birth",
            "Date of birth",
            type="date",
            required=True,
            filled=True,
            aliases=("dob", "birth date", "birthdate", "patient dob", "patient date of birth", "member dob", "born"),
            checks=("date", "date-not-future"),
            help="As 1980-01-15 or 05/10/1975.",
            example="1980-01-15",
        ),
        Column(
            "subscriber_id",
            "Subscriber ID",
            required=True,
            filled=True,
            aliases=(
                "subscriber #",
                "subscriber number",
                "member id",
                "member #",
                "member number",
                "insurance id",
                "policy id",
            ),
            checks=("subscriber-id", "lost-digits"),
            help="The member's number at the payer, as text: leading zeros count.",
            example="SIM000123456",
        ),
        Column(
            "first_service_date",
            "First day of service",
            type="date",
            aliases=("first dos", "dos from", "service from", "service start date", "from date", "date of service"),
            checks=("date",),
            help="Narrows the search; at most 90 days to the last day.",
            example="2026-01-05",
        ),
        Column(
            "last_service_date",
            "Last day of service",
            type="date",
            aliases=("last dos", "dos to", "service to", "service end date", "to date"),
            checks=("date",),
            help="Narrows the search.",
            example="2026-01-20",
        ),
        Column(
            "tin",
            "TIN",
            aliases=("tax id", "provider tin", "billing tin", "provider tax id", "ein"),
            checks=("tin",),
            help="The practice in whose name the payer is asked; one of your practices.",
            example="001234567",
        ),
        Column(
            "payer_id",
            "Payer ID",
            aliases=("payer", "payer #", "payer number", "insurance payer id"),
            help="Picks one of your payer accounts.",
            example="87726",
        ),
        Column(
            "patient_account_number",
            "Patient account number",
            aliases=("patient account", "patient account #", "account number", "pt account", "patient control number"),
            help="Your own number of the patient; it comes back in the results.",
            example="A-1001",
        ),
    )
    result_header = (
        "row",
        "claim_number",
        "status",
        "patient_name",
        "total_charged",
        "total_paid",
        "processed_date",
        "success",
        "error",
        "normalized_status",
        "category_code",
        "status_code",
        "total_allowed",
        "patient_responsibility",
        "check_number",
        "attempts",
        "duplicate_of",
    )

    def __init__(self, **seams: Any) -> None:
        super().__init__(**seams)
        self._opened: dict[_Access, _Opened] = {}

    def place_rows(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[tuple[Row, Place]]:
        """Open each account that the batch needs once, before any call."""
        places: dict[_Access, Place] = {}
        for row in rows:
            access = _access(row, batch)
            if access not in places:
                places[access] = self._open(access, batch)
            yield row, places[access]

    def same_as(self, row: Row, batch: BatchInfo) -> Hashable | None:
        """Rows ask the same when every field of the inquiry is the same."""
        return tuple(row.cells.get(name, "").strip() for name in FIELDS)

    async def call(self, row: Row, batch: BatchInfo) -> Outcome:
        """Ask about one claim."""
        engine = self._opened[_access(row, batch)].engine
        try:
            inquiry = read_inquiry(engine.transaction_code, _cells_with_dates(row, batch.job.options))
        except InputError as error:
            return Outcome(row.number, "rejected", "INVALID_INPUT", str(error))
        return await engine.execute_async(inquiry, row.number)

    def tell_refused(self, batch: BatchInfo, pace: Pace, code: str) -> None:
        """Mark the account, so that the admin is told once."""
        opened = list(self._opened.values())  # a copy: other batches open accounts meanwhile
        accounts = {one.engine.profile.account_id for one in opened if one.pace is pace}
        for account_id in accounts:
            import_module(ACCOUNTS).mark_broken(account_id, code)

    def result_cells(self, row: Row, result: Outcome | None, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Give one line of the results."""
        answer: Mapping[str, Any] = result.answer if result is not None else {}
        ok = result is not None and result.outcome == "ok"
        told = answer if ok else {}
        return (
            str(row.number),
            row.cells.get("claim_number", ""),
            _cell(told, "status"),
            _cell(told, "patient_name"),
            _cell(told, "total_charged"),
            _cell(told, "total_paid"),
            _day(_cell(told, "processed_date"), iso=bool(options.get("iso_dates"))),
            str(ok),
            "" if ok else _failure(result, answer),
            _cell(told, "normalized_status"),
            _cell(told, "category_code"),
            _cell(told, "status_code"),
            _cell(told, "total_allowed"),
            _cell(told, "patient_responsibility"),
            _cell(told, "check_number"),
            str(result.attempts) if result is not None else "",
            _cell(answer, "duplicate_of"),
        )

    def _open(self, access: _Access, batch: BatchInfo) -> Place:
        """Open one account. Gives its pace, or why its rows cannot be asked."""
        org_id, payer, practice_id, tin, payer_id = access
        transaction = str(batch.job.options.get("transaction_code") or CLAIM_STATUS)
        practice = tin or practice_id
        engine = self.make_engine(payer, transaction, practice, org_id=org_id, payer_id=payer_id or None)
        refused = engine.refusal()
        if refused is not None:
            return refused
        try:
            pace = engine.pace
        except NotFound as error:
            code = str(error.details.get("code", "UNKNOWN_PAYER"))
            return Outcome(0, "rejected", code, str(error))
        except Snooze as snooze:
            return snooze
        self._renew(engine.profile, pace)
        self._opened[access] = _Opened(engine, pace)
        return pace

    def _renew(self, profile: PayerProfile, pace: Pace) -> None:
        """Let whoever else asks through the account use it as it is now: what was opened before it was edited is void."""
        for access, old in list(self._opened.items()):
            now = replace(profile, tin=old.engine.profile.tin)
            if old.pace is pace and old.engine.profile != now:
                engine = WorkflowEngine(old.engine.provider_code, old.engine.transaction_code, profile=now)
                self._opened[access] = _Opened(engine, pace)

    def make_engine(self, *args: Any, **options: Any) -> WorkflowEngine:
        """Make the engine that asks; tests bring their own payer profile here."""
        return WorkflowEngine(*args, **options)


def _access(row: Row, batch: BatchInfo) -> _Access:
    """Say through which account a row goes."""
    options = batch.job.options
    practice = options.get("practice_id")
    return (
        batch.job.org_id,
        str(options.get("payer") or DEFAULT_PAYER),
        int(practice) if practice else None,
        row.cells.get("tin", "").strip(),
        row.cells.get("payer_id", "").strip(),
    )


def _cells_with_dates(row: Row, options: Mapping[str, Any]) -> Mapping[str, str]:
    """Give the row's cells, with the job's days of service where the row names none."""
    if row.cells.get("first_service_date", "").strip() or row.cells.get("last_service_date", "").strip():
        return row.cells
    first, last = (str(options.get(name) or "") for name in ("start_date", "end_date"))
    return {**row.cells, "first_service_date": first, "last_service_date": last} if first or last else row.cells


def _failure(result: Outcome | None, answer: Mapping[str, Any]) -> str:
    """Say why a row is not ok; with the days that were searched, which stand sealed in the answer."""
    first, last = _cell(answer, "searched_from"), _cell(answer, "searched_to")
    if result is None or result.outcome != "not_found" or not first:
        return describe_failure(result)
    return f"{result.code}: Claim not found in date range {first} to {last}."


def _cell(answer: Mapping[str, Any], name: str) -> str:
    """Give a field of the answer as a cell, "" where there is none."""
    value = answer.get(name)
    return "" if value is None else str(value)


def _day(text: str, *, iso: bool) -> str:
    """Write an ISO day as MM/DD/YYYY, unless ISO is wanted."""
    return text if iso or not text else f"{date.fromisoformat(text):%m/%d/%Y}"
