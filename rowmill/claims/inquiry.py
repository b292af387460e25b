"""Read a row's cells into the inquiry that a payer is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime

from rowmill.contracts import Inquiry
from rowmill.errors import InputError

FIELDS = (
    "claim_number",
    "first_name",
    "last_name",
    "date_of_birth",
    "subscriber_id",
    "first_service_date",
    "last_service_date",
    "tin",
    "payer_id",
    "patient_account_number",
)
DATE_FORMS = ("%Y-%m-%d", "%m/%d/%Y")
# A day kept as a point in time, as data frames and databases write it.
_MIDNIGHT = re.compile(r"(?<=^\d{4}-\d\d-\d\d)[ T]00:00(:00(\.0+)?)?$", re.ASCII)


def read_inquiry(transaction: str, cells: Mapping[str, str]) -> Inquiry:
    """Make an inquiry of cells. Raises: InputError naming the column, never the value."""
    text = {name: (cells.get(name) or "").strip() for name in FIELDS}
    if not text["claim_number"]:
        raise InputError("claim_number is missing.", column="claim_number")
    return Inquiry(
        transaction=transaction,
        claim_number=text["claim_number"].upper(),
        first_name=text["first_name"],
        last_name=text["last_name"],
        date_of_birth=_read_date("date_of_birth", text),
        subscriber_id=text["subscriber_id"],
        first_service_on=_read_date("first_service_date", text),
        last_service_on=_read_date("last_service_date", text),
        tin=text["tin"],
        payer_id=text["payer_id"],
        patient_account_number=text["patient_account_number"],
    )


def _read_date(column: str, text: Mapping[str, str]) -> date | None:
    """Read a date in one of the two agreed forms, None where the cell is blank."""
    day = _MIDNIGHT.sub("", text[column])
    for form in DATE_FORMS:
        try:
            return datetime.strptime(day, form).date() if day else None
        except ValueError:
            continue
    raise InputError(f"{column} is no date as 1980-01-15 or 05/10/1975.", column=column)
