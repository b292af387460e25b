"""The kind `contact_import`: each row is one contact of a CRM, cleaned and merged into the org's contacts."""

from __future__ import annotations

from rowmill.contacts.fields import COLUMNS, TARGET
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
