"""The door of the claims line: takes a claims file with its options and starts the job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from rowmill import registry
from rowmill.contracts import CLAIM_STATUS
from rowmill.errors import InputError
from rowmill.jobs.submit import Taken, take_file
from rowmill.models import PayerAccount, Practice
from rowmill.orgs import Caller
from rowmill.uploads.prechecks import precheck_intent, read_kind

DEFAULT_PAYER = "UHC"
YES = frozenset({"true", "1", "on", "yes"})


def take_claims_file(
    caller: Caller,
    name: str,
    chunks: Iterable[bytes],
    form: Mapping[str, Any],
    *,
    kind: str = "claim_status",
    idempotency_key: str | None = None,
) -> Taken:
    """Take a whole claims file: receive, inspect, start.

    `form`: start_date, end_date (ISO or MM/DD/YYYY), transaction_code, payer, practice (public id or TIN),
    confirm_duplicate ("true"), sheet (of a workbook).
    Raises: InputError bad_option, and all that `take_file` raises.
    """
    caller.need_write()
    return take_file(
        caller,
        kind,
        name,
        chunks,
        intent=read_options(caller, form),
        confirm_duplicate=str(form.get("confirm_duplicate", "")).lower() in {"true", "1", "on", "yes"},
        idempotency_key=idempotency_key,
    )


def read_intent(caller: Caller, kind: str, form: Mapping[str, Any]) -> dict[str, Any]:
    """Read what job a file of this kind shall start. Raises: InputError bad_option, also for a kind that is not known."""
    if kind not in registry.KINDS:
        known = ", ".join(sorted(registry.KINDS))
        raise InputError(f"kind is not one that this installation knows. It takes: {known}.", code="bad_option")
    if not registry.get_kind(kind).makes_jobs:
        raise InputError(
            "Files of this kind are sent to a table of a submission: name both, as `submission` and `table`.",
            code="bad_option",
        )
    if registry.get_kind(kind).merges:
        return {"duplicates": _policy(kind, form), **_sheet(form), **_words(form)}
    return read_options(caller, form) if kind.startswith("claim_") else _sheet(form)


def _policy(kind: str, form: Mapping[str, Any]) -> str:
    """Read how a file is merged with what is there already."""
    policy, target = str(form.get("duplicates") or "update"), registry.get_kind(kind).target  # type: ignore[attr-defined]
    if policy not in target.policies:
        raise InputError(f"duplicates takes {', '.join(target.policies)}.", code="bad_option")
    return policy


def _words(form: Mapping[str, Any]) -> dict[str, bool]:
    """Read what is said about the start: after a look by the sender, or whatever it changes of what is there."""
    words = {"review": form.get("review"), "go_ahead": form.get("goAhead") or form.get("go_ahead")}
    return {name: True for name, said in words.items() if str(said or "").lower() in YES}


def read_purpose(caller: Caller, form: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Read what a file is sent for, by a resumable door. Shape: (its kind, its intent). Raises: InputError bad_option.

    With `precheck` it is for a precheck, and needs no kind.
    """
    if str(form.get("precheck") or "").lower() in YES:
        return read_kind(form.get("kind")), precheck_intent(form)
    kind = str(form.get("kind") or default_kind())
    return kind, read_intent(caller, kind, form)


def default_kind() -> str:
    """Give the kind of a file whose sender names none."""
    return "contact_import" if "contact_import" in registry.KINDS else "claim_status"


def read_options(caller: Caller, form: Mapping[str, Any]) -> dict[str, Any]:
    """Read a job's options from a form. Raises: InputError bad_option, which names the field and what it takes."""
    start, end = _day(form, "start_date"), _day(form, "end_date")
    if start and end and start > end:
        raise InputError("start_date is after end_date. Exchange them.", code="bad_option")
    payer = str(form.get("payer") or DEFAULT_PAYER)
    if payer not in registry.PAYERS:
        known = ", ".join(sorted(registry.PAYERS))
        raise InputError(f"payer is not one that this installation knows. It takes: {known}.", code="bad_option")
    transaction = str(form.get("transaction_code") or CLAIM_STATUS)
    if transaction != CLAIM_STATUS:
        raise InputError(f"transaction_code takes {CLAIM_STATUS} in this release.", code="bad_option")
    practice = _practice(caller, str(form.get("practice") or ""))
    return {
        "payer": payer,
        "transaction_code": transaction,
        "practice_id": practice.pk if practice else None,
        "start_date": start.isoformat() if start else None,
        "end_date": end.isoformat() if end else None,
        "in_flight": _in_flight(caller, payer),
        **_sheet(form),
    }


def _sheet(form: Mapping[str, Any]) -> dict[str, str]:
    """Read which sheet of a workbook is meant, if one is named; Excel allows 31 characters."""
    name = str(form.get("sheet") or "").strip()
    if len(name) > 31:
        raise InputError("sheet takes the name of a sheet, which has at most 31 characters.", code="bad_option")
    return {"sheet": name} if name else {}


def _day(form: Mapping[str, Any], field: str) -> date | None:
    """Read one date."""
    text = str(form.get(field) or "").strip()
    if not text:
        return None
    try:
        if "/" in text:
            month, day, year = (int(part) for part in text.split("/"))
            return date(year, month, day)
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{field} takes a date such as 2026-01-31 or 01/31/2026.", code="bad_option") from None


def _practice(caller: Caller, text: str) -> Practice | None:
    """Find the practice by public id or TIN."""
    if not text:
        return None
    practices = Practice.objects.filter(org=caller.org)
    try:
        found = practices.filter(public_id=UUID(text)).first()
    except ValueError:
        found = practices.filter(tin=text.replace("-", "")).first()
    if found is None:
        raise InputError("practice is none of this org's. Give its id or its TIN, or leave it out.", code="bad_option")
    return found


def _in_flight(caller: Caller, payer: str) -> int:
    """Give the most calls at once that the org's accounts for a payer allow, so that batches are large enough."""
    return max(PayerAccount.objects.filter(org=caller.org, payer=payer).values_list("in_flight", flat=True), default=0)
