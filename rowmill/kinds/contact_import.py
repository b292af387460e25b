"""The kind `contact_import`: each row is one contact of a CRM, cleaned and merged into the org's contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rowmill.contacts.fields import COLUMNS, TARGET
from rowmill.contracts import Outcome, Row, describe_failure
from rowmill.kinds.bulk_kind import BulkKind


class ContactImport(BulkKind):
    """Merge contacts by contact_id, else by e-mail.

    Options of the job: "duplicates" (update, blanks, skip, newest: by last_contacted), "ignored" (positions).
    """

    slug = "contact_import"
    label = "Contacts"
    columns = COLUMNS
    checks = ("contact-key",)
    target = TARGET
    result_header = ("row", "contact_id", "email", "success", "error", "note")

    def result_cells(self, row: Row, result: Outcome | None, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Give one line of the results; the note of a row that went well says where its values went."""
        ok = result is not None and result.outcome == "ok"
        note = result.message if result is not None and ok else ""
        cells = (row.cells.get("contact_id", ""), row.cells.get("email", ""))
        return (str(row.number), *cells, str(ok), "" if ok else describe_failure(result), note)
