"""The kind `contact_import`: each row is one contact of a CRM, cleaned and merged into the org's contacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from rowmill.contacts.fields import COLUMNS, TARGET
from rowmill.kinds.bulk_kind import BulkKind

EXPORT = "rowmill.contacts.export"  # by name: a kind's columns are looked at without a database too


class ContactImport(BulkKind):
    """Merge contacts by contact_id, else by e-mail.

    Options of the job: "duplicates" (update, blanks, skip, newest: by last_contacted), "ignored" (positions).
    """

    slug = "contact_import"
    label = "Contacts"
    columns = COLUMNS
    checks = ("contact-key",)
    target = TARGET

    def export_lines(self, caller: Any, asked: Mapping[str, Any]) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
        """Give the contacts that were asked for."""
        found: tuple[Sequence[str], Iterator[Sequence[str]]] = import_module(EXPORT).read_lines(caller, asked)
        return found
