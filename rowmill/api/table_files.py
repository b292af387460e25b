"""A cohort table's file by the resumable doors: which table it is for, and its session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rowmill.claims.intake import YES
from rowmill.cohorts.intake import KIND, begin_sending
from rowmill.cohorts.submissions import fetch_table
from rowmill.errors import InputError
from rowmill.models import SubmissionTable, UploadSession
from rowmill.orgs import Caller


def find_table(caller: Caller, told: Mapping[str, Any]) -> SubmissionTable | None:
    """Give the table that a file is sent for, None where it is no table's. Raises: InputError bad_option, NotFound."""
    if told.get("kind") != KIND or str(told.get("precheck") or "").lower() in YES:
        return None
    submission, name = str(told.get("submission") or ""), str(told.get("table") or "")
    if not submission or not name:
        raise InputError(
            "Files of this kind are sent to a table of a submission. Name both, as `submission` (its id) and `table`.",
            code="bad_option",
        )
    return fetch_table(caller, submission, name)


def open_for_table(
    caller: Caller, table: SubmissionTable, open_session: Callable[[str, str], UploadSession]
) -> UploadSession:
    """Begin a table's file by the door that `open_session` opens; it is given the kind, and what tells this table's file.

    Raises: all that `begin_sending` raises.
    """
    return begin_sending(caller, table, lambda: open_session(KIND, f"table {table.pk} "))
